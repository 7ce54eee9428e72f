#!/usr/bin/env python3
"""weights/quality.py: what it says of a recording beside itself, of the model, and of what is missing.

test_quality.py BUILD
"""

import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE))
from weights import quality

CLIPS = str(SOURCE / "tests/data")  # speech.flac, a minute
build = None


def measure(*words):
    """(exit code, rows, what it complained of)"""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = quality.main([CLIPS, *words, "--json", "--command", f"{build}/bin/tessera"])
    return code, [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue()


class Quality(unittest.TestCase):
    def test_itself(self):
        code, (row,), _ = measure(CLIPS)
        self.assertEqual(code, 0)
        self.assertAlmostEqual(row["PESQ-WB"], 4.644, 2)  # P.862.2's highest
        for head in ("STOI", "ESTOI", "speaker"):
            self.assertAlmostEqual(row[head], 1, 4)
        self.assertGreater(row["ViSQOL"], 4.6)
        self.assertEqual(row["word errors"], 0)

    def test_model(self):
        """The default model says more in four codes than in two, in both more than the first weights did, and less with losses."""
        code, (full, half), _ = measure()
        self.assertEqual(code, 0)
        for head in quality.HEADS[:-1]:
            self.assertGreater(full[head], half[head], head)
        self.assertLess(full["word errors"], half["word errors"])
        self.assertGreater(full["PESQ-WB"], 1.6)
        self.assertGreater(half["PESQ-WB"], 1.35)
        code, (lossy,), _ = measure("--codebooks", "4", "--packet-loss", "20")
        self.assertEqual(code, 0)
        self.assertLess(lossy["STOI"], full["STOI"])

    def test_missing(self):
        with tempfile.TemporaryDirectory() as empty:
            code, found, said = measure(empty)
            self.assertEqual((code, found), (1, []))
            self.assertIn(f"{empty}: no .wav or .flac file", said)
        code, found, said = measure("--model", "nowhere.safetensors")
        self.assertEqual((code, found), (1, []))
        self.assertIn("nowhere.safetensors", said)


if __name__ == "__main__":
    build = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
