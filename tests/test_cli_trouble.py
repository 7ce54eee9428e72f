#!/usr/bin/env python3
"""The command `tessera` on bad days: wrong models, full disks, closed pipes, interrupts, and sounds
longer than its memory. Each failure has its exit code and one line that says why.

Usage: test_cli_trouble.py BUILD_BIN [unittest options]
"""

import contextlib
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import subprocess
import time
import unittest

import numpy

from cli import (BAD_MODEL, BIN, FAILED, HOP, INTERRUPTED, IO, MODEL, OK, RATE, SLOW, SOURCE,
                 SPEECH, USAGE, Case, environment, pcm16, tone)


class Models(Case):
    def retrained(self, name="retrained.safetensors"):
        """Another model: the default one under another name, so with another fingerprint."""
        data = MODEL.read_bytes()
        n = int.from_bytes(data[:8], "little")
        head = data[8:8 + n].replace(b'"tessera-24k-speech-int8"', b'"tessera-24k-singer-int8"')
        self.assertNotEqual(head, data[8:8 + n])
        self.path(name).write_bytes(data[:8] + head + data[8 + n:])
        return self.path(name)

    def test_list_and_show(self):
        self.assertIn("tessera-24k-speech", self.run_it("models", "list").stdout.decode())
        listed = json.loads(self.run_it("models", "list", "--json").stdout)
        self.assertIn("tessera-24k-speech", [m["name"] for m in listed["models"]])
        self.assertTrue(listed["folders"])
        for name in ("tessera-24k-speech", MODEL):
            shown = json.loads(self.run_it("models", "show", "--json", name).stdout)
            self.assertEqual((shown["sample_rate"], shown["hop"], shown["codebooks"]), (RATE, HOP, 4))
            self.assertEqual([r["codebooks"] for r in shown["rates"]], [2, 4])
            self.assertGreater(shown["encode_flops"], 1e8)
        self.assertIn("1.5 kbit/s", self.run_it("models", "show", MODEL).stdout.decode())

    def test_missing_and_broken(self):
        wav = self.wav()
        self.fails(BAD_MODEL, "encode", "-m", "nobody", wav, says=["nobody", "weights"])
        self.fails(BAD_MODEL, "encode", "-m", "./nobody.safetensors", wav, says=["nobody"])
        self.fails(BAD_MODEL, "encode", wav, env={"TESSERA_MODEL": "nobody"}, says=["nobody"])
        self.path("cut.safetensors").write_bytes(MODEL.read_bytes()[:100000])
        self.fails(BAD_MODEL, "encode", "-m", "cut.safetensors", wav, says=["cut.safetensors"])
        self.fails(BAD_MODEL, "models", "show", wav, says=["in.wav"])
        self.fails(BAD_MODEL, "bench", "-m", wav)

    def test_a_file_of_a_shipped_models_name(self):
        self.path("tessera-24k-speech-int8").write_text("a note")
        self.run_it("encode", self.wav())

    def test_kernels_of_no_machine(self):
        wav = self.wav()
        self.fails(USAGE, "encode", "--kernel", "mmx", wav, says=["--kernel mmx", "scalar"])
        self.fails(USAGE, "encode", wav, env={"TESSERA_KERNEL": "mmx"}, says=["TESSERA_KERNEL mmx", "scalar"])

    def test_codes_of_another_model(self):
        other = self.retrained()
        tess = self.coded()
        for words, env in ((["-m", other], {}), (["-m", other, "--raw"], {})):
            self.fails(BAD_MODEL, "decode", *words, tess, "x.wav", env=env,
                       says=["in.tess", "tessera-24k-speech", "tessera-24k-singer"])
        self.assertFalse(self.path("x.wav").exists())
        # The environment only proposes: what the file names is found all the same.
        self.run_it("decode", tess, "x.wav", env={"TESSERA_MODEL": str(other)})
        self.run_it("encode", "in.wav", "o.tess", env={"TESSERA_MODEL": str(other)})
        self.assertEqual(self.info("o.tess")["model"], "tessera-24k-singer-int8")
        self.run_it("decode", "o.tess", "o.wav", env={"TESSERA_MODEL": str(other)})
        self.fails(BAD_MODEL, "decode", "o.tess", says=["tessera-24k-singer"])
        self.fails(FAILED, "verify", "in.tess", "o.tess", says=["models"])

    def test_installed(self):
        """Away from its build tree the command looks beside itself, not into the sources."""
        (self.path("usr/bin")).mkdir(parents=True)
        (self.path("usr/share/tessera/models")).mkdir(parents=True)
        shutil.copy(BIN / "tessera", self.path("usr/bin/tessera"))
        command = [self.path("usr/bin/tessera"), "encode", "-q", self.wav(), self.path("x.tess")]
        failed = subprocess.run(command, stderr=subprocess.PIPE, env=environment())
        self.assertEqual(failed.returncode, BAD_MODEL)
        self.assertNotIn(str(SOURCE).encode(), failed.stderr)
        shutil.copy(MODEL, self.path("usr/share/tessera/models"))
        self.assertEqual(subprocess.run(command, env=environment()).returncode, OK)


class BadDays(Case):
    def test_existing_output(self):
        wav = self.wav()
        self.path("in.tess").write_text("precious")
        self.fails(FAILED, "encode", wav, says=["in.tess", "-f"])
        self.assertEqual(self.path("in.tess").read_text(), "precious")
        self.run_it("encode", "-f", wav)
        self.fails(FAILED, "decode", "in.tess", says=["in.wav", "-f"])
        self.path("h").write_text("precious")
        self.fails(FAILED, "encode", "--save-hash", "h", wav, "x.tess", says=["-f"])
        self.assertFalse(self.path("x.tess").exists())

    def test_input_is_output(self):
        wav = self.wav()
        before = wav.read_bytes()
        self.path("link.wav").symlink_to(wav)
        for name in (wav, "link.wav", "./in.wav"):
            self.fails(FAILED, "encode", "-f", wav, name, says=["input"])
        self.assertEqual(wav.read_bytes(), before)

    def test_names_that_are_not_text(self):
        wav = self.wav()
        wav = wav.rename(os.fsdecode(os.fsencode(self.folder) + b"/caf\xe9.wav"))
        done = subprocess.run([BIN / "tessera", "encode", "--json", wav], stdout=subprocess.PIPE, check=True,
                              env=environment())
        self.assertTrue(json.loads(done.stdout)["output"].endswith("/caf\ufffd.tess"))

    def test_links_and_devices_stay(self):
        wav = self.wav()
        self.path("real.tess").write_text("old")
        self.path("link.tess").symlink_to("real.tess")
        self.run_it("encode", "-f", wav, "link.tess")
        self.assertTrue(self.path("link.tess").is_symlink())
        self.assertTrue(self.info("real.tess")["complete"])
        self.run_it("encode", wav, "/dev/null")
        self.assertTrue(pathlib.Path("/dev/null").is_char_device())

    def test_mode_follows_umask(self):
        old = os.umask(0o027)
        self.addCleanup(os.umask, old)
        self.assertEqual(self.coded().stat().st_mode & 0o777, 0o640)

    def test_mode_of_what_is_overwritten_stays(self):
        old = os.umask(0o022)
        self.addCleanup(os.umask, old)
        coded = self.coded()
        coded.chmod(0o600)
        self.run_it("encode", "-f", self.wav(), coded)
        self.assertEqual(coded.stat().st_mode & 0o777, 0o600)

    def test_hashes_and_codes_in_one_file(self):
        wav = self.wav()
        self.fails(USAGE, "encode", "--save-hash", "x.tess", "-f", wav, "x.tess", says=["--save-hash", "codes"])
        self.assertFalse(self.path("x.tess").exists())
        done = self.fails(USAGE, "encode", "--save-hash", "-", wav, "-", says=["--save-hash", "codes"])
        self.assertEqual(done.stdout, b"")

    def test_unwritable(self):
        wav = self.wav()
        self.fails(IO, "encode", wav, "nowhere/x.tess", says=["nowhere/x.tess"])
        self.fails(IO, "encode", wav, "/dev/full", says=["/dev/full", "No space left"])
        tess = self.coded()
        self.fails(IO, "decode", tess, "/dev/full", says=["No space left"])
        self.fails(IO, "encode", "--save-hash", "/dev/full", wav, "x.tess", says=["/dev/full"])
        self.assertFalse(self.path("x.tess").exists())
        for words in (["encode", wav, "-"], ["encode", "--format", "npy", wav, "-"], ["info", tess],
                      ["encode", "--format", "json", wav, "-"], ["decode", tess, "-"], ["--help"]):
            with open("/dev/full", "wb") as full:
                self.fails(IO, *words, stdout=full, says=["standard output"])

    def test_full_disk(self):
        small = self.path("small")
        small.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
        if os.geteuid() != 0 or subprocess.run(mount, stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("needs a file system of its own")
        try:
            tess = self.coded(n=4 * RATE)
            for name in ("x.wav", "x.raw"):
                words = ["--raw"] if name == "x.raw" else []
                self.fails(IO, "decode", *words, tess, f"small/{name}", says=[name, "No space left"])
            self.assertEqual(list(small.iterdir()), [])
            (small / "fill").write_bytes(bytes(60000))
            self.fails(IO, "encode", "--format", "json", "in.wav", "small/x.json", says=["x.json"])
            self.fails(IO, "encode", "-", stdin=SPEECH.read_bytes(), env={"TMPDIR": str(small)},
                       says=["temporary file"])
            self.assertEqual(os.listdir(small), ["fill"])
        finally:
            subprocess.run(["umount", str(small)], check=True)

    def test_closed_pipe(self):
        tess = self.coded(n=5 * RATE)
        for words in (["decode", tess, "-"], ["encode", SPEECH, "-"], ["info", tess]):
            read_end, write_end = os.pipe()
            os.close(read_end)
            with os.fdopen(write_end, "wb") as out:
                self.fails(IO, *words, stdout=out, says=["standard output", "Broken pipe"])

    def test_lost_frames(self):
        """The length stays, the same frames are lost each time, and no hop is 6 dB louder than what is loudest
        around it without losses: a hole fades."""
        pcm = self.run_it("decode", "-q", "--raw", "-", "-", stdin=self.run_it("encode", "-q", SPEECH, "-").stdout).stdout
        raw = "--raw", "--raw-rate", RATE, "--raw-chan", 1
        self.run_it("encode", "-q", *raw, "-", "speech.tess", stdin=pcm[:2 * 15 * RATE])
        n_frames = 15 * RATE // HOP
        decode = "decode", "--json", "--raw", "--float", "speech.tess", "-"

        def levels(sound):
            return numpy.sqrt(numpy.mean(numpy.frombuffer(sound, "f4").reshape(-1, HOP) ** 2, axis=1))

        clean = self.run_it(*decode)
        self.assertNotIn("lost_frames", json.loads(clean.text))
        loudest = numpy.pad(levels(clean.stdout), 8, mode="edge")
        loudest = numpy.lib.stride_tricks.sliding_window_view(loudest, 17).max(axis=1)
        for percent in (1, 5, 20, 100):
            done = self.run_it(*decode, "--packet-loss", percent)
            n_lost = json.loads(done.text)["lost_frames"]
            p = percent / 100  # six deviations of a fair dice
            self.assertLessEqual(abs(n_lost - p * n_frames), 6 * (p * (1 - p) * n_frames) ** 0.5)
            self.assertEqual(len(done.stdout), len(clean.stdout))
            self.assertEqual(done.stdout, self.run_it(*decode, "--packet-loss", percent).stdout)
            self.assertTrue(numpy.all(levels(done.stdout) <= 2 * loudest + 1e-3), percent)
        self.assertEqual(max(done.stdout), 0)  # nothing came, nothing is heard
        self.assertEqual(self.run_it(*decode, "--packet-loss", 0).stdout, clean.stdout)
        self.fails(USAGE, *decode, "--packet-loss", 101)

    def test_interrupted(self):
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            process = subprocess.Popen(
                [BIN / "tessera", "encode", "--raw", "--raw-chan", "1", "--save-hash",
                 self.path("h"), "-", self.path("x.tess")], stdin=subprocess.PIPE,
                stderr=subprocess.PIPE, env=environment())
            process.stdin.write(bytes(200000))
            process.stdin.flush()
            deadline = time.monotonic() + 60
            while len(list(self.folder.glob(".tessera-*"))) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertEqual(len(list(self.folder.glob(".tessera-*"))), 2)
            process.send_signal(signal_number)
            text = process.communicate()[1]
            self.assertEqual(process.returncode, INTERRUPTED)
            self.assertEqual(text, b"tessera: interrupted\n" if b"resampling" not in text else text)
            self.assertEqual(list(self.folder.iterdir()), [])

    def test_streams(self):
        """Samples come back while the input is still open; two seconds of codes are one chunk."""
        raw = ["--raw", "-"]
        encode = subprocess.Popen(
            [BIN / "tessera", "encode", "-q", "--raw-rate", str(RATE), "--raw-chan", "1", *raw],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
        decode = subprocess.Popen([BIN / "tessera", "decode", "-q", *raw], stdin=encode.stdout,
                                  stdout=subprocess.PIPE, env=environment())
        encode.stdin.write(pcm16(tone(5 * RATE)))
        encode.stdin.flush()
        got = 0
        while got < 2 * 3 * RATE:  # of five seconds at least three
            ready, _, _ = select.select([decode.stdout], [], [], 60)
            self.assertTrue(ready, f"stuck after {got} bytes")
            got += len(os.read(decode.stdout.fileno(), 65536))
        encode.stdin.close()
        got += len(decode.stdout.read())
        encode.stdout.close()
        decode.stdout.close()
        self.assertEqual((encode.wait(), decode.wait(), got), (OK, OK, 2 * 5 * RATE))

    def test_constant_memory(self):
        """Twenty times the sound (three times with a slow build), the same memory: within 5 %, of
        what the allocator rounds."""
        peaks = {"encode": [], "decode": []}
        second = pcm16(tone(RATE))
        for n in (30, 90 if SLOW else 600):
            encode = subprocess.Popen(
                [BIN / "tessera", "encode", "-b", "1.5", "--json", "--raw", "--raw-rate", str(RATE),
                 "--raw-chan", "1", "-", self.path(f"{n}.tess")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
            for _ in range(n):
                encode.stdin.write(second)
            summary = json.loads(encode.communicate()[0])
            self.assertEqual(summary["samples"], n * RATE)
            peaks["encode"].append(summary["peak_memory_bytes"])
            out = self.run_it("decode", "--json", f"{n}.tess", f"{n}.wav").stdout
            peaks["decode"].append(json.loads(out)["peak_memory_bytes"])
            self.assertEqual(self.read_wav(f"{n}.wav")[2], n * RATE)
        for short, long in peaks.values():
            self.assertLess(long, 1.05 * short)

    def test_progress_on_a_terminal_only(self):
        ours, theirs = pty.openpty()
        process = subprocess.Popen([BIN / "tessera", "encode", "--kernel", "scalar", self.wav(n=2 * RATE),
                                    self.path("x.tess")], stderr=theirs, env=environment())
        os.close(theirs)
        text = b""
        with contextlib.suppress(OSError):
            while some := os.read(ours, 4096):
                text += some
        os.close(ours)
        self.assertEqual(process.wait(), OK)
        self.assertIn(b"x.tess: 150 frames", text)
        if process.wait() == OK and b"%" in text:  # only what takes more than a second shows it
            self.assertRegex(text, rb"\d+ %  00:00:0\d  \d+x real time")


if __name__ == "__main__":
    unittest.main()
