"""The client for asyncio against a real daemon: the codes and sound of a Codec."""

import asyncio
import random
import tempfile
import unittest

import numpy as np
from shared import BUILD, speech

import tessera
import tessera.aio
from daemon import Daemon

SPEECH = speech(10)
CODEC = tessera.Codec()
CODES = CODEC.encode(SPEECH)


def pieces(total, most, seed):
    cuts, at = random.Random(seed), 0
    while at < total:
        n = cuts.randrange(most)
        yield slice(at, at + n)
        at += n


async def encode(server, sound, **options):
    encoder = await server.stream_encoder(**options)
    codes = [await encoder.push(sound[cut]) for cut in pieces(len(sound), 9000, 1)]
    return np.concatenate([*codes, await encoder.flush()], axis=1)


async def decode(server, codes, **options):
    decoder = await server.stream_decoder(**options)
    sound = [await decoder.push(codes[:, cut]) for cut in pieces(codes.shape[1], 200, 2)]
    return np.concatenate([*sound, await decoder.flush()])


class AsyncClient(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(BUILD)
        cls.addClassCleanup(cls.daemon.__exit__, None, None, None)
        cls.tcp = f"127.0.0.1:{cls.daemon.port}"
        cls.unix = f"unix:{cls.daemon.unix}"

    async def test_equals_the_codec(self):
        for address in (self.tcp, self.unix):
            async with tessera.aio.connect(address) as server:
                self.assertEqual(server.models[0]["sha256"], CODEC.sha256)
                # Several at once, far more than the server takes ahead: all wait for credit.
                both = await asyncio.gather(encode(server, SPEECH), encode(server, SPEECH, codebooks=2))
                np.testing.assert_array_equal(both[0], CODES.codes)
                np.testing.assert_array_equal(both[1], CODES.codes[:2])
                whole = await server.stream_encoder()
                codes = [await whole.push(SPEECH), await whole.flush()]
                np.testing.assert_array_equal(np.concatenate(codes, axis=1), CODES.codes)
                self.assertEqual(whole.stats["encode"]["samples"], len(SPEECH))
                sound = await decode(server, both[0])
                np.testing.assert_array_equal(sound[:len(SPEECH)], CODEC.decode(CODES))

    async def test_sync_and_reset(self):
        async with tessera.aio.connect(self.unix) as server:
            encoder = await server.stream_encoder()
            for _ in range(2):
                first = await encoder.push(SPEECH[:999])
                codes = np.concatenate([first, await encoder.sync()], axis=1)
                np.testing.assert_array_equal(codes, CODES.codes[:, :3])
                await encoder.reset()
            self.assertEqual((await encoder.sync()).shape, (4, 0))
            self.assertEqual((await encoder.flush()).shape, (4, 0))
            for call in (encoder.flush, encoder.sync):
                with self.assertRaises(tessera.EndedError):
                    await call()

    async def test_lost_frames(self):
        async with tessera.aio.connect(self.unix) as server:
            decoder = await server.stream_decoder()
            sound = [await decoder.push(CODES.codes[:, :10]), await decoder.lost(100), await decoder.flush()]
            self.assertEqual(sum(map(len, sound)), 110 * CODEC.hop)
            self.assertEqual(decoder.stats["decode"]["lost"], 100)

    async def test_refused(self):
        for address in "nowhere", "127.0.0.1:x", "127.0.0.1:99999", "127.0.0.1:0":
            with self.assertRaisesRegex(tessera.InputError, "host:port"):
                async with tessera.aio.connect(address):
                    pass
        async with tessera.aio.connect(self.unix) as server:
            with self.assertRaises(tessera.ServerError) as caught:
                await server.stream_encoder(model="unknown")
            self.assertEqual(caught.exception.code, 404)
            with self.assertRaisesRegex(tessera.InputError, "'codebook' is none"):
                await server.stream_encoder(codebook=2)
            decoder = await server.stream_decoder(codebooks=2)
            with self.assertRaisesRegex(tessera.InputError, "stream has 2"):
                await decoder.push(CODES.codes)
            with self.assertRaisesRegex(tessera.CodeError, "from -1"):
                await decoder.push(np.full((2, 1), -1))
            with self.assertRaises(tessera.ServerError) as caught:
                await decoder.push(np.full((2, 1), 5000, np.uint16))
                await decoder.flush()
            self.assertEqual(caught.exception.code, 400)
            self.assertEqual((await encode(server, SPEECH)).shape, CODES.codes.shape)  # nothing else ended
        with self.assertRaisesRegex(tessera.InputError, "nowhere"):
            await tessera.aio.connect("nowhere").__aenter__()
        with self.assertRaises(OSError):
            await tessera.aio.connect("unix:/nowhere").__aenter__()

    async def test_a_daemon_that_dies(self):
        daemon = Daemon(BUILD)
        try:
            async with tessera.aio.connect(f"unix:{daemon.unix}") as server:
                encoder = await server.stream_encoder()
                await encoder.push(SPEECH[:1000])
                daemon.process.kill()
                daemon.process.wait()
                for _ in range(2):
                    with self.assertRaises(ConnectionError):
                        await encoder.flush()
        finally:
            daemon.__exit__(ConnectionError)  # it did not end as it should

    async def test_keys(self):
        with tempfile.NamedTemporaryFile("w") as keys:
            keys.write("a secret that is long enough\n")
            keys.flush()
            with Daemon(BUILD, "--api-key-file", keys.name) as daemon:
                address = f"127.0.0.1:{daemon.port}"
                async with tessera.aio.connect(address, key="a secret that is long enough") as server:
                    await encode(server, SPEECH[:320])
                with self.assertRaises(tessera.ServerError) as caught:
                    await tessera.aio.connect(address, key="wrong").__aenter__()
                self.assertEqual(caught.exception.code, 401)


if __name__ == "__main__":
    unittest.main()
