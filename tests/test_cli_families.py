#!/usr/bin/env python3
"""The command with the model of every published family: sound to codes and back, files and pipes.

Usage: test_cli_families.py BIN MODELS [unittest's arguments], MODELS being what make_models.py made.
"""

import array
import ast
import json
import pathlib
import struct
import sys
import unittest

import cli
from cli import Case

MODELS = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build/tests/families").resolve()
SECONDS = 0.2  # the slowest network computes 41 GFLOP a second of sound, each way

# name: rate, channels, samples a frame; codes a frame, and fewer that one may ask for
FAMILIES = {
    "academicodec_encodec_16k_320d": (16000, 1, 320, 24, 8),
    "academicodec_encodec_24k_240d": (24000, 1, 240, 12, 6),
    "academicodec_encodec_24k_32d": (24000, 1, 32, 1, 1),
    "encodec_24khz": (24000, 1, 320, 32, 8),
    "encodec_48khz": (48000, 2, 320, 16, 4),
    "hificodec_16k_320d": (16000, 1, 320, 4, 4),
    "hificodec_24k_240d": (24000, 1, 240, 4, 4),
    "hificodec_24k_320d": (24000, 1, 320, 4, 4),
    "languagecodec_24k": (24000, 1, 320, 8, 4),
    "mimi_24khz": (24000, 1, 1920, 8, 4),
    "soundstream_24k_240d": (24000, 1, 240, 15, 5),
    "walloc_stereo_5x": (44100, 2, 256, 108, 108),
}


def read_npy(data):
    """Type, shape and values [T][K] of an .npy file."""
    (n,) = struct.unpack_from("<H", data, 8)
    head = ast.literal_eval(data[10 : 10 + n].decode())
    values = array.array({"<u2": "H", "<i2": "h"}[head["descr"]], data[10 + n :])
    return head["descr"], head["shape"], values


class FamiliesTest(Case):
    def check(self, name):
        rate, channels, hop, k, fewer = FAMILIES[name]
        model = ["-m", MODELS / f"{name}.safetensors"]
        samples = round(SECONDS * rate)
        if name.startswith("hificodec"):  # no code for a last part of a frame
            samples -= samples % hop
        sound = self.wav("in.wav", round(SECONDS * 44100), channels=2, rate=44100)

        # through pipes: to codes, and back to as many samples, stereo where the family is
        piped = self.run_it("encode", "-q", *model, "-", "-", stdin=sound.read_bytes()).stdout
        self.path("a.tess").write_bytes(piped)
        info = self.info("a.tess")
        self.assertEqual(
            (info["model"], info["sample_rate"], info["channels"], info["hop"], info["n_codebooks"]),
            (name, rate, channels, hop, k),
        )
        self.assertLess(abs(info["n_samples"] - samples), 2)  # a resampled end is rounded
        decoded = self.run_it("decode", "-q", *model, "-", "-", stdin=piped).stdout
        values = array.array("h", decoded[44:])
        self.assertEqual(len(values), info["n_samples"] * channels)
        self.assertGreater(len(set(values)), 20)
        if channels == 2:
            self.assertNotEqual(values[::2], values[1::2])

        # through files: the same; fewer codes a frame are the first ones
        self.run_it("encode", "-q", *model, sound, "a.json")
        self.run_it("encode", "-q", *model, "--codebooks", fewer, sound, "b.npy")
        codes = json.loads(self.path("a.json").read_bytes())["audio_codes"]
        kind, shape, rows = read_npy(self.path("b.npy").read_bytes())
        self.assertEqual(kind, "<i2" if name.startswith("walloc") else "<u2")
        self.assertEqual(shape, (info["n_frames"], fewer))
        self.assertEqual(list(rows), [v for row in zip(*codes[:fewer]) for v in row])
        self.run_it("decode", "-q", *model, "a.json", "b.wav")
        self.assertEqual(self.read_wav("b.wav"), (rate, channels, info["n_samples"], decoded[44:]))


    def test_batch_tells_the_option(self):
        """It changes the codes, so it stands in the manifest, and another one does not go on with it."""
        self.path("in").mkdir()
        self.wav("in/a.wav", 3200, rate=24000)
        batch = ["batch", "-q", "-m", MODELS / "languagecodec_24k.safetensors", "in", "--out", "out"]
        self.run_it(*batch, "--option", "bandwidth_id=1")
        line = json.loads(self.path("out/manifest.jsonl").read_text())
        self.assertEqual(line["option"], "bandwidth_id=1")
        self.run_it(*batch, "--resume", "--option", "bandwidth_id=1")
        self.fails(cli.USAGE, *batch, "--resume",
                   says=["out was begun with --option bandwidth_id=1, not bandwidth_id=0"])


for family in FAMILIES:
    setattr(FamiliesTest, f"test_{family}", lambda self, name=family: self.check(name))


if __name__ == "__main__":
    unittest.main()
