"""Tokenizes a manifest on a Ray cluster: what `tessera batch --format webdataset` writes, to the byte,
by as many machines as there are (docs/ray.md).

    python -m tessera.ray manifest.jsonl --out tokens --address auto

A shard is a task: its bytes depend only on the lines that it is of, so it may run anywhere, again, or
twice. The driver alone writes the manifest.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import itertools
import json
import os
import pathlib
import re
import shutil
import sys
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import ray
import soundfile

from . import shards
from .codec import Codec
from .errors import Error, InputError, MismatchError
from .files import replacing
from .manifest import members, read_manifest
from .shards import Item

Path = Union[str, "os.PathLike[str]"]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a task must know besides its items; every machine sees `out` and `base` by these names."""

    out: str
    base: str  # the folder where relative paths of sounds start
    model: Optional[str]
    model_sha256: str
    codebooks: int
    option: int
    option_text: Optional[str]  # NAME=VALUE; None where the model has no option
    shard_size: int

    def shard(self, number: int) -> str:
        return f"out-{number:06d}.tar"

    def shard_of(self, place: int) -> str:
        return self.shard(place // self.shard_size)


@dataclasses.dataclass(frozen=True)
class Summary:
    """items that are done, those done by this run, and those that failed (errors.jsonl)."""

    items: int
    new: int
    failed: int


def tokenize(manifest: Path, out: Path, *, model: Optional[Path] = None, codebooks: Optional[int] = None,
             option: int = 0, shard_size: int = 4096, resume: bool = False,
             retries: int = 4) -> Summary:
    """Encodes the items of `manifest`, JSON lines as docs/batch.md has them, into WebDataset shards in
    `out`, on the Ray cluster that this process is connected to, or on this machine.

    model, codebooks, option  as Codec and Codec.encode take them
    shard_size                items a shard, which is also the work that a lost worker has to repeat
    resume                    keep the shards of `out` that are whole
    retries                   how often a shard is begun again when its worker dies

    `manifest` and `out` (and a model's file) must have the same path on every machine. An item that
    fails is left out and written to errors.jsonl. Raises InputError (`out` holds a batch already, or
    another one), OSError, and Ray's errors when a shard's workers died more often than `retries`.
    """
    codec = Codec(model)
    plan = Plan(out=os.path.abspath(out), base=os.path.dirname(os.path.abspath(manifest)),
                model=os.fspath(model) if model is not None else None, model_sha256=codec.sha256,
                codebooks=codec._columns(codebooks), option=option, option_text=codec._option_text(option),
                shard_size=shard_size)
    os.makedirs(plan.out, exist_ok=True)
    items, errors = read_manifest(manifest)
    by_shard: Dict[int, List[Item]] = {}
    for item in items:
        by_shard.setdefault(item.place // shard_size, []).append(item)
    done = _take_up(plan, by_shard, resume)
    kept = len(done)
    with open(_path(plan, "manifest.jsonl"), "ab") as lines:
        open_shards = [n for n, some in by_shard.items() if any(item.id not in done for item in some)]
        for number, new, failed in _run(plan, by_shard, open_shards, retries):
            for item in by_shard[number]:
                done.pop(item.id, None)  # of a shard that is made again
            done.update(new)
            errors += failed
            lines.write(b"".join(line + b"\n" for line in new.values()))
            lines.flush()
            os.fsync(lines.fileno())
            shutil.rmtree(_path(plan, plan.shard(number))[:-4] + ".parts", ignore_errors=True)
    _sweep(plan)
    with replacing(_path(plan, "manifest.sorted.jsonl")) as file:
        for item in items:
            if item.id in done:
                file.write(done[item.id] + b"\n")
    with replacing(_path(plan, "errors.jsonl")) as file:
        for error in sorted(errors, key=lambda error: int(error["line"])):
            file.write(json.dumps(error, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    return Summary(items=len(done), new=len(done) - kept, failed=len(errors))


def _path(plan: Plan, name: str) -> str:
    return os.path.join(plan.out, name)


# ---- what is to be done


class Line(NamedTuple):
    """A line of manifest.jsonl."""

    place: int
    n_bytes: int  # of the codes, with their head
    text: bytes


def _take_up(plan: Plan, by_shard: Dict[int, List[Item]], resume: bool) -> Dict[str, bytes]:
    """The lines of items whose shards are whole, by id; the folder is left without anything half done.
    Raises InputError before anything is changed."""
    path = pathlib.Path(_path(plan, "manifest.jsonl"))
    if path.exists() and not resume:
        raise InputError(f"{plan.out} holds a batch: resume=True goes on with it")
    data = path.read_bytes() if path.exists() else b""
    whole = data[:data.rfind(b"\n") + 1]
    lines: Dict[str, Line] = {}
    for text in whole.split(b"\n")[:-1]:
        lines.update(_line(plan, text))
    for item in itertools.chain(*by_shard.values()):
        if item.id in lines:
            _check_shard(plan, item.id, plan.shard_of(lines[item.id].place), item.place)
    _sweep(plan)
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    done: Dict[str, bytes] = {}
    for number, items in by_shard.items():
        there = [item for item in items if item.id in lines]
        if shards.holds(_path(plan, plan.shard(number)),
                        ((item.key, lines[item.id].n_bytes, lines[item.id].text) for item in there)):
            done.update((item.id, lines[item.id].text) for item in there)
    return done


def _line(plan: Plan, text: bytes) -> Dict[str, Line]:
    """By its id; nothing of a line that makes no sense. Raises InputError for one of another batch."""
    try:
        words = members(text)
    except InputError:
        return {}
    n_bytes = words.get("n_bytes")
    if not (isinstance(n_bytes, float) and n_bytes.is_integer() and 0 <= n_bytes < 2 ** 53
            and all(isinstance(words.get(name), str) for name in ("id", "codes", "model", "model_sha256"))):
        return {}
    for name, now in (("model_sha256", plan.model_sha256), ("n_codebooks", plan.codebooks),
                      ("option", plan.option_text)):
        before = words.get(name)
        if before != now:
            shown = f"{before:g}" if isinstance(before, float) else before
            raise InputError(f"{plan.out} was begun with {name} {shown}, not {now}")
    id, codes, key = words["id"], words["codes"], words.get("key")
    if not codes.endswith(".tar") or not isinstance(key, str) or not re.fullmatch("[0-9]{1,15}", key):
        raise InputError(f"{plan.out} is of another format")
    _check_shard(plan, id, codes, int(key))
    return {id: Line(int(key), int(n_bytes), text)}


def _check_shard(plan: Plan, id: str, codes: str, place: int) -> None:
    if codes != plan.shard_of(place):
        raise InputError(f"{plan.out} has the codes of {id} in {codes}, where shard_size {plan.shard_size} and "
                         f"its place in the manifest would put them into {plan.shard_of(place)}")


def _sweep(plan: Plan) -> None:
    """Removes what workers that died had begun."""
    for left in pathlib.Path(plan.out).glob("*.tmp"):
        left.unlink()


# ---- doing it

_NOT_KNOWN = 2 ** 63 - 1  # libsndfile's length of a stream that was written into a pipe
_WIDTHS = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4}  # bytes, in WAV
Result = Tuple[int, Dict[str, bytes], List[Dict[str, Any]]]  # shard, lines by id, errors


def _run(plan: Plan, by_shard: Dict[int, List[Item]], numbers: List[int], retries: int) -> Iterator[Result]:
    """Shards as they are done; not more are on their way than keep the cluster busy."""
    if not numbers:
        return
    if not ray.is_initialized():
        ray.init()
    task = ray.remote(num_cpus=1, max_retries=retries)(encode_shard)
    waiting = iter(numbers)
    running: List[Any] = []
    while True:
        most = 2 * int(ray.cluster_resources().get("CPU", 1))  # it may grow meanwhile
        running += [task.remote(plan, n, by_shard[n])
                    for n in itertools.islice(waiting, max(0, most - len(running)))]
        if not running:
            return
        finished, running = ray.wait(running)
        yield from ray.get(finished)


def encode_shard(plan: Plan, number: int, items: Sequence[Item]) -> Result:
    """Writes a shard; runs in a worker."""
    codec = _codec(plan.model)
    if codec.sha256 != plan.model_sha256:
        raise MismatchError(f"this worker's {codec.name} is another model's file than the driver's")
    lines: Dict[str, bytes] = {}
    errors: List[Dict[str, Any]] = []

    def samples() -> Iterator[Tuple[str, bytes, bytes]]:
        for item in items:
            try:
                sound, rate = read_sound(os.path.join(plan.base, item.audio), item, codec.channels)
                codes = codec.encode(sound, rate, codebooks=plan.codebooks, resample=True,
                                     option=plan.option)
                if codes.n_samples == 0:
                    raise InputError("too short for a frame")
            except (Error, OSError, soundfile.SoundFileError) as error:
                errors.append({"line": item.place + 1, "id": item.id, "audio": item.audio,
                               "error": f"{item.audio}: {error}"})
                continue
            lines[item.id] = shards.line(item, codes, plan.shard(number), plan.option_text)
            yield item.key, shards.npy(codes), lines[item.id]

    class Empty(Exception):
        pass

    try:
        with replacing(_path(plan, plan.shard(number))) as out:
            shards.write_shard(out, samples())
            if not lines:
                raise Empty
    except Empty:  # a shard without items is not written
        pass
    return number, lines, errors


@functools.lru_cache(maxsize=1)
def _codec(model: Optional[str]) -> Codec:
    return Codec(model)


def read_sound(path: str, item: Item, channels: int) -> Tuple[np.ndarray[Any, Any], int]:
    """An item's samples, [N] or [channels, N] float32, and their rate. Other channels than the model's
    are mixed to their mean, as the command does."""
    with _opened(path) as file:
        rate, there = file.samplerate, _length(file)
        first = round(item.offset * rate)
        if there == _NOT_KNOWN:
            raise InputError("does not say how long it is")
        if first > there:
            raise InputError(f"has {there} samples, none at {first}")
        n = there - first if item.duration is None else min(round(item.duration * rate), there - first)
        file.seek(first)
        x = file.read(n, dtype="float32", always_2d=True).T
    if x.shape[1] < n:
        raise InputError(f"ends early, after {x.shape[1]} of {n} samples")
    if len(x) == channels:
        return x if channels > 1 else x[0], rate
    if channels > 1 and len(x) > 1:
        raise InputError(f"{len(x)} channels where the model has {channels}")
    mean = (sum(x.astype(np.float64)) / len(x)).astype(np.float32)
    return mean if channels == 1 else np.repeat(mean[np.newaxis], channels, axis=0), rate


def _opened(path: str) -> soundfile.SoundFile:
    """By its descriptor: of a path, soundfile believes the suffix .raw, and takes UTF-8 alone. What is wrong
    is told without the path, whose bytes errors.jsonl could not hold."""
    try:
        return soundfile.SoundFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC))  # closes it in any case
    except soundfile.LibsndfileError as error:
        raise InputError(f"not a sound file: {error.error_string}") from None
    except OSError as error:
        raise InputError(error.strerror) from None


def _length(file: soundfile.SoundFile) -> int:
    """In samples; of a plain WAV that was cut short as many as its head announces, of which libsndfile tells
    in its log alone."""
    told = re.search(r"^data : (\d+) \(should be ", file.extra_info, re.MULTILINE)
    n, width = int(file.frames), file.channels * _WIDTHS.get(file.subtype, 0)
    if not told or not width or file.format not in ("WAV", "WAVEX"):
        return n
    if 0x7FFFF000 <= int(told[1]) <= 0x80000000 or int(told[1]) >= 0xFFFFF000:
        return n  # writers to pipes say so where they do not know
    return max(n, int(told[1]) // int(width))


def main(words: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tessera.ray",
                                     description="Sound to WebDataset shards of tokens, on a Ray cluster.")
    parser.add_argument("manifest", help="JSON lines: docs/batch.md")
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--address", help='of the cluster: "auto", HOST:PORT; without it, this machine')
    parser.add_argument("--model", metavar="FILE or NAME")
    parser.add_argument("--codebooks", type=int)
    parser.add_argument("--shard-size", type=int, default=4096)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args(words)
    ray.init(address=options.address, log_to_driver=False)
    try:
        summary = tokenize(options.manifest, options.out, model=options.model, codebooks=options.codebooks,
                           shard_size=options.shard_size, resume=options.resume)
    except InputError as error:
        print(f"tessera.ray: {error}", file=sys.stderr)
        return 2
    print(f"{summary.items} items, {summary.new} of them new, {summary.failed} failed")
    return 1 if summary.failed else 0


if __name__ == "__main__":
    # Workers find what they run under the module's own name.
    sys.exit(importlib.import_module("tessera.ray").main())
