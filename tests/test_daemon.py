#!/usr/bin/env python3
"""tesserad's native protocol, from outside: what comes back is bit for bit what the command gives.

Usage: test_daemon.py BUILD [unittest's arguments]
"""

import array
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest

from daemon import (CODES, CREDIT, END, FLUSH, HELLO, LOST, OPEN, PCM, PING, PONG, READY, Closed, Daemon,
                    ServerError, message)

HOP = 320
RATE = 24000
SPEECH = os.path.join(os.path.dirname(__file__), "data", "speech.flac")
build = None


def tessera(*words, data=None):
    """What the command writes to standard output."""
    return subprocess.run([f"{build}/bin/tessera", *words], input=data, check=True,
                          stdout=subprocess.PIPE).stdout


def encode(pcm, *options):
    """The command's codes, u16 [T][K]."""
    npy = tessera("encode", "-q", "--format", "npy", "--raw", *options, "-", "-", data=pcm)
    return npy[10 + struct.unpack("<H", npy[8:10])[0]:]


class Reference:
    """120 hops of speech, and what the command makes of them."""

    def __init__(self):
        with tempfile.TemporaryDirectory() as folder:
            tess = os.path.join(folder, "x.tess")
            tessera("encode", "-q", SPEECH, tess)
            self.pcm = tessera("decode", "-q", "--raw", tess, "-")[:2 * 120 * HOP]
        self.raw = "--raw-rate", str(RATE), "--raw-chan", "1"
        self.codes = encode(self.pcm, *self.raw)
        self.half = encode(self.pcm, *self.raw, "--codebooks", "2")
        tess = tessera("encode", "-q", "--raw", *self.raw, "-", "-", data=self.pcm)
        self.audio = tessera("decode", "-q", "--raw", "-", "-", data=tess)
        self.floats = tessera("decode", "-q", "--raw", "--float", "-", "-", data=tess)
        self.wide = tessera("decode", "-q", "--raw", "--rate", "48000", "-", "-", data=tess)


def setUpModule():
    global reference
    reference = Reference()


class WithDaemon(unittest.TestCase):
    """One daemon for a class, a connection a test; each test ends with the daemon in good health."""
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon(build, *cls.options))

    def setUp(self):
        self.client = self.daemon.connect()
        self.addCleanup(self.client.close)

    def tearDown(self):
        if self.daemon.process.poll() is None:
            check_health(self.daemon)


def check_health(daemon):
    """A new client's tokens are right."""
    client = daemon.connect()
    stream = client.open(9, direction="encode")
    stream.pcm(reference.pcm[:2 * 10 * HOP])
    stream.end()
    assert stream.finish().codes == reference.codes[:10 * 8]
    client.close()


class Handshake(WithDaemon):
    def test_ready(self):
        ready = self.client.ready
        self.assertEqual(ready["protocol"], 1)
        self.assertFalse(ready["draining"])
        model = ready["models"][0]
        self.assertEqual((model["name"], model["sample_rate"], model["hop"], model["codebooks"],
                          model["entries"]), ("tessera-24k-speech-int8", RATE, HOP, 4, 1024))
        self.assertEqual(len(model["sha256"]), 64)

    def test_unix(self):
        client = self.daemon.connect(unix=True)
        self.assertEqual(client.ready, self.client.ready)
        self.assertEqual(os.stat(self.daemon.unix).st_mode & 0o777, 0o660)
        client.close()

    def refused(self, data, code=400):
        client = self.daemon.connect(hello=False)
        client.send_bytes(data)
        with self.assertRaises(ServerError) as raised:
            client.next(0)
        self.assertEqual((raised.exception.stream, raised.exception.code), (0, code))
        with self.assertRaises(Closed):
            client.receive()
        client.close()

    def test_refused(self):
        self.refused(message(HELLO, 0, {"protocol": 2}))
        self.refused(message(HELLO, 0, {}))
        self.refused(message(HELLO, 0, {"protocol": "1"}))
        self.refused(message(HELLO, 0, {"protocol": 1, "key": 5}))
        self.refused(message(HELLO, 0, b"{\"protocol\":1} x"))
        self.refused(message(HELLO, 0, b"[]"))
        self.refused(message(HELLO, 1, {"protocol": 1}))
        self.refused(message(OPEN, 1, {"direction": "encode"}))
        self.refused(message(READY, 0, {}))
        self.refused(message(PCM, 1, b"1234"))
        self.refused(message(HELLO, 0, {"protocol": 1, "x": []})[:-2] + b"[" * 20, 400)

    def test_hello_twice(self):
        self.client.send(HELLO, 0, {"protocol": 1})
        with self.assertRaises(ServerError):
            self.client.next(0)

    def test_ping(self):
        self.client.send(PING, 0, b"any bytes")
        self.assertEqual(self.client.next(0), (PONG, b"any bytes"))

    def test_extension_ignored(self):
        self.client.send_bytes(message(0x80, 3, b"x" * 1000) + message(0xff))
        self.client.send(PING, 0, b"")
        self.assertEqual(self.client.next(0), (PONG, b""))


class Equality(WithDaemon):
    def encoded(self, pcm, piece=4096, number=1, **words):
        stream = self.client.open(number, direction="encode", **words)
        stream.pcm(pcm, piece)
        stream.end()
        return stream.finish()

    def decoded(self, codes, piece=400, **words):
        stream = self.client.open(1, direction="decode", **words)
        stream.put_codes(codes, piece)
        stream.end()
        return stream.finish()

    def test_encode(self):
        for piece in (640, 2, 642, 48000):
            pcm = reference.pcm if piece > 2 else reference.pcm[:2 * 3000]
            n, whole = len(pcm), len(pcm) // (2 * HOP)
            stream = self.encoded(pcm, piece)
            frames = -(-n // (2 * HOP))
            self.assertEqual(stream.codes[:8 * whole], reference.codes[:8 * whole])
            self.assertEqual(len(stream.codes), 8 * frames)
            self.assertEqual(stream.stats["encode"]["samples"], n // 2)
            self.assertEqual(stream.stats["encode"]["frames"], frames)

    def test_encode_half_rate(self):
        self.assertEqual(self.encoded(reference.pcm, codebooks=2).codes, reference.half)

    def test_encode_float(self):
        values = array.array("h", reference.pcm)
        floats = array.array("f", (v / 32768 for v in values)).tobytes()
        self.assertEqual(self.encoded(floats, format="f32le").codes, reference.codes)

    def test_encode_bulk(self):
        self.assertEqual(self.encoded(reference.pcm, bulk=True).codes, reference.codes)

    def test_encode_other_rate_and_channels(self):
        for rate, channels in ((48000, 2), (16000, 1), (44100, 2)):
            pcm = reference.pcm[:len(reference.pcm) // (2 * channels) * 2 * channels]
            want = encode(pcm, "--raw-rate", str(rate), "--raw-chan", str(channels))
            for piece in (4096, 300 * 2 * channels):
                got = self.encoded(pcm, piece, rate=rate, channels=channels).codes
                self.assertEqual(got, want, (rate, channels, piece))

    def test_decode(self):
        for piece in (8, 24, 600):
            stream = self.decoded(reference.codes, piece)
            self.assertEqual(stream.pcm_bytes, reference.audio)
            self.assertEqual(stream.stats["decode"]["samples"], len(reference.audio) // 2)

    def test_decode_float(self):
        self.assertEqual(self.decoded(reference.codes, format="f32le").pcm_bytes, reference.floats)

    def test_decode_other_rate_and_channels(self):
        self.assertEqual(self.decoded(reference.codes, rate=48000).pcm_bytes, reference.wide)
        stereo = array.array("h", self.decoded(reference.codes, channels=2).pcm_bytes)
        self.assertEqual(stereo[::2].tobytes(), reference.audio)
        self.assertEqual(stereo[1::2].tobytes(), reference.audio)

    def test_both(self):
        stream = self.client.open(1, direction="both")
        for at in range(0, len(reference.pcm), 2 * HOP):
            stream.pcm(reference.pcm[at:at + 2 * HOP])
            stream.put_codes(reference.codes[at // 80:at // 80 + 8])
        stream.end()
        stream.finish()
        self.assertEqual(stream.codes, reference.codes)
        self.assertEqual(stream.pcm_bytes, reference.audio)

    def test_many_streams(self):
        """Both directions, several rates, pieces interleaved at random, streams that come and go."""
        source = random.Random(6)
        for _ in range(2):
            streams = [self.client.open(2 + i, direction="decode" if i % 3 == 2 else "encode",
                                        codebooks=2 if i % 3 == 1 else 4) for i in range(12)]
            inputs = [reference.codes if i % 3 == 2 else reference.pcm for i in range(12)]
            at = [0] * 12
            while any(at[i] < len(inputs[i]) for i in range(12)):
                i = source.randrange(12)
                n = source.choice((8, 80, 560)) if i % 3 == 2 else source.choice((2, 200, 640, 9600))
                some = inputs[i][at[i]:at[i] + n]
                (streams[i].put_codes if i % 3 == 2 else streams[i].pcm)(some)
                at[i] += n
            for stream in streams:
                stream.end()
            for i, stream in enumerate(streams):
                stream.finish()
                if i % 3 == 2:
                    self.assertEqual(stream.pcm_bytes, reference.audio)
                else:
                    self.assertEqual(stream.codes, reference.half if i % 3 == 1 else reference.codes)

    def test_company(self):
        """Tokens do not depend on who else is connected."""
        others = [self.daemon.connect() for _ in range(5)]
        noise = random.Random(1).randbytes(len(reference.pcm))
        streams = [other.open(1, direction="encode") for other in others]
        for stream in streams:
            stream.pcm(noise[:stream.credit // 2])
        self.assertEqual(self.encoded(reference.pcm).codes, reference.codes)
        for other in others:
            other.close()


class Flow(WithDaemon):
    def test_flush(self):
        for n in (0, 1, HOP - 1, HOP, HOP + 1):
            stream = self.client.open(1, direction="encode")
            stream.pcm(reference.pcm[:2 * n])
            self.assertEqual(stream.flush(70 + n), (70 + n, n, n // HOP))
            self.assertEqual(stream.codes, reference.codes[:8 * (n // HOP)])
            stream.pcm(reference.pcm[2 * n:2 * 3 * HOP])
            self.assertEqual(stream.flush(1), (1, 3 * HOP, 3))
            self.assertEqual(stream.codes, reference.codes[:8 * 3])
            stream.end()
            stream.finish()

    def test_flush_at_another_rate(self):
        for n in (0, 1, 639, 640, 641, 6400):
            stream = self.client.open(1, direction="encode", rate=48000)
            stream.pcm(reference.pcm[:2 * n])
            self.assertEqual(stream.flush(5)[:2], (5, n))
            stream.end()
            self.assertEqual(stream.finish().stats["encode"]["frames"], -(-n // 640))

    def test_flush_decode_and_both(self):
        stream = self.client.open(1, direction="decode")
        self.assertEqual(stream.flush(1), (1, 0, 0))
        stream.put_codes(reference.codes[:80])
        number, samples, frames = stream.flush(2)
        self.assertEqual((frames, len(stream.pcm_bytes)), (10, 2 * samples))
        stream.end()
        self.assertEqual(stream.finish().stats["decode"]["samples"], 10 * HOP)

        stream = self.client.open(1, direction="both")
        stream.put_codes(reference.codes[:80])
        stream.pcm(reference.pcm[:2 * 7 * HOP])
        number, samples, frames = stream.flush(3)
        self.assertEqual((frames, len(stream.pcm_bytes)), (7, 2 * samples))
        stream.end()
        stream.finish()

    def test_many_flushes(self):
        stream = self.client.open(1, direction="both")
        for i in range(200):
            stream.send(PCM, reference.pcm[:200])
            stream.send(FLUSH, struct.pack("<I", i))
        while len(stream.flushed) < 200:
            stream.take()
        self.assertEqual([f[0] for f in stream.flushed], list(range(200)))
        stream.end()
        stream.finish()

    def test_server_credit(self):
        """The credit is two seconds of input, and comes back as it is used up."""
        stream = self.client.open(1, direction="encode")
        self.assertEqual(stream.opened["credit"], 2 * 2 * RATE)
        sent = 2 * len(reference.pcm)
        stream.pcm(2 * reference.pcm)
        stream.flush(1)
        # At most a quarter of the window is not yet given back.
        self.assertLessEqual(stream.opened["credit"] - stream.credit, stream.opened["credit"] // 4)
        self.assertGreater(sent, stream.opened["credit"])

    def test_no_credit_no_harm(self):
        """A client that ignores credit is slowed down, not refused, and loses nothing."""
        stream = self.client.open(1, direction="encode")
        for _ in range(6):
            stream.send(PCM, reference.pcm[:len(reference.pcm) // 2])
            stream.send(PCM, reference.pcm[len(reference.pcm) // 2:])
        stream.end()
        self.assertEqual(stream.finish().stats["encode"]["samples"], 6 * 120 * HOP)
        self.assertEqual(stream.codes[:len(reference.codes)], reference.codes)

    def test_names_have_their_case(self):
        """A member that is not one of OPEN's is ignored, whatever it looks like."""
        stream = self.client.open(1, direction="encode", Credit=1, Direction="sideways")
        stream.pcm(bytes(2 * HOP))
        stream.end()
        self.assertEqual(len(stream.finish().codes), 8)

    def test_client_credit(self):
        stream = self.client.open(1, direction="decode", credit=1000)
        stream.put_codes(reference.codes[:800])
        other = self.client.open(2, direction="encode")
        other.pcm(reference.pcm)
        other.end()
        self.assertEqual(other.finish().codes, reference.codes)
        while len(stream.pcm_bytes) < 1000:
            stream.take()
        total = 1000
        for grant in (1, 1, 640, 3, 5000):
            stream.send(CREDIT, struct.pack("<I", grant))
            total += grant
            while len(stream.pcm_bytes) < total // 2 * 2:
                stream.take()
            self.assertEqual(len(stream.pcm_bytes), total // 2 * 2)
        stream.end()
        stream.send(CREDIT, struct.pack("<I", 1 << 31))
        stream.finish()
        self.assertEqual(len(stream.pcm_bytes), 2 * 100 * HOP)
        self.assertEqual(stream.pcm_bytes[:2 * 90 * HOP], reference.audio[:2 * 90 * HOP])

    def lost(self, before, n_lost, after):
        stream = self.client.open(1, direction="decode")
        stream.put_codes(reference.codes[:8 * before])
        stream.lost(n_lost)
        stream.put_codes(reference.codes[8 * before:8 * (before + after)])
        stream.end()
        stream.finish()
        self.assertEqual(stream.stats["decode"]["frames"], before + n_lost + after)
        self.assertEqual(stream.stats["decode"]["lost"], n_lost)
        self.assertEqual(len(stream.pcm_bytes), 2 * HOP * (before + n_lost + after))
        return array.array("h", stream.pcm_bytes)

    def test_lost(self):
        delay = 640
        for n_lost in (1, 5, 6, 24, 25, 75):
            out = self.lost(40, n_lost, 40)
            plain = array.array("h", reference.audio)
            self.assertEqual(out[:40 * HOP - delay], plain[:40 * HOP - delay])
            silent = out[45 * HOP - delay:(40 + n_lost) * HOP - delay]
            self.assertTrue(all(v == 0 for v in silent))
                # The last frame back is one that only full gain gives: speech, not silence.
            self.assertGreater(max(map(abs, out[-10 * HOP:])), 100)
        self.assertTrue(all(v == 0 for v in self.lost(0, 10, 0)))
        # What is held back at the end is of lost frames too: it stays silent, or goes on to fade.
        self.assertTrue(all(v == 0 for v in self.lost(40, 20, 0)[45 * HOP - delay:]))
        faded, plain = self.lost(40, 2, 0)[41 * HOP:], array.array("h", reference.audio)[:40 * HOP]
        self.assertLess(max(map(abs, faded)), 0.4 * max(map(abs, plain)))

    def test_latency_alone(self):
        """The hop's codes come before the next hop: it is not held back for company."""
        stream = self.client.open(1, direction="encode")
        for at in range(0, 2 * 20 * HOP, 2 * HOP):
            stream.send(PCM, reference.pcm[at:at + 2 * HOP])
            self.assertEqual(stream.take(), CODES)
        self.assertEqual(stream.codes, reference.codes[:8 * 20])


class StreamErrors(WithDaemon):
    """Each ends its stream alone: another on the same connection goes on."""

    def setUp(self):
        super().setUp()
        self.witness = self.client.open(500, direction="encode")

    def tearDown(self):
        self.witness.pcm(reference.pcm)
        self.witness.end()
        self.assertEqual(self.witness.finish().codes, reference.codes)
        super().tearDown()

    def failed(self, code):
        with self.assertRaises(ServerError) as raised:
            while True:
                self.client.next(1)
        self.assertEqual((raised.exception.stream, raised.exception.code), (1, code))
        return raised.exception.text

    def test_open(self):
        for code, payload in (
                (400, b"{}"), (400, b"{ "), (400, b"null"), (400, b'{"direction": 3}'),
                (400, b'{"direction": "sideways"}'), (400, b'{"direction": "encode"} {}'),
                (404, {"direction": "encode", "model": "none"}),
                (400, {"direction": "encode", "model": 3}),
                (400, {"direction": "encode", "codebooks": 3}),
                (400, {"direction": "encode", "codebooks": 0}),
                (400, {"direction": "encode", "codebooks": -1}),
                (400, {"direction": "encode", "codebooks": 2.5}),
                (400, {"direction": "encode", "codebooks": 1e300}),
                (400, {"direction": "encode", "codebooks": "4"}),
                (400, {"direction": "encode", "format": "mp3"}),
                (400, {"direction": "encode", "rate": 0}),
                (400, {"direction": "encode", "rate": 10 ** 9}),
                (400, {"direction": "encode", "channels": 9}),
                (400, {"direction": "encode", "bulk": "yes"}),
                (400, {"direction": "encode", "options": {"bandwidth_id": 2}}),
                (400, {"direction": "decode", "credit": -1}),
                (400, {"direction": "decode", "credit": 1 << 32}),
                (400, b'{"direction": "encode", "x": ' + b"[" * 10000 + b"]" * 10000 + b"}"),
                (400, b'{"direction": "enc\x00ode"}')):
            self.client.send(OPEN, 1, payload)
            self.failed(code)

    def test_open_twice(self):
        self.client.open(1, direction="encode")
        self.client.send(OPEN, 1, {"direction": "encode"})
        self.failed(400)

    def test_part_of_a_sample(self):
        self.client.open(1, direction="encode").send(PCM, b"123")
        self.failed(400)
        self.client.open(1, direction="decode").send(CODES, b"1234")
        self.failed(400)

    def test_wrong_direction(self):
        for direction, kind, payload in (("encode", CODES, bytes(8)), ("decode", PCM, bytes(2)),
                                         ("encode", LOST, struct.pack("<I", 1))):
            self.client.open(1, direction=direction).send(kind, payload)
            self.failed(400)

    def test_more_than_a_second(self):
        self.client.open(1, direction="encode").send(PCM, bytes(2 * RATE + 2))
        self.failed(413)
        self.client.open(1, direction="decode").send(CODES, bytes(8 * 76))
        self.failed(413)
        self.client.open(1, direction="decode").lost(0xffffffff)
        self.failed(413)

    def test_after_end(self):
        for kind, payload in ((PCM, bytes(2)), (FLUSH, bytes(4)), (END, b"")):
            stream = self.client.open(1, direction="encode")
            self.client.send_bytes(message(PCM, 1, reference.pcm[:40000]) + message(END, 1) +
                                   message(kind, 1, payload))
            try:  # the stream may have ended in good order first: then its number is free
                while stream.stats is None:
                    stream.take()
                if kind != PCM:
                    self.failed(404)
            except ServerError as error:
                self.assertEqual((error.stream, error.code), (1, 400))

    def test_not_open(self):
        self.client.send(FLUSH, 1, bytes(4))
        self.failed(404)
        self.client.send(END, 1)
        self.failed(404)
        self.client.send(PCM, 1, bytes(4))  # may be under way when its stream fails: ignored

    def test_code_outside_its_codebook(self):
        self.client.open(1, direction="decode").send(CODES, struct.pack("<4H", 1, 2, 3, 1024))
        self.assertIn("code", self.failed(400))

    def test_not_a_number(self):
        stream = self.client.open(1, direction="encode", format="f32le")
        stream.send(PCM, struct.pack("<f", float("nan")) * HOP)
        self.assertIn("NaN", self.failed(400))


if __name__ == "__main__":
    build = os.path.abspath(sys.argv.pop(1))
    unittest.main()
