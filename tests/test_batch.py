#!/usr/bin/env python3
"""`tessera batch`: four formats that hold what `tessera encode` gives, the same bytes for any number of
workers and after any interruption, one clear line for each recording that cannot be encoded.

TESSERA_NIGHTLY=1 in the environment kills it at every call that changes a file, and at random more
often. Usage: test_batch.py BUILD_BIN [unittest options]
"""

import fcntl
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import tarfile
import time
import unittest
import wave

import numpy

from cli import (BIN, FAILED, INTERRUPTED, IO, MODEL, OK, RATE, SLOW, SPEECH, USAGE, Case, environment,
                 float_wav, tone)

NIGHTLY = bool(os.environ.get("TESSERA_NIGHTLY"))
FORMATS = ("tess", "npy", "webdataset", "jsonl")
NAMES = ["b/one", "b/two.parts", "b", "a-1", "a/deep/er", "a/x", "z", "new\nline", "\u00e4 \u20ac", "c", "d", "e"]
SHARDED = ["--shard-size", "5"]


def cut(folder):
    """Twelve clips of speech of different lengths, two of them at other rates."""
    decode = f"'{BIN}/tessera' encode -q '{SPEECH}' - | '{BIN}/tessera' decode -q --raw - -"
    pcm = subprocess.run(decode, shell=True, stdout=subprocess.PIPE, check=True, env=environment()).stdout
    for i, name in enumerate(NAMES):
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as f:
            f.setparams((1, 2, {3: 16000, 4: 96000}.get(i, RATE), 0, "NONE", ""))
            f.writeframes(pcm[2 * 30000 * i:][:2 * (7000 + 977 * i)])


def tree(folder):
    """Name -> bytes of all files, but for the one whose order depends on who was first."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*"))
            if p.is_file() and p.name != "manifest.jsonl"}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class BatchCase(Case):
    def setUp(self):
        super().setUp()
        cut(self.path("in"))

    def batch(self, out, *words, source=("in",), **more):
        return self.run_it("batch", "-q", *source, "--out", out, *words, **more)

    def fails(self, exit_code, *words, says=(), out="out", source=("in",), **more):
        """As a failing batch has it: a line on standard error for each failure. Returns the lines."""
        done = subprocess.run([BIN / "tessera", "batch", "-q", *map(str, source), "--out", out, *words],
                              stderr=subprocess.PIPE, cwd=self.folder, env=environment(), timeout=300, **more)
        text = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, exit_code, text)
        for what in says:
            self.assertIn(what, text)
        said = text.splitlines()
        for line in said:
            self.assertTrue(line.startswith("tessera: "), text)
        return said

    def expected(self, name, format="npy", words=()):
        self.run_it("encode", "-q", "-f", "--format", format, *words, f"in/{name}.wav", "expected")
        return self.path("expected").read_bytes()


class Formats(BatchCase):
    def check_manifest(self, out, extension):
        """Every member of every line, against codes of `encode`. Returns name -> codes."""
        manifest = lines(self.path(out) / "manifest.sorted.jsonl")
        order = sorted(NAMES, key=lambda name: f"{name}.wav".encode())
        self.assertEqual([m["id"] for m in manifest], order)
        self.assertEqual(sorted(lines(self.path(out) / "manifest.jsonl"), key=str), sorted(manifest, key=str))
        shown = json.loads(self.run_it("models", "show", "--json", MODEL).stdout)
        codes = {}
        for place, m in enumerate(manifest):
            name = m["id"]
            codes[name] = numpy.load(io.BytesIO(self.expected(name)), allow_pickle=False)
            sharded = extension in ("tar", "jsonl")
            with wave.open(str(self.path("in") / f"{name}.wav")) as f:
                n_samples = -(-f.getnframes() * RATE // f.getframerate())
            expected = {
                "id": name, "audio": f"{name}.wav",
                "codes": f"out-{place // 5:06}.{extension}" if sharded else f"{name}.{extension}",
                **({"key": f"{place:09}"} if sharded else {}),
                "offset": 0, "n_samples": n_samples, "sample_rate": RATE,
                "n_frames": len(codes[name]), "n_codebooks": 4, "codebook_size": 1024,
                "frame_rate_num": 75, "frame_rate_den": 1, "layout": "TK", "dtype": "u16",
                "model": shown["name"], "model_sha256": shown["sha256"],
                "token_sha256": hashlib.sha256(codes[name].astype("<u2").tobytes()).hexdigest(),
                "duration": float(f"{n_samples / RATE:.6f}"), "n_bytes": m["n_bytes"]}
            self.assertEqual(list(m.items()), list(expected.items()))
        return codes

    def test_tess(self):
        self.batch("out")
        self.check_manifest("out", "tess")
        for m in lines(self.path("out/manifest.jsonl")):
            codes = (self.path("out") / m["codes"]).read_bytes()
            self.assertEqual(codes, self.expected(m["id"], "tess"))
            self.assertEqual(m["n_bytes"], len(codes))
        self.assertEqual(len(tree(self.path("out"))), len(NAMES) + 1)

    def test_npy(self):
        self.batch("out", "--format", "npy", "--workers", "2")
        for name in self.check_manifest("out", "npy"):
            self.assertEqual((self.path("out") / f"{name}.npy").read_bytes(), self.expected(name))

    def test_webdataset(self):
        self.batch("out", "--format", "webdataset", *SHARDED)
        codes = self.check_manifest("out", "tar")
        manifest = (self.path("out/manifest.sorted.jsonl")).read_text().splitlines()
        self.assertEqual(sorted(tree(self.path("out"))), ["manifest.sorted.jsonl", *(f"out-{s:06}.tar" for s in range(3))])
        for shard in range(3):
            places = range(5 * shard, min(5 * shard + 5, len(NAMES)))
            path = self.path(f"out/out-{shard:06}.tar")
            with tarfile.open(path) as tar:
                members = tar.getmembers()
                self.assertEqual([m.name for m in members],
                                 [f"{p:09}.{kind}" for p in places for kind in ("npy", "json")])
                self.assertEqual({(m.mode, m.uid, m.gid, m.mtime, m.uname) for m in members}, {(0o644, 0, 0, 0, "")})
                for p, npy, text in zip(places, members[::2], members[1::2]):
                    name = json.loads(manifest[p])["id"]
                    loaded = numpy.load(io.BytesIO(tar.extractfile(npy).read()), allow_pickle=False)
                    numpy.testing.assert_array_equal(loaded, codes[name])
                    self.assertEqual(tar.extractfile(text).read().decode(), manifest[p])
                    self.assertEqual(json.loads(manifest[p])["n_bytes"], npy.size)
            again = io.BytesIO()  # byte for byte what another writer of ustar makes of them
            with tarfile.open(path) as tar, tarfile.open(fileobj=again, mode="w",
                                                         format=tarfile.USTAR_FORMAT) as copy:
                for m in tar.getmembers():
                    copy.addfile(m, tar.extractfile(m))
            self.assertEqual(again.getvalue(), path.read_bytes())

    def test_jsonl(self):
        self.batch("out", "--format", "jsonl", *SHARDED)
        codes = self.check_manifest("out", "jsonl")
        texts = "".join(self.path(f"out/out-{s:06}.jsonl").read_text() for s in range(3)).splitlines()
        for m, text in zip(self.path("out/manifest.sorted.jsonl").read_text().splitlines(), texts, strict=True):
            name = json.loads(m)["id"]
            array = json.dumps(codes[name].tolist(), separators=(",", ":"))
            self.assertEqual(text, f'{m[:-1]},"audio_codes":{array}}}')
            self.assertEqual(json.loads(m)["n_bytes"], len(array))

    def test_other_rates(self):
        self.batch("out", "-b", "1.5", "--format", "npy")
        self.assertEqual(numpy.load(self.path("out/z.npy")).shape[1], 2)
        self.assertEqual(self.path("out/z.npy").read_bytes(), self.expected("z", words=["-b", "1.5"]))

    def test_any_number_of_workers(self):
        for format in FORMATS:
            for workers in ("1", "2", "4"):
                self.batch(f"{format}{workers}", "--format", format, "--workers", workers, *SHARDED)
            one, two, four = (tree(self.path(f"{format}{workers}")) for workers in (1, 2, 4))
            self.assertTrue(one == two == four)

    def test_memory_is_constant(self):
        """One minute, then three files of two minutes: the same peak, within 10 % (pages of the heap)."""
        peaks = []
        for i, (minutes, n) in enumerate(((1, 1), (2, 3))):
            (self.path("m.jsonl")).write_text("".join(
                json.dumps({"id": str(k), "audio": "long.wav"}) + "\n" for k in range(n)))
            with wave.open(str(self.path("long.wav")), "wb") as f:
                f.setparams((1, 2, RATE, 0, "NONE", ""))
                for _ in range(minutes):
                    f.writeframes(bytes(2 * 60 * RATE))
            done = self.batch(str(i), "--json", "--workers", "2", source=("--manifest", "m.jsonl"))
            peaks.append(json.loads(done.stdout)["peak_memory_bytes"])
        self.assertLess(peaks[1], 1.1 * peaks[0])


class Manifests(BatchCase):
    def manifest(self, *items, folder="lists"):
        self.path(folder).mkdir(exist_ok=True)
        path = self.path(folder) / "in.jsonl"
        path.write_text("".join((i if isinstance(i, str) else json.dumps(i)) + "\n" for i in items))
        return ("--manifest", str(path))

    def test_members_pass_through(self):
        source = self.manifest(
            {"id": "s/1", "audio": "../in/z.wav", "text": 'He said "\u00e4\\b"\n', "speaker": "7", "x": 1},
            "  ", {"audio": str(self.path("in/c.wav"))},
            {"id": "part", "audio": "../in/e.wav", "offset": 0.25, "duration": 0.1},
            {"id": "rest", "audio": "../in/e.wav", "offset": 0.5, "duration": 99},
            {"id": "whole", "audio": "../in/e.wav", "Offset": 0.1, "duration": 0.1})
        self.batch("out", "--format", "webdataset", *SHARDED, source=source)
        got = {m["id"]: m for m in lines(self.path("out/manifest.sorted.jsonl"))}
        absolute = str(self.path("in/c"))[1:]
        self.assertEqual(list(got), ["s/1", absolute, "part", "rest", "whole"])
        self.assertEqual((got["s/1"]["text"], got["s/1"]["speaker"]), ('He said "\u00e4\\b"\n', "7"))
        self.assertNotIn("x", got["s/1"])
        self.assertEqual(got[absolute]["audio"], str(self.path("in/c.wav")))
        self.assertEqual([(m["key"], m["codes"]) for m in got.values()],
                         [(f"{place:09}", f"out-{place // 5:06}.tar") for place in (0, 2, 3, 4, 5)])
        with wave.open(str(self.path("in/e.wav"))) as f:
            n = f.getnframes()
        self.assertEqual([got[name]["n_samples"] for name in ("part", "rest", "whole")], [2400, n - 12000, n])
        self.assertEqual((got["part"]["offset"], got["part"]["duration"]), (0.25, 0.1))
        text = self.path("out/manifest.jsonl").read_text()
        self.assertIn('"offset":0.250000,"n_samples":2400,', text)
        self.assertIn('"text":"He said \\"\u00e4\\\\b\\"\\n"', text)

    def test_a_part_is_the_part(self):
        source = self.manifest({"id": "part", "audio": "../in/e.wav", "offset": 0.3, "duration": 0.2})
        self.batch("out", "--format", "npy", source=source)
        with wave.open(str(self.path("in/e.wav"))) as f:
            f.setpos(7200)
            samples = f.readframes(4800)
        with wave.open(str(self.path("in/cut.wav")), "wb") as f:
            f.setparams((1, 2, RATE, 0, "NONE", ""))
            f.writeframes(samples)
        self.assertEqual(self.path("out/part.npy").read_bytes(), self.expected("cut"))

    def test_standard_error_is_closed(self):
        """What is said is lost; it does not end up in the manifest."""
        self.path("in/bad.wav").write_text("no sound")
        done = subprocess.run(["sh", "-c", f'"{BIN}/tessera" batch in --out out 2>&-'], cwd=self.folder, env=environment())
        self.assertEqual(done.returncode, FAILED)
        self.assertGreater(len(lines(self.path("out/manifest.jsonl"))), 1)  # each line is JSON

    def test_bad_lines(self):
        """The good one is done, each bad one is said once, with its line."""
        bad = {2: ("not json", "not a JSON object"), 3: ('{"audio": 1}', '"audio" is not text'),
               4: ("[1]", "not a JSON object"), 5: ('{"id": "x"}', 'no "audio"'),
               6: ('{"audio": "../in/z.wav", "offset": -1}', '"offset" is not'),
               7: ('{"audio": "../in/z.wav"}', "cannot be an id"),
               8: ('{"id": "/x", "audio": "../in/z.wav"}', "cannot be an id"),
               9: ('{"id": "a/../x", "audio": "../in/z.wav"}', "cannot be an id"),
               10: ('{"id": "good", "audio": "../in/c.wav"}', 'the id "good"'),
               11: ('{"id": "y", "audio": "none.wav"}', "No such file"),
               12: ('{"id": "late", "audio": "../in/z.wav", "offset": 99}', "none at"),
               13: ('{"id": "dir", "audio": "../in"}', "not a regular file"),
               14: ('{"id": "' + 201 * "x" + '", "audio": "../in/z.wav"}', "cannot be an id"),
               15: ('{"id": "i", "audio": "../in/z.wav", "text": "\\u0000"}', "zero byte"),
               16: ('{"id": "' + (1 << 20) * "x" + '"}', "1 MiB")}
        source = self.manifest({"id": "good", "audio": "../in/z.wav"}, *(b for b, _ in bad.values()),
                               {"id": "last", "audio": "../in/c.wav"})
        for format in ("tess", "webdataset"):
            said = self.fails(FAILED, "--format", format, source=source, out=format)
            errors = {e["line"]: e["error"] for e in lines(self.path(format) / "errors.jsonl")}
            self.assertEqual(len(said), len(bad))
            self.assertEqual(sorted(errors), sorted(bad))
            for line, (_, why) in bad.items():
                self.assertIn(why, errors[line])
            self.assertEqual([m["id"] for m in lines(self.path(format) / "manifest.sorted.jsonl")], ["good", "last"])
        for line in (2, 3, 4, 5, 6, 15, 16):
            self.assertIn(f"in.jsonl:{line}: ", errors[line])

    def test_names_in_the_way(self):
        """Where a file is needed as a folder, or a folder as a file, that item fails and no other."""
        bad = ["a.tess/b", "c", "e", *(f"{name}/x" for name in (
            "manifest.jsonl", "errors.jsonl", "manifest.sorted.jsonl", "manifest.sorted.jsonl.tmp"))]
        ids = ["a", bad[0], "c.tess/d", "c", "e.tess.tmp/f", "e", *bad[3:], "z"]
        source = self.manifest(*({"id": i, "audio": "../in/z.wav"} for i in ids))
        for words in ((), ("--resume",)):
            self.fails(FAILED, "--workers", "1", *words, source=source)
            self.assertEqual([e["id"] for e in lines(self.path("out/errors.jsonl"))], bad)
            done = {m["id"] for m in lines(self.path("out/manifest.sorted.jsonl"))}
            self.assertEqual(done, {*ids} - {*bad})
        self.batch("shards", "--format", "jsonl", source=source)  # where ids are no files


class BadInputs(BatchCase):
    def test_bad_files(self):
        good = {"in/z.wav": "in/eight.wav"}
        with wave.open(str(self.path("in/eight.wav")), "wb") as f:
            f.setparams((1, 1, RATE, 0, "NONE", ""))
            f.writeframes(bytes(range(100, 156)) * 100)
        with wave.open(str(self.path("in/six.wav")), "wb") as f:
            f.setparams((6, 2, RATE, 0, "NONE", ""))
            f.writeframes(bytes(12 * 4000))
        nan = [[0.1]] * 5000
        nan[4321] = [float("nan")]
        self.path("in/nan.wav").write_bytes(float_wav(nan))
        self.path("in/empty.wav").write_bytes(b"")
        with wave.open(str(self.path("in/none.wav")), "wb") as f:
            f.setparams((1, 2, RATE, 0, "NONE", ""))
        self.path("in/text.wav").write_text("This is not sound.\n")
        self.path("in/notes.txt").write_text("nobody looks at this")
        self.path("in/.hidden.wav").write_text("nor at this")
        self.path("in/cut.flac").write_bytes(SPEECH.read_bytes()[:SPEECH.stat().st_size // 2])
        self.path("in/gone.wav").symlink_to("nowhere.wav")
        os.mkfifo(self.path("in/pipe.wav"))
        shutil.copy(self.path("in/z.wav"), os.fsencode(self.path("in")) + b"/l\xe4ngs.wav")
        (self.path("in/z.flac")).write_bytes(b"")  # the id of z.wav, and first
        bad = {"nan": "sample 4321, channel 0 is NaN", "empty": "not a sound file",
               "none": "too short", "text": "not a sound file", "cut": "", "gone": "No such file",
               "pipe": "not a regular file", "l\ufffdngs": "not UTF-8", "z": ""}
        if os.geteuid() != 0:
            self.path("in/closed.wav").write_bytes(self.path("in/z.wav").read_bytes())
            self.path("in/closed.wav").chmod(0)
            bad["closed"] = "Permission denied"
        said = self.fails(FAILED)
        errors = lines(self.path("out/errors.jsonl"))
        found = {}
        for e in errors:
            self.assertNotIn("line", e)
            found.setdefault(e["id"], []).append(e["error"])
        self.assertEqual(sorted(found), sorted(bad))
        for name, why in bad.items():
            self.assertIn(why, found[name][0])
        self.assertEqual(len(found["z"]), 2)  # z.flac is empty, z.wav has its id
        self.assertEqual(len(said), len(errors))
        done = [m["id"] for m in lines(self.path("out/manifest.sorted.jsonl"))]
        self.assertEqual(sorted(done), sorted({*NAMES, "eight", "six"} - {"z"}))
        self.assertEqual([p for p in self.path("out").rglob("*.tmp")], [])

        for path in self.path("in").glob("*"):  # mended, all is done
            if path.stem in {*bad} or path.stem.startswith("l") or path.suffix == ".flac":
                path.unlink()
        shutil.copy(self.path("in/c.wav"), self.path("in/z.wav"))
        self.batch("out", "--resume")
        self.assertFalse(self.path("out/errors.jsonl").exists())

    def test_repaired_file_joins_its_shard(self):
        for format in ("webdataset", "jsonl"):
            whole, out = self.path(f"{format}.whole"), self.path(format)
            self.batch(whole, "--format", format, *SHARDED)
            good = self.path("in/c.wav").read_bytes()
            self.path("in/c.wav").write_bytes(b"")
            self.fails(FAILED, "--format", format, *SHARDED, out=out)
            self.assertNotEqual(tree(out), tree(whole))
            self.path("in/c.wav").write_bytes(good)
            self.batch(out, "--format", format, "--resume", *SHARDED)
            self.assertEqual(tree(out), tree(whole))

    def test_usage(self):
        self.fails(USAGE, says=["--manifest"], source=())
        for word, value, says in (("--manifest", "x", "--manifest"), ("--format", "mp3", "webdataset"),
                                  ("--codebooks", "3", "2 (1.5 kbit/s)"), ("--option", "x=1", "--option")):
            self.fails(USAGE, word, value, says=[says])
        self.run_it("batch", "in", exit_code=USAGE)
        self.fails(USAGE, out="", says=["--out"])
        self.path("void").mkdir()
        for *source, says in (("nowhere", "No such file"), ("--manifest", "nowhere", "No such file"),
                              ("--manifest", "in", "a folder"), ("void", "no sound files"), ("void", "no sound files")):
            self.fails(FAILED, source=source, says=[f"{source[-1]}: {says}"])  # and leaves nothing
        self.assertFalse(self.path("out/manifest.jsonl").exists())
        self.path("file").write_text("")
        self.fails(IO, out="file/out", says=["file/out"])

    def test_what_is_there_stays(self):
        self.path("in/broken.wav").write_bytes(b"")
        self.fails(FAILED, "--codebooks", "2", "--format", "npy")
        before = tree(self.path("out"))
        self.assertIn("errors.jsonl", before)
        self.fails(FAILED, says=["--resume"])
        for words, says in ((("--format", "npy"), ["--codebooks 2 (1.5 kbit/s), not 4 (3 kbit/s)"]),
                            (("-b", "1.5", "--format", "jsonl"), ["--format npy, not jsonl"]),
                            (("-b", "1.5"), ["--format npy, not tess"]),
                            (("-m", "tessera-24k-speech", "-b", "1.5", "--format", "npy"),
                             ["--model tessera-24k-speech-int8 (", "not tessera-24k-speech ("])):
            self.fails(USAGE, "--resume", *words, says=["out was begun with", *says, "the same"])
        self.assertEqual(before, tree(self.path("out")))

    def test_moved_items_are_refused(self):
        """With shards an item stays at its place, else nothing is done; new ones come at the end."""
        one, first, behind = map(self.path, ("in/z.wav", "in/0.wav", "in/\u00f6.wav"))
        order = sorted(NAMES, key=lambda name: f"{name}.wav".encode())
        text = "".join(json.dumps({"id": name, "audio": f"in/{name}.wav"}) + "\n" for name in order).encode()

        def refused(what, *more, source=("in",), **how):
            (out / "errors.jsonl").write_text("as it was")
            (out / "manifest.jsonl").write_bytes((out / "manifest.jsonl").read_bytes() + b'{"id":"cut sh')
            before = tree(out), (out / "manifest.jsonl").read_bytes()
            self.fails(USAGE, *words, *more, out=out, source=source, **how, says=[what, "out-00000"])
            self.assertEqual((tree(out), (out / "manifest.jsonl").read_bytes()), before)

        for format in ("webdataset", "jsonl"):
            words = ("--resume", "--format", format, *SHARDED)
            out = self.path(format)
            self.batch(out, *words)
            refused("--shard-size 2 would put", "--shard-size", "2")
            refused("codes of a-1 ", source=("--manifest", "/dev/stdin"), input=text.split(b"\n", 1)[1])
            done = self.batch(out, "--json", *words, source=("--manifest", "/dev/stdin"), stdin=text).stdout
            self.assertEqual(json.loads(done)["done_before"], len(NAMES))
            one.rename(first)
            refused("codes of a-1 ")
            first.rename(behind)  # other items at the places of the last two
            refused("codes of z ")
            behind.rename(one)
            shutil.copy(one, behind)
            self.batch(out, *words)
            behind.unlink()
            refused("codes of \u00f6 ")
            list(map(os.unlink, out.glob("out-*")))  # removed codes may lie elsewhere
            one.rename(first)
            for name in (out, out, "whole" + format):
                self.batch(name, *words)
            self.assertEqual(tree(out), tree(self.path("whole" + format)))
            first.rename(one)

    def test_other_files_stay(self):
        """What is there without a manifest is not overwritten; what a killed run has left may be."""
        for format, name, n in (("tess", "z.tess", 1), ("npy", "z.npy.tmp", 1), ("jsonl", "out-000001.jsonl", 5),
                                ("tess", "errors.jsonl", 0), ("tess", "manifest.sorted.jsonl", 0)):
            for words in ((), ("--resume",)):
                out = self.path("-".join((name, *words)))
                out.mkdir()
                (out / name).write_text("precious")
                self.fails(FAILED, "--format", format, *SHARDED, *words, out=out, says=[f"{name}: exists"])
                self.assertEqual((out / name).read_text(), "precious")
                self.assertEqual(len(lines(out / "errors.jsonl")) if n else len(tree(out)), n or 1)
                if n:
                    self.batch(out, "--resume", "--format", format, *SHARDED)

    def test_file_size_limit(self):
        self.run_it("encode", "-q", SPEECH, "speech.tess")
        self.path("in/a").rename(self.path("long"))
        shutil.copy(SPEECH, self.path("long"))
        for out, *words in (("new", "encode", SPEECH, "new"), ("new.wav", "decode", "speech.tess", "new.wav"),
                            ("out/speech.tess", "batch", "long", "--out", "out")):
            limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1200, 1200))}
            self.assertIn(f"{out}: File too large", self.run_it(*words, exit_code=IO, **limit).text)
        self.assertEqual({p.name for p in self.folder.iterdir()}, {"in", "long", "speech.tess", "out"})
        self.assertEqual(list(self.path("out").rglob("speech*")), [])


class Interruptions(BatchCase):
    def whole(self, *words):
        self.batch("whole", *words)
        whole = tree(self.path("whole"))
        shutil.rmtree(self.path("whole"))
        return whole

    def disk(self, what, at, *words):
        """A run on a bad disk. Returns its exit code, standard error, and how many calls it made."""
        options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        env = environment(LD_PRELOAD=str(BIN / "libdisk.so"), TESSERA_DISK=what,
                          TESSERA_DISK_AT=str(at), ASAN_OPTIONS=options)
        done = subprocess.run([BIN / "tessera", "batch", "-q", "in", "--out", "out", *words], env=env,
                              stderr=subprocess.PIPE, cwd=self.folder, timeout=300)
        text, _, n_calls = done.stderr.decode().rpartition("disk: ")
        return done.returncode, text, int(n_calls) if n_calls.strip().isdigit() else 0

    def few(self, n):
        for path in sorted(self.path("in").rglob("*.wav"))[n:]:
            path.unlink()

    def each_call(self, what, format, step):
        """Stops a run at every step-th call that changes a file, resumes, and compares."""
        self.few(4)
        words = ("--format", format, "--shard-size", "3", "--workers", "1")
        whole = self.whole(*words)
        _, _, n_calls = self.disk("", 0, *words)
        self.assertGreater(n_calls, 20)
        for at in range(1, n_calls + 1, step):
            shutil.rmtree(self.path("out"), ignore_errors=True)
            exit_code, text, _ = self.disk(what, at, *words)
            with self.subTest(format=format, at=at):
                yield exit_code, text
                self.batch("out", "--resume", *words)
                self.assertEqual(tree(self.path("out")), whole)
        shutil.rmtree(self.path("out"))

    def test_killed_at_each_change(self):
        for format in FORMATS if NIGHTLY else ("webdataset",):
            for exit_code, _ in self.each_call("kill", format, 1 if NIGHTLY else 20 if SLOW else 5):
                self.assertEqual(exit_code, -signal.SIGKILL)
            cut(self.path("in"))

    def test_full_at_each_change(self):
        """Exit code 4, one line that names a file below the folder, no partial file is left."""
        for format in FORMATS if NIGHTLY else ("tess", "jsonl"):
            for exit_code, text in self.each_call("full", format, 1 if NIGHTLY else 30 if SLOW else 11):
                if exit_code == OK:  # the last calls only remove
                    continue
                self.assertEqual(exit_code, IO, text)
                self.assertRegex(text, r"\Atessera: out/.*: No space left on device\n\Z")
                self.assertEqual(list(self.path("out").rglob("*.tmp")), [])
            cut(self.path("in"))

    def test_full_file_system(self):
        """4 MiB hold not all; with more room --resume completes."""
        small = self.path("small")
        small.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", str(small)]
        if os.geteuid() != 0 or subprocess.run(mount, stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("needs a file system of its own")
        try:
            whole = self.whole("--format", "npy")
            (small / "fill").write_bytes(bytes((4 << 20) - 40000))
            self.fails(IO, "--format", "npy", out="small/out", says=["small/out/", "No space left"])
            self.assertEqual(list((small / "out").rglob("*.tmp")), [])
            self.assertGreater(len(list((small / "out").rglob("*.npy"))), 0)
            (small / "fill").unlink()
            self.batch("small/out", "--format", "npy", "--resume")
            self.assertEqual(tree(small / "out"), whole)
        finally:
            subprocess.run(["umount", str(small)], check=True)

    def test_killed_at_random(self):
        """Five kills a format (nightly twenty-five), at times all over a run."""
        moments = random.Random(19)
        for format in FORMATS:
            words = ("--format", format, "--workers", "2", *SHARDED)
            start = time.monotonic()
            whole = self.whole(*words)
            took = time.monotonic() - start
            kills = 0
            while kills < (25 if NIGHTLY else 5):
                run = subprocess.Popen([BIN / "tessera", "batch", "-q", "in", "--out", "out",
                                        "--resume", *words], cwd=self.folder, env=environment())
                try:
                    run.wait(moments.uniform(0.1, 1) * took)
                    self.assertEqual(run.returncode, OK)
                    self.assertEqual(tree(self.path("out")), whole)
                    shutil.rmtree(self.path("out"))
                except subprocess.TimeoutExpired:
                    run.kill()
                    run.wait()
                    kills += 1
            self.batch("out", "--resume", *words)
            self.assertEqual(tree(self.path("out")), whole)
            shutil.rmtree(self.path("out"))

    def test_torn_and_lost(self):
        """What a crash of the machine may leave: half a line, a file that is short or away."""
        for format in FORMATS:
            words = ("--format", format, *SHARDED)
            whole = self.whole(*words)
            self.batch("out", *words)
            out = self.path("out")
            files = [p for p in sorted(out.rglob("*")) if p.is_file() and "manifest" not in p.name]
            files[0].write_bytes(files[0].read_bytes()[:-1])
            files[1].unlink()
            manifest = out / "manifest.jsonl"
            manifest.write_bytes(b"\0garbage\n{}\n" + manifest.read_bytes()[:-7])
            self.batch("out", "--resume", *words)
            self.assertEqual(tree(out), whole)
            self.assertTrue(all(line for line in manifest.read_bytes().split(b"\n")[:-1]))
            shutil.rmtree(out)

    def test_any_line_lost(self):
        """A tar is padded to whole records: its size alone does not tell which items are in it."""
        for format in FORMATS:
            words = ("--format", format, *SHARDED)
            whole = self.whole(*words)
            self.batch("out", *words)
            manifest = self.path("out/manifest.jsonl")
            for place in range(len(NAMES)):
                lines = manifest.read_bytes().splitlines(keepends=True)
                lost = json.loads(whole["manifest.sorted.jsonl"].splitlines()[place])["id"]
                manifest.write_bytes(b"".join(line for line in lines if json.loads(line)["id"] != lost))
                self.batch("out", "--resume", *words)
                self.assertTrue(tree(self.path("out")) == whole, (format, lost))
            shutil.rmtree(self.path("out"))

    def test_interrupted(self):
        source = self.path("many.jsonl")
        part = 0.5 if SLOW else 5
        source.write_text("".join(json.dumps({"id": f"{i:03}", "audio": str(SPEECH), "offset": i / 2,
                                              "duration": part}) + "\n" for i in range(60)))
        words = ("--manifest", str(source), "--format", "npy", "--workers", "2")
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            run = subprocess.Popen([BIN / "tessera", "batch", *words, "--out", "out"], cwd=self.folder,
                                   stderr=subprocess.PIPE, env=environment())
            manifest = self.path("out/manifest.jsonl")
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not (manifest.exists() and manifest.stat().st_size):
                time.sleep(0.005)
            run.send_signal(signal_number)
            self.assertEqual(run.communicate()[1], b"tessera: interrupted\n")
            self.assertEqual(run.returncode, INTERRUPTED)
            self.assertEqual(list(self.path("out").rglob("*.tmp")), [])
            self.assertLess(len(lines(manifest)), 60)
            shutil.copytree(self.path("out"), self.path("kept"), dirs_exist_ok=True)
            shutil.rmtree(self.path("out"))
        done = len(lines(self.path("kept/manifest.jsonl")))
        summary = json.loads(self.batch("kept", "--resume", "--json", *words[2:], source=words[:2]).stdout)
        self.assertEqual((summary["done_before"], summary["done"]), (done, 60 - done))
        self.batch("out", *words[2:], source=words[:2])
        self.assertEqual(tree(self.path("kept")), tree(self.path("out")))

    def test_one_at_a_time(self):
        """A second batch does not touch a folder that one is at work on."""
        os.mkdir(self.path("out"))
        with open(self.path("out/manifest.jsonl"), "w") as manifest:
            fcntl.lockf(manifest, fcntl.LOCK_EX)
            self.fails(FAILED, "--resume", says=["another batch"])


if __name__ == "__main__":
    unittest.main()
