#!/usr/bin/env python3
"""Three hours of sound through pipes both ways: peak memory stays within 5 % of a minute's.

Usage: test_long_pipe.py FOLDER-OF-TESSERA       (about six minutes on one core)"""

import os
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
    """Waits; kilobytes of memory at its peak."""
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, status
    return usage.ru_maxrss


def run(n_seconds):
    raw = ["--raw", "--raw-rate", str(RATE), "--raw-chan", "1", "--raw-bits", "16"]
    encoder = subprocess.Popen([BIN, "encode", "-q", *raw, "-", "-"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    decoder = subprocess.Popen([BIN, "decode", "-q", "--raw", "-", "-"],
                               stdin=encoder.stdout, stdout=subprocess.PIPE)
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
print("peak kB, encoder and decoder: a minute", minute, "three hours", hours)
assert all(long <= 1.05 * short for short, long in zip(minute, hours))
