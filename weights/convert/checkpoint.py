"""What both kinds of checkpoint file come down to: names, and tensors that are read when asked for.

Nothing here holds values: names, shapes and types are checked for the whole file before the first
value is read.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Refused(Exception):
    """The checkpoint is not what it should be; the text says where and is one line."""


class Stored(NamedTuple):
    """A tensor in a file."""

    dtype: str  # as safetensors spells it: F32, I64, ...
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]  # F32 only


def numbers(raw, shape, strides=None, offset=0):
    """The float32 tensor within the little-endian bytes `raw`; strides and offset in elements."""
    values = np.frombuffer(raw, "<f4")
    if strides is None:
        return values.reshape(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides))
    if len(strides) != len(shape) or offset < 0 or min((*shape, 1)) < 1 or min((*strides, 0)) < 0:
        raise Refused("its strides make no sense")
    if last >= values.size:
        raise Refused(f"its shape needs {last + 1} values where {values.size} are stored")
    strides = [step * values.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(values[offset:], shape, strides, writeable=False)
