"""The codes of a recording, and what must be known to make sound of them again."""

from __future__ import annotations

import dataclasses
import json
import os
from fractions import Fraction
from typing import Any, BinaryIO, Dict, Optional, Union

import numpy as np

from .errors import InputError
from .files import replacing

Path = Union[str, "os.PathLike[str]"]


@dataclasses.dataclass(frozen=True, eq=False)
class Codes:
    """The codes of one recording.

    codes          [K, T]: K codebooks, T frames; uint16, or int16 where codes are signed
    n_samples      samples per channel at the model's rate: so many `Codec.decode` gives
    sample_rate    of the model, Hz
    hop            samples a frame
    codebook_size  entries of a codebook: codes run from code_min on
    code_min       0, or below it for signed codes
    channels       of the sound
    model          the model's name
    model_sha256   of the model's file, in hex; of codes read from a file only its first 16 digits
    source_rate    of what was encoded, Hz
    n_source       samples per channel of what was encoded, at its rate
    scales         [S] float32, one number a segment, of a model that codes in segments; else None
    segment_frames frames of a segment; 0 where there are none

    An instance is not changed, but its arrays are not copied either.
    """

    codes: np.ndarray[Any, Any]
    n_samples: int
    sample_rate: int
    hop: int
    codebook_size: int
    code_min: int
    channels: int
    model: str
    model_sha256: str
    source_rate: int
    n_source: int
    scales: Optional[np.ndarray[Any, Any]] = None
    segment_frames: int = 0

    @property
    def n_codebooks(self) -> int:
        """K."""
        return int(self.codes.shape[0])

    @property
    def n_frames(self) -> int:
        """T."""
        return int(self.codes.shape[1])

    @property
    def frame_rate(self) -> Fraction:
        """Frames a second, exactly."""
        return Fraction(self.sample_rate, self.hop)

    @property
    def duration(self) -> float:
        """Seconds: of the samples, not of the frames, the last of which need not be full."""
        return self.n_samples / self.sample_rate

    def __repr__(self) -> str:
        return (f"Codes({self.n_codebooks} x {self.n_frames}, {self.duration:.2f} s, "
                f"{self.model!r})")

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> np.ndarray[Any, Any]:
        if copy is False and dtype is not None and np.dtype(dtype) != self.codes.dtype:
            raise ValueError(f"codes are {self.codes.dtype}: as {np.dtype(dtype)} they must be copied")
        return np.array(self.codes, dtype=dtype) if copy else np.asarray(self.codes, dtype=dtype)

    def to_numpy(self) -> np.ndarray[Any, Any]:
        """codes [K, T]; not a copy."""
        return self.codes

    def to(self, library: str) -> Any:
        """codes [K, T] as "numpy" has them, or for "torch" as a tensor of int64, the type that
        embeddings look up with. Raises InputError for another library."""
        if library == "numpy":
            return self.codes
        if library == "torch":
            import torch

            return torch.from_numpy(self.codes.astype(np.int64))
        raise InputError(f"to({library!r}): \"numpy\" or \"torch\"")

    def save(self, file: Union[Path, BinaryIO]) -> None:
        """Writes a .tess file (docs/format.md), the same bytes as `tessera encode` does. A path's
        file is replaced once all is written; a binary file object is written to from where it
        stands. Raises InputError where the fields contradict each other, OSError."""
        from . import tess

        if isinstance(file, (str, os.PathLike)):
            with replacing(file) as out:
                tess.write(self, out)
        else:
            tess.write(self, file)

    @classmethod
    def load(cls, file: Union[Path, BinaryIO]) -> Codes:
        """Reads a .tess file from a path or a binary file object, which may be a pipe. Raises
        FileError for anything else and for a damaged one, OSError."""
        from . import tess

        if isinstance(file, (str, os.PathLike)):
            with open(file, "rb") as f:
                return tess.read(f)
        return tess.read(file)

    def to_webdataset(self, key: str, **fields: Any) -> Dict[str, Any]:
        """A sample for webdataset.TarWriter: under `key`, the codes as a NumPy file [T, K] and what
        must be known of them, with `fields` (text, speaker, ...), as JSON. `tessera batch` and
        tessera.ray write whole shards, whose JSON says more."""
        from . import shards

        known = {"n_samples": self.n_samples, "sample_rate": self.sample_rate, "duration": self.duration,
                 "codebook_size": self.codebook_size, "layout": "TK", "model": self.model,
                 "model_sha256": self.model_sha256}
        return {"__key__": key, "npy": shards.npy(self), "json": json.dumps({**known, **fields}).encode()}

    def to_lhotse(self, id: str, *, text: Optional[str] = None, speaker: Optional[str] = None,
                  recording: Any = None, writer: Any = None) -> Any:
        """A lhotse.MonoCut with the codes [T, K] as its array `codes`, and a supervision where there is
        text or a speaker. The array stays in memory, or goes to `writer`, any of Lhotse's for arrays,
        which a manifest that is to be saved needs. `cut.codes.load()` gives every frame;
        `cut.load_codes()` as many as Lhotse rounds the duration to, a last one less where it is not
        half full."""
        from lhotse import MonoCut, SupervisionSegment
        from lhotse.features.io import MemoryRawWriter

        array = (writer or MemoryRawWriter()).store_array(
            id, np.ascontiguousarray(self.codes.T), frame_shift=float(1 / self.frame_rate),
            temporal_dim=0, start=0)
        said = text is not None or speaker is not None
        return MonoCut(
            id=id, start=0, duration=self.duration, channel=0, recording=recording,
            supervisions=[SupervisionSegment(id=id, recording_id=id, start=0, duration=self.duration,
                                             text=text, speaker=speaker)] if said else [],
            custom={"codes": array, "codebook_size": self.codebook_size, "model_sha256": self.model_sha256})
