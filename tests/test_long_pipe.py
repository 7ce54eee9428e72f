#!/usr/bin/env python3
"""Three hours of sound through pipes both ways: peak memory stays within 5 % of a minute's.

Usage: test_long_pipe.py FOLDER-OF-TESSERA       (about six minutes on one core)"""

import json
import pathlib
import struct
import subprocess
import sys
import threading

BIN = pathlib.Path(sys.argv[1]).resolve() / "tessera"
RATE = 24000


def second(i):
    """A second of a gliding tone, 16-bit; every second another."""
    step, phase, samples = 200 + 37 * (i % 53), 0, []
    for _ in range(RATE):
        phase = (phase + step) % 65536
        samples.append(phase - 32768 if i % 7 else 0)
    return struct.pack(f"<{RATE}h", *(s // 4 for s in samples))


def feed(pipe, n_seconds):
    pool = [second(i) for i in range(371)]  # lcm of both cycles: writing must not be the bottleneck
    with pipe:
        for i in range(n_seconds):
            pipe.write(pool[i % len(pool)])


def peak(process):
    """Bytes of memory at its peak, as its summary says: the kernel's figure for a child counts the
    parent it was forked from."""
    summary = json.loads(process.stderr.read())
    assert process.wait() == 0
    return summary["peak_memory_bytes"]


def run(n_seconds):
    raw = ["--raw", "--raw-rate", str(RATE), "--raw-chan", "1", "--raw-bits", "16"]
    pipe = subprocess.PIPE
    encoder = subprocess.Popen([BIN, "encode", "--json", *raw, "-", "-"], stdin=pipe, stdout=pipe, stderr=pipe)
    decoder = subprocess.Popen([BIN, "decode", "--json", "--raw", "-", "-"],
                               stdin=encoder.stdout, stdout=pipe, stderr=pipe)
    encoder.stdout.close()
    writer = threading.Thread(target=feed, args=(encoder.stdin, n_seconds))
    writer.start()
    n_bytes = 0
    while block := decoder.stdout.read(1 << 20):
        n_bytes += len(block)
    writer.join()
    assert n_bytes == 2 * RATE * n_seconds, n_bytes
    return peak(encoder), peak(decoder)


minute, hours = run(60), run(3 * 3600)
print("peak bytes, encoder and decoder: a minute", minute, "three hours", hours)
assert all(long <= 1.05 * short for short, long in zip(minute, hours))
