"""What the black-box tests of the command `tessera` share: sounds, and how it is run."""

import array
import json
import math
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import unittest
import wave

BIN = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build/bin").resolve()
SOURCE = pathlib.Path(__file__).resolve().parent.parent
SPEECH = SOURCE / "tests/data/speech.flac"
MODEL = SOURCE / "weights/tessera-24k-speech-int8.safetensors"
HOP, RATE = 320, 24000
OK, FAILED, USAGE, BAD_MODEL, IO, INTERRUPTED = 0, 1, 2, 3, 4, 130


def times_real_time():
    """The speed of this build: with sanitizers or without vector kernels it is below 10."""
    bench = [BIN / "tessera", "bench", "--json", "--seconds", "1", "--runs", "1"]
    return json.loads(subprocess.run(bench, stdout=subprocess.PIPE).stdout)["encode"]["times_real_time"]


def environment(**more):
    plain = {k: v for k, v in os.environ.items() if not k.startswith("TESSERA_")}
    return {**plain, **more}


def tone(n_samples, channels=1, rate=RATE, seed=1):
    """Frames of a voiced-like sound as floats [n][channels], each channel another pitch."""
    noise = random.Random(seed)
    return [[0.3 * math.sin(2 * math.pi * (110 + 20 * c) * t / rate) * (1 + math.sin(9 * t / rate)) / 2
             + 0.02 * noise.uniform(-1, 1) for c in range(channels)] for t in range(n_samples)]


def pcm16(frames):
    return array.array("h", (round(32767 * x) for frame in frames for x in frame)).tobytes()


def float_wav(frames, rate=RATE):
    channels = len(frames[0])
    data = array.array("f", (x for frame in frames for x in frame)).tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 3,
                       channels, rate, rate * 4 * channels, 4 * channels, 32, b"data", len(data))
    return head + data


SLOW = times_real_time() < 10


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def path(self, name):
        return self.folder / name

    def run_it(self, *words, exit_code=OK, stdin=b"", stdout=subprocess.PIPE, env=None, **more):
        """Runs tessera; a failure must be one line on standard error that starts as ours do."""
        done = subprocess.run([BIN / "tessera", *map(str, words)], input=stdin, stdout=stdout,
                              stderr=subprocess.PIPE, cwd=self.folder, timeout=300,
                              env=environment(**(env or {})), **more)
        text = done.stderr.decode()
        self.assertEqual(done.returncode, exit_code, text)
        if exit_code not in (OK, INTERRUPTED):
            lines = [line for line in text.splitlines()
                     if " down to " not in line and "resampling" not in line]
            self.assertEqual(len(lines), 1, text)
            self.assertTrue(lines[0].startswith("tessera: "), text)
        done.text = text
        return done

    def fails(self, exit_code, *words, says=(), **more):
        done = self.run_it(*words, exit_code=exit_code, **more)
        for what in says:
            self.assertIn(str(what), done.text)
        self.assertEqual([p.name for p in self.folder.iterdir() if "tessera-" in p.name], [])
        return done

    def wav(self, name="in.wav", n=RATE, channels=1, rate=RATE):
        with wave.open(str(self.path(name)), "wb") as f:
            f.setnchannels(channels)
            f.setsampwidth(2)
            f.setframerate(rate)
            f.writeframes(pcm16(tone(n, channels, rate)))
        return self.path(name)

    def coded(self, name="in.tess", n=RATE, **more):
        self.run_it("encode", "-q", "-f", self.wav(n=n, **more), name)
        return self.path(name)

    def read_wav(self, name):
        with wave.open(str(self.path(name))) as f:
            return f.getframerate(), f.getnchannels(), f.getnframes(), f.readframes(f.getnframes())

    def info(self, name):
        return json.loads(self.run_it("info", "--json", name).stdout)
