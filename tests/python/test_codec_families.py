"""Other models through the package: stereo, signed codes, segments with scales, whole clips, partial
hops that are dropped. The same codes and sound as the command's. Arguments: BUILD FAMILIES."""

import io
import pathlib
import sys
import unittest

import numpy as np
from shared import raw, tessera as command

import tessera

FAMILIES = pathlib.Path(sys.argv.pop(1))
STREAMING = {"encodec_24khz": True, "mimi_24khz": True, "encodec_48khz": False,
             "hificodec_16k_320d": False, "walloc_stereo_5x": False}


class Families(unittest.TestCase):
    def sound(self, codec):
        """Not quite a second and a half, [N] or [channels, N], as 16 bits can say it."""
        n = codec.sample_rate * 3 // 2 + 77
        noise = np.random.default_rng(1).normal(0, 0.1, (codec.channels, n)) * np.linspace(0, 1, n)
        x = (np.rint(noise.clip(-1, 0.99) * 32768) / 32768).astype(np.float32)
        return x[0] if codec.channels == 1 else x

    def check(self, name):
        path = FAMILIES / f"{name}.safetensors"
        codec = tessera.Codec(path)
        x = self.sound(codec)
        words = ("-q", "-m", path, "--raw", "--raw-chan", codec.channels, "--raw-rate", codec.sample_rate)
        coded = command("encode", *words, "-", "-", stdin=raw(x.T))
        codes = codec.encode(x)
        file = io.BytesIO()
        codes.save(file)
        self.assertEqual(file.getvalue(), coded)
        again = tessera.Codes.load(io.BytesIO(coded))
        decoded = command("decode", "-q", "-m", path, "--raw", "--float", "-", "-", stdin=coded)
        sound = np.frombuffer(decoded, "<f4")
        for some in (codes, again):
            np.testing.assert_array_equal(codec.decode(some).T.reshape(-1), sound)
        self.assertEqual(codes.codes.dtype, np.int16 if codec.code_min < 0 else np.uint16)
        if STREAMING[name]:
            encoder = codec.stream_encoder()
            pieces = [encoder.push(x[:9999]), encoder.push(x[9999:]), encoder.flush()]
            np.testing.assert_array_equal(np.concatenate(pieces, axis=1), codes.codes)
        else:
            self.assertRaises(tessera.UnsupportedError, codec.stream_encoder)

    def test_families(self):
        for name in STREAMING:
            with self.subTest(name):
                self.check(name)


if __name__ == "__main__":
    unittest.main()
