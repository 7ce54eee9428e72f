#!/usr/bin/env python3
"""The command `tessera` from outside: its verbs, flags and formats, through files and pipes.

Usage: test_cli.py BUILD_BIN [unittest options]
"""

import array
import json
import math
import random
import struct
import subprocess
import unittest

from cli import (BAD_MODEL, BIN, FAILED, HOP, MODEL, RATE, SPEECH, USAGE, Case,
                 environment, float_wav, tone)


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
        self.assertEqual((info["complete"], info["model"]), (True, "tessera-24k-speech-int8"))
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
            (["encode", "-m", "tessera-24k-speech-int8", wav, "-"], b""),
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
        self.path("odd.raw").write_bytes(bytes(1001))
        for name, data in ("-", bytes(1001)), ("odd.raw", None):
            self.fails(FAILED, "encode", "--raw", "--raw-chan", 1, name, "odd.tess", stdin=data, says=["inside a sample"])

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
                         {"model": "tessera-24k-speech-int8", "sample_rate": RATE, "n_samples": 10000,
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
        frames = [array.array("f", frame) for frame in tone(RATE // 2, 8)]  # as the file will hold them
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
        for cut in (200, 201):  # the second inside a sample
            self.path("cut.wav").write_bytes(plain[:-cut])
            for name, data in ("cut.wav", None), ("-", plain[:-cut]):
                self.assertIn("ends early, after 23900 of 24000" if cut == 200 else "ends early, after 23899 of 24000",
                              self.run_it("encode", "-f", name, "cut.tess", stdin=data).text)
        self.fails(FAILED, "encode", "-", "x.tess", stdin=open_ended[:-201], says=["inside a sample"])
        for size in 0x7FFFEFFE, 0x80000002, 0xC0000000, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFF000:
            known = size in (0x7FFFEFFE, 0x80000002, 0xC0000000)
            sized = plain[:40] + struct.pack("<I", size) + plain[44:]
            self.path("sized.wav").write_bytes(sized)
            for name, data in ("sized.wav", None), ("-", sized):
                text = self.run_it("encode", "-f", name, "sized.tess", stdin=data).text
                self.assertEqual(f"ends early, after 24000 of {size // 2}" in text, known, hex(size))

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
        # A pipe brings blocks of other sizes; the state after each frame stays the same.
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
        self.run_it("decode", "a.npy", env={"TESSERA_MODEL": "tessera-24k-speech-int8"})
        codes = json.loads(self.path("a.json").read_text())
        codes["layout"], codes["audio_codes"] = "TK", list(map(list, zip(*codes["audio_codes"])))
        self.path("tk.json").write_text(json.dumps(codes))
        self.assertEqual(self.run_it("decode", "--raw", "tk.json", "-").stdout, expected)

    def test_more_frames_than_samples(self):
        self.run_it("encode", self.wav(n=3200), "a.json")
        expected = self.run_it("decode", "--raw", "a.json", "-").stdout
        codes = json.loads(self.path("a.json").read_text())
        for n in (1300, 1, 0):
            self.path("cut.json").write_text(json.dumps({**codes, "n_samples": n}))
            self.assertEqual(self.run_it("decode", "--raw", "cut.json", "-").stdout, expected[:2 * n])

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
        wrong = {"model": [7, None], "layout": [1, None, "kt"], "n_samples": ["640", -1, 1.5, None],
                 "sample_rate": ["24000", 0], "n_frames": ["2", 1, 3, -2], "n_codebooks": ["4", 2, 0, None]}
        for name, values in wrong.items():
            for value in values:
                self.path("bad.json").write_text(json.dumps({**good, name: value}))
                self.fails(FAILED, "decode", "-m", MODEL, "bad.json", "x.wav", says=["bad.json", name])
        for text in ("{", "[1]", '{"a":1} x', "{" * 5000, '{"audio_codes":[[1]]'):
            self.path("bad.json").write_text(text)
            self.fails(FAILED, "decode", "-m", MODEL, "bad.json", "x.wav", says=["bad.json"])
        self.path("bad.json").write_text(json.dumps({**good, "model": "other"}))
        self.fails(BAD_MODEL, "decode", "-m", MODEL, "bad.json", says=["other", "tessera-24k-speech-int8"])

    def test_bad_npy(self):
        self.run_it("encode", self.wav(n=640), "a.npy")
        good = self.path("a.npy").read_bytes()
        bad = [good[:-1], good + b"x", good[:9], good[:60], good.replace(b"'<u2'", b"'>u2'"),
               good.replace(b"False", b"True "), good.replace(b"(2, 4)", b"(2,)  "),
               good.replace(b"(2, 4)", b"(4, 2)"), good.replace(b"(2, 4)", b"(9, 4)"),
               good.replace(b"(2, 4)", b"(8, 1)"), good[:6] + b"\x04" + good[7:],
               good[:-2] + b"\xff\xff", good.replace(b"(2, 4), }   ", b"(2, 4, 1), }")]
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


class Looking(Case):
    def test_info(self):
        tess = self.coded(n=RATE + 1, rate=RATE)
        text = self.run_it("info", tess).stdout.decode()
        for what in ("in.tess", "complete     yes", "tessera-24k-speech-int8", "24001", "76 of 4 codes"):
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
        self.assertEqual((info["bytes"], info["kbit_per_second"]), (self.path("cut.tess").stat().st_size, None))
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
        self.fails(FAILED, "verify", "a.tess", "a.hash", says=["a.tess", "a.hash", "only one"])
        self.fails(FAILED, "verify", "a.hash", "missing", says=["missing: No such file"])
        self.fails(FAILED, "verify", "a.hash", "a.wav", says=["a.wav: not a file of hashes"])
        for name in ("a.tess", "a.hash"):
            for arguments in ((name, "-"), ("-", name)):
                self.run_it("verify", *arguments, stdin=self.path(name).read_bytes())
        self.fails(USAGE, "verify", "-", "-", says=["both"])
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
        for key in ("peak_gflops", "peak_int8_gops"):
            self.assertGreater(result[key], 0)
        self.assertGreater(result["microseconds_a_frame"]["encoder"], 0)
        self.assertLess(result["peak_memory_bytes"], 200e6)
        text = self.run_it(*words, "--codebooks", 2, self.wav(rate=16000)).stdout.decode()
        for what in ("x real time", "GFLOP/s", "synthesis", "peak memory"):
            self.assertIn(what, text)


if __name__ == "__main__":
    unittest.main()
