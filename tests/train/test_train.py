#!/usr/bin/env python3
"""weights/train: a few steps on a few seconds of speech, and the C library computes what PyTorch computes.

test_train.py BUILD [TEST...]
"""

import contextlib
import csv
import dataclasses
import io
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SPEECH = SOURCE / "tests/data/speech.flac"
SHIPPED, JUDGES = SOURCE / "weights/tessera-24k-speech.safetensors", SOURCE / "weights/train/judges.pt"

# The environment that the Python package's tests make, where there is one; else this Python's own modules.
BUILD = pathlib.Path(sys.argv[1]).resolve()
ENVIRONMENT = BUILD / "python/env"
if __name__ == "__main__" and ENVIRONMENT.exists() and pathlib.Path(sys.prefix) != ENVIRONMENT:
    os.execv(ENVIRONMENT / "bin/python", [str(ENVIRONMENT / "bin/python"), "-B", *sys.argv])

sys.path.insert(0, str(SOURCE))
import numpy as np
import soundfile
import torch
import yaml
from safetensors.numpy import load_file
from weights.train import Refused, checkpoint, data, export, judges, loop, recipe as recipes, team
from weights.train.__main__ import RECIPE, main
from weights.train.loudness import Disturbance
from weights.train.model import Codec

COMMAND = BUILD / "bin/tessera"

# Of a full scale of 1, as in test_golden.c: single precision through a dozen layers of up to 768 sums
# each, at whose end an angle of tens of radians hands its error to whatever that bin holds.
AUDIO_TOLERANCE = 1e-4
# Squared distances that near to each other may be ordered differently, as in test_golden.c.
NEAR_TIE = 1e-4

# A step of this takes a twentieth of a second.
SMALL = ["model.channels=32", "model.expansion=64", "model.encoder_blocks=1", "model.decoder_blocks=1",
         "model.entries=64", "batch.clips=2", "batch.seconds=0.2", "quantizer.seed_batches=2",
         "cycle.unquantized=5", "cycle.warmup=5", "cycle.minutes=0", "cycle.steps=30",
         "machine.workers=1", "machine.compile=false", "machine.log=10", "machine.save=7"]


def words(changes):
    return [word for change in changes for word in ("--set", change)]


def quiet(*arguments):
    """Exit status and what was said on standard error."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        return main([str(a) for a in arguments]), said.getvalue()


def twelve_steps(me, values, recordings):
    """One of a team: it hears other clips, and its weights and codebooks are the other's."""
    training = loop.make(me, values, recordings)
    for _ in range(12):
        heard = torch.tensor(training.take_step())
    same = torch.equal(me.first(heard.clone()), heard)
    assert same == (me.rank == 0)
    for name, t in training.net.state_dict().items():
        assert torch.equal(me.first(t.clone()), t), name


class WithData(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        (cls.folder / "recordings").mkdir()
        pcm, rate = soundfile.read(SPEECH, frames=10 * 24000)
        soundfile.write(cls.folder / "recordings/a.flac", pcm, rate)
        soundfile.write(cls.folder / "recordings/b.wav", np.stack([pcm, pcm], 1)[:48000], 16000)
        cls.data = cls.folder / "data"
        assert quiet("prepare", cls.folder / "recordings", cls.data) == (0, "")

    def run_cycle(self, name, changes, *more):
        self.assertEqual(quiet("run", self.folder / name, "--data", self.data, *words(changes), *more), (0, ""))
        return checkpoint.load(self.folder / name / "final.pt")

    def rows(self, name):
        with open(self.folder / name / "log.tsv") as file:
            return list(csv.DictReader(file, delimiter="\t"))

    def check_agreement(self, name):
        """The command encodes and decodes with the exported model as PyTorch does in double precision."""
        out = self.folder / f"{name}_model"
        self.assertEqual(quiet("export", self.folder / name / "final.pt", out, "--golden", SPEECH), (0, ""))
        model, vectors = out / "tessera-24k-speech.safetensors", load_file(out / "golden.safetensors")

        def tessera(*arguments, stdin):
            return subprocess.run([COMMAND, *arguments, "-m", model, "-q", "-", "-"], input=stdin,
                                  stdout=subprocess.PIPE, check=True).stdout

        pcm = vectors["pcm"].astype("<f4").tobytes()
        coded = tessera("encode", "--format", "npy", "--raw", "--raw-rate", "24000", "--raw-chan", "1",
                        "--raw-bits", "32", stdin=pcm)
        codes, wanted = np.load(io.BytesIO(coded)), vectors["codes"]
        self.assertEqual(codes.shape, wanted.shape)
        groups = 2
        for column in range(wanted.shape[1]):  # a near tie excuses its group's later layers too
            above = range(column % groups, column + 1, groups)
            tied = (vectors["margin"][:, above] < NEAR_TIE).any(1)
            np.testing.assert_array_equal(codes[~tied, column], wanted[~tied, column])
        self.assertLess((codes != wanted).mean(), 0.01)

        for columns, audio in ((4, "audio"), (2, "audio_half")):
            file = io.BytesIO()
            np.save(file, wanted[:, :columns].astype("<u2"))
            sound = np.frombuffer(tessera("decode", "--raw", "--float", stdin=file.getvalue()), "<f4")
            np.testing.assert_allclose(sound, vectors[audio], rtol=0, atol=AUDIO_TOLERANCE)
            self.assertGreater(np.abs(sound).max(), 10 * AUDIO_TOLERANCE)  # there is something to compare: barely
            # trained weights speak at 0.005


class Training(WithData):
    def test_the_shipped_weights_go_on(self):
        """Twenty steps from the shipped model and its judges, then through the C library."""
        state = self.run_cycle("shipped", ["cycle.minutes=0", "cycle.steps=20", "batch.clips=1", "machine.log=5",
                                           "machine.workers=1", "machine.compile=false"],
                               "--init", SHIPPED, "--judges", JUDGES)
        for row in self.rows("shipped"):  # new weights begin above 2; these were at 0.3 when they were shipped
            self.assertLess(float(row["mel"]), 0.6)
        recipe = recipes.load(RECIPE)
        before = Codec(recipe)
        export.read(SHIPPED, before, grown=True)
        for name, t in before.state_dict().items():
            self.assertTrue(state["net"][name].isfinite().all(), name)
            if not name.startswith("quantizer"):
                self.assertFalse(torch.equal(state["net"][name], t), name)
        self.check_agreement("shipped")

    @torch.no_grad()
    def test_what_is_compared_is_whole(self):
        """A clip's samples are those of the stream it was cut from, up to where frames are missing and no further."""
        recipe = recipes.load(RECIPE, ["batch.seconds=0.5"])
        net = Codec(recipe)
        export.read(SHIPPED, net, grown=True)
        pcm = torch.from_numpy(soundfile.read(SPEECH, frames=24000, dtype="float32")[0])[None]
        stream, clip = (net.decode(net.encode(part)) for part in (pcm, pcm[:, :12000 // 320 * 320]))
        gap = (stream[:, :clip.shape[1]] - clip).abs()[0]
        self.assertLess(gap[:recipe.compared].max(), AUDIO_TOLERANCE)
        self.assertGreater(gap[recipe.compared:recipe.compared + recipe.model.hop].max(), 10 * AUDIO_TOLERANCE)

    def test_new_weights_with_every_option(self):
        state = self.run_cycle("new", [*SMALL, "optimizer.muon=true", "augment.band=0.5", "augment.noise=0.5",
                                       "augment.mixture=0.5", "judges.windows=[256, 512]", "batch.seconds=0.3"])
        for part in ("net", "judges"):
            for name, t in state[part].items():
                self.assertTrue(t.isfinite().all(), name)
        first, *_, last = self.rows("new")
        self.assertLess(float(last["mel"]), float(first["mel"]))
        self.check_agreement("new")
        code, said = quiet("evaluate", self.folder / "new/final.pt", "--data", self.data)
        self.assertEqual((code, said), (0, ""))

    def test_a_stopped_cycle_goes_on_exactly(self):
        whole = self.run_cycle("whole", SMALL)
        batch, calls = data.Clips.batch, []

        def interrupted(clips, rng):
            calls.append(rng)
            if len(calls) == 14:
                os.kill(os.getpid(), signal.SIGTERM)
            return batch(clips, rng)

        command = ["run", self.folder / "stopped", "--data", self.data]
        with mock.patch.object(data.Clips, "batch", interrupted):
            self.assertEqual(quiet(*command, *words(SMALL)), (130, ""))
        self.assertEqual(quiet(*command, *words(["cycle.steps=31"]))[0], 1)  # not as it began
        self.assertEqual(quiet(*command), (0, ""))
        stopped = checkpoint.load(self.folder / "stopped/final.pt")
        for part in ("net", "judges"):
            self.assertEqual(whole[part].keys(), stopped[part].keys())
            for name, t in whole[part].items():
                self.assertTrue(torch.equal(t, stopped[part][name]), name)
        self.assertEqual(quiet(*command)[0], 1)  # finished: nothing to go on with

    def test_two_workers(self):
        values = dataclasses.asdict(recipes.load(RECIPE, SMALL))
        team.run(2, twelve_steps, values, str(self.data))


class Parts(unittest.TestCase):
    def test_new_blocks_change_nothing_at_first(self):
        small = [change for change in SMALL if change.startswith("model.")]
        recipe = recipes.load(RECIPE, small)
        more = recipes.load(RECIPE, [*small, "model.encoder_blocks=2", "model.decoder_blocks=3"])
        net, grown, pcm = Codec(recipe), Codec(more), torch.randn(1, 4800)
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/model.safetensors"
            export.write(net, recipe, path)
            export.read(path, net)
            export.read(path, grown, grown=True)
            with self.assertRaises(Refused):
                export.read(path, Codec(more))
        latent = net.encode(pcm)
        self.assertTrue(torch.equal(grown.encode(pcm), latent))
        self.assertTrue(torch.equal(grown.decode(latent), net.decode(latent)))

    def test_what_disturbs(self):
        """Nothing where nothing differs; added noise more the louder it is, less beside speech than anywhere; the
        same at any level that speech has."""
        pcm, rate = soundfile.read(SPEECH, frames=3 * 24000, dtype="float32")
        disturbance, speech = Disturbance(rate), torch.from_numpy(pcm)[None]
        self.assertLess(float(disturbance(speech, speech)), 1e-3)  # the root's floor
        noise = torch.randn(speech.shape, generator=torch.Generator().manual_seed(1))
        faint, loud = (float(disturbance(speech, speech + size * noise)) for size in (0.001, 0.01))
        self.assertLess(faint, 0.7 * loud)
        beside = speech.abs() * noise
        beside *= 0.01 * noise.norm() / beside.norm()
        self.assertLess(float(disturbance(speech, speech + beside)), 0.7 * loud)
        halved = float(disturbance(speech / 2, (speech + 0.01 * noise) / 2))
        self.assertAlmostEqual(halved, loud, delta=1e-3 * loud)


class Refusals(unittest.TestCase):
    def refuses(self, says, call, *arguments):
        with self.assertRaises(Refused) as caught:
            call(*arguments)
        self.assertIn(says, str(caught.exception))

    def test_a_broken_recipe_names_the_key(self):
        for change, key in (("loss.mel=loud", "loss.mel"), ("loss.mel=-1", "loss.mel"), ("loss.mul=1", "loss.mul"),
                            ("batch.clips=1.5", "batch.clips"), ("batch.clips=true", "batch.clips"),
                            ("optimizer.rate=6e-4", "optimizer.rate"), ("optimizer.muon=1", "optimizer.muon"),
                            ("machine.precision=fp16", "machine.precision"), ("judges.windows=[]", "judges.windows"),
                            ("loss.windows={64: few}", "loss.windows.64"), ("cycle.steps=5", "cycle.steps"),
                            ("model.n_fft=640", "model.n_fft"), ("batch.seconds=0.05", "batch.seconds"),
                            ("loss.phase_windows=[333]", "loss.phase_windows"), ("lass.mel=1", "lass.mel")):
            with self.subTest(change):
                self.refuses(key, recipes.load, RECIPE, [change])
        values = yaml.safe_load(RECIPE.read_text())
        del values["augment"]["band"]
        self.refuses("augment.band is missing", recipes.check, values)

    def test_what_is_not_there_is_one_line(self):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "notes.wav").write_text("not a sound")
            code, said = quiet("prepare", folder, f"{folder}/data")
            self.assertEqual(code, 1)
            self.assertIn("no recording", said.splitlines()[-1])
            self.assertEqual(os.listdir(f"{folder}/data"), [])
            for command in (("prepare", f"{folder}/none", folder), ("run", folder, "--data", folder),
                            ("run", f"{folder}/x", "--data", folder, "--init", JUDGES),
                            ("export", f"{folder}/notes.wav", folder), ("export", JUDGES, folder)):
                code, said = quiet(*command)
                self.assertEqual((code, len(said.splitlines())), (1, 1), (command, said))

    def test_the_committed_judges_are_whole(self):
        c = recipes.load(RECIPE).judges
        new, state = judges.make(c), checkpoint.load(JUDGES)
        self.assertTrue(checkpoint.load_judges(new, c.windows, state))
        for name, t in new.state_dict().items():
            self.assertTrue(torch.equal(t, state["judges"][name].float()), name)
        self.assertFalse(checkpoint.load_judges(judges.make(recipes.load(RECIPE, ["judges.windows=[256, 512]"]).judges),
                                                [256, 512], state))


if __name__ == "__main__":
    torch.set_num_threads(1)
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
