"""Between Python and libtessera: errors become exceptions, arrays pointers, file objects a tess_io."""

from __future__ import annotations

from typing import Any, BinaryIO, Callable, Optional

import numpy as np

from . import errors
from ._tessera import ffi, lib

__all__ = ["File", "check", "ffi", "floats", "lib", "sized", "text", "uint16s"]

_EXCEPTIONS = {
    lib.TESS_E_NOMEM: MemoryError,
    lib.TESS_E_ARGUMENT: errors.InputError,
    lib.TESS_E_IO: OSError,
    lib.TESS_E_FORMAT: errors.FileError,
    lib.TESS_E_TRUNCATED: errors.FileError,
    lib.TESS_E_CHECKSUM: errors.FileError,
    lib.TESS_E_MODEL: errors.ModelError,
    lib.TESS_E_FAMILY: errors.ModelError,
    lib.TESS_E_MISMATCH: errors.MismatchError,
    lib.TESS_E_NONFINITE: errors.NonFiniteError,
    lib.TESS_E_ENDED: errors.EndedError,
    lib.TESS_E_UNSUPPORTED: errors.UnsupportedError,
    lib.TESS_E_CODE: errors.CodeError,
}


def text(characters: Any) -> str:
    """A C string, or a char array."""
    return str(ffi.string(characters).decode("utf-8", "replace"))


def check(result: int, about: str = "", why: Any = None) -> int:
    """What a call returned, unless that is an error. `why` is a struct tess_why that it may have filled."""
    if result >= 0:
        return result
    reason = why and text(why.text) or text(lib.tess_strerror(result))
    raise _EXCEPTIONS.get(result, errors.Error)(f"{about}: {reason}" if about else reason)


def sized(name: str, **members: Any) -> Any:
    """A struct whose first member is its size."""
    struct = ffi.new(f"struct {name} *")
    struct.size = ffi.sizeof(f"struct {name}")
    for member, value in members.items():
        setattr(struct, member, value)
    return struct


def floats(array: np.ndarray[Any, Any]) -> Any:
    """A pointer into a contiguous float32 array, which must outlive it."""
    return ffi.from_buffer("float[]", array)


def uint16s(array: np.ndarray[Any, Any]) -> Any:
    """A pointer into a contiguous array of 16-bit integers, which must outlive it."""
    return ffi.from_buffer("uint16_t[]", array)


class File:
    """A binary file object as a tess_io. What it raises while the library reads or writes is kept, and
    raised by `check` in place of the library's "reading or writing failed"."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.error: Optional[BaseException] = None
        self.handle = ffi.new_handle(self)
        self.io = ffi.new("struct tess_io *")
        self.io.ctx = self.handle
        self.io.read = lib.tess_py_read
        self.io.write = lib.tess_py_write
        self.why = ffi.new("struct tess_why *")

    def check(self, result: int, about: str) -> int:
        if self.error:
            raise self.error
        return check(result, about, self.why)


def _guarded(handle: Any, call: Callable[[BinaryIO], int]) -> int:
    file = ffi.from_handle(handle)
    try:
        return call(file.file)
    except BaseException as error:
        file.error = error
        return -1


@ffi.def_extern()  # type: ignore[untyped-decorator]
def tess_py_read(handle: Any, to: Any, n: int) -> int:
    def read(file: BinaryIO) -> int:
        data = file.read(n)
        if data is None:
            raise BlockingIOError("the file has nothing to read yet")
        if len(data) > n:
            raise ValueError(f"read({n}) returned {len(data)} bytes")
        ffi.memmove(to, data, len(data))
        return len(data)

    return _guarded(handle, read)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def tess_py_write(handle: Any, data: Any, n: int) -> int:
    def write(file: BinaryIO) -> int:
        left = memoryview(ffi.buffer(data, n))
        while left:  # an unbuffered file may take less than all
            taken = file.write(left)
            if taken == 0:
                raise BlockingIOError("the file takes nothing yet")
            left = left[len(left) if taken is None else taken:]  # None: it does not count
        return 0

    return _guarded(handle, write)
