#!/usr/bin/env python3
"""Published checkpoints in, model files out: what stands in them, and what is refused.

Usage: test_convert.py MODELS [unittest's arguments], MODELS being what make_models.py made.
"""

import contextlib
import io
import json
import math
import os
import pathlib
import pickle
import re
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/families")]

import make_weights  # noqa: E402
from make_weights import call, name_of, pickled  # noqa: E402
from weights import convert  # noqa: E402
from weights.convert import fold, safetensors_io, seanet, torch_zip  # noqa: E402
from weights.convert.__main__ import main  # noqa: E402
from weights.convert.checkpoint import Refused, Stored  # noqa: E402

MODELS = pathlib.Path()  # from the command line
SHIPPED = ROOT / "weights/tessera-24k-speech.safetensors"


def read_header(path):
    with open(path, "rb") as file:
        return json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))


def read_model(path):
    """A reader of its own: metadata and arrays of a safetensors file, every byte accounted for."""
    data = np.memmap(path, mode="r")
    (n,) = struct.unpack("<Q", data[:8])
    header = read_header(path)
    metadata, arrays, at = header.pop("__metadata__"), {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        assert begin == at and entry["dtype"] == "F32", name
        arrays[name] = data[8 + n + begin : 8 + n + end].view("<f4").reshape(entry["shape"])
        at = end
    assert at == len(data) - 8 - n
    return metadata, arrays


def published(family, *names):
    """Some tensors of seed 1, by name."""
    made = {}
    for outer, name, shape, *rest in make_weights.published(family):
        key = ".".join([*outer, name])
        if key in names:
            made[key] = make_weights._values(key, shape, *rest, 1).astype("<f4").reshape(shape)
    return [made[name] for name in names]


class Models(unittest.TestCase):
    """The models of seed 1."""

    def read(self, family):
        return read_model(MODELS / f"{family}.safetensors")

    def test_every_family_says_what_it_is(self):
        for family, model in convert.MODELS.items():
            metadata, arrays = self.read(family)
            config = json.loads(metadata["tessera.config"])
            with self.subTest(family):
                self.assertEqual(metadata["tessera.format"], "1")
                self.assertEqual(metadata["tessera.name"], family)
                self.assertEqual(metadata["tessera.family"], model.family)
                self.assertTrue(metadata["tessera.licence"])
                self.assertEqual(config.pop("arithmetic"), "fp32")
                for key, value in config.items():  # all that the library's config reader knows
                    items = value if isinstance(value, list) else [value]
                    self.assertIn({type(item) for item in items}, ({int}, {str}), key)
                wanted = [row.ours for row in model.rows if row.ours]
                self.assertEqual(sorted(wanted), sorted(arrays))
                for name, array in arrays.items():
                    self.assertIn(array.ndim, (1, 2, 3), name)
                    self.assertTrue(array.any(), name)

    def test_page_names_every_key(self):
        tables = {}
        for section in (ROOT / "docs/model.md").read_text().split("\n## ")[1:]:
            rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.M)
            tables[section.split("\n")[0]] = dict(rows)
        common, seanet_keys = tables.pop("Every published family but walloc"), tables.pop("SEANet")
        for models in list(tables):
            if models not in ("walloc", "tessera"):
                tables[models] |= common
                if models != "hificodec":
                    tables[models] |= seanet_keys
        by_family = {name: keys for names, keys in tables.items() for name in names.split(", ")}
        for path in [SHIPPED, *(MODELS / f"{name}.safetensors" for name in convert.MODELS)]:
            metadata = read_header(path)["__metadata__"]
            config, keys = json.loads(metadata["tessera.config"]), by_family[metadata["tessera.family"]]
            self.assertEqual(sorted(config), sorted(keys), path)
            for key, legal in keys.items():
                range_ = re.search(r"(\d+) to (\d+)$", legal)
                for value in config[key] if isinstance(config[key], list) else [config[key]]:
                    if isinstance(value, str):
                        self.assertIn(f"`{value}`", legal)
                    elif range_:
                        self.assertTrue(int(range_[1]) <= value <= int(range_[2]), (path, key))

    def test_config_meets_the_golden_files(self):
        for family in convert.MODELS:
            config = json.loads(self.read(family)[0]["tessera.config"])
            golden = safetensors_io.read(make_weights.HERE / family / "golden_1.safetensors")
            n_codes, n_books = golden["synth.codes"].shape
            n_samples = golden["synth.audio"].shape[0]
            with self.subTest(family):
                if family.startswith("walloc"):  # two columns of codes belong to no samples
                    self.assertEqual(n_books, config["latent_width"])
                    n_codes -= 2
                elif not family.startswith("mimi"):  # whose golden codes are more than usual
                    self.assertEqual(n_books, config["codebooks_default"])
                self.assertEqual(n_samples, n_codes * config["hop"])

    def test_convolution_with_weight_norm(self):
        layer = "encoder.model.3.conv.conv"
        g, v = published("encodec_24khz", f"{layer}.weight_g", f"{layer}.weight_v")
        w = self.read("encodec_24khz")[1]["encoder.3.weight"]
        self.assertEqual(w.shape, (64, 4, 32))
        for o, i, k in ((0, 0, 0), (63, 31, 3), (5, 17, 2)):
            length = math.sqrt(math.fsum(float(x) ** 2 for x in v[o].flat))
            exact = float(g[o, 0, 0]) * float(v[o, i, k]) / length
            self.assertEqual(w[o, k, i], np.float32(exact))

    def test_transposed_convolution_norms_its_inputs(self):
        layer = "generator.ups.1"
        g, v = published("hificodec_24k_320d", f"{layer}.weight_g", f"{layer}.weight_v")
        w = self.read("hificodec_24k_320d")[1]["decoder.1.up.weight"]
        self.assertEqual(w.shape, (11, 128, 256))
        for i, o, k in ((0, 0, 0), (255, 127, 10), (100, 3, 5)):
            length = math.sqrt(math.fsum(float(x) ** 2 for x in v[i].flat))
            exact = float(g[i, 0, 0]) * float(v[i, o, k]) / length
            self.assertEqual(w[k, o, i], np.float32(exact))

    def test_a_kernel_of_one_is_a_matrix(self):
        arrays = self.read("encodec_48khz")[1]
        (w,) = published("encodec_48khz", "encoder.model.1.shortcut.conv.conv.weight")
        np.testing.assert_array_equal(arrays["encoder.1.shortcut.weight"], w[:, :, 0])

    def test_depthwise(self):
        arrays = self.read("languagecodec_24k")[1]
        (w,) = published("languagecodec_24k", "state_dict.backbone.convnext.7.dwconv.weight")
        np.testing.assert_array_equal(arrays["decoder.7.dw.weight"], w[:, 0].T)
        arrays = self.read("mimi_24khz")[1]
        (w,) = published("mimi_24khz", "upsample.convtr.convtr.convtr.weight")
        np.testing.assert_array_equal(arrays["decoder.upsample.weight"], w[:, 0].T)

    def test_lstm_biases_are_one(self):
        biases = (f"decoder.model.1.lstm.bias_{part}_l1" for part in ("ih", "hh"))
        a, b = published("encodec_24khz", *biases)
        np.testing.assert_array_equal(self.read("encodec_24khz")[1]["decoder.1.lstm.1.bias"], a + b)

    def test_mimi_codebooks_are_means(self):
        book = "quantizer.rvq_rest.vq.layers.4._codebook"
        usage, total = published("mimi_24khz", f"{book}.cluster_usage", f"{book}.embedding_sum")
        mean = self.read("mimi_24khz")[1]["quantizer.5"]
        np.testing.assert_array_equal(mean, total / usage[:, None])
        self.assertEqual(fold.codebook(np.float32([0]), np.float32([[1]]))[0, 0], np.float32(1e5))

    def test_snake_is_without_logarithms(self):
        snake = "model_state_dict.decoder.1.block.1.res_unit2.snake2"
        alpha, beta = published("walloc_stereo_5x", f"{snake}.alpha", f"{snake}.beta")
        arrays = self.read("walloc_stereo_5x")[1]
        frequency = arrays["decoder.1.unit.1.snake_2.frequency"]
        gain = arrays["decoder.1.unit.1.snake_2.gain"]
        self.assertEqual(frequency[9], np.float32(math.exp(alpha[0, 9, 0])))
        self.assertEqual(gain[9], np.float32(1 / (math.exp(beta[0, 9, 0]) + 1e-9)))

    def test_training_state_and_unused_networks_are_gone(self):
        arrays = self.read("languagecodec_24k")[1]
        self.assertFalse([name for name in arrays if "lstm" in name and "decoder" in name])
        self.assertEqual(len([name for name in arrays if name.startswith("quantizer")]), 8)

    def test_weight_norm_keeps_signs_and_refuses_nothingness(self):
        np.testing.assert_allclose(
            fold.weight_norm(np.float32([[-2]]), np.float32([[3, -4]])),
            [[-1.2, 1.6]],
            rtol=1e-15,  # two roundings of a double
        )
        with self.assertRaises(Refused):
            fold.weight_norm(np.float32([[1], [1]]), np.float32([[1, 0], [0, 0]]))


def described(family):
    """A checkpoint that says what it holds but holds nothing."""
    shapes = {n: s for row in convert.MODELS[family].rows for n, s in row.published.items()}
    return {name: Stored("F32", shape, None) for name, shape in shapes.items()}


class Tables(unittest.TestCase):
    """What `check` refuses, of every family."""

    def setUp(self):
        self.families = {family: described(family) for family in convert.MODELS}

    def refused(self, family, tensors, *words):
        with self.assertRaises(Refused) as caught:
            convert.check(family, tensors)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_they_are_the_published_tensors(self):
        for family, tensors in self.families.items():
            listed = make_weights.published(family)
            shapes = {".".join([*outer, name]): shape for outer, name, shape, *_ in listed}
            self.assertEqual({n: t.shape for n, t in tensors.items()}, shapes)
            convert.check(family, tensors)

    def test_tensors_that_are_not_right(self):
        for family, tensors in self.families.items():
            for name in list(tensors)[:: max(1, len(tensors) // 7)]:
                right = tensors.pop(name)
                self.refused(family, tensors, f"'{name}' is missing")
                self.refused(family, {**tensors, f"{name}x": right}, f"'{name}'", f"'{name}x'")
                self.refused(family, {**tensors, name: None}, f"'{name}' is not a tensor")
                wrong = right._replace(dtype="F16")
                self.refused(family, {**tensors, name: wrong}, f"'{name}' is F16")
                for shape in ((*right.shape, 1), right.shape[:-1], (right.shape[0] + 1,)):
                    wrong = right._replace(shape=shape)
                    self.refused(family, {**tensors, name: wrong}, f"'{name}' has the shape")
                tensors[name] = right

    def test_another_family(self):
        same = {"hificodec_24k_320d", "hificodec_16k_320d"}  # but for the sample rate
        for family in self.families:
            for other, tensors in self.families.items():
                if family != other and {family, other} != same:
                    self.refused(family, tensors, "'")

    def test_what_others_keep_in_the_file(self):
        tensors = self.families["languagecodec_24k"]
        convert.check("languagecodec_24k", {**tensors, "state_dict.dac.x": None, "epoch": None})
        self.refused("languagecodec_24k", {**tensors, "state_dict.backbone.x": None}, "backbone.x")
        convert.check("walloc_stereo_5x", {**self.families["walloc_stereo_5x"], "config.J": None})


class Files(unittest.TestCase):
    """The command on files of a small network: a line, an exit code, and no output."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        convert.MODELS["tiny"] = seanet.model("x", "module.", 8, 4, 1, [2, 2], width=2, entries=2)
        cls.addClassCleanup(convert.MODELS.pop, "tiny")
        values = np.random.default_rng(1)
        cls.good = {
            name: values.standard_normal(tensor.shape, np.float32)
            for name, tensor in described("tiny").items()
        }

    def run_main(self, *arguments):
        lines = io.StringIO()
        with contextlib.redirect_stderr(lines):
            code = main([str(argument) for argument in arguments])
        return code, lines.getvalue()

    def refused(self, path, *words):
        out = pathlib.Path(self.folder, "out")
        before = sorted(os.listdir(self.folder))
        code, text = self.run_main("tiny", path, out)
        self.assertEqual((code, text.count("\n")), (1, 1), text)
        for word in words:
            self.assertIn(word, text)
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def checkpoint(self, tensors):
        path = pathlib.Path(self.folder, "checkpoint")
        make_weights.write_torch(path, tensors)
        return path

    def altered(self, name, change):
        return {**self.good, name: change(self.good[name].copy())}

    def test_both_kinds_of_file_make_the_same(self):
        out, plain = (pathlib.Path(self.folder, name) for name in ("model", "safetensors"))
        self.assertEqual(self.run_main("tiny", self.checkpoint(self.good), out), (0, ""))
        first = out.read_bytes()
        self.assertIn("decoder.7.shortcut.bias", read_model(out)[1])
        make_weights.write_safetensors(plain, self.good)
        self.assertEqual(self.run_main("tiny", plain, out), (0, ""))
        self.assertEqual(out.read_bytes(), first)
        out.unlink()

    def test_the_command(self):
        path, out = self.checkpoint({}), pathlib.Path(self.folder, "none")
        command = [sys.executable, "-B", "-m", "weights.convert"]
        for arguments, code, word in (
            (["encodec_24khz", path, out], 1, "'encoder.model.0.conv.conv.weight_g' is missing"),
            (["encodec_24khz", path], 2, "usage"),
            (["encodec", path, out], 2, "encodec_24khz"),
        ):
            done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout), (code, ""))
            self.assertIn(word, done.stderr)
        self.assertFalse(out.exists())

    def test_no_such_file(self):
        self.refused(pathlib.Path(self.folder, "nothing"), "nothing")
        path = self.checkpoint(self.good)
        code, text = self.run_main("tiny", path, f"{self.folder}/no/folder")
        self.assertEqual((code, text.count("\n")), (1, 1))
        self.assertIn("no/folder", text)

    def test_tensors(self):
        name = "module.decoder.model.3.convtr.convtr.weight_v"
        missing = {n: a for n, a in self.good.items() if n != name}
        self.refused(self.checkpoint(missing), name, "missing")
        self.refused(self.checkpoint({**missing, "module.x": self.good[name]}), name, "module.x")
        self.refused(self.checkpoint({**self.good, "module.x": np.float32([1])}), "module.x")
        self.refused(self.checkpoint({**self.good, "epoch": b"K\x07"}), "epoch")
        self.refused(self.checkpoint(self.altered(name, lambda a: a[:-1])), name, "shape")
        self.refused(self.checkpoint(self.altered(name, np.float64)), name, "F64")
        self.refused(self.checkpoint(self.altered(name, lambda a: a * np.nan)), name, "infinite")
        self.refused(self.checkpoint(self.altered(name, lambda a: a * 0)), name[:-1], "length 0")

    def test_constants(self):
        def one(name):
            (row,) = (r for r in convert.MODELS[family].rows if name in r.published)
            return row

        for family, name in (
            ("walloc_stereo_5x", "model_state_dict.iwt.g1"),
            ("languagecodec_24k", "state_dict.head.istft.window"),
        ):
            (right,) = published(family, name)
            wrong = right.copy()
            wrong.flat[3] += np.float32(1e-3)
            one(name).make(right)
            with self.assertRaises(Refused):
                one(name).make(wrong)

    def test_a_file_that_was_there_stays(self):
        out = pathlib.Path(self.folder, "kept")
        out.write_text("mine")
        code, _ = self.run_main("tiny", self.checkpoint({}), out)
        self.assertEqual((code, out.read_text()), (1, "mine"))
        out.unlink()

    def test_truncated(self):
        path = self.checkpoint(self.good)
        make_weights.write_safetensors(pathlib.Path(self.folder, "safetensors"), self.good)
        for path in (path, pathlib.Path(self.folder, "safetensors")):
            n = path.stat().st_size
            for n in (*range(n - 1, 0, -n // 50), 8, 2, 1, 0):
                os.truncate(path, n)
                self.refused(path, f"{path}: ")

    def test_damaged_values(self):
        path = self.checkpoint(self.good)
        name = "module.decoder.model.1.lstm.weight_hh_l1"
        data = bytearray(path.read_bytes())
        data[data.index(self.good[name].tobytes())] ^= 1
        path.write_bytes(data)
        self.refused(path, name, "CRC")

    def test_safetensors_headers(self):
        path = pathlib.Path(self.folder, "header")
        entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
        wrong = [
            b"[]", b"{", b"nul", b'{"a": 1}', b'{"a": {}}', b"[" * 100_000,
            *(json.dumps({"a": {**entry, **change}}).encode() for change in (
                {"dtype": 1}, {"dtype": None}, {"shape": 2}, {"shape": [-2]}, {"shape": [2.0]},
                {"data_offsets": [8, 0]}, {"data_offsets": [0, 9]}, {"data_offsets": [0]},
                {"shape": [3]}, {"shape": [1 << 62, 1 << 62]}, {"shape": [True, 2]},
            )),
        ]  # fmt: skip
        for header in wrong:
            path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
            self.refused(path, "header: ")
        path.write_bytes(struct.pack("<Q", 1 << 63) + b"{}")
        self.refused(path, "header: ")
        path.unlink()


class Pickles(unittest.TestCase):
    """Programs that a data.pkl may hold; none may run."""

    def read(self, program, values=bytes(16)):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", program)
            archive.writestr("archive/data/0", values)
        return torch_zip.read(file)

    def refused(self, program, *words):
        with self.assertRaises(Refused) as caught:
            self.read(b"\x80\x02" + program + b".")
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_what_they_call_is_named(self):
        mark = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()), "executed")
        text = pickle.dumps(f"touch {mark}", 2)[2:-1]
        for module, name in (
            ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("builtins", "exec"),
            ("subprocess", "Popen"), ("builtins", "getattr"), ("torch", "load"),
            ("torch.storage", "_load_from_bytes"), ("numpy.core.multiarray", "_reconstruct"),
            ("torch._utils", "_rebuild_tensor_v2.__globals__"), ("collections", "OrderedDict.get"),
        ):  # fmt: skip
            self.refused(call(name_of(module, name), text), f"{module}.{name}")
            self.refused(name_of(module, name), f"{module}.{name}")  # not even a mention
            storage = b"(X\x07\x00\x00\x00storage" + name_of(module, name)
            storage += b"X\x01\x00\x00\x000K\x00K\x04tQ"
            self.refused(storage, f"{module}.{name}")  # a storage of their own
        self.assertFalse(mark.exists())

    def test_what_is_allowed_does_nothing_else(self):
        tensor = name_of("torch._utils", "_rebuild_tensor_v2")
        ordered = name_of("collections", "OrderedDict")
        word = name_of("torch", "FloatStorage")
        for program in (
            call(word, b"K\x01"),  # a word is no function
            call(tensor, b"K\x01", b"K\x00", b")", b")"),  # no storage
            call(name_of("torch._utils", "_rebuild_parameter"), b"K\x01", b"\x88", b"}"),
            tensor + b"}(X\x08\x00\x00\x00__code__K\x01ub",  # attributes of a function
            tensor + b"N}(X\x0c\x00\x00\x00__defaults__K\x01u\x86b",
            ordered + b"N}(X\x05\x00\x00\x00itemsK\x01u\x86b",  # of a type
            b"X\x01\x00\x00\x00xQ",  # a reference that is a text
            b"}r\xff\xff\xff\x7f",  # remembered at a place that would take 16 GiB
            b"K\x01",  # no dict
            b"",
        ):
            self.refused(program)
        kept = call(ordered) + b"N}(X\x05\x00\x00\x00itemsK\x01u\x86b"  # of a dict: forgotten
        self.assertEqual(self.read(b"\x80\x02" + kept + b"."), {})

    def test_what_torch_writes_is_read(self):
        storages, array = [], np.float32([[1, 2], [3, 4]])
        program = b"\x80\x02" + pickled({"a": {"b": array}, "n": b"K\x07"}, storages) + b"."
        tensors = self.read(program, storages[0].tobytes())
        self.assertIsNone(tensors["n"])
        np.testing.assert_array_equal(tensors["a.b"].read(), array)

    def test_views(self):
        """Offset and strides within the storage, and not beyond it."""
        reference = b"(X\x07\x00\x00\x00storage" + name_of("torch", "FloatStorage")
        reference += b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
        values = np.arange(6, dtype="<f4")

        def view(offset, shape, strides):
            arguments = (pickle.dumps(x, 2)[2:-1] for x in (offset, shape, strides, False, {}))
            tensor = call(name_of("torch._utils", "_rebuild_tensor_v2"), reference, *arguments)
            program = b"\x80\x02" + pickled({"a": tensor}, []) + b"."
            return self.read(program, values.tobytes())["a"].read()

        np.testing.assert_array_equal(view(1, (2, 2), (1, 3)), [[1, 4], [2, 5]])
        for wrong in ((1, (2, 3), (3, 1)), (6, (1,), (1,)), (0, (2,), ()), (0, (0,), (1,))):
            with self.assertRaises(Refused):
                view(*wrong)
        for wrong in ((-1, (1,), (1,)), (0, (2,), (-1,)), (0, (1.0,), (1,)), (0, 1, 1)):
            with self.assertRaises(Refused):
                view(*wrong)

    def test_every_prefix_and_every_flipped_bit(self):
        storages = []
        program = b"\x80\x02" + pickled({"a": np.float32([1, 2, 3, 4])}, storages) + b"."
        for n in range(len(program)):
            with self.assertRaises(Refused):
                self.read(program[:n])
        for i in range(8 * len(program)):
            damaged = bytearray(program)
            damaged[i // 8] ^= 1 << i % 8
            with contextlib.suppress(Refused):  # and nothing but Refused
                for stored in self.read(bytes(damaged)).values():
                    if stored and stored.dtype == "F32":
                        stored.read()


if __name__ == "__main__":
    MODELS = pathlib.Path(sys.argv.pop(1))
    unittest.main(verbosity=2)
