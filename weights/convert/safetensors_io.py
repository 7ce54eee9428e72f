"""safetensors files: a header of JSON that says which bytes are whose, then the bytes.

Source: https://github.com/huggingface/safetensors, "Format".
"""

import json
import os
import struct

import numpy as np

from .checkpoint import Refused, Stored, numbers

MAX_HEADER = 100_000_000  # bytes, the format's own limit


def read(path):
    """The tensors of the file `path` by name."""
    n_bytes = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(8)
        n_header = struct.unpack("<Q", head)[0] if len(head) == 8 else n_bytes
        if n_header > min(MAX_HEADER, n_bytes - 8):
            raise Refused("it is neither a zip of torch.save nor a whole safetensors file")
        try:
            header = json.loads(file.read(n_header))
            return {
                name: _stored(path, 8 + n_header, n_bytes, name, entry)
                for name, entry in header.items()
                if name != "__metadata__"
            }
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise Refused("its safetensors header is damaged") from None


def _stored(path, start, n_bytes, name, entry):
    begin, end = entry["data_offsets"]
    dtype, shape = entry["dtype"], tuple(entry["shape"])
    if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
        raise ValueError
    if begin > end or start + end > n_bytes:
        raise Refused(f"tensor '{name}': the file is cut short")
    if dtype == "F32" and end - begin != 4 * int(np.prod(shape, dtype=object)):
        raise Refused(f"tensor '{name}': {end - begin} bytes are not those of its shape")

    def load():
        with open(path, "rb") as file:
            file.seek(start + begin)
            return numbers(file.read(end - begin), shape)

    return Stored(dtype, shape, load)


def write(path, tensors, metadata):
    """float32 arrays by name to a file that is there as a whole or not at all."""
    header, at = {"__metadata__": metadata}, 0
    for name, array in tensors.items():
        n = 4 * array.size
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data begin at a multiple of 8
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, "xb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for array in tensors.values():
                file.write(np.ascontiguousarray(array, "<f4").data)
        os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.remove(part)
        raise
