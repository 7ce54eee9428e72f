#!/usr/bin/env python3
"""`tessera quantize`: a model in 8 bits, what each layer costs, and what is refused.

Usage: test_cli_quantize.py BIN [unittest's arguments], BIN being the folder of the programs.
"""

import json
import struct
import unittest

from cli import BAD_MODEL, FAILED, IO, MODEL, SOURCE, SPEECH, USAGE, Case

FLOATS = SOURCE / "weights/tessera-24k-speech.safetensors"


def tensors(path):
    """Each tensor's dtype and shape, and the metadata."""
    data = path.read_bytes()
    n, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + n])
    metadata = header.pop("__metadata__")
    return {name: (t["dtype"], t["shape"]) for name, t in header.items()}, metadata


def renamed(path, name):
    """The bytes of a model file under another name."""
    data = path.read_bytes()
    n, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + n])
    header["__metadata__"]["tessera.name"] = name
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + n:]


class Quantize(Case):
    def test_shipped_model_is_what_the_command_makes(self):
        self.run_it("quantize", "-q", FLOATS, "q.safetensors", SPEECH)
        self.assertEqual(self.path("q.safetensors").read_bytes(), MODEL.read_bytes())

    def test_every_layer_is_reported(self):
        told = json.loads(self.run_it("quantize", "--json", FLOATS, "q.safetensors", SPEECH).stdout)
        layers = {layer["name"]: layer for layer in told["layers"]}
        before, _ = tensors(FLOATS)
        after, metadata = tensors(self.path("q.safetensors"))
        self.assertEqual(json.loads(metadata["tessera.config"])["arithmetic"], "int8")
        linear = {name[:-len(".weight")] for name, (_, shape) in before.items()
                  if name.endswith(".weight") and len(shape) == 2 and not name.endswith("dw.weight")}
        self.assertEqual(set(layers), linear)
        for name, layer in layers.items():
            # Rounding to 1 part in 254 on both sides: a few tenths of a percent at the least, and a
            # layer that lost more than a tenth would have been kept.
            self.assertTrue(0.001 < layer["error"] < 0.1 and layer["int8"], layer)
            self.assertEqual(after[name + ".weight"], ("I8", before[name + ".weight"][1]))
            self.assertEqual(after[name + ".scale"], ("F32", before[name + ".weight"][1][:1]))
        self.assertEqual(len(after), len(before) + len(linear))

    def test_through_a_pipe(self):
        """Standard output has the model, so what is told of it goes where errors go."""
        done = self.run_it("quantize", "--json", FLOATS, "-", SPEECH)
        self.assertEqual(done.stdout, MODEL.read_bytes())
        self.assertTrue(json.loads(done.text)["layers"])

    def test_layers_above_the_limit_stay(self):
        self.run_it("quantize", "-q", "--max-error", "1", FLOATS, "q.safetensors", SPEECH)
        told = json.loads(self.run_it("quantize", "--json", "-f", "--max-error", "1", FLOATS, "q.safetensors",
                                      SPEECH).stdout)
        after, _ = tensors(self.path("q.safetensors"))
        kept = {layer["name"] for layer in told["layers"] if layer["error"] > 0.01}
        self.assertTrue(0 < len(kept) < len(told["layers"]))
        self.assertEqual(kept, {layer["name"] for layer in told["layers"] if not layer["int8"]})
        for name in kept:
            self.assertEqual(after[name + ".weight"][0], "F16")
        self.run_it("encode", "-m", "q.safetensors", SPEECH, "mixed.tess")
        self.run_it("decode", "-m", "q.safetensors", "mixed.tess", "mixed.wav")

    def test_folder_with_other_files(self):
        folder = self.path("sounds")
        folder.mkdir()
        self.fails(FAILED, "quantize", FLOATS, "q.safetensors", folder, says=["sounds", "second"])
        (folder / "a.txt").write_text("no sound")
        (folder / "b.wav").write_bytes(self.path(self.wav()).read_bytes())
        self.run_it("quantize", FLOATS, "q.safetensors", folder)

    def test_refused(self):
        sound = ["q.safetensors", SPEECH]
        self.fails(BAD_MODEL, "quantize", MODEL, *sound, says=["8 bits already"])
        self.fails(BAD_MODEL, "quantize", "nobody", *sound, says=["nobody"])
        self.fails(FAILED, "quantize", FLOATS, "q.safetensors", "nobody.wav", says=["nobody.wav"])
        self.fails(USAGE, "quantize", FLOATS, "q.safetensors")
        self.fails(USAGE, "quantize", "--max-error", "0", FLOATS, *sound, says=["max-error"])
        self.path("long.safetensors").write_bytes(renamed(FLOATS, "x" * 59))
        self.fails(BAD_MODEL, "quantize", "long.safetensors", *sound, says=["-int8", "x" * 59])
        self.assertFalse(self.path("q.safetensors").exists())
        self.path("fits.safetensors").write_bytes(renamed(FLOATS, "x" * 58))
        self.run_it("quantize", "-q", "fits.safetensors", *sound)
        self.run_it("models", "show", "q.safetensors")
        self.path("q.safetensors").unlink()
        self.fails(IO, "quantize", FLOATS, "no/such/folder/q.safetensors", SPEECH, says=["no/such/folder"])
        self.assertFalse(self.path("q.safetensors").exists())
        self.path("q.safetensors").write_text("mine")
        self.fails(FAILED, "quantize", FLOATS, *sound, says=["q.safetensors", "-f"])
        self.assertEqual(self.path("q.safetensors").read_text(), "mine")

    def test_output_is_the_model(self):
        before = FLOATS.read_bytes()
        self.path("model.safetensors").write_bytes(before)
        self.fails(FAILED, "quantize", "-f", self.path("model.safetensors"), "./model.safetensors", SPEECH, says=["input"])
        self.assertEqual(self.path("model.safetensors").read_bytes(), before)

    def test_8_bits_in_a_file_of_floats_are_refused(self):
        data = MODEL.read_bytes()
        broken = data.replace(b'\\"arithmetic\\":\\"int8\\"', b'\\"arithmetic\\":\\"fp32\\"')
        self.assertNotEqual(broken, data)
        self.path("broken.safetensors").write_bytes(broken)
        self.fails(BAD_MODEL, "models", "show", "broken.safetensors", says=[".weight", "8-bit"])


if __name__ == "__main__":
    unittest.main()
