#!/usr/bin/env python3
"""Runs the exchanges that docs/protocol.md shows, each on a connection of its own.

A line is > for what the client sends or < for what the server must answer, then bytes in hexadecimal, or
a message's name, its stream and payload: JSON (the answer has at least these members; "..." is any text),
`zeros N`, `bytes N` (any), `u32 N u64 N ...`, or an ERROR's code. CREDIT of the server is left out.

Usage: test_protocol.py BUILD
"""

import json
import pathlib
import re
import struct
import sys

import daemon
from daemon import CREDIT, ERROR, Daemon, message

PAGE = pathlib.Path(__file__).parent.parent / "docs/protocol.md"
TYPES = {name: number for number, name in daemon.NAMES.items()}


def numbers(words):
    pairs = zip(words[::2], words[1::2])
    return b"".join(struct.pack({"u32": "<I", "u64": "<Q"}[kind], int(n)) for kind, n in pairs)


def parse(line):
    """(type, stream, rest of the line), or bytes."""
    if re.fullmatch(r"([0-9a-f]{2} ?)+", line):
        return bytes.fromhex(line)
    name, stream, *rest = line.split(" ", 2)
    return TYPES[name], int(stream), rest[0] if rest else ""


def payload(text):
    words = text.split()
    if text.startswith("{"):
        return text.encode()
    return bytes(int(words[1])) if words[:1] == ["zeros"] else numbers(words)


def contains(shown, got):
    if isinstance(shown, dict):
        return isinstance(got, dict) and all(k in got and contains(v, got[k]) for k, v in shown.items())
    if isinstance(shown, list):
        return len(shown) == len(got) and all(map(contains, shown, got))
    return shown == got or shown == "..." and isinstance(got, str)


def agrees(text, kind, got):
    if text.startswith("{"):
        return contains(json.loads(text), json.loads(got))
    if kind == ERROR:
        return struct.unpack("<H", got[:2])[0] == int(text)
    if text.startswith("bytes"):
        return len(got) == int(text.split()[1])
    return got == payload(text)


def answer(client, shown):
    """The server's next message; PCM and CODES may come in pieces, which are put together."""
    kind, stream, text = shown
    wanted = int(text.split()[1]) if text.startswith("bytes") else 0
    got = b""
    while True:
        number, of, data = client.receive()
        if number == CREDIT:
            continue
        got += data
        if number != kind or of != stream or len(got) >= wanted:
            return number, of, got


def run(lines, server):
    greeting = lines[0].startswith("> HELLO")
    client = server.connect(hello=not greeting)
    for line in lines:
        shown = parse(line[2:])
        if line.startswith("> "):
            raw = isinstance(shown, bytes)
            client.send_bytes(shown if raw else message(shown[0], shown[1], payload(shown[2])))
        elif isinstance(shown, bytes):
            assert message(*client.receive()) == shown, line
        else:
            kind, stream, got = answer(client, shown)
            assert (kind, stream) == shown[:2], f"{line}: {daemon.NAMES.get(kind)} {stream} {got[:200]}"
            assert agrees(shown[2], kind, got), f"{line}: {got[:1000]}"
    client.close()


def main():
    exchanges = re.findall(r"^```exchange\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    assert exchanges, "docs/protocol.md shows no exchange"
    with Daemon(sys.argv[1]) as server:
        for exchange in exchanges:
            run(exchange.strip().split("\n"), server)
    print(f"{len(exchanges)} exchanges")


if __name__ == "__main__":
    main()
