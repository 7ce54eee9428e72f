"""The compiled part of the package: the same codes and sound as the command's, in whatever way they are
asked for, and an exception for what cannot be."""

import concurrent.futures
import contextlib
import dataclasses
import doctest
import gc
import io
import os
import pathlib
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import numpy as np
from shared import RAW, raw, speech, tessera as command

import tessera
import tessera.codec
import tessera.layouts
from tessera.arrays import as_pcm

SPEECH = speech(20)
RATE, HOP = 24000, 320
CODEC = tessera.Codec()


class EqualsTheCommand(unittest.TestCase):
    def test_codes_and_sound(self):
        for k in (2, 4):
            npy = command("encode", "-q", "--codebooks", k, "--format", "npy", *RAW, RATE, "-", "-",
                          stdin=raw(SPEECH))
            codes = CODEC.encode(SPEECH, RATE, codebooks=k)
            np.testing.assert_array_equal(codes.codes, np.load(io.BytesIO(npy)).T)
            self.assertEqual(codes.codes.dtype, np.uint16)
            coded = command("encode", "-q", "--codebooks", k, *RAW, RATE, "-", "-", stdin=raw(SPEECH))
            sound = np.frombuffer(command("decode", "-q", "--raw", "--float", "-", "-", stdin=coded), "<f4")
            np.testing.assert_array_equal(CODEC.decode(codes), sound)
            np.testing.assert_array_equal(CODEC.decode(codes.codes)[:len(SPEECH)], sound)

    def test_files_are_the_same_bytes(self):
        for rate in (RATE, 44100, 8000):
            for n in (0, 1, HOP, 12345):
                coded = command("encode", "-q", *RAW, rate, "-", "-", stdin=raw(SPEECH[:n]))
                codes = CODEC.encode(SPEECH[:n], rate, resample=True)
                file = io.BytesIO()
                codes.save(file)
                self.assertEqual(file.getvalue(), coded, (rate, n))
                again = tessera.Codes.load(io.BytesIO(coded))
                np.testing.assert_array_equal(again.codes, codes.codes)
                self.assertEqual(again.source_rate, rate)
                self.assertEqual(again.n_source, n)
                self.assertEqual(again.n_samples, codes.n_samples)
                self.assertEqual(len(CODEC.decode(again)), codes.n_samples)
                self.assertTrue(codes.model_sha256.startswith(again.model_sha256))

    def test_what_the_model_is(self):
        self.assertIn(CODEC.name, command("models", "list").decode().split())
        self.assertEqual((CODEC.sample_rate, CODEC.hop, CODEC.channels), (RATE, HOP, 1))
        self.assertEqual((CODEC.codebooks, CODEC.codebooks_legal, CODEC.codebook_size), (4, [2, 4], 1024))
        self.assertEqual((CODEC.frame_rate, CODEC.delay, CODEC.capability), (75, 640, "live"))


class AnyWay(unittest.TestCase):
    """Of cutting, company and threads there is no trace in the result."""

    def setUp(self):
        self.codes = CODEC.encode(SPEECH).codes
        self.sound = CODEC.decode(self.codes)

    def test_streams(self):
        cuts = random.Random(1)
        encoder, decoder = CODEC.stream_encoder(), CODEC.stream_decoder()
        for _ in range(2):  # the second time after a reset
            codes, sound, at = [], [], 0
            while at < len(SPEECH):
                n = cuts.randrange(5000)
                codes.append(encoder.push(SPEECH[at:at + n]))
                at += n
            codes.append(encoder.flush())
            codes = np.concatenate(codes, axis=1)
            np.testing.assert_array_equal(codes, self.codes)
            at = 0
            while at < codes.shape[1]:
                n = cuts.randrange(40)
                sound.append(decoder.push(codes[:, at:at + n]))
                at += n
            sound.append(decoder.flush())
            np.testing.assert_array_equal(np.concatenate(sound), self.sound)
            for stream in (encoder, decoder):
                self.assertRaises(tessera.EndedError, stream.flush)
                stream.reset()

    def test_batches(self):
        lengths = [0, 1, HOP - 1, HOP, HOP + 1] + [random.Random(i).randrange(9000) for i in range(65)]
        clips = [SPEECH[n:2 * n] for n in lengths]
        together = CODEC.encode_batch(clips)
        for clip, codes, sound in zip(clips, together, CODEC.decode_batch(together)):
            np.testing.assert_array_equal(codes.codes, CODEC.encode(clip).codes)
            self.assertEqual(codes.n_frames, -(-len(clip) // HOP))
            self.assertEqual(len(sound), len(clip))
            np.testing.assert_array_equal(sound, CODEC.decode(codes))

    def test_threads(self):
        np.testing.assert_array_equal(tessera.Codec(threads=2).encode(SPEECH).codes, self.codes)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for codes in pool.map(CODEC.encode, [SPEECH] * 8):
                np.testing.assert_array_equal(codes.codes, self.codes)

    def test_other_processes(self):
        again = pickle.loads(pickle.dumps(tessera.Codec(threads=2)))
        self.assertEqual(repr(again), repr(CODEC))
        np.testing.assert_array_equal(again.encode(SPEECH).codes, self.codes)

    def test_forked_processes(self):
        """Threads stay behind at a fork: a codec makes new ones, and does not wait for the old."""
        codec = tessera.Codec(threads=2)
        codec.encode(SPEECH)
        for uses in (True, False):
            child = os.fork()
            if child == 0:
                signal.alarm(30)
                right = not uses or np.array_equal(codec.encode(SPEECH).codes, self.codes)
                del codec
                gc.collect()
                os._exit(0 if right else 1)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
        np.testing.assert_array_equal(codec.encode(SPEECH).codes, self.codes)

    def test_one_stream_of_many_threads(self):
        """Pushes of equal sound may come in any order, but none is lost and none runs into another."""
        encoder = CODEC.stream_encoder()
        hop = np.zeros(HOP, np.float32)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            pieces = list(pool.map(lambda _: encoder.push(hop), range(300)))
        self.assertEqual(sum(piece.shape[1] for piece in pieces), 300)

    def test_python_runs_meanwhile(self):
        """While one thread is inside the library another one goes on. No lock changes hands here but where
        it is released: were it held inside, the other thread could not take a step between these two
        readings of its counter."""
        steps = 0
        done = threading.Event()

        def count():
            nonlocal steps
            while not done.is_set():
                steps += 1
                time.sleep(0)  # lets the lock go

        counter = threading.Thread(target=count)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1000)
        try:
            counter.start()
            before = steps
            CODEC.encode(SPEECH)
            after = steps
        finally:
            sys.setswitchinterval(interval)
            done.set()
            counter.join()
        self.assertGreater(after - before, 10)


class Arrays(unittest.TestCase):
    def test_nothing_is_copied(self):
        self.assertTrue(np.shares_memory(as_pcm(SPEECH, 1), SPEECH))
        stereo = np.zeros((100, 2), np.float32)
        self.assertTrue(np.shares_memory(as_pcm(stereo.T, 2), stereo))
        codes = CODEC.encode(SPEECH)
        self.assertTrue(codes.codes.T.flags.c_contiguous)  # as the library wrote it and reads it
        self.assertTrue(np.shares_memory(codes.to_numpy(), codes.codes))

    def test_other_types(self):
        codes = CODEC.encode(SPEECH[:9600])
        for other in (SPEECH[:9600].astype(np.float64), SPEECH[:9600].astype(">f4"), SPEECH[None, :9600],
                      list(map(float, SPEECH[:9600]))):
            np.testing.assert_array_equal(CODEC.encode(other).codes, codes.codes)
        strided = np.repeat(SPEECH[:9600], 2)[::2]
        np.testing.assert_array_equal(CODEC.encode(strided).codes, codes.codes)
        sound = CODEC.decode(codes)
        for dtype in (np.int64, np.int16, ">u2", np.uint64):
            np.testing.assert_array_equal(CODEC.decode(codes.codes.astype(dtype)), sound)
        np.testing.assert_array_equal(CODEC.decode(codes.codes.tolist()), sound)
        np.testing.assert_array_equal(np.asarray(codes), codes.codes)


class Refused(unittest.TestCase):
    def refuses(self, error, says, call, *words, **more):
        with self.assertRaises(error) as caught:
            call(*words, **more)
        self.assertIsInstance(caught.exception, tessera.Error)
        self.assertIn(says, str(caught.exception))

    def test_sound(self):
        x = SPEECH[:1000]
        bad = x.copy()
        bad[7] = np.nan
        self.refuses(tessera.RateError, "44100", CODEC.encode, x, 44100)
        self.refuses(tessera.NonFiniteError, "NaN", CODEC.encode, bad)
        self.refuses(tessera.NonFiniteError, "item 1", CODEC.encode_batch, [x, bad])
        self.refuses(tessera.InputError, "int16: floats are needed, full scale 1.0, as x / 32768", CODEC.encode,
                     x.astype(np.int16))
        self.refuses(tessera.InputError, "sample_rate is '24000'", CODEC.encode, x, "24000")
        self.refuses(tessera.InputError, "sample_rate is 22050.5", CODEC.encode, x, 22050.5, resample=True)
        self.refuses(tessera.InputError, "codebooks is '4'", CODEC.encode, x, codebooks="4")
        self.refuses(tessera.InputError, "option is 'a=1'", CODEC.encode, x, option="a=1")
        self.refuses(tessera.InputError, "[2, 500]", CODEC.encode, x.reshape(2, 500))
        self.refuses(tessera.InputError, "3 codebooks", CODEC.encode, x, codebooks=3)
        self.refuses(tessera.InputError, "option 5 where tessera-24k-speech-int8 has none", CODEC.encode, x, option=5)
        self.refuses(tessera.InputError, "-1 Hz", CODEC.encode, x, -1, resample=True)
        self.refuses(tessera.InputError, "0 Hz", CODEC.encode, x, 0, resample=True)

    def test_codes(self):
        codes = np.zeros((4, 10), np.uint16)
        self.refuses(tessera.CodeError, "codebook", CODEC.decode, codes + 1024)
        self.refuses(tessera.CodeError, "from -1", CODEC.decode, codes.astype(int) - 1)
        self.refuses(tessera.CodeError, "65536", CODEC.decode, codes.astype(int) + 65536)
        self.refuses(tessera.InputError, "float64", CODEC.decode, codes * 1.0)
        self.refuses(tessera.InputError, "[4]", CODEC.decode, codes[:, 0])
        self.refuses(tessera.InputError, "10 codebooks", CODEC.decode, codes.T)
        self.refuses(tessera.InputError, "stream has 2", CODEC.stream_decoder(codebooks=2).push, codes)
        mine = CODEC.encode(SPEECH[:1000])
        for sha in ("", "00" * 32):
            other = dataclasses.replace(mine, model_sha256=sha)
            self.refuses(tessera.MismatchError, "made by", CODEC.decode, other)
        self.refuses(tessera.InputError, "9999 samples", CODEC.decode,
                     dataclasses.replace(mine, n_samples=9999))

    def test_models(self):
        self.refuses(tessera.ModelError, "tessera-24k-speech", tessera.Codec, "unknown")
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"nothing of the kind" * 10)
            file.flush()
            self.refuses(tessera.Error, file.name, tessera.Codec, file.name)
        self.assertRaises(FileNotFoundError, tessera.Codec, "./unknown.safetensors")
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            pathlib.Path(tessera.codec.DEFAULT_MODEL).write_text("not the model")
            self.assertEqual(repr(tessera.Codec()), repr(CODEC))
            shutil.copy(CODEC._path, "m.safetensors")
            sent = pickle.dumps(tessera.Codec("m.safetensors"))
            os.mkdir("elsewhere")
            os.chdir("elsewhere")
            self.assertEqual(repr(pickle.loads(sent)), repr(CODEC))
        self.refuses(tessera.InputError, "65 threads", tessera.Codec, threads=65)

    def test_files(self):
        file = io.BytesIO()
        CODEC.encode(SPEECH).save(file)
        good = file.getvalue()
        self.refuses(tessera.FileError, ".tess", tessera.Codes.load, io.BytesIO(good[:-1]))
        self.refuses(tessera.FileError, ".tess", tessera.Codes.load, io.BytesIO(b"RIFF" + good[4:]))
        with tempfile.TemporaryDirectory() as folder:
            cut = pathlib.Path(folder, "cut.tess")
            cut.write_bytes(good[:-1])
            self.refuses(tessera.FileError, str(cut), tessera.Codes.load, cut)
            with self.assertRaisesRegex(FileNotFoundError, "none/x.tess'$"):
                CODEC.encode(SPEECH).save(f"{folder}/none/x.tess")

        class Broken(io.BytesIO):
            def read(self, n=-1):
                raise RuntimeError("the cable is cut")

            write = read

        with self.assertRaisesRegex(RuntimeError, "cable"):
            tessera.Codes.load(Broken())
        with self.assertRaisesRegex(RuntimeError, "cable"):
            CODEC.encode(SPEECH).save(Broken())

    def test_files_of_other_manners(self):
        """What only looks like a file: it gives more than was asked for, takes all and does not say so, has
        nothing now. No memory is written to beyond its end, and nothing is repeated for ever."""
        codes = CODEC.encode(SPEECH)
        whole = io.BytesIO()
        codes.save(whole)

        class Odd:
            def __init__(self, read=None, write=None):
                self.read, self.write = read, write

        with self.assertRaisesRegex(ValueError, "returned"):
            tessera.Codes.load(Odd(read=lambda n: whole.getvalue()))
        with self.assertRaisesRegex(BlockingIOError, "nothing to read"):
            tessera.Codes.load(Odd(read=lambda n: None))
        with self.assertRaisesRegex(BlockingIOError, "takes nothing"):
            codes.save(Odd(write=lambda data: 0))
        pieces = []
        codes.save(Odd(write=lambda data: pieces.append(bytes(data))))
        self.assertEqual(b"".join(pieces), whole.getvalue())

    def test_a_fingerprint(self):
        codes = CODEC.encode(SPEECH[:HOP])
        for sha256 in ("", "ab", "z" * 64, "a" * 15):
            wrong = dataclasses.replace(codes, model_sha256=sha256)
            self.refuses(tessera.InputError, "model_sha256", wrong.save, io.BytesIO())

    def test_numbers(self):
        self.refuses(tessera.InputError, "sample_rate", CODEC.encode, SPEECH, 10**12, resample=True)
        self.refuses(tessera.InputError, "threads", tessera.Codec, threads=10**12)
        self.assertEqual(CODEC.stream_encoder(option=0.0).codebooks, 4)
        with self.assertRaises(ValueError):
            CODEC.encode(SPEECH[:HOP]).__array__(np.int64, copy=False)

    def test_arrays_of_another_type_are_saved_right(self):
        codes = CODEC.encode(SPEECH[:9600])
        for dtype in (np.int64, np.int16):
            file = io.BytesIO()
            dataclasses.replace(codes, codes=codes.codes.astype(dtype)).save(file)
            file.seek(0)
            np.testing.assert_array_equal(tessera.Codes.load(file).codes, codes.codes)
        wrong = dataclasses.replace(codes, codes=np.full((4, 30), -1))
        self.refuses(tessera.CodeError, "from -1", wrong.save, io.BytesIO())

    def test_a_file_is_replaced_whole(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/a.tess"
            codes = CODEC.encode(SPEECH)
            codes.save(path)
            with self.assertRaises(tessera.InputError):  # more samples than the frames have
                dataclasses.replace(codes, n_source=10 ** 9).save(path)
            np.testing.assert_array_equal(tessera.Codes.load(path).codes, codes.codes)
            self.assertEqual(os.listdir(folder), ["a.tess"])


class Layouts(unittest.TestCase):
    def test_round_trips(self):
        codes = CODEC.encode(SPEECH)
        for offsets in (False, True):
            tokens = tessera.flatten(codes, offsets)
            self.assertEqual(tokens.max() >= 1024, offsets)
            np.testing.assert_array_equal(tessera.unflatten(tokens, 4, 1024, offsets), codes.codes)
        for pattern in (None, [0, 0, 0, 0], [3, 0, 2, 1]):
            np.testing.assert_array_equal(tessera.undelay(tessera.delay(codes, pattern), pattern), codes.codes)
        signed = np.array([[-3, 2], [0, -1]], np.int16)
        signed_codes = tessera.Codes(signed, 4, 8, 2, 7, -3, 1, "m", "", 8, 4)
        np.testing.assert_array_equal(
            tessera.unflatten(tessera.flatten(signed_codes), 2, 7, code_min=-3), signed)
        np.testing.assert_array_equal(tessera.undelay(tessera.delay(signed_codes), code_min=-3), signed)

    def test_refused(self):
        with self.assertRaisesRegex(tessera.CodeError, "token 3 at 1 "):
            tessera.unflatten([1, 3], 2, 10)
        with self.assertRaisesRegex(tessera.InputError, "no frames of 2"):
            tessera.unflatten([1, 11, 2], 2, 10)
        with self.assertRaisesRegex(tessera.InputError, "no frames of 0"):
            tessera.unflatten([], 0, 10)
        with self.assertRaisesRegex(tessera.InputError, "integers"):
            tessera.unflatten([1.5, 2.5], 2, 10)
        with self.assertRaisesRegex(tessera.CodeError, "to 10 "):
            tessera.flatten(np.array([[0, 10]]), codebook_size=10)
        with self.assertRaisesRegex(tessera.InputError, "pattern of 3"):
            tessera.delay(np.zeros((2, 5), int), [0, 1, 2], codebook_size=10)
        with self.assertRaisesRegex(tessera.InputError, "codebook_size"):
            tessera.flatten(np.zeros((2, 5), int))
        with self.assertRaisesRegex(tessera.InputError, "fewer"):
            tessera.undelay(np.zeros((2, 3), int), [0, 4])


class Documentation(unittest.TestCase):
    def test_examples(self):
        for module in (tessera.codec, tessera.layouts):
            result = doctest.testmod(module)
            self.assertGreater(result.attempted, 0)
            self.assertEqual(result.failed, 0)

    def test_the_client_needs_no_compiled_part(self):
        program = "import sys; sys.modules['tessera._tessera'] = None; import tessera.aio, tessera"
        subprocess.run([sys.executable, "-c", program], check=True)
        failing = subprocess.run([sys.executable, "-c", program + "; tessera.Codec"], stderr=subprocess.PIPE)
        self.assertIn(b"tessera._tessera", failing.stderr)


if __name__ == "__main__":
    unittest.main()
