"""Codes to .tess files and back, by the library's own writer and reader."""

from __future__ import annotations

import os
import re
from typing import Any, BinaryIO, List

import numpy as np

from ._native import File, ffi, floats, lib, sized, text, uint16s
from .arrays import as_codes, as_rows
from .codes import Codes
from .errors import InputError

_BLOCK = 4096  # frames read at a time


def write(codes: Codes, out: BinaryIO) -> None:
    file = File(out)
    info = sized("tess_file_info", sample_rate=codes.sample_rate, hop=codes.hop,
                 codebooks=codes.n_codebooks, entries=codes.codebook_size, code_min=codes.code_min,
                 channels=codes.channels, source_rate=codes.source_rate,
                 n_source=-1,  # as the command has it: what a pipe cannot know stands in the trailer
                 segment_frames=codes.segment_frames)
    name = codes.model.encode()
    if len(name) >= ffi.sizeof(info.model):
        raise InputError(f"the model's name is longer than {ffi.sizeof(info.model) - 1} bytes")
    ffi.memmove(info.model, name, len(name))
    if not re.fullmatch("[0-9a-fA-F]{16,}", codes.model_sha256):
        raise InputError(f"model_sha256 is {codes.model_sha256!r}: 16 or more hexadecimal digits are needed")
    ffi.memmove(info.fingerprint, bytes.fromhex(codes.model_sha256[:16]), 8)
    rows = as_rows(as_codes(codes.codes), codes.code_min, codes.codebook_size)
    scales = np.ascontiguousarray([] if codes.scales is None else codes.scales, np.float32)
    writer = ffi.new("struct tess_writer **")
    file.check(lib.tess_writer_create(writer, file.io, info, ffi.NULL, file.why), ".tess")
    try:
        file.check(lib.tess_writer_put_scaled(writer[0], uint16s(rows), len(rows), floats(scales),
                                              len(scales)), ".tess")
        file.check(lib.tess_writer_finish(writer[0], codes.n_source, file.why), ".tess")
    finally:
        lib.tess_writer_destroy(writer[0])


def read(source: BinaryIO) -> Codes:
    file = File(source)
    name = getattr(source, "name", None)
    about = os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else ".tess"
    reader = ffi.new("struct tess_reader **")
    file.check(lib.tess_reader_create(reader, file.io, ffi.NULL, file.why), about)
    try:
        return _read_all(file, reader[0], about)
    finally:
        lib.tess_reader_destroy(reader[0])


def _read_all(file: File, reader: object, about: str) -> Codes:
    info = lib.tess_reader_info(reader)
    dtype = np.int16 if info.code_min < 0 else np.uint16
    blocks: List[np.ndarray[Any, Any]] = []
    scales: List[float] = []
    n_scales = ffi.new("size_t *")
    while True:
        block = np.empty((_BLOCK, info.codebooks), dtype)
        n = file.check(lib.tess_reader_next(reader, uint16s(block), _BLOCK, file.why), about)
        if n == 0:
            break
        blocks.append(block[:n].copy())  # a .tess file's chunks are far shorter
        of_block = lib.tess_reader_scales(reader, n_scales)
        scales += ffi.unpack(of_block, n_scales[0]) if n_scales[0] else []
    rows = np.concatenate(blocks) if blocks else np.empty((0, info.codebooks), dtype)
    return Codes(
        codes=rows.T, n_samples=lib.tess_reader_samples(reader), sample_rate=info.sample_rate,
        hop=info.hop, codebook_size=info.entries, code_min=info.code_min, channels=info.channels,
        model=text(info.model), model_sha256=bytes(info.fingerprint).hex(),
        source_rate=info.source_rate, n_source=info.n_source,
        scales=np.array(scales, np.float32) if info.segment_frames else None,
        segment_frames=info.segment_frames)
