"""Codes as training data: lines of a manifest and members of a WebDataset shard, byte for byte as
docs/batch.md has them and `tessera batch` writes them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from typing import BinaryIO, Dict, Iterable, Optional, Tuple, Union

import numpy as np

from .codes import Codes

_BLOCK = 512       # of a tar
_RECORD = 10240    # its length is a multiple of this
_END = 1024        # zeros behind its last member


@dataclasses.dataclass(frozen=True)
class Item:
    """One recording, or a part of one, of a manifest: docs/batch.md, "Items"."""

    id: str
    audio: str
    place: int
    offset: float = 0.0
    duration: Optional[float] = None  # to the end of the sound
    text: Optional[str] = None
    speaker: Optional[str] = None

    @property
    def key(self) -> str:
        return f"{self.place:09d}"


def npy(codes: Codes) -> bytes:
    """The codes as a NumPy file: [T][K], 16 bits, little-endian."""
    kind = "i" if codes.code_min < 0 else "u"
    text = f"{{'descr': '<{kind}2', 'fortran_order': False, 'shape': ({codes.n_frames}, {codes.n_codebooks}), }}"
    return b"\x93NUMPY\x01\x00\x76\x00" + text.ljust(117).encode() + b"\n" + _rows(codes)


def _rows(codes: Codes) -> bytes:
    return np.ascontiguousarray(codes.codes.T).astype(codes.codes.dtype.newbyteorder("<")).tobytes()


def line(item: Item, codes: Codes, file: str, option: Optional[str]) -> bytes:
    """The item's line of the manifest, without the line feed. option: "NAME=VALUE", if the model has one."""
    rate = codes.frame_rate
    rows = _rows(codes)
    members: Dict[str, Union[str, int, float, None]] = {
        "id": item.id, "audio": item.audio, "codes": file, "key": item.key, "offset": float(item.offset),
        "n_samples": codes.n_samples, "sample_rate": codes.sample_rate, "n_frames": codes.n_frames,
        "n_codebooks": codes.n_codebooks, "codebook_size": codes.codebook_size,
        "frame_rate_num": rate.numerator, "frame_rate_den": rate.denominator, "layout": "TK",
        "dtype": "i16" if codes.code_min < 0 else "u16", "model": codes.model,
        "model_sha256": codes.model_sha256, "option": option, "token_sha256": hashlib.sha256(rows).hexdigest(),
        "duration": codes.duration, "n_bytes": 128 + len(rows), "text": item.text,
        "speaker": item.speaker,
    }
    pairs = [f'"{name}":{_value(value)}' for name, value in members.items() if value is not None]
    return ("{" + ",".join(pairs) + "}").encode()


def _value(value: Union[str, int, float, None]) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    return json.dumps(value, ensure_ascii=False)


def member(name: str, data: bytes) -> bytes:
    """A file in a tar: POSIX ustar, of nobody, at no time."""
    head = bytearray(_BLOCK)

    def put(at: int, field: bytes) -> None:
        head[at:at + len(field)] = field

    put(0, name.encode())
    put(100, b"0000644\0" b"0000000\0" b"0000000\0")
    put(124, b"%011o\0" % len(data))
    put(136, b"%011o\0" % 0)
    put(148, b" " * 8)
    put(156, b"0")
    put(257, b"ustar\0" b"00")
    put(148, b"%06o\0 " % sum(head))
    return bytes(head) + data + bytes(-len(data) % _BLOCK)


def shard_size(members: int) -> int:
    """Of the tar that holds members of so many bytes."""
    return -(-(members + _END) // _RECORD) * _RECORD


def write_shard(out: BinaryIO, samples: Iterable[Tuple[str, bytes, bytes]]) -> None:
    """A tar of (key, .npy, .json) as they come, of which there is one at least."""
    size = 0
    for key, codes, text in samples:
        for suffix, data in (("npy", codes), ("json", text)):
            size += out.write(member(f"{key}.{suffix}", data))
    out.write(bytes(shard_size(size) - size))


def holds(path: str, samples: Iterable[Tuple[str, int, bytes]]) -> bool:
    """Whether the file is the shard of these samples (key, bytes of .npy, .json) and of no others. Each
    .json is compared, of the codes only that they are as long. False where there is no file. Raises OSError."""
    if not os.path.exists(path):
        return False
    with open(path, "rb") as file:
        size = 0
        for key, n_bytes, text in samples:
            want = member(f"{key}.json", text)
            file.seek(size + _BLOCK + n_bytes + -n_bytes % _BLOCK)
            if file.read(len(want)) != want:
                return False
            size = file.tell()
        return file.read(_END + _RECORD) == bytes(shard_size(size) - size)
