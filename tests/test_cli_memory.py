#!/usr/bin/env python3
"""The command where one call for memory fails, each in turn: the right result or one line and an exit
code, never a crash, a hang or half a file.

Sound is raw and at the model's rate: libsndfile and libsoxr do not always look at what malloc gives them.
TESSERA_NIGHTLY=1 in the environment fails every call. Usage: test_cli_memory.py BUILD_BIN [unittest options]
"""

import os
import re
import subprocess
import unittest

from cli import BAD_MODEL, BIN, FAILED, RATE, USAGE, Case, environment

NIGHTLY = bool(os.environ.get("TESSERA_NIGHTLY"))
# popt, which splits the words, ends the program by itself.
POPT = "virtual memory exhausted.\n"


class Memory(Case):
    def run_at(self, n, *words):
        env = environment(LD_PRELOAD=str(BIN / "libmemory.so"), TESSERA_MEMORY_AT=str(n))
        done = subprocess.run([BIN / "tessera", *map(str, words)], env=env, cwd=self.folder, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        text, n_calls = re.fullmatch(r"(.*?)(?:memory: (\d+)\n)?", done.stderr, re.S).groups()
        return done.returncode, text, done.stdout, int(n_calls or 0)

    def each_call(self, out, *words):
        code, text, said, n_calls = self.run_at(0, *words)
        self.assertEqual((code, text), (0, ""))
        whole = self.path(out).read_bytes() if out else said
        n_failed = 0
        for n in range(1, n_calls + 1, 1 if NIGHTLY else 331):
            with self.subTest(words=words, n=n):
                if out:
                    self.path(out).unlink(missing_ok=True)
                before = {path.name for path in self.folder.iterdir()}
                code, text, said, _ = self.run_at(n, *words)
                if code == 0:
                    self.assertEqual(self.path(out).read_bytes() if out else said, whole)
                    continue
                n_failed += 1
                self.assertIn(code, (FAILED, USAGE, BAD_MODEL))
                if text != POPT:
                    self.assertRegex(text, r"\Atessera: [^\n]+\n\Z")
                self.assertEqual({path.name for path in self.folder.iterdir()}, before)
        self.assertGreater(n_failed, 0)

    def test_commands(self):
        wav = self.wav(n=RATE // 4)
        self.run_it("encode", "-q", wav, "a.tess")
        raw = "--raw", "--raw-rate", RATE, "--raw-chan", 1, "-q"
        self.each_call("b.tess", "encode", *raw, "in.wav", "b.tess")
        self.each_call("b.json", "encode", *raw, "-b", "1.5", "--format", "json", "in.wav", "b.json")
        self.each_call("b.wav", "decode", "-q", "--float", "a.tess", "b.wav")
        self.each_call(None, "info", "a.tess")


if __name__ == "__main__":
    unittest.main()
