"""Shards made by a Ray cluster of several worker processes: those of `tessera batch`, byte for byte,
whoever dies on the way."""

import json
import os
import pathlib
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
    return [(e.get("line"), e.get("id"), e.get("audio"))
            for e in map(json.loads, (folder / "errors.jsonl").read_text().splitlines())]


class Cluster(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        cls.manifest = make_corpus(cls.folder)
        cls.want = cls.folder / "command"
        batch(cls.manifest, cls.want)
        ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, configure_logging=False)
        cls.addClassCleanup(ray.shutdown)

    def setUp(self):
        self.out = self.folder / self._testMethodName

    def tokenize(self, **more):
        return tessera.ray.tokenize(self.manifest, self.out, shard_size=SHARD, **more)

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

    def test_equals_the_command(self):
        summary = self.tokenize()
        self.same()
        self.assertEqual((summary.items, summary.new, summary.failed), (CLIPS, CLIPS, 5))
        with self.assertRaisesRegex(tessera.InputError, "resume=True"):
            self.tokenize()
        with self.assertRaisesRegex(tessera.InputError, "another model"):
            self.tokenize(resume=True, codebooks=2)
        self.assertEqual(self.tokenize(resume=True).new, 0)

    def test_from_the_shell(self):
        words = [sys.executable, "-m", "tessera.ray", self.manifest, "--out", self.out, "--shard-size",
                 str(SHARD), "--address", ray.get_runtime_context().gcs_address]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stdout.decode(), f"{CLIPS} items, {CLIPS} of them new, 5 failed\n")
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


if __name__ == "__main__":
    unittest.main()
