#!/usr/bin/env python3
"""The command `tessera` from outside: every verb, flag and exit code, pipes, and bad days.

Usage: test_cli.py BUILD_BIN [unittest options]
"""

import array
import contextlib
import json
import math
import os
import pathlib
import pty
import random
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import wave

BIN = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build/bin").resolve()
SOURCE = pathlib.Path(__file__).resolve().parent.parent
SPEECH = SOURCE / "tests/data/speech.flac"
MODEL = SOURCE / "weights/tessera-24k-speech.safetensors"
HOP, RATE = 320, 24000
OK, FAILED, USAGE, BAD_MODEL, IO, INTERRUPTED = 0, 1, 2, 3, 4, 130


def times_real_time():
    """The speed of this build: with sanitizers or without vector kernels it is below 10."""
    bench = [BIN / "tessera", "bench", "--json", "--seconds", "1", "--runs", "1"]
    return json.loads(subprocess.run(bench, stdout=subprocess.PIPE).stdout)["encode"]["times_real_time"]


def environment(**more):
    plain = {k: v for k, v in os.environ.items() if not k.startswith("TESSERA_")}
    return {**plain, **more}


def tone(n_samples, channels=1, rate=RATE, seed=1):
    """Frames of a voiced-like sound as floats [n][channels], each channel another pitch."""
    noise = random.Random(seed)
    return [[0.3 * math.sin(2 * math.pi * (110 + 20 * c) * t / rate) * (1 + math.sin(9 * t / rate)) / 2
             + 0.02 * noise.uniform(-1, 1) for c in range(channels)] for t in range(n_samples)]


def pcm16(frames):
    return array.array("h", (round(32767 * x) for frame in frames for x in frame)).tobytes()


def float_wav(frames, rate=RATE):
    channels = len(frames[0])
    data = array.array("f", (x for frame in frames for x in frame)).tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 3,
                       channels, rate, rate * 4 * channels, 4 * channels, 32, b"data", len(data))
    return head + data


SLOW = times_real_time() < 10


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def path(self, name):
        return self.folder / name

    def run_it(self, *words, exit_code=OK, stdin=b"", stdout=subprocess.PIPE, env=None, **more):
        """Runs tessera; a failure must be one line on standard error that starts as ours do."""
        done = subprocess.run([BIN / "tessera", *map(str, words)], input=stdin, stdout=stdout,
                              stderr=subprocess.PIPE, cwd=self.folder, timeout=300,
                              env=environment(**(env or {})), **more)
        text = done.stderr.decode()
        self.assertEqual(done.returncode, exit_code, text)
        if exit_code not in (OK, INTERRUPTED):
            lines = [line for line in text.splitlines()
                     if " down to " not in line and "resampling" not in line]
            self.assertEqual(len(lines), 1, text)
            self.assertTrue(lines[0].startswith("tessera: "), text)
        done.text = text
        return done

    def fails(self, exit_code, *words, says=(), **more):
        done = self.run_it(*words, exit_code=exit_code, **more)
        for what in says:
            self.assertIn(str(what), done.text)
        self.assertEqual([p.name for p in self.folder.iterdir() if "tessera-" in p.name], [])
        return done

    def wav(self, name="in.wav", n=RATE, channels=1, rate=RATE):
        with wave.open(str(self.path(name)), "wb") as f:
            f.setnchannels(channels)
            f.setsampwidth(2)
            f.setframerate(rate)
            f.writeframes(pcm16(tone(n, channels, rate)))
        return self.path(name)

    def coded(self, name="in.tess", n=RATE, **more):
        self.run_it("encode", "-q", "-f", self.wav(n=n, **more), name)
        return self.path(name)

    def read_wav(self, name):
        with wave.open(str(self.path(name))) as f:
            return f.getframerate(), f.getnchannels(), f.getnframes(), f.readframes(f.getnframes())

    def info(self, name):
        return json.loads(self.run_it("info", "--json", name).stdout)


class Words(Case):
    def test_help_and_version(self):
        for words in (["--help"], ["-h"]):
            out = self.run_it(*words).stdout.decode()
            for verb in ("encode", "decode", "info", "verify", "bench", "models"):
                self.assertIn(verb, out)
                self.assertIn("--json", self.run_it(verb, "--help").stdout.decode())
        for words in (["--version"], ["-V"], ["encode", "-V"]):
            self.assertRegex(self.run_it(*words).stdout.decode(), r"^tessera \d+\.\d+\.\d+\n$")

    def test_usage(self):
        self.assertEqual(subprocess.run([BIN / "tessera"], stderr=subprocess.DEVNULL).returncode, USAGE)
        self.fails(USAGE, "sing", says=["sing"])
        self.fails(USAGE, "encode", says=["encode IN [OUT]"])
        self.fails(USAGE, "encode", "a", "b", "c")
        self.fails(USAGE, "encode", "--sing", "a", says=["--sing"])
        self.fails(USAGE, "encode", "--threads", "many", "a", says=["--threads", "64"])
        self.fails(USAGE, "encode", "-t", "65", "a", says=["64"])
        self.fails(USAGE, "encode", "--codebooks", "1.5", "a", says=["whole"])
        self.fails(USAGE, "models", "sing")
        wav = self.wav()
        self.fails(USAGE, "encode", "--format", "mp3", wav, says=["npy"])
        self.fails(USAGE, "encode", "--raw-rate", "8000", wav, says=["--raw"])
        self.fails(USAGE, "encode", "--raw", "--raw-bits", "12", wav, says=["24"])
        self.fails(USAGE, "encode", "--kernel", "abacus", wav, says=["scalar"])
        self.fails(USAGE, "encode", "--save-hash", "-", wav, "-")
        self.fails(USAGE, "decode", "--rate", "slow", self.coded(), "x.wav", says=["source"])

    def test_rates_are_listed(self):
        wav = self.wav()
        for words in (["-b", "2"], ["--codebooks", "3"], ["--codebooks", "2", "-b", "3"]):
            self.fails(USAGE, "encode", *words, wav, says=["2 (1.5 kbit/s)", "4 (3 kbit/s)"])


class Encode(Case):
    def test_names_and_summary(self):
        wav = self.wav("a.b.wav")
        done = self.run_it("encode", wav)
        self.assertRegex(done.text, r"75 frames, 1\.00 s, [\d.]+ kbit/s, [\d.]+x real time, [\d.]+ MB")
        info = self.info("a.b.tess")
        self.assertEqual((info["n_frames"], info["n_samples"], info["n_codebooks"]), (75, RATE, 4))
        self.assertEqual((info["complete"], info["model"]), (True, "tessera-24k-speech"))
        self.assertEqual(self.run_it("encode", "-q", wav, "b.tess").text, "")
        self.assertIn("kernels", self.run_it("encode", "-v", wav, "c.tess").text)

    def test_json_summary(self):
        wav = self.wav()
        summary = json.loads(self.run_it("encode", "--json", wav).stdout)
        self.assertEqual((summary["frames"], summary["samples"]), (75, RATE))
        self.assertGreater(summary["times_real_time"], 0)
        self.assertGreater(summary["peak_memory_bytes"], 1e6)
        done = self.run_it("encode", "--json", wav, "-")
        self.assertEqual(json.loads(done.text)["frames"], 75)
        self.assertEqual(done.stdout[:4], b"TESS")

    def test_same_bytes_by_every_way(self):
        """File, pipe, raw, more threads, other kernels, hop by hop: one result."""
        wav = self.wav(n=RATE + 123)
        self.run_it("encode", wav, "a.tess")
        expected = self.path("a.tess").read_bytes()
        raw = self.read_wav("in.wav")[3]
        ways = [
            (["encode", wav, "-"], b""),
            (["encode", "-", "-"], wav.read_bytes()),
            (["encode", "-"], wav.read_bytes()),
            (["encode", "--raw", "--raw-rate", RATE, "--raw-chan", 1, "--raw-bits", 16, "-"], raw),
            (["encode", "-t", "2", wav, "-"], b""),
            (["encode", "-m", MODEL, wav, "-"], b""),
            (["encode", "-m", "tessera-24k-speech", wav, "-"], b""),
            (["encode", "--codebooks", "4", wav, "-"], b""),
            (["encode", "--n-quantizers", "4", wav, "-"], b""),
            (["encode", "-b", "3", wav, "-"], b""),
            (["encode", "--save-hash", self.path("hash"), wav, "-"], b""),
            (["encode", "--kernel", "scalar", wav, "-"], b""),
        ]
        for words, stdin in ways:
            self.assertEqual(self.run_it(*words, stdin=stdin).stdout, expected, words)

    def test_piecewise_pipe(self):
        """Samples cut anywhere by a slow pipe."""
        wav = self.wav(n=4000)
        self.run_it("encode", wav, "a.tess")
        whole = wav.read_bytes()
        process = subprocess.Popen([BIN / "tessera", "encode", "-q", "-", "-"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, env=environment())
        at, sizes = 0, random.Random(7)
        while at < len(whole):
            n = sizes.randint(1, 777)
            process.stdin.write(whole[at:at + n])
            process.stdin.flush()
            at += n
        out = process.communicate()[0]
        self.assertEqual(out, self.path("a.tess").read_bytes())

    def test_raw_formats(self):
        """What 8, 24 and 32 bits say exactly, 16 bits of the same values say too."""
        values = [((37 * t) % 200 - 100) for t in range(2000)]
        expected = self.run_it("encode", "--raw", "--raw-rate", RATE, "--raw-chan", 1, "-",
                               stdin=struct.pack("<2000h", *(v << 8 for v in values))).stdout
        others = {
            8: bytes(v + 128 for v in values),
            24: b"".join((v << 16).to_bytes(3, "little", signed=True) for v in values),
            32: struct.pack("<2000f", *(v / 128 for v in values)),
        }
        for bits, data in others.items():
            out = self.run_it("encode", "--raw", "--raw-rate", RATE, "--raw-chan", 1, "--raw-bits",
                              bits, "-", stdin=data).stdout
            self.assertEqual(out, expected, bits)
        self.path("x.raw").write_bytes(others[24])
        out = self.run_it("encode", "--raw", "--raw-rate", RATE, "--raw-chan", 1, "--raw-bits", 24,
                          "x.raw", "-").stdout
        self.assertEqual(out, expected)
        self.fails(FAILED, "encode", "--raw", "--raw-chan", 2, "-", stdin=b"123", says=["sample"])

    def test_half_rate_is_a_prefix(self):
        wav = self.wav()
        for k, words in ((4, []), (2, ["-b", "1.5"])):
            self.run_it("encode", *words, "--format", "json", wav, f"{k}.json")
        full, half = (json.loads(self.path(f"{k}.json").read_text()) for k in (4, 2))
        self.assertEqual(half["audio_codes"], full["audio_codes"][:2])

    def test_formats_agree(self):
        wav = self.wav(n=10000)
        for name in ("a.json", "a.npy"):  # the suffix says the format
            self.run_it("encode", wav, name)
        text = json.loads(self.path("a.json").read_text())
        self.assertEqual({k: text[k] for k in list(text)[:6]},
                         {"model": "tessera-24k-speech", "sample_rate": RATE, "n_samples": 10000,
                          "n_frames": 32, "n_codebooks": 4, "layout": "KT"})
        npy = self.path("a.npy").read_bytes()
        self.assertEqual(npy[:8], b"\x93NUMPY\x01\x00")
        n_head = 10 + int.from_bytes(npy[8:10], "little")
        self.assertEqual(n_head % 64, 0)
        self.assertIn(b"{'descr': '<u2', 'fortran_order': False, 'shape': (32, 4), }", npy[:n_head])
        rows = struct.unpack("<128H", npy[n_head:])
        self.assertEqual([list(rows[k::4]) for k in range(4)], text["audio_codes"])
        self.assertEqual(self.run_it("encode", "--format", "npy", wav, "-").stdout, npy)
        self.assertEqual(json.loads(self.run_it("encode", "--format", "json", wav, "-").stdout), text)

    def test_lengths(self):
        for n in (0, 1, HOP - 1, HOP, HOP + 1):
            self.run_it("encode", "-f", self.wav(n=n), "a.tess")
            info = self.info("a.tess")
            self.assertEqual((info["n_samples"], info["n_frames"]), (n, -(-n // HOP)))
            self.run_it("decode", "-f", "a.tess", "a.wav")
            self.assertEqual(self.read_wav("a.wav")[2], n)
            self.run_it("encode", "-f", self.path("in.wav"), "a.json")
            self.run_it("encode", "-f", self.path("in.wav"), "a.npy")
            self.run_it("decode", "-f", "a.json", "b.wav")
            self.assertEqual(self.read_wav("b.wav"), self.read_wav("a.wav"))

    def test_empty_raw_pipe(self):
        out = self.run_it("encode", "--raw", "-", stdin=b"").stdout
        self.assertEqual(self.run_it("decode", "--raw", "-", stdin=out).stdout, b"")

    def test_mixes_down(self):
        frames = tone(RATE // 2, 8)
        self.path("8.wav").write_bytes(float_wav(frames))
        self.path("1.wav").write_bytes(float_wav([[sum(f) / 8] for f in frames]))
        done = self.run_it("encode", "8.wav")
        self.assertIn("mixing 8 channels down to 1", done.text)
        self.run_it("encode", "1.wav")
        self.assertEqual(self.run_it("verify", "8.tess", "1.tess").stdout, b"same: 38 frames\n")

    def test_resamples(self):
        for rate, n in ((192000, 100001), (8000, 4001), (44100, 30000)):
            done = self.run_it("encode", "-f", self.wav(n=n, rate=rate, channels=2), "a.tess")
            self.assertIn(f"resampling {rate} Hz to 24000 Hz", done.text)
            info = self.info("a.tess")
            self.assertEqual((info["n_source"], info["source_rate"]), (n, rate))
            self.assertEqual(info["n_samples"], -(-n * RATE // rate))
            self.run_it("decode", "-f", "a.tess", "a.wav")
            self.assertEqual(self.read_wav("a.wav")[:3], (RATE, 1, info["n_samples"]))
            self.run_it("decode", "-f", "--rate", "source", "a.tess", "a.wav")
            self.assertEqual(self.read_wav("a.wav")[:3], (rate, 1, n))
            out = self.run_it("decode", "--raw", "--rate", "source", "-",
                              stdin=self.path("a.tess").read_bytes()).stdout
            self.assertEqual(out, self.read_wav("a.wav")[3])
            self.run_it("decode", "-f", "--rate", 16000, "a.tess", "a.wav")
            self.assertEqual(self.read_wav("a.wav")[::2], (16000, -(-info["n_samples"] * 2 // 3)))

    @unittest.skipIf(SLOW, "a minute of sound takes too long with this build")
    def test_flac(self):
        self.run_it("encode", SPEECH, "a.tess")
        out = self.run_it("encode", "-", stdin=SPEECH.read_bytes()).stdout
        self.assertEqual(out, self.path("a.tess").read_bytes())
        self.assertTrue(self.info("a.tess")["complete"])

    def test_odd_wav_heads(self):
        """Through a pipe: sizes unknown, chunks in front and behind, 24 bits, extensible."""
        wav = self.wav()
        expected = self.run_it("encode", wav, "-").stdout
        plain = wav.read_bytes()
        open_ended = plain[:4] + b"\xff" * 4 + plain[8:40] + b"\xff" * 4 + plain[44:]
        junk = plain[:12] + b"JUNK" + struct.pack("<I", 5) + b"abcde\0" + plain[12:]
        behind = plain + b"LIST" + struct.pack("<I", 4) + b"abcd"
        extension = struct.pack("<HHI", 22, 16, 4) + b"\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
        extensible = plain[:16] + struct.pack("<IH", 40, 0xFFFE) + plain[22:36] + extension + plain[36:]
        for data in (open_ended, junk, behind, extensible):
            self.assertEqual(self.run_it("encode", "-", stdin=data).stdout, expected)
        wide = b"".join(b"\0" + plain[i:i + 2] for i in range(44, len(plain), 2))
        head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(wide), b"WAVE", b"fmt ", 16, 1, 1,
                           RATE, 3 * RATE, 3, 24, b"data", len(wide))
        self.assertEqual(self.run_it("encode", "-", stdin=head + wide).stdout, expected)
        late = plain[:12] + b"JUNK" + struct.pack("<I", 9000) + bytes(9000) + plain[12:]
        self.assertEqual(self.run_it("encode", "-", stdin=late).stdout, expected)
        self.assertIn("ends early", self.run_it("encode", "-", stdin=plain[:-200]).text)

    def test_not_finite(self):
        for value, name in ((math.nan, "NaN"), (math.inf, "infinite")):
            frames = tone(5000, 2)
            frames[4321][1] = value
            self.path("bad.wav").write_bytes(float_wav(frames))
            says = ["bad.wav", "sample 4321", "channel 1", name]
            self.fails(FAILED, "encode", "bad.wav", says=says)
            self.assertFalse(self.path("bad.tess").exists())
            self.fails(FAILED, "encode", "-", stdin=self.path("bad.wav").read_bytes(), says=says[1:])

    def test_bad_inputs(self):
        self.fails(FAILED, "encode", "missing.wav", says=["missing.wav", "No such file"])
        self.fails(FAILED, "encode", ".", says=["directory"])
        self.path("text.wav").write_text("this is no sound\n" * 100)
        self.fails(FAILED, "encode", "text.wav", says=["text.wav"])
        self.fails(FAILED, "encode", "-", stdin=b"this is no sound\n" * 100, says=["standard input"])
        self.fails(FAILED, "encode", "-", stdin=b"")
        self.path("two\nlines").write_text("x")
        self.fails(FAILED, "encode", "two\nlines", says=["two?lines"])

    def test_hashes(self):
        wav = self.wav(n=RATE + 100)
        for name, kernel in (("a", "scalar"), ("b", None)):
            words = ["--kernel", kernel] if kernel else []
            self.run_it("encode", "-f", *words, "--save-hash", name, wav, "x.tess")
        lines = self.path("a").read_text().splitlines()
        self.assertRegex(lines[0], r"^# tessera hashes, model [0-9a-f]{16}, 4 codebooks$")
        self.assertEqual([int(line.split()[0]) for line in lines[1:]], list(range(76)))
        self.assertRegex(lines[1], r"^0 [0-9a-f]{16} [0-9a-f]{16}$")
        self.assertEqual(self.run_it("verify", "a", "b").stdout, b"same: 76 frames\n")
        # The same sound at twice the rate comes in blocks of another size: same state after a hop?
        self.run_it("encode", "-f", "--save-hash", "c", "-", "x.tess", stdin=wav.read_bytes())
        self.assertEqual(self.path("a").read_bytes(), self.path("c").read_bytes())


class Decode(Case):
    def test_ways_out(self):
        tess = self.coded(n=RATE + 123)
        self.run_it("decode", "-f", tess)
        rate, channels, n, expected = self.read_wav("in.wav")
        self.assertEqual((rate, channels, n), (RATE, 1, RATE + 123))
        self.assertGreater(max(array.array("h", expected)), 1000)
        self.assertEqual(self.run_it("decode", "--raw", tess, "-").stdout, expected)
        self.assertEqual(self.run_it("decode", "--raw", "-t", 2, "--kernel", "scalar", tess, "-").stdout,
                         expected)
        self.run_it("decode", "--raw", tess)
        self.assertEqual(self.path("in.raw").read_bytes(), expected)
        out = self.run_it("decode", tess, "-").stdout  # the length is known: a complete head
        self.assertEqual(out[44:], expected)
        self.path("piped.wav").write_bytes(out)
        self.assertEqual(self.read_wav("piped.wav")[2], n)
        out = self.run_it("decode", "-", stdin=tess.read_bytes()).stdout
        self.assertEqual(out[:8], b"RIFF\xff\xff\xff\xff")
        self.assertEqual(out[40:44], b"\xff\xff\xff\xff")
        self.assertEqual(out[44:], expected)
        self.run_it("decode", "-", "piped.wav", "-f", stdin=tess.read_bytes())
        self.assertEqual(self.read_wav("piped.wav"), self.read_wav("in.wav"))

    def test_float(self):
        tess = self.coded()
        plain = array.array("h", self.run_it("decode", "--raw", tess, "-").stdout)
        exact = array.array("f", self.run_it("decode", "--raw", "--float", tess, "-").stdout)
        self.assertEqual([max(-32768, min(32767, round(32768 * x))) for x in exact], list(plain))
        self.run_it("decode", "--float", tess, "f.wav")
        data = self.path("f.wav").read_bytes()
        self.assertEqual(struct.unpack("<HHI", data[20:28]), (3, 1, RATE))
        self.assertEqual(data[-4 * RATE:], exact.tobytes())
        out = self.run_it("decode", "--float", tess, "-").stdout
        self.assertEqual(struct.unpack("<HHI", out[20:28]), (3, 1, RATE))
        self.assertEqual(out[58:], exact.tobytes())

    def test_decoded_again(self):
        """What we write we can read: WAV through a pipe, both formats."""
        tess = self.coded()
        for words in ([], ["--float"]):
            self.run_it("decode", *words, "-", "x.wav", "-f", stdin=tess.read_bytes())
            out = self.run_it("decode", *words, "-", stdin=tess.read_bytes()).stdout
            self.assertEqual(self.run_it("encode", "-", stdin=out).stdout,
                             self.run_it("encode", "x.wav", "-").stdout)

    def test_saturates(self):
        loud = [[20 * x[0]] for x in tone(RATE)]
        self.path("loud.wav").write_bytes(float_wav(loud))
        self.run_it("encode", "loud.wav")
        exact = array.array("f", self.run_it("decode", "--raw", "--float", "loud.tess", "-").stdout)
        self.assertGreater(max(exact), 1)
        plain = array.array("h", self.run_it("decode", "--raw", "loud.tess", "-").stdout)
        for x, y in zip(exact, plain):
            self.assertEqual(y, max(-32768, min(32767, round(32768 * x))))

    def test_summary(self):
        tess = self.coded()
        summary = json.loads(self.run_it("decode", "--json", tess, "a.wav").stdout)
        self.assertEqual((summary["frames"], summary["samples"]), (75, RATE))
        self.assertRegex(self.run_it("decode", tess, "b.wav").text, "75 frames")
        self.assertEqual(self.run_it("decode", "-q", tess, "c.wav").text, "")
        self.assertEqual(json.loads(self.run_it("decode", "--json", tess, "-").text)["frames"], 75)

    def test_npy_and_json(self):
        wav = self.wav(n=3200)
        for name in ("a.tess", "a.npy", "a.json"):
            self.run_it("encode", wav, name)
        expected = self.run_it("decode", "--raw", "a.tess", "-").stdout
        model = ["-m", MODEL]
        for name in ("a.npy", "a.json"):
            data = self.path(name).read_bytes()
            self.assertEqual(self.run_it("decode", "--raw", *model, name, "-").stdout, expected)
            self.assertEqual(self.run_it("decode", "--raw", *model, "-", stdin=data).stdout, expected)
        self.assertEqual(self.run_it("decode", "--raw", "a.json", "-").stdout, expected)
        self.fails(USAGE, "decode", "a.npy", says=["-m"])
        self.run_it("decode", "a.npy", env={"TESSERA_MODEL": "tessera-24k-speech"})
        codes = json.loads(self.path("a.json").read_text())
        codes["layout"], codes["audio_codes"] = "TK", list(map(list, zip(*codes["audio_codes"])))
        self.path("tk.json").write_text(json.dumps(codes))
        self.assertEqual(self.run_it("decode", "--raw", "tk.json", "-").stdout, expected)

    def test_bad_json(self):
        self.run_it("encode", self.wav(n=640), "a.json")
        good = json.loads(self.path("a.json").read_text())
        bad = [
            {**good, "audio_codes": good["audio_codes"][:3]},
            {**good, "audio_codes": [row[:k] for k, row in enumerate(good["audio_codes"])]},
            {**good, "audio_codes": [[1.5, 2]] * 4}, {**good, "audio_codes": [["a", 2]] * 4},
            {**good, "audio_codes": [[1e300, 2]] * 4}, {**good, "audio_codes": [[1024, 2]] * 4},
            {**good, "audio_codes": [[-1, 2]] * 4}, {**good, "audio_codes": 7},
            {**good, "n_samples": 641}, {**good, "layout": "flat"}, {**good, "n_samples": 2**52},
        ]
        for codes in bad:
            self.path("bad.json").write_text(json.dumps(codes))
            self.fails(FAILED, "decode", "bad.json", "x.wav", says=["bad.json"])
            self.assertFalse(self.path("x.wav").exists())
        for text in ("{", "[1]", '{"a":1} x', "{" * 5000, '{"audio_codes":[[1]]'):
            self.path("bad.json").write_text(text)
            self.fails(FAILED, "decode", "-m", MODEL, "bad.json", "x.wav", says=["bad.json"])
        self.path("bad.json").write_text(json.dumps({**good, "model": "other"}))
        self.fails(BAD_MODEL, "decode", "-m", MODEL, "bad.json", says=["other", "tessera-24k-speech"])

    def test_bad_npy(self):
        self.run_it("encode", self.wav(n=640), "a.npy")
        good = self.path("a.npy").read_bytes()
        bad = [good[:-1], good + b"x", good[:9], good[:60], good.replace(b"'<u2'", b"'>u2'"),
               good.replace(b"False", b"True "), good.replace(b"(2, 4)", b"(2,)  "),
               good.replace(b"(2, 4)", b"(4, 2)"), good.replace(b"(2, 4)", b"(9, 4)"),
               good.replace(b"(2, 4)", b"(8, 1)"), good[:6] + b"\x04" + good[7:],
               good[:-2] + b"\xff\xff"]
        for i, data in enumerate(bad):
            self.path("bad.npy").write_bytes(data)
            with self.subTest(i):
                if i == 7:  # four frames of two codes: legal
                    self.run_it("decode", "-m", MODEL, "bad.npy", "y.wav")
                else:
                    self.fails(FAILED, "decode", "-m", MODEL, "bad.npy", "x.wav", says=["bad.npy"])
                self.assertFalse(self.path("x.wav").exists())

    def test_cut_files(self):
        good = self.coded(n=5 * HOP).read_bytes()
        for n in range(len(good)):
            self.path("cut.tess").write_bytes(good[:n])
            self.fails(FAILED, "decode", "cut.tess", "x.wav", says=["cut.tess"])
            self.assertFalse(self.path("x.wav").exists())
        self.fails(FAILED, "decode", "-", stdin=good[:-20], says=["standard input"])

    def test_flipped_bytes(self):
        good = self.coded(n=5 * HOP).read_bytes()
        for i in range(0, len(good), 3):
            bad = bytearray(good)
            bad[i] ^= 0x10
            self.path("flip.tess").write_bytes(bad)
            self.fails(FAILED, "decode", "flip.tess", "x.wav", says=["flip.tess"])
            self.assertFalse(self.path("x.wav").exists())

    def test_pipe_is_decoded_up_to_the_damage(self):
        good = self.coded(n=5 * RATE).read_bytes()
        done = self.fails(FAILED, "decode", "--raw", "-", stdin=good[:len(good) - 300])
        expected = self.run_it("decode", "--raw", "-", stdin=good).stdout
        self.assertGreater(len(done.stdout), 2 * RATE)
        self.assertTrue(expected.startswith(done.stdout))


class Models(Case):
    def retrained(self, name="retrained.safetensors"):
        """Another model: the default one under another name, so with another fingerprint."""
        data = MODEL.read_bytes()
        n = int.from_bytes(data[:8], "little")
        head = data[8:8 + n].replace(b'"tessera-24k-speech"', b'"tessera-24k-singer"')
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
        self.assertEqual(self.info("o.tess")["model"], "tessera-24k-singer")
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


class Looking(Case):
    def test_info(self):
        tess = self.coded(n=RATE + 1, rate=RATE)
        text = self.run_it("info", tess).stdout.decode()
        for what in ("in.tess", "complete     yes", "tessera-24k-speech", "24001", "76 of 4 codes"):
            self.assertIn(what, text)
        info = json.loads(self.run_it("info", "--json", "-", stdin=tess.read_bytes()).stdout)
        self.assertEqual(info["bytes"], tess.stat().st_size)
        self.assertAlmostEqual(info["duration"], (RATE + 1) / RATE)
        self.assertAlmostEqual(info["kbit_per_second"], 8e-3 * info["bytes"] / info["duration"])
        shown = json.loads(self.run_it("models", "show", "--json", MODEL).stdout)
        self.assertEqual(info["fingerprint"], shown["sha256"][:16])
        both = self.run_it("info", "--json", tess, tess).stdout.splitlines()
        self.assertEqual(len(both), 2)

    def test_info_of_a_cut_file(self):
        tess = self.coded(n=5 * RATE)
        self.path("cut.tess").write_bytes(tess.read_bytes()[:-300])
        done = self.fails(FAILED, "info", "--json", "cut.tess", says=["cut.tess"])
        info = json.loads(done.stdout)
        self.assertEqual((info["complete"], info["n_samples"]), (False, None))
        self.assertTrue(0 < info["n_frames"] < 375)
        self.fails(FAILED, "info", self.path("in.wav"), says=["in.wav"])

    def test_verify_names_the_frame(self):
        n, at = 2 * RATE, RATE  # the second halves differ
        frames = tone(n)
        self.path("a.wav").write_bytes(float_wav(frames))
        self.path("b.wav").write_bytes(float_wav(frames[:at] + [[-0.5 * f[0]] for f in frames[at:]]))
        self.path("c.wav").write_bytes(float_wav(frames[:at]))
        for name in "abc":
            self.run_it("encode", f"{name}.wav", "--save-hash", f"{name}.hash")
        first = at // HOP  # causal: not before, and the sound is another at once
        for suffix in ("hash", "tess"):
            self.fails(FAILED, "verify", f"a.{suffix}", f"b.{suffix}", says=[f"frame {first} "])
            self.fails(FAILED, "verify", f"a.{suffix}", f"c.{suffix}", says=[f"frame {first} ", "length"])
            self.run_it("verify", f"a.{suffix}", f"a.{suffix}")
        done = self.fails(FAILED, "verify", "--json", "a.tess", "b.tess")
        self.assertEqual(json.loads(done.stdout), {"same": False, "frame": first, "differs": "tokens"})
        done = self.run_it("verify", "--json", "a.tess", "a.tess")
        self.assertEqual(json.loads(done.stdout), {"same": True, "n_frames": n // HOP})
        self.fails(FAILED, "verify", "a.tess", "a.hash")
        self.fails(FAILED, "verify", "a.wav", "a.wav", says=["hashes"])
        self.fails(FAILED, "verify", "a.tess", "missing")

    def test_verify_state(self):
        self.run_it("encode", self.wav(), "--save-hash", "a")
        lines = self.path("a").read_text().splitlines()
        fields = lines[11].split()
        lines[11] = f"{fields[0]} {fields[1]} {'0' * 16}"
        self.path("b").write_text("\n".join(lines) + "\n")
        self.fails(FAILED, "verify", "a", "b", says=["frame 10 ", "state"])

    def test_bench(self):
        words = ["bench", "--seconds", 1, "--runs", 1]
        result = json.loads(self.run_it(*words, "--json").stdout)
        for key in ("encode", "decode", "encode_stream", "decode_stream"):
            self.assertGreater(result[key]["times_real_time"], 0)
            self.assertGreater(result[key]["of_peak"], 0)
        self.assertGreater(result["peak_gflops"], 0)
        self.assertGreater(result["microseconds_a_frame"]["encoder"], 0)
        self.assertLess(result["peak_memory_bytes"], 200e6)
        text = self.run_it(*words, "--codebooks", 2, self.wav(rate=16000)).stdout.decode()
        for what in ("x real time", "GFLOP/s", "synthesis", "peak memory"):
            self.assertIn(what, text)


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

    @unittest.skipIf(SLOW, "ten minutes of sound take too long with this build")
    def test_constant_memory(self):
        """Twenty times the sound, the same memory: within 5 %, of what the allocator rounds."""
        peaks = {"encode": [], "decode": []}
        second = pcm16(tone(RATE))
        for n in (30, 600):
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
