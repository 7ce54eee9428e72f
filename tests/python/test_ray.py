"""Shards made by a Ray cluster of several worker processes: those of `tessera batch`, byte for byte,
whoever dies on the way."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

import numpy as np
import ray
import soundfile
from shared import COMMAND, SPEECH

import tessera
import tessera.ray

CLIPS, SHARD = 30, 4


def make_corpus(folder):
    """Clips of several rates, channels and kinds, and a manifest with parts, texts and mistakes."""
    sound, rate = soundfile.read(SPEECH, dtype="float32")
    for i in range(CLIPS):
        clip = sound[i * 40000:i * 40000 + 30000 + 977 * i]
        if i % 3 == 1:
            clip = np.stack([clip, 0.5 * clip], axis=1)
        name = f"clip \u00e9 {i}." + ("flac" if i % 2 else "wav")
        soundfile.write(folder / name, clip, 44100 if i % 5 == 2 else rate)
    (folder / "no sound.wav").write_text("nothing of the kind")
    lines = [{"audio": f"clip \u00e9 {i}." + ("flac" if i % 2 else "wav")} for i in range(CLIPS)]
    lines[3].update(id="a/part", offset=0.25, duration=0.5, text='quoted "\\\t\x1f \u4e2d', speaker="s")
    lines[4].update(offset=0.1)
    lines[8:8] = [{"audio": "no sound.wav"}, {"audio": "missing.wav", "id": "m"}, {"id": "no audio"},
                  {"audio": "clip \u00e9 0.wav"}]
    text = [json.dumps(line, ensure_ascii=False) for line in lines]
    text[13:13] = ["", "not JSON"]
    manifest = folder / "in.jsonl"
    manifest.write_text("\n".join(text) + "\n")
    return manifest


def batch(manifest, out, *more):
    """The command's; some items fail, as they should."""
    words = [COMMAND, "batch", "-q", "--manifest", manifest, "--out", out, "--format", "webdataset",
             "--shard-size", str(SHARD), *more]
    done = subprocess.run(words, stderr=subprocess.PIPE)
    assert done.returncode == 1, done


def contents(folder):
    """What a batch left, but for what depends on the order in which items were done."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in ("manifest.jsonl", "errors.jsonl")}


def failures(folder):
    """Of a manifest, in its order, which the command does not keep."""
    return sorted(((e["line"], e.get("id"), e.get("audio"))
                   for e in map(json.loads, (folder / "errors.jsonl").read_text().splitlines())),
                  key=lambda e: e[0])


def ids(folder):
    return [json.loads(line)["id"] for line in (folder / "manifest.sorted.jsonl").read_text().splitlines()]


def setUpModule():
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, configure_logging=False)
    unittest.addModuleCleanup(ray.shutdown)


class Case(unittest.TestCase):
    """Tests with a folder of sounds, and what the command makes of the manifest there."""

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        cls.manifest = cls.make_corpus(cls.folder)
        cls.want = cls.folder / "command"
        batch(cls.manifest, cls.want)

    def setUp(self):
        self.out = self.folder / self._testMethodName

    def tokenize(self, manifest=None, shard_size=SHARD, **more):
        return tessera.ray.tokenize(manifest or self.manifest, self.out, shard_size=shard_size, **more)

    def shell(self, *more, manifest=None):
        words = [sys.executable, "-m", "tessera.ray", manifest or self.manifest, "--out", self.out,
                 "--address", ray.get_runtime_context().gcs_address, *more]
        return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def same_codes(self):
        have, want = contents(self.out), contents(self.want)
        self.assertEqual(sorted(have), sorted(want))
        self.assertEqual([name for name in want if have[name] != want[name]], [])
        self.assertEqual(failures(self.out), failures(self.want))

    def same(self):
        self.same_codes()
        lines = {name: sorted((folder / "manifest.jsonl").read_bytes().splitlines())
                 for name, folder in (("here", self.out), ("there", self.want))}
        self.assertEqual(lines["here"], lines["there"])


class Cluster(Case):
    make_corpus = staticmethod(make_corpus)

    def test_equals_the_command(self):
        summary = self.tokenize()
        self.same()
        self.assertEqual((summary.items, summary.new, summary.failed), (CLIPS, CLIPS, 5))
        with self.assertRaisesRegex(tessera.InputError, "resume=True"):
            self.tokenize()
        with self.assertRaisesRegex(tessera.InputError, "n_codebooks 4, not 2"):
            self.tokenize(resume=True, codebooks=2)
        self.assertEqual(self.tokenize(resume=True).new, 0)

    def test_from_the_shell(self):
        done = self.shell("--shard-size", str(SHARD))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stdout, f"{CLIPS} items, {CLIPS} of them new, 5 failed\n")
        self.same()

    def test_a_killed_worker(self):
        """A worker is killed in the middle of a shard; another one makes it. One sound is a pipe at first,
        so that it is known who is at it and that it does not get further."""
        sound = self.folder / "clip \u00e9 20.wav"
        there = sound.with_suffix(".kept")
        sound.rename(there)
        os.mkfifo(sound)
        killed = []

        def kill():
            with open(sound, "wb"):  # comes back when the worker has it open
                while not killed:
                    killed.extend(pid for pid in filter(str.isdigit, os.listdir("/proc"))
                                  if int(pid) != os.getpid() and opened(pid))
                there.rename(sound)
                for pid in killed:
                    os.kill(int(pid), signal.SIGKILL)

        def opened(pid):
            try:
                return any(os.readlink(f"/proc/{pid}/fd/{fd}") == str(sound)
                           for fd in os.listdir(f"/proc/{pid}/fd"))
            except OSError:  # it has gone, or the file has
                return False

        killer = threading.Thread(target=kill)
        killer.start()
        self.tokenize()
        killer.join()
        self.assertEqual(len(killed), 1)
        self.same()

    def test_resume(self):
        """After a driver that died: a shard cut short, one lost, one that the manifest does not know, half
        a line, a file half written. And what the command has begun is taken up too."""
        self.tokenize()
        shards = sorted(self.out.glob("*.tar"))
        os.truncate(shards[1], 10240)
        shards[2].unlink()
        lines = (self.out / "manifest.jsonl").read_bytes().splitlines(keepends=True)
        unknown = [line for line in lines if json.loads(line)["codes"] != shards[3].name]
        (self.out / "manifest.jsonl").write_bytes(b"".join(unknown) + b'{"id":"cut sh')
        (self.out / (shards[2].name + ".0123.tmp")).write_bytes(b"half")
        (self.out / "manifest.sorted.jsonl").unlink()
        again = self.tokenize(resume=True)
        self.assertEqual(again.items, CLIPS)
        self.same_codes()

    def test_the_command_goes_on(self):
        """What the cluster made is whole for the command, and the other way round."""
        self.tokenize()
        (self.out / "out-000001.tar").unlink()
        batch(self.manifest, self.out, "--resume")
        self.same_codes()
        self.assertEqual(self.tokenize(resume=True).new, 0)


class Lines(Case):
    """A line makes an item here if and only if it makes one for the command."""

    ODD = (  # the id that it gives, or None; the line, whose lone surrogates \udcXX stand for bytes XX
        ("plain", '{"audio":"plain.wav"}'),
        ("part", '{"audio":"plain.wav","id":"part","offset":0.25,"duration":0.5}'),
        ("rest", '{"audio":"plain.wav","id":"rest","offset":0.5,"duration":999999999}'),
        ("half", '{"audio":"eight.wav","id":"half","offset":0.0003125,"duration":0.5}'),  # sample 2.5
        ("minus zero", '{"audio":"plain.wav","id":"minus zero","offset":-0.0}'),
        ("minus nothing", '{"audio":"plain.wav","id":"minus nothing","offset":-0}'),
        (None, '{"audio":"plain.wav","id":"o1","offset":-0.1}'),
        (None, '{"audio":"plain.wav","id":"o2","offset":1e9}'),
        (None, '{"audio":"plain.wav","id":"o3","offset":1e300}'),
        (None, '{"audio":"plain.wav","id":"o4","offset":1' + 400 * "0" + '}'),
        (None, '{"audio":"plain.wav","id":"o5","offset":true}'),
        (None, '{"audio":"plain.wav","id":"o6","offset":"0"}'),
        (None, '{"audio":"plain.wav","id":"o7","offset":null}'),
        (None, '{"audio":"plain.wav","id":"o8","offset":5}'),  # behind the end
        (None, '{"audio":"plain.wav","id":"o9","offset":1}'),  # at the end
        (None, '{"audio":"plain.wav","id":"d1","offset":0,"duration":0}'),
        (None, '{"audio":"plain.wav","id":"d2","offset":0,"duration":1e-9}'),
        (None, '{"audio":"plain.wav","id":"d3","offset":0,"duration":1e9}'),
        (None, '{"audio":"plain.wav","id":"d4","offset":0,"duration":null}'),
        (None, '{"audio":"plain.wav","id":"d5","offset":0,"duration":"x"}'),
        ("alone 1", '{"audio":"plain.wav","id":"alone 1","duration":"x"}'),
        ("alone 2", '{"audio":"plain.wav","id":"alone 2","duration":null}'),
        (None, '{"audio":"none.wav","id":"no samples"}'),
        (None, '{"audio":"cut.flac","id":"cut flac"}'),
        (None, '{"audio":"cut.mp3","id":"cut mp3"}'),
        (None, '{"audio":"cut.wav"}'),
        (None, '{"audio":"cut float.wav"}'),
        ("before the cut", '{"audio":"cut.wav","id":"before the cut","offset":0,"duration":0.5}'),
        ("open", '{"audio":"open.wav"}'),
        (None, '{"audio":"no sound.raw","id":"raw"}'),
        (None, '{"audio":".","id":"a folder"}'),
        (None, '{"id":"no audio"}'),
        (None, '{"audio":"","id":"empty audio"}'),
        (None, '{"audio":"plain.wav","id":""}'),
        (None, '{"audio":"plain.wav","id":null}'),
        (None, '{"audio":"plain.wav","id":7}'),
        (None, '{"audio":7,"id":"seven"}'),
        (None, '{"audio":"plain.wav","id":"a/../b"}'),
        (200 * "x", '{"audio":"plain.wav","id":"' + 200 * "x" + '"}'),
        (None, '{"audio":"plain.wav","id":"' + 201 * "x" + '"}'),
        (511 * "a/" + "bc", '{"audio":"plain.wav","id":"' + 511 * "a/" + 'bc"}'),
        (None, '{"audio":"plain.wav","id":"' + 511 * "a/" + 'bcd"}'),
        (None, '{"audio":"plain.wav","id":"plain"}'),  # the second of that id
        (".wav", '{"audio":".wav"}'),
        (None, '{"audio":"..wav"}'),
        (None, '{"audio":"plain.wav","id":"t1","text":null}'),
        (None, '{"audio":"plain.wav","id":"t2","speaker":null}'),
        (None, '{"audio":"plain.wav","id":"t3","text":["t"]}'),
        ("said nothing", '{"audio":"plain.wav","id":"said nothing","text":"","speaker":""}'),
        ("raw tab", '{"audio":"plain.wav","id":"raw tab","text":"a\tb\x7f"}'),
        ("escapes", r'{"audio":"plain.wav","id":"escapes \u00e9 \ud83d\ude00","text":"\u0001\/\""}'),
        (None, r'{"audio":"plain.wav","id":"s1","text":"bad \ud800 surrogate"}'),
        (None, r'{"audio":"plain.wav","id":"s2","x":[["\udc00"]]}'),
        (None, r'{"audio":"plain.wav","id":"s3","x":"\ud800","x":"y"}'),
        (None, r'{"audio":"plain.wav","id":"z1","text":"a\u0000b"}'),
        (None, r'{"audio":"plain.wav","id":"z\u00002"}'),
        (None, r'{"audio":"plain.wav","id":"z3","x":"\u0000"}'),
        (None, '{"audio":"plain.wav","id":"z4","text":"\0"}'),
        (None, '{"audio":"plain.wav","id":"bytes","text":"\udcff"}'),
        (None, '{"audio":"plain.wav","id":"n1","x":NaN}'),
        (None, '{"audio":"plain.wav","id":"n2","x":-Infinity}'),
        ("huge", '{"audio":"plain.wav","id":"huge","x":1e999}'),
        ("first", '{"audio":"plain.wav","id":"first","id":"second"}'),
        ("upper", '{"audio":"plain.wav","id":"upper","Offset":null,"TEXT":null}'),
        ("deep", '{"audio":"plain.wav","id":"deep","x":' + 15 * "[" + '"[{[{"' + 15 * "]" + "}"),
        (None, '{"audio":"plain.wav","id":"deeper","x":' + 16 * "[" + 16 * "]" + "}"),
        (None, 99999 * "["),
        (None, '{"audio":"plain.wav","id":"long","text":"' + (1 << 20) * "x" + '"}'),
        ("behind a mark", '\ufeff{"audio":"plain.wav","id":"behind a mark"}'),
        ("return", '{"audio":"plain.wav","id":"return"} \r'),
        (None, '{"audio":"plain.wav","id":"trailing"} x'),
        (None, '["audio","plain.wav"]'),
        (None, '[["audio","plain.wav"]]'),
        (None, "not JSON"),
        (None, "\x0b"),
        (None, "\udcff\udcfea\0"),
    )

    @classmethod
    def make_corpus(cls, folder):
        sound, rate = soundfile.read(SPEECH, dtype="float32")
        for name, n, hertz in (("plain", rate, rate), ("eight", 8000, 8000), ("none", 0, rate)):
            soundfile.write(folder / f"{name}.wav", sound[40000:40000 + n], hertz)
        for name in (".wav", "..wav"):
            shutil.copy(folder / "plain.wav", folder / name)
        plain = bytearray((folder / "plain.wav").read_bytes())
        plain[40:44] = b"\xff" * 4  # as it comes from a pipe
        (folder / "open.wav").write_bytes(plain)
        for name in ("cut.flac", "cut.mp3", "cut.wav", "cut float.wav"):
            soundfile.write(folder / name, sound[:4 * rate], rate, "FLOAT" if "float" in name else None)
            os.truncate(folder / name, (folder / name).stat().st_size // 2)
        (folder / "no sound.raw").write_text("nothing of the kind")
        lines = ["", " \t\r", *(line for _, line in cls.ODD), '{"audio":"plain.wav","id":"last"}']
        manifest = folder / "odd.jsonl"
        manifest.write_bytes("\n".join(lines).encode(errors="surrogateescape"))  # the last has no end
        return manifest

    def test_equal_those_of_the_command(self):
        self.assertEqual([id.split(" \u00e9")[0] for id in ids(self.want)],
                         [id for id, _ in self.ODD if id is not None] + ["last"])
        summary = self.tokenize()
        self.assertEqual(ids(self.out), ids(self.want))
        self.same()
        self.assertEqual(summary.failed, sum(id is None for id, _ in self.ODD))
        self.assertIn("has 24000 samples, none at 120000", (self.out / "errors.jsonl").read_text())

    def test_names_that_are_not_utf8(self):
        """As that of the folder need not be: errors.jsonl is."""
        folder = pathlib.Path(os.fsdecode(os.fsencode(self.folder) + b"/l\xe4ngs"))
        folder.mkdir()
        (folder / "in.jsonl").write_text('{"audio":"missing.wav"}\n')
        self.assertEqual(self.tokenize(folder / "in.jsonl").failed, 1)
        self.assertEqual(json.loads((self.out / "errors.jsonl").read_text())["error"],
                         "missing.wav: No such file or directory")


class Resume(Case):
    """Parts of one length: all full shards have one size, whatever is in them."""

    @staticmethod
    def make_corpus(folder):
        return Resume.write(folder / "in.jsonl", range(10))

    @staticmethod
    def write(path, numbers):
        """A manifest of half seconds of speech. None is an empty line; the last line is none, for `batch`."""
        lines = ["" if i is None else json.dumps({"id": f"i{i:02}", "audio": str(SPEECH), "offset": i / 2,
                                                  "duration": 0.5}) for i in numbers]
        path.write_text("\n".join([*lines, "no item"]) + "\n")
        return path

    def refused(self, why, numbers=range(10), shard_size=SHARD):
        """Nothing is done, and the exit code is 2."""
        manifest = self.write(self.folder / "other.jsonl", numbers)
        for name in ("out-000000.tar.0123.tmp", "errors.jsonl"):
            (self.out / name).write_text("as it was")
        with open(self.out / "manifest.jsonl", "ab") as file:
            file.write(b'{"id":"cut sh')
        before = {p.name: p.read_bytes() for p in self.out.iterdir()}
        with self.assertRaisesRegex(tessera.InputError, why):
            self.tokenize(manifest, shard_size, resume=True)
        done = self.shell("--resume", "--shard-size", str(shard_size), manifest=manifest)
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertRegex(done.stderr.splitlines()[-1], f"^tessera.ray: .*{why}")  # others are Ray's
        self.assertEqual({p.name: p.read_bytes() for p in self.out.iterdir()}, before)

    def test_another_place(self):
        self.tokenize()
        sizes = [path.stat().st_size for path in sorted(self.out.glob("*.tar"))]
        self.assertEqual(sizes[0], sizes[1])  # else this shows nothing
        self.refused("i03 in out-000000.tar, .* out-000001.tar", [20, *range(10)])
        self.refused("i04 in out-000001.tar, .* out-000000.tar", [0, 1, 3, 4, 5, 6, 7, 2, 8, 9])
        self.refused("i04 in out-000001.tar, .* out-000000.tar", range(1, 10))
        self.refused("i0. in out-00000.*shard_size 5", shard_size=5)
        self.refused("i0. in out-00000.*shard_size 8", shard_size=8)

    def resumed(self, numbers, new):
        """Goes on with another manifest, and makes what the command makes of it from the start."""
        manifest = self.write(self.folder / "changed.jsonl", numbers)
        self.assertEqual(self.tokenize(manifest, resume=True).new, new)
        self.want = self.out.with_suffix(".want")
        batch(manifest, self.want)
        self.same_codes()

    def test_another_place_in_its_shard(self):
        self.tokenize()
        self.resumed([0, 2, 1, 3, *range(4, 10)], 4)

    def test_items_that_came_and_went(self):
        """One behind the last; and two whose lines have become empty, which then are in no shard."""
        self.tokenize()
        self.resumed([0, None, 2, 3, 4, 5, 6, None, 8, 9, 10], 3 + 3 + 1)

    def test_a_shard_of_other_items(self):
        self.tokenize()
        shards = sorted(self.out.glob("*.tar"))
        os.replace(shards[1], shards[0])
        self.resumed(range(10), 8)

    def test_a_member_that_no_line_tells_of(self):
        """Padding hides it: the size of the shard does not tell."""
        self.tokenize()
        lines = (self.out / "manifest.jsonl").read_bytes().splitlines(keepends=True)
        for i in range(len(lines)):
            with self.subTest(i=i):
                (self.out / "manifest.jsonl").write_bytes(b"".join(lines[:i] + lines[i + 1:]))
                self.assertEqual(self.tokenize(resume=True).items, 10)
                self.same_codes()

    def test_lines_that_cannot_be_read(self):
        """They do not count, those around them do."""
        self.tokenize()
        path = self.out / "manifest.jsonl"
        line, *rest = path.read_bytes().splitlines(keepends=True)
        junk = [b"\0garbage\n", b"{}\n", b"[1]\n", b"\xff\n", b"\n", b'{"a":"\\ud800"}\n', 99999 * b"[" + b"\n",
                line.replace(b'"id":"', b'"id":7,"x":"'), line.replace(b'"n_bytes":', b'"n_bytes":-'),
                line.replace(b'"model":', b'"model":7,"x":'), line.replace(b'"codes":', b'"codes":7,"x":'),
                b'{"cut\r' + line.replace(b'"n_codebooks":4', b'"n_codebooks":2')]
        path.write_bytes(b"".join(junk[:6] + [line] + junk[6:] + rest))
        again = self.tokenize(resume=True)
        self.assertEqual((again.items, again.new), (10, 0))
        self.same_codes()

    def test_another_format(self):
        for format in ("jsonl", "npy"):
            batch(self.manifest, self.out, "--format", format)
            self.refused("another format")
            shutil.rmtree(self.out)


if __name__ == "__main__":
    unittest.main()
