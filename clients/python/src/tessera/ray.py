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
import math
import os
import pathlib
import shutil
import sys
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple, Union

import numpy as np
import ray
import soundfile

from . import shards
from .codec import Codec
from .errors import Error, InputError, MismatchError
from .files import replacing
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

    def shard(self, number: int) -> str:
        return f"out-{number:06d}.tar"


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
                codebooks=codec._columns(codebooks), option=option)
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


def read_manifest(manifest: Path) -> Tuple[List[Item], List[Dict[str, Any]]]:
    """The items in their order, and an entry of errors.jsonl for each line that is none."""
    items: List[Item] = []
    errors: List[Dict[str, Any]] = []
    ids: Set[str] = set()
    with open(manifest, "rb") as file:
        for place, line in enumerate(file):
            known: Dict[str, str] = {}
            try:
                if line.strip():
                    items.append(_item(_members(line), place, ids, known))
            except ValueError as error:
                errors.append({"line": place + 1, **known, "error": f"line {place + 1}: {error}"})
    return items, errors


def _members(line: bytes) -> Dict[str, Any]:
    words = json.loads(line)
    if not isinstance(words, dict):
        raise InputError("not a JSON object")
    return words


def _item(words: Dict[str, Any], place: int, ids: Set[str], known: Dict[str, str]) -> Item:
    """Adds its id to ids, and to `known` what is known of it even if it is none."""
    for name, kinds in (("audio", str), ("id", str), ("text", str), ("speaker", str),
                        ("offset", (int, float)), ("duration", (int, float))):
        value = words.get(name)
        if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
            raise InputError(f"{name} is not {'text' if kinds is str else 'a number'}")
    known.update({name: words[name] for name in ("id", "audio") if words.get(name)})
    if not words.get("audio"):
        raise InputError("no audio")
    offset, duration = float(words.get("offset") or 0), words.get("duration")
    if not 0 <= offset < math.inf:
        raise InputError(f"offset {offset}")
    if words.get("offset") is None:
        duration = None  # docs/batch.md: without an offset it is not looked at
    elif duration is not None and not 0 <= duration < math.inf:
        raise InputError(f"duration {duration}")
    id = words.get("id") or os.path.splitext(words["audio"])[0].lstrip("/")
    known["id"] = id
    parts = id.encode().split(b"/")  # refuses what is not UTF-8
    if len(id.encode()) > 1024 or any(not 1 <= len(p) <= 200 or p in (b".", b"..") for p in parts):
        raise InputError("no id that can name a file")
    if id in ids:
        raise InputError(f"a second item with the id {id}")
    ids.add(id)
    return Item(id=id, audio=words["audio"], place=place, offset=offset, duration=duration,
                text=words.get("text"), speaker=words.get("speaker"))


def _take_up(plan: Plan, by_shard: Dict[int, List[Item]], resume: bool) -> Dict[str, bytes]:
    """The lines of items whose shards are whole, by id; the folder is left without anything half done."""
    path = pathlib.Path(_path(plan, "manifest.jsonl"))
    if path.exists() and not resume:
        raise InputError(f"{plan.out} holds a batch: resume=True goes on with it")
    _sweep(plan)
    lines: Dict[str, bytes] = {}
    if path.exists():
        data = path.read_bytes()
        whole = data[:data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(path, len(whole))
        for line in whole.splitlines():
            lines[_checked(plan, line)] = line
    return {item.id: lines[item.id] for number, items in by_shard.items()
            if _is_whole(plan, number, [lines[item.id] for item in items if item.id in lines])
            for item in items if item.id in lines}


def _sweep(plan: Plan) -> None:
    """Removes what workers that died had begun."""
    for left in pathlib.Path(plan.out).glob("*.tmp"):
        left.unlink()


def _checked(plan: Plan, line: bytes) -> str:
    """The id of a line that belongs to this batch."""
    words = json.loads(line)
    if words["model_sha256"] != plan.model_sha256 or words["n_codebooks"] != plan.codebooks or "key" not in words:
        raise InputError(f"{plan.out} is of another model, number of codebooks or format")
    return str(words["id"])


def _is_whole(plan: Plan, number: int, lines: List[bytes]) -> bool:
    try:
        size = os.path.getsize(_path(plan, plan.shard(number)))
    except FileNotFoundError:
        return False
    return size == shards.shard_size(sum(shards.members_size(line, json.loads(line)["n_bytes"])
                                         for line in lines))


# ---- doing it

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
            except (Error, OSError, soundfile.SoundFileError) as error:
                errors.append({"line": item.place + 1, "id": item.id, "audio": item.audio,
                               "error": f"{item.audio}: {error}"})
                continue
            lines[item.id] = shards.line(item, codes, plan.shard(number))
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
    with soundfile.SoundFile(path) as file:
        rate = file.samplerate
        file.seek(min(_samples(item.offset, rate), file.frames))
        n = -1 if item.duration is None else _samples(item.duration, rate)
        x = file.read(n, dtype="float32", always_2d=True).T
    if len(x) == channels:
        return x if channels > 1 else x[0], rate
    if channels > 1 and len(x) > 1:
        raise InputError(f"{len(x)} channels where the model has {channels}")
    mean = (sum(x.astype(np.float64)) / len(x)).astype(np.float32)
    return mean if channels == 1 else np.repeat(mean[np.newaxis], channels, axis=0), rate


def _samples(seconds: float, rate: int) -> int:
    return math.floor(seconds * rate + 0.5)  # C's round, of what is not negative


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
    summary = tokenize(options.manifest, options.out, model=options.model, codebooks=options.codebooks,
                       shard_size=options.shard_size, resume=options.resume)
    print(f"{summary.items} items, {summary.new} of them new, {summary.failed} failed")
    return 1 if summary.failed else 0


if __name__ == "__main__":
    # Workers find what they run under the module's own name.
    sys.exit(importlib.import_module("tessera.ray").main())
