"""What the tests of the Python package share. Each is run by the environment's Python with the build
folder as its first argument."""

import pathlib
import subprocess
import sys

import numpy as np

TESTS = pathlib.Path(__file__).resolve().parent.parent
SOURCE = TESTS.parent
BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
COMMAND = BUILD / "bin/tessera"
SPEECH = TESTS / "data/speech.flac"
sys.path.insert(1, str(TESTS))  # daemon.py


def tessera(*words, stdin=b""):
    """Standard output of the command."""
    return subprocess.run([COMMAND, *map(str, words)], input=stdin, stdout=subprocess.PIPE,
                          check=True).stdout


def speech(seconds):
    """Speech, as it sounds after coding: no module that reads FLAC is needed for it. float32 [N]"""
    raw = tessera("decode", "-q", "--raw", "-", "-", stdin=tessera("encode", "-q", SPEECH, "-"))
    return pcm(raw[:2 * 24000 * seconds])


def pcm(raw):
    return (np.frombuffer(raw, "<i2") / 32768).astype(np.float32)


def raw(samples):
    """The opposite of `pcm`, for what came from it."""
    return np.rint(samples * 32768).astype("<i2").tobytes()


RAW = ("--raw", "--raw-chan", 1, "--raw-rate")
