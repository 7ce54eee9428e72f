"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import BinaryIO, Iterator, Union


@contextlib.contextmanager
def replacing(path: Union[str, "os.PathLike[str]"]) -> Iterator[BinaryIO]:
    """A binary file beside `path` that takes its place, safe on the disk, when the block ends well;
    else it goes and `path` is as it was."""
    temporary = f"{os.fspath(path)}.{secrets.token_hex(4)}.tmp"  # several machines may try
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename == temporary:
            error.filename = os.fspath(path)  # the name that the caller knows
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
