"""Lines of a manifest in, items out: of the lines that `tessera batch --manifest` takes, and of no others
(docs/batch.md, "Items")."""

from __future__ import annotations

import itertools
import json
import os
import re
from typing import Any, Dict, List, Optional, Set, Tuple, Union

from .errors import InputError
from .shards import Item

_MOST_BYTES = 1 << 20   # of a line
_DEEPEST = 16           # brackets in each other
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def read_manifest(path: Union[str, "os.PathLike[str]"]) -> Tuple[List[Item], List[Dict[str, Any]]]:
    """The items in their order, and an entry of errors.jsonl for each line that is none. Raises OSError."""
    items: List[Item] = []
    errors: List[Dict[str, Any]] = []
    ids: Set[str] = set()
    with open(path, "rb") as file:
        for place, line in enumerate(file):
            known: Dict[str, str] = {}
            try:
                if line.strip(b" \t\r\n"):
                    items.append(_item(_taken(line.rstrip(b"\n")), place, ids, known))
            except InputError as error:
                errors.append({"line": place + 1, **known, "error": f"line {place + 1}: {error}"})
    return items, errors


def members(line: bytes) -> Dict[str, Any]:
    """Of a line that is a JSON object, every number a float; of members with one name the first counts.
    Raises InputError for any other line."""
    if b"\0" in line:
        raise InputError("not text")
    try:
        text = line.decode("utf-8-sig")
        pairs = json.loads(text, strict=False, object_pairs_hook=tuple, parse_int=float, parse_constant=_refuse)
        json.dumps(pairs, ensure_ascii=False).encode()  # half a surrogate pair cannot be
    except (ValueError, RecursionError):
        raise InputError("not a JSON object") from None
    if not isinstance(pairs, tuple) or _depth(text) > _DEEPEST:
        raise InputError("not a JSON object, or one too deep")
    return dict(reversed(pairs))


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _depth(text: str) -> int:
    brackets = ((c in "[{") - (c in "]}") for c in _STRING.sub("", text))
    return max(itertools.accumulate(brackets))


def _taken(line: bytes) -> Dict[str, Any]:
    """The members of a line of input."""
    if len(line) > _MOST_BYTES:
        raise InputError("longer than 1 MiB")
    if b"\\u0000" in line:
        raise InputError("text with a zero byte")
    return members(line)


def _item(words: Dict[str, Any], place: int, ids: Set[str], known: Dict[str, str]) -> Item:
    """Adds its id to ids, and to `known` what is known of it even if it is none."""
    for name in ("id", "audio"):
        value = _text(words, name)
        if value is not None:
            known[name] = value
    text, speaker = _text(words, "text"), _text(words, "speaker")
    offset = _seconds(words, "offset")
    duration = None if offset is None else _seconds(words, "duration")
    audio = known.get("audio")
    if not audio:
        raise InputError("no audio")
    id = known.setdefault("id", _without_suffix(audio.lstrip("/")))
    parts = id.encode().split(b"/")
    if len(id.encode()) > 1024 or any(not 1 <= len(p) <= 200 or p in (b".", b"..") for p in parts):
        raise InputError("no id that can name a file")
    if id in ids:
        raise InputError(f"a second item with the id {id}")
    ids.add(id)
    return Item(id=id, audio=audio, place=place, offset=0.0 if offset is None else offset, duration=duration,
                text=text, speaker=speaker)


def _text(words: Dict[str, Any], name: str) -> Optional[str]:
    """None where there is none, which is not the same as null."""
    value = words.get(name, "")
    if not isinstance(value, str):
        raise InputError(f"{name} is not text")
    return value if name in words else None


def _seconds(words: Dict[str, Any], name: str) -> Optional[float]:
    value = words.get(name, 0.0)
    if not isinstance(value, float) or not 0 <= value < 1e9:
        raise InputError(f"{name} is not a number of seconds")
    return value if name in words else None


def _without_suffix(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name[:name.rfind(".")] if name.rfind(".") > 0 else name)
