"""Codes as language models read them: one row of numbers, or one row a codebook, each later than the
one before. All take Codes or integers [K, T]; an array needs the `codebook_size` said.

>>> import numpy as np
>>> codes = np.array([[1, 2, 3], [7, 8, 9]], np.uint16)
>>> flatten(codes, codebook_size=10)
array([ 1, 17,  2, 18,  3, 19])
>>> delay(codes, codebook_size=10)
array([[ 1,  2,  3, 10],
       [10,  7,  8,  9]])
"""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import numpy as np

from .arrays import Array, as_codes, as_integers
from .codes import Codes
from .errors import CodeError, InputError


def _from_zero(codes: Any, codebook_size: Optional[int]) -> Tuple[Array, int]:
    """[K, T] int64 from 0 on, and the size of a codebook."""
    if isinstance(codes, Codes):
        return codes.codes.astype(np.int64) - codes.code_min, codes.codebook_size
    if codebook_size is None:
        raise InputError("an array of codes needs codebook_size")
    codes = as_codes(codes).astype(np.int64)
    if codes.size and not 0 <= codes.min() <= codes.max() < codebook_size:
        raise CodeError(f"codes from {codes.min()} to {codes.max()} where a codebook has 0 to {codebook_size - 1}")
    return codes, codebook_size


def flatten(codes: Any, offsets: bool = True, *, codebook_size: Optional[int] = None) -> Array:
    """[K, T] to [T * K] int64, frame by frame. With `offsets` codebook k's numbers start at
    k * codebook_size, so that each token says which codebook it is of; the vocabulary is then K times
    as large. Signed codes are moved to start at 0. Raises InputError, CodeError."""
    codes, size = _from_zero(codes, codebook_size)
    if offsets:
        codes = codes + size * np.arange(len(codes))[:, np.newaxis]
    return np.ascontiguousarray(codes.T).reshape(-1)


def unflatten(tokens: Any, codebooks: int, codebook_size: int, offsets: bool = True, *,
              code_min: int = 0) -> Array:
    """[T * K] back to codes [K, T], int64; the opposite of `flatten`. Raises InputError where the last
    frame is not whole, CodeError for a token that its codebook does not have."""
    flat = as_integers(tokens).astype(np.int64)
    if flat.ndim != 1 or codebooks < 1 or len(flat) % codebooks:
        raise InputError(f"{list(flat.shape)} tokens are no frames of {codebooks}")
    codes = flat.reshape(-1, codebooks).T
    if offsets:
        codes = codes - codebook_size * np.arange(codebooks)[:, np.newaxis]
    wrong = np.argwhere((codes < 0) | (codes >= codebook_size))
    if len(wrong):
        k, t = (int(i) for i in wrong[0])
        raise CodeError(f"token {flat[t * codebooks + k]} at {t * codebooks + k} is none of codebook {k}")
    return codes + code_min


def _pattern(pattern: Optional[Sequence[int]], codebooks: int) -> Sequence[int]:
    pattern = range(codebooks) if pattern is None else pattern
    if len(pattern) != codebooks or min(pattern, default=0) < 0:
        raise InputError(f"a pattern of {len(pattern)} delays for {codebooks} codebooks, none below 0")
    return pattern


def delay(codes: Any, pattern: Optional[Sequence[int]] = None, *, pad: Optional[int] = None,
          codebook_size: Optional[int] = None) -> Array:
    """[K, T] to [K, T + max(pattern)] int64: row k starts pattern[k] steps later, so that a model that
    predicts a column at once knows a frame's earlier codebooks. The default pattern is 0, 1, .. K - 1
    (MusicGen's, arXiv:2306.05284); what is not filled is `pad`, by default codebook_size. Signed codes
    are moved to start at 0."""
    codes, size = _from_zero(codes, codebook_size)
    k, t = codes.shape
    pattern = _pattern(pattern, k)
    delayed = np.full((k, t + max(pattern, default=0)), size if pad is None else pad, np.int64)
    for row, late, of in zip(delayed, pattern, codes):
        row[late:late + t] = of
    return delayed


def undelay(tokens: Any, pattern: Optional[Sequence[int]] = None, *, code_min: int = 0) -> Array:
    """[K, T + max(pattern)] back to codes [K, T], int64; the opposite of `delay`. Raises InputError."""
    tokens = as_codes(tokens).astype(np.int64)
    pattern = _pattern(pattern, len(tokens))
    t = tokens.shape[1] - max(pattern, default=0)
    if t < 0:
        raise InputError(f"{tokens.shape[1]} steps are fewer than the pattern's {max(pattern)}")
    rows = [row[late:late + t] for row, late in zip(tokens, pattern)]
    return np.stack(rows) + code_min
