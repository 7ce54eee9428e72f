"""A model, and what runs it: sound to codes and back, at once or as streams."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import pathlib
import threading
import weakref
from fractions import Fraction
from typing import Any, Iterator, List, Optional, Sequence, Union

import numpy as np

from ._native import check, ffi, floats, lib, sized, text, uint16s
from .arrays import Array, as_codes, as_pcm, as_rows, as_whole, from_pcm
from .codes import Codes
from .errors import InputError, MismatchError, ModelError, RateError, UnsupportedError

DEFAULT_MODEL = "tessera-24k-speech-int8"
_MODELS = pathlib.Path(__file__).parent / "models"
_MOST_STREAMS = 64  # of a batch in one call
_codecs: weakref.WeakSet[Codec] = weakref.WeakSet()
_CAPABILITIES = {lib.TESS_LIVE: "live", lib.TESS_DELAYED: "delayed", lib.TESS_WHOLE_CLIP: "whole-clip"}


class Codec:
    """An open model. Any number of Python threads may use it at once: the interpreter's lock is
    released while the library computes.

    model    a file, or the name of one that the package holds; None is the model in the package
    threads  that share the work of one call; the result does not depend on it

    Raises ModelError, InputError (threads), OSError.

    >>> import numpy as np, tessera
    >>> codec = tessera.Codec()
    >>> codes = codec.encode(np.zeros(24000, np.float32))
    >>> codes.codes.shape, codes.frame_rate
    ((4, 75), Fraction(75, 1))
    >>> codec.decode(codes).shape
    (24000,)
    """

    def __init__(self, model: Union[str, "os.PathLike[str]", None] = None, threads: int = 1):
        path = _find(model)
        out, why = ffi.new("struct tess_model **"), ffi.new("struct tess_why *")
        check(lib.tess_model_open(out, os.fsencode(path), ffi.NULL, why), path, why)
        self._model = ffi.gc(out[0], lib.tess_model_close)
        self._info = sized("tess_model_info")
        check(lib.tess_model_get_info(self._model, self._info))
        self._path, self._threads = path, as_whole(threads, "threads")
        self._idle: List[Any] = []  # workers for one stream
        with self._worker(1):  # refuses a number of threads that cannot be
            pass
        _codecs.add(self)

    def __reduce__(self) -> Any:
        """A process that it is sent to opens the same file."""
        return type(self), (self._path, self._threads)

    # ---- what it is

    @property
    def name(self) -> str:
        """The model's name."""
        return text(self._info.name)

    @property
    def family(self) -> str:
        """Which kind of network it is."""
        return text(self._info.family)

    @property
    def sha256(self) -> str:
        """Of the model's file, in hex: codes of one file are decoded by no other."""
        return bytes(self._info.sha256).hex()

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return int(self._info.sample_rate)

    @property
    def channels(self) -> int:
        """Of the sound."""
        return int(self._info.channels)

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return int(self._info.hop)

    @property
    def frame_rate(self) -> Fraction:
        """Frames a second, exactly."""
        return Fraction(self.sample_rate, self.hop)

    @property
    def codebooks(self) -> int:
        """K of a frame's codes, where no other number is asked for."""
        return int(self._info.codebooks_default)

    @property
    def codebooks_legal(self) -> List[int]:
        """Each K that may be asked for; fewer columns are a prefix of more."""
        every = range(1, self._info.codebooks + 1)
        return [k for k in every if self._info.codebooks_legal >> (k - 1) & 1] or [every[-1]]

    @property
    def codebook_size(self) -> int:
        """Entries of a codebook."""
        return int(self._info.entries)

    @property
    def code_min(self) -> int:
        """The lowest code: 0, or below it for signed codes."""
        return int(self._info.code_min)

    @property
    def delay(self) -> int:
        """Samples that streams hold back, encoder and decoder together, at most."""
        return int(self._info.encode_delay + self._info.decode_delay)

    @property
    def capability(self) -> str:
        """What encoding can do: "live" streams, "delayed" ones, or "whole-clip", none."""
        return _CAPABILITIES[self._info.encode]

    def __repr__(self) -> str:
        return f"Codec({self.name!r}, {self.sample_rate} Hz, {float(self.frame_rate):g} frames/s)"

    # ---- whole recordings

    def encode(self, x: Any, sample_rate: Optional[int] = None, *, codebooks: Optional[int] = None,
               resample: bool = False, option: int = 0) -> Codes:
        """The codes of a recording: exactly those of `tessera encode`.

        x            samples [N], or [channels, N] of a model with several; float32, full scale 1.0
                     (other floats are converted). An array or a tensor on the CPU
        sample_rate  of x, Hz; None means the model's
        codebooks    K; None means the model's default
        resample     convert x from another rate, instead of raising RateError
        option       the value of the model's own option ("bandwidth_id"), if it has one

        Raises RateError, NonFiniteError, InputError (shape, type, K, option), UnsupportedError.
        """
        return self.encode_batch([x], sample_rate, codebooks=codebooks, resample=resample,
                                 option=option)[0]

    def encode_batch(self, xs: Sequence[Any], sample_rate: Optional[int] = None, *,
                     codebooks: Optional[int] = None, resample: bool = False,
                     option: int = 0) -> List[Codes]:
        """The codes of several recordings, which are run as batches: those that `encode` gives of each
        alone, in the same order. All have the same rate. An error names the recording it is of."""
        rate = self.sample_rate if sample_rate is None else as_whole(sample_rate, "sample_rate")
        if rate != self.sample_rate and not resample:
            raise RateError(f"the sound has {rate} Hz where {self.name} takes {self.sample_rate}: "
                            "resample=True converts it")
        sounds = [as_pcm(x, self.channels) for x in xs]
        result: List[Codes] = []
        for at in range(0, len(sounds), _MOST_STREAMS):
            result += self._encode(sounds[at:at + _MOST_STREAMS], at, rate, codebooks, option)
        return result

    def _encode(self, sounds: List[Array], first: int, rate: int, codebooks: Optional[int],
                option: int) -> List[Codes]:
        k = self._columns(codebooks)
        segment = self._info.segment // self.hop  # in frames
        jobs = ffi.new("struct tess_encode_job[]", len(sounds))
        kept = []
        for job, sound in zip(jobs, sounds):
            pcm = self._resampled(sound, rate)
            rows = np.empty((lib.tess_encoder_bound(self._model, len(pcm)), k), self._dtype)
            scales = np.empty(len(rows) // segment + 1 if segment else 0, np.float32)
            block, job.encoder = self._stream("encoder", k, option)
            job.pcm, job.n_samples, job.end = floats(pcm), len(pcm), 1
            job.codes, job.capacity = uint16s(rows), len(rows)
            job.scales, job.scale_capacity = floats(scales), len(scales)
            kept.append((block, pcm, rows, scales))
        self._run(lib.tess_encode, jobs, first)
        return [self._codes(rows[:job.n_frames].T, len(pcm), rate, len(sound),
                            scales[:job.n_scales] if segment else None)
                for job, sound, (_, pcm, rows, scales) in zip(jobs, sounds, kept)]

    def _codes(self, codes: Array, n_samples: int, source_rate: int, n_source: int,
               scales: Optional[Array]) -> Codes:
        covered = codes.shape[1] * self.hop
        if self._info.drops_partial and covered < n_samples:  # a last part of a hop has no frame
            n_samples, n_source = covered, covered * source_rate // self.sample_rate
        return Codes(codes=codes, n_samples=n_samples, sample_rate=self.sample_rate, hop=self.hop,
                     codebook_size=self.codebook_size, code_min=self.code_min,
                     channels=self.channels, model=self.name, model_sha256=self.sha256,
                     source_rate=source_rate, n_source=n_source, scales=scales,
                     segment_frames=self._info.segment // self.hop)

    def decode(self, codes: Any, *, option: int = 0) -> Array:
        """The sound of codes: exactly that of `tessera decode --float`.

        codes   Codes, or integers [K, T]: an array or a tensor on the CPU
        option  as in `encode`

        Returns float32 [N] at the model's rate, or [channels, N]: n_samples of Codes; of an array all
        that its frames give. It is never clipped. Raises CodeError, MismatchError (Codes of another
        model), InputError, UnsupportedError.
        """
        return self.decode_batch([codes], option=option)[0]

    def decode_batch(self, items: Sequence[Any], *, option: int = 0) -> List[Array]:
        """The sounds of several items, each as `decode` gives it, run as batches."""
        result: List[Array] = []
        for at in range(0, len(items), _MOST_STREAMS):
            result += self._decode(items[at:at + _MOST_STREAMS], at, option)
        return result

    def _decode(self, items: Sequence[Any], first: int, option: int) -> List[Array]:
        jobs = ffi.new("struct tess_decode_job[]", len(items))
        kept = []
        for job, item in zip(jobs, items):
            rows = self._rows(item)
            scales = getattr(item, "scales", None)
            scales = np.ascontiguousarray([] if scales is None else scales, np.float32)
            pcm = np.empty((lib.tess_decoder_bound(self._model, len(rows)), self.channels), np.float32)
            block, job.decoder = self._stream("decoder", rows.shape[1], option)
            job.codes, job.n_frames, job.end = uint16s(rows), len(rows), 1
            job.scales, job.n_scales = floats(scales), len(scales)
            job.pcm, job.capacity = floats(pcm), len(pcm)
            kept.append((block, rows, scales, pcm))
        self._run(lib.tess_decode, jobs, first)
        result = []
        for job, item, (_, _, _, pcm) in zip(jobs, items, kept):
            n = item.n_samples if isinstance(item, Codes) else job.n_samples
            if not 0 <= n <= job.n_samples:
                raise InputError(f"{n} samples where the frames give {job.n_samples}")
            result.append(from_pcm(pcm[:n]))
        return result

    def _rows(self, item: Any) -> Array:
        """What is to be decoded, as [T, K]."""
        if isinstance(item, Codes) and not (item.model_sha256
                                            and self.sha256.startswith(item.model_sha256)):
            raise MismatchError(f"made by model {item.model!r} ({item.model_sha256[:16] or '?'}), not "
                                f"by {self.name!r} ({self.sha256[:16]})")
        codes = as_codes(item)
        self._columns(codes.shape[0])
        return as_rows(codes, self.code_min, self.codebook_size)

    # ---- streams

    def stream_encoder(self, *, codebooks: Optional[int] = None, option: int = 0) -> StreamEncoder:
        """A live encoder: samples in as they come, codes out. Raises UnsupportedError where the model
        needs the whole recording, InputError."""
        return StreamEncoder(self, codebooks, option)

    def stream_decoder(self, *, codebooks: Optional[int] = None, option: int = 0) -> StreamDecoder:
        """A live decoder: codes in as they come, samples out. Raises as `stream_encoder`."""
        return StreamDecoder(self, codebooks, option)

    # ---- the library's calls

    @property
    def _dtype(self) -> Any:
        return np.int16 if self.code_min < 0 else np.uint16

    def _columns(self, codebooks: Optional[int]) -> int:
        k = self.codebooks if codebooks is None else as_whole(codebooks, "codebooks")
        if k not in self.codebooks_legal:
            raise InputError(f"{k} codebooks where {self.name} has {self.codebooks_legal}")
        return k

    def _option_text(self, option: int) -> Optional[str]:
        """As the command's --option has it; None where the model has none."""
        name = text(self._info.option)
        return f"{name}={option}" if name else None

    def _stream(self, kind: str, codebooks: int, option: int) -> Any:
        """A new stream: the memory, to be kept, and the pointer into it."""
        option = as_whole(option, "option")
        if not 0 <= option <= self._info.option_max:
            name = text(self._info.option)
            has = f"{name} from 0 to {self._info.option_max}" if name else "none"
            raise InputError(f"option {option} where {self.name} has {has}")
        size = getattr(lib, f"tess_{kind}_size")(self._model)
        block = ffi.new("uint64_t[]", (size + 7) // 8)
        stream = ffi.cast(f"struct tess_{kind} *", block)
        options = sized("tess_stream_options", codebooks=codebooks, option=option)
        check(getattr(lib, f"tess_{kind}_init")(stream, self._model, options))
        return block, stream

    @contextlib.contextmanager
    def _worker(self, n_streams: int) -> Iterator[Any]:
        """Scratch memory and threads for one call. Those for a single stream are used again."""
        try:
            worker = self._idle.pop() if n_streams == 1 else None
        except IndexError:
            worker = None
        if worker is None:
            out = ffi.new("struct tess_worker **")
            options = sized("tess_worker_options", threads=self._threads, max_streams=n_streams)
            check(lib.tess_worker_create(out, self._model, options), f"{self._threads} threads")
            worker = ffi.gc(out[0], functools.partial(_destroy_worker, self._model))
        try:
            yield worker
        finally:
            if n_streams == 1:
                self._idle.append(worker)

    def _run(self, call: Any, jobs: Any, first: int) -> None:
        with self._worker(len(jobs)) as worker:
            error = call(worker, jobs, len(jobs))
        for i, job in enumerate(jobs if error else []):
            check(job.error, f"item {first + i}")
        check(error)

    def _resampled(self, pcm: Array, rate: int) -> Array:
        """[N, channels] at the model's rate."""
        if rate == self.sample_rate:
            return pcm
        out = ffi.new("struct tess_resampler **")
        check(lib.tess_resampler_create(out, rate, self.sample_rate, self.channels, ffi.NULL),
              f"resampling {rate} Hz to {self.sample_rate} Hz")
        resampler = ffi.gc(out[0], lib.tess_resampler_destroy)
        n_out = -(-len(pcm) * self.sample_rate // rate)
        result = np.empty((n_out + lib.tess_resampler_bound(resampler, len(pcm)), self.channels),
                          np.float32)
        n = check(lib.tess_resampler_push(resampler, floats(pcm), len(pcm), floats(result), len(result)))
        while n < n_out:
            rest = result[n:]
            n += check(lib.tess_resampler_flush(resampler, floats(rest), len(rest)))
        return result[:n]


class _Stream:
    """A stream's memory. One thread at a time runs it; a second one waits."""

    def __init__(self, codec: Codec, kind: str, capability: int, codebooks: Optional[int],
                 option: int):
        if capability == lib.TESS_WHOLE_CLIP or codec._info.segment:
            raise UnsupportedError(f"{codec.name} needs a recording as a whole: use encode and decode")
        self.codec = codec
        self.codebooks = codec._columns(codebooks)
        self._reset = getattr(lib, f"tess_{kind}_reset")
        self._block, self._stream = codec._stream(kind, self.codebooks, option)
        self._lock = threading.Lock()

    def reset(self) -> None:
        """Back to the start of a new recording; also after `flush`."""
        with self._lock:
            self._reset(self._stream)

    def _run(self, call: Any, *words: Any) -> int:
        with self._lock, self.codec._worker(1) as worker:
            return check(call(worker, self._stream, *words))


class StreamEncoder(_Stream):
    """Samples in, codes out, with the state in between; made by Codec.stream_encoder. How the samples
    are cut into pushes changes no code.

    >>> import numpy as np, tessera
    >>> encoder = tessera.Codec().stream_encoder()
    >>> encoder.push(np.zeros(400, np.float32)).shape
    (4, 1)
    >>> encoder.flush().shape
    (4, 1)
    """

    def __init__(self, codec: Codec, codebooks: Optional[int], option: int):
        super().__init__(codec, "encoder", codec._info.encode, codebooks, option)

    def push(self, pcm: Any) -> Array:
        """Samples [N], or [channels, N], at the model's rate; any number. Returns codes [K, T] of the
        frames that are complete, of which there may be none. Raises InputError, NonFiniteError (then
        nothing was taken), EndedError."""
        rows = as_pcm(pcm, self.codec.channels)
        return self._codes(lib.tess_encoder_push, len(rows), floats(rows), len(rows))

    def flush(self) -> Array:
        """Ends the recording: codes [K, T] of what was held back, a last part of a hop filled with
        zeros. Then only a reset is allowed."""
        return self._codes(lib.tess_encoder_flush, 0)

    def _codes(self, call: Any, n_samples: int, *words: Any) -> Array:
        bound = lib.tess_encoder_bound(self.codec._model, n_samples)
        codes = np.empty((bound, self.codebooks), self.codec._dtype)
        return codes[:self._run(call, *words, uint16s(codes), bound)].T


class StreamDecoder(_Stream):
    """Codes in, samples out, with the state in between; made by Codec.stream_decoder.

    >>> import numpy as np, tessera
    >>> decoder = tessera.Codec().stream_decoder()
    >>> pieces = [decoder.push(np.zeros((4, 3), np.uint16)), decoder.flush()]
    >>> sum(len(piece) for piece in pieces)
    960
    """

    def __init__(self, codec: Codec, codebooks: Optional[int], option: int):
        super().__init__(codec, "decoder", codec._info.decode, codebooks, option)

    def push(self, codes: Any) -> Array:
        """Codes [K, T], any number of frames. Returns float32 samples [N], or [channels, N], that are
        final. Raises InputError, CodeError (then nothing was taken), EndedError."""
        codes = as_codes(codes)
        if codes.shape[0] != self.codebooks:
            raise InputError(f"{codes.shape[0]} codebooks where the stream has {self.codebooks}")
        rows = as_rows(codes, self.codec.code_min, self.codec.codebook_size)
        return self._pcm(lib.tess_decoder_push, len(rows), uint16s(rows), len(rows))

    def flush(self) -> Array:
        """Ends the recording: the samples that were held back. Then only a reset is allowed."""
        return self._pcm(lib.tess_decoder_flush, 0)

    def _pcm(self, call: Any, n_frames: int, *words: Any) -> Array:
        bound = lib.tess_decoder_bound(self.codec._model, n_frames)
        pcm = np.empty((bound, self.codec.channels), np.float32)
        return from_pcm(pcm[:self._run(call, *words, floats(pcm), bound)])


def _destroy_worker(model: Any, worker: Any) -> None:
    """Before its model, which is held until then."""
    lib.tess_worker_destroy(worker)


def _after_fork() -> None:
    """The threads of workers have stayed behind: to wait for them, even for their end, would be forever."""
    for codec in _codecs:
        for worker in codec._idle:
            ffi.gc(worker, None)
        codec._idle.clear()


os.register_at_fork(after_in_child=_after_fork)


def _find(model: Union[str, "os.PathLike[str]", None]) -> str:
    """A file, or a model in the package by its name; None is the default one's."""
    if model is None:
        return str(_MODELS / f"{DEFAULT_MODEL}.safetensors")
    model = os.fspath(model)
    if os.path.isfile(model):
        return os.path.abspath(model)
    if os.sep in model:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), model)
    path = _MODELS / f"{model}.safetensors"
    if not path.is_file():
        have = ", ".join(sorted(p.stem for p in _MODELS.glob("*.safetensors"))) or "none"
        raise ModelError(f"no file and no model {model!r}; in the package: {have}")
    return str(path)
