"""What callers hand over, as the arrays that the library takes. Nothing is copied that need not be."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .errors import CodeError, InputError

Array = np.ndarray[Any, Any]


def as_array(x: Any) -> Array:
    """Of numpy, or whatever shares its memory with it: a tensor on the CPU, a list."""
    if not hasattr(x, "__array__") and hasattr(x, "__dlpack__"):
        return np.from_dlpack(x)
    return np.asarray(x)


def as_whole(x: Any, what: str) -> int:
    """A whole number of 32 bits that a caller gave as `what`."""
    try:
        n = int(x) if isinstance(x, float) and x.is_integer() else operator.index(x)
    except TypeError:
        raise InputError(f"{what} is {x!r}: a whole number is needed") from None
    if not -1 << 31 <= n < 1 << 31:
        raise InputError(f"{what} is {n}: no such number is possible")
    return n


def as_pcm(x: Any, channels: int) -> Array:
    """[N], or [channels, N], to contiguous float32 [N, channels]."""
    x = as_array(x)
    if x.dtype.kind != "f":
        hint = f", as x / {1 << 8 * x.dtype.itemsize - 1}" if x.dtype in (np.int16, np.int32) else ""
        raise InputError(f"samples are {x.dtype}: floats are needed, full scale 1.0{hint}")
    if x.ndim == 1 and channels == 1:
        x = x[np.newaxis]
    if x.ndim != 2 or x.shape[0] != channels:
        wanted = "[N], one channel" if channels == 1 else f"[{channels}, N]"
        raise InputError(f"samples are {list(x.shape)} where the model takes {wanted}")
    return np.ascontiguousarray(x.T, np.float32)


def from_pcm(rows: Array) -> Array:
    """[N, channels] to [N], or [channels, N]: a view."""
    return rows[:, 0] if rows.shape[1] == 1 else rows.T


def as_integers(codes: Any) -> Array:
    """Of any shape; an empty list too."""
    x = as_array(codes)
    if x.dtype.kind not in "iu" and x.size:
        raise InputError(f"codes are {x.dtype}: integers are needed")
    return x


def as_codes(codes: Any) -> Array:
    """[K, T] of any integers."""
    x = as_integers(codes)
    if x.ndim != 2:
        raise InputError(f"codes are {list(x.shape)} where [K, T] is needed")
    return x


def as_rows(codes: Array, code_min: int, codebook_size: int) -> Array:
    """[K, T] to contiguous 16-bit [T, K]."""
    dtype = np.int16 if code_min < 0 else np.uint16
    if codes.dtype != dtype and codes.size:  # what has the type is checked by the library
        low, high = int(codes.min()), int(codes.max())
        if low < code_min or high >= code_min + codebook_size:
            raise CodeError(f"codes from {low} to {high} where a codebook has {code_min} to "
                            f"{code_min + codebook_size - 1}")
    return np.ascontiguousarray(codes.T, dtype)
