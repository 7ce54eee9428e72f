#!/usr/bin/env python3
"""`make bench`: this build beside other codecs on one core of this machine, as one Markdown table.

Usage: bench_peers.py BUILD [--lyra FOLDER]      FOLDER holds Lyra v2's three networks, *.tflite

All code the same ten seconds of speech. A side is a process of its own that begins anew each round, and
the rounds of all sides take turns. A peer that is not installed is a line that says how to get it.
"""

import argparse
import array
import ctypes
import ctypes.util
import importlib.util
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import wave

HERE = pathlib.Path(__file__).resolve().parent
ROUNDS = 5
SECONDS = 10  # of sound
KEYS = ("encode", "decode", "encode_stream", "decode_stream")
LYRA = ("soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite")


class Opus:
    """libopus for wideband speech, at its greatest complexity, frames of 20 ms."""

    rate, hop = 16000, 320

    def __init__(self, bitrate):
        library = self.library = ctypes.CDLL(ctypes.util.find_library("opus"))
        pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
        library.opus_encoder_create.restype = library.opus_decoder_create.restype = pointer
        library.opus_encode.argtypes = [pointer, pointer, number, text, ctypes.c_int32]
        library.opus_decode.argtypes = [pointer, text, ctypes.c_int32, pointer, number, number]
        voip, wideband, voice = 2048, 1103, 3001
        self.encoder = pointer(library.opus_encoder_create(self.rate, 1, voip, None))
        self.decoder = pointer(library.opus_decoder_create(self.rate, 1, None))
        for request, value in ((4002, int(bitrate)), (4008, wideband), (4010, 10), (4024, voice)):
            if library.opus_encoder_ctl(self.encoder, request, number(value)):
                sys.exit(f"libopus refuses request {request}")
        self.packet, self.sound = ctypes.create_string_buffer(1275), (ctypes.c_int16 * self.hop)()

    def frames(self, pcm):
        return [pcm[at : at + self.hop] for at in range(0, len(pcm), self.hop)]

    def encode(self, frame):
        address, n = frame.buffer_info()
        n = self.library.opus_encode(self.encoder, address, n, self.packet, len(self.packet))
        assert n > 0, n
        return self.packet.raw[:n]

    def decode(self, packet):
        n = self.library.opus_decode(self.decoder, packet, len(packet), self.sound, self.hop, 0)
        assert n == self.hop, n


class Lyra:
    """Its networks, without the packets, concealment and comfort noise around them; 3.2 kbit/s."""

    rate, hop, layers = 16000, 320, 16

    def __init__(self, folder):
        import numpy as np
        from ai_edge_litert.interpreter import Interpreter

        nets = [Interpreter(f"{folder}/{name}", num_threads=1) for name in LYRA]
        self.encoder, self.quantizer, self.decoder = nets
        for net in (self.encoder, self.decoder):
            net.allocate_tensors()
        self.search = self.quantizer.get_signature_runner("encode")
        self.lookup = self.quantizer.get_signature_runner("decode")
        self.np = np

    def frames(self, pcm):
        return self.np.array(pcm, self.np.float32).reshape(-1, 1, self.hop) / 32768

    @staticmethod
    def run(net, x):
        net.set_tensor(net.get_input_details()[0]["index"], x)
        net.invoke()
        return net.get_tensor(net.get_output_details()[0]["index"])

    def encode(self, frame):
        latent = self.run(self.encoder, frame)
        layers = self.np.array(self.layers, self.np.int32)
        codes = self.search(input_frames=latent, num_quantizers=layers)["output_0"]
        codes[self.layers :] = -1
        return codes

    def decode(self, codes):
        self.run(self.decoder, self.lookup(encoding_indices=codes)["output_0"])


class Encodec:
    """EnCodec's 24 kHz network at 6 kbit/s in PyTorch, of random weights; two seconds are streamed."""

    rate, hop, codebooks = 24000, 320, 8

    def __init__(self, model):
        sys.path.insert(0, str(HERE))
        import torch
        import torch_families

        self.torch, self.net = torch, torch_families.load(model)

    def whole(self, pcm):
        self.net.state = None
        return [self.torch.tensor(pcm, dtype=self.torch.float32)[None, None] / 32768]

    def frames(self, pcm):
        [sound] = self.whole(pcm)
        self.net.state = {}
        return sound.split(self.hop, 2)[: 2 * self.rate // self.hop]

    def encode(self, frame):
        return self.net.encode(frame, self.codebooks)

    def decode(self, codes):
        self.net.decode(codes)


def say(build, folder):
    """Ten seconds of the tests' speech, as our codec says it, at both rates."""
    tessera, codes, minute = build / "bin/tessera", f"{folder}/speech.tess", f"{folder}/speech.wav"
    subprocess.run([tessera, "encode", "-q", HERE / "data/speech.flac", codes], check=True)
    for rate in (16000, 24000):
        subprocess.run([tessera, "decode", "-qf", "--rate", str(rate), codes, minute], check=True)
        with wave.open(minute) as speech, wave.open(f"{folder}/{rate}.wav", "wb") as some:
            some.setparams(speech.getparams())
            some.writeframes(speech.readframes(SECONDS * rate))


def read(path):
    with wave.open(path) as sound:
        return array.array("h", sound.readframes(sound.getnframes()))


def memory(line):
    """In MB: VmRSS is what this process takes now, VmHWM what it took at most."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"{line}:\s+(\d+) kB", status).group(1)) * 1024 / 1e6


def walk(peer, pieces):
    """Seconds to encode and to decode them."""
    start = time.perf_counter()
    codes = [peer.encode(piece) for piece in pieces]
    between = time.perf_counter()
    for code in codes:
        peer.decode(code)
    return between - start, time.perf_counter() - between


def measure(make, argument, folder):
    """A peer's round, after a second of sound to warm up. One that knows frames alone codes whole sounds
    so, too. Memory is what is taken beyond Python's own."""
    before = memory("VmRSS")
    peer = make(argument)
    pcm = read(f"{folder}/{peer.rate}.wav")
    walk(peer, peer.frames(pcm[: peer.rate]))
    pieces = peer.frames(pcm)
    seconds = len(pieces) * peer.hop / peer.rate
    encode, decode = (seconds / spent for spent in walk(peer, pieces))
    result = {"encode_stream": encode, "decode_stream": decode}
    if hasattr(peer, "whole"):
        encode, decode = (SECONDS / spent for spent in walk(peer, peer.whole(pcm)))
    result |= {"encode": encode, "decode": decode, "memory": memory("VmHWM") - before}
    return result


PEERS = {"opus": Opus, "lyra": Lyra, "encodec": Encodec}


def output(*command):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def ours(build, folder, *options):
    """A round of `tessera bench`."""
    sound = f"{folder}/24000.wav"
    told = output(build / "bin/tessera", "bench", "--json", "--runs", "1", *options, sound)
    peak = told["peak_int8_gops" if told["arithmetic"] == "int8" else "peak_gflops"]
    result = {"peak": peak, "memory": told["peak_memory_bytes"] / 1e6}
    for key in KEYS:
        result[key] = told[key]["times_real_time"]
        result[f"{key} of peak"] = told[key]["of_peak"]
    return result


def theirs(folder, peer, argument):
    return output(sys.executable, "-B", __file__, "--peer", peer, argument, folder)


def installed(*modules):
    return all(importlib.util.find_spec(module) for module in modules)


def sides(build, lyra, kernel, folder):
    """Of each its name and a round of it, and of each that is not here how to get it."""
    there = {
        "Tessera, 24 kHz, 3 kbit/s": lambda: ours(build, folder),
        "the same in float32": lambda: ours(build, folder, "-m", "tessera-24k-speech"),
    }
    absent = []
    if kernel == "avx512":
        there["the same in 8 bits on AVX2 alone"] = lambda: ours(build, folder, "--kernel", "avx2")
    if lyra and all((lyra / name).exists() for name in LYRA) and installed("numpy", "ai_edge_litert"):
        there["Lyra v2, 16 kHz, 3.2 kbit/s, its networks"] = lambda: theirs(folder, "lyra", lyra)
    else:
        absent.append(f"Lyra v2 is not here: make bench LYRA=FOLDER, which has {', '.join(LYRA)} of"
                      " github.com/google/lyra; and pip install numpy ai-edge-litert")
    if ctypes.util.find_library("opus"):
        for rate in (6, 16):
            there[f"Opus, 16 kHz, {rate} kbit/s"] = lambda rate=rate: theirs(folder, "opus", f"{rate}000")
    else:
        absent.append("Opus is not here: apt-get install libopus0")
    if installed("numpy", "torch"):
        models = build / "families"
        make = (sys.executable, "-B", HERE / "families/make_models.py", models, "encodec_24khz")
        subprocess.run(make, check=True)
        model = models / "encodec_24khz.safetensors"
        there["EnCodec, 24 kHz, 6 kbit/s, in PyTorch"] = lambda: theirs(folder, "encodec", model)
    else:
        absent.append("EnCodec is not here: pip install numpy torch")
    return there, absent


def print_table(rows):
    heads = ("", "encode", "decode", "streaming encode", "streaming decode", "memory", "core's peak")
    table = [heads]
    for name, result in rows.items():
        cells = [name]
        for key in KEYS:
            part = result.get(f"{key} of peak")
            cells.append(f"{result[key]:.{result[key] < 10:d}f}" + (f" ({part:.0%})" if part else ""))
        peak = f"{result['peak']:.0f} Gop/s" if "peak" in result else ""
        table.append((*cells, f"{result['memory']:.0f} MB", peak))
    widths = [max(len(row[i]) for row in table) for i in range(len(heads))]
    table.insert(1, ["-" * width for width in widths])
    for row in table:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print(f"| {' | '.join([row[0].ljust(widths[0]), *cells])} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path, nargs="?")
    parser.add_argument("--lyra", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--peer", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peer:
        peer, argument, folder = given.peer
        print(json.dumps(measure(PEERS[peer], argument, folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        say(given.build, folder)
        machine = output(given.build / "bin/tessera", "bench", "--json", "--runs", "1")
        there, absent = sides(given.build, given.lyra, machine["kernel"], folder)
        rounds = [{name: run() for name, run in there.items()} for _ in range(ROUNDS)]
    rows = {name: {key: statistics.median(one[name][key] for one in rounds) for key in rounds[0][name]}
            for name in there}
    print(f"Times real time on one core of {machine['cpu']}, medians of {ROUNDS} rounds. Streaming: one frame")
    print("of the codec's own (13 or 20 ms) a push. In brackets: how much of the core's peak the matrix")
    print("products reach; it is measured in the same run, with the same kernels, in the same arithmetic.\n")
    print_table(rows)
    for line in absent:
        print(line)


if __name__ == "__main__":
    main()
