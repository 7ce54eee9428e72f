#!/usr/bin/env python3
"""The published families on one core, ours beside PyTorch: whole clips and pushes of 80 ms, memory.

Usage: bench_families.py BUILD FOLDER [NAME...]      FOLDER as make_models.py fills it

Needs torch and safetensors: tests/torch_families.py runs the same networks from the same files. A side
is a process of its own, one after the other, begun by one that is small, since a process inherits the
peak of its parent's memory; times are of the processor, the best of two. Our memory is what the command
takes for the same length of sound. Before it counts, a network of PyTorch must give the golden audio.
"""

import argparse
import json
import os
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time
import wave

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = 4  # of sound; streams that run their surroundings again get less
ROUNDS = 2
PUSH = 0.08
KEYS = ("encode", "decode", "encode_stream", "decode_stream")


def best_of(run, rounds):
    """Seconds of the processor."""
    best = float("inf")
    for _ in range(rounds):
        before = time.process_time()
        run()
        best = min(best, time.process_time() - before)
    return best


def check(net, name):
    import torch
    from safetensors.torch import load_file

    golden = load_file(HERE / "families" / name / "golden_1.safetensors")
    pcm = golden["speech.input"]
    k = golden["speech.codes"].shape[1]
    codes = net.encode((pcm if pcm.ndim == 2 else pcm[:, None]).T[None], k)
    sound = net.decode(golden["speech.codes"].long())[0].T.squeeze(1)
    want = golden["speech.audio"]
    off = (sound[: len(want)] - want).abs().max().item()
    same = (codes == golden["speech.codes"]).float().mean().item()
    if off > golden["speech.audio.limit"].item() or same < 0.99:
        sys.exit(f"{name}: PyTorch's audio is {off:.2g} off, {same:.1%} of the codes are right")


def search_flops(c):
    """Of latents times codebook entries, a second of sound: encode_flops counts layers alone."""
    width = c.get("entry_width") or c.get("group_width") or c["latent_width"]
    entries = c.get("codebooks_default", 0) * c.get("entries", 0)
    return 2 * entries * width * c["sample_rate"] / c["hop"]


def rerun(net, codes, frames):
    """Each push's frames decoded with those around them that they depend on."""
    for at in range(0, codes.shape[0], frames):
        net.decode(codes[max(0, at - net.context) : at + frames + net.context])


def push_through(net, run, pieces):
    net.state = {}
    for piece in pieces:
        run(piece)
    net.state = None


def measure_torch(path):
    sys.path.insert(0, str(HERE))
    import torch
    import torch_families

    name = path.stem
    net = torch_families.load(path)
    check(net, name)
    c = net.config
    frames = max(1, int(PUSH * c["sample_rate"] / c["hop"]))
    k = c.get("codebooks_default")
    n = SECONDS * c["sample_rate"] // (frames * c["hop"]) * frames * c["hop"]
    pcm = 0.1 * torch.randn(1, c["channels"], n, generator=torch.Generator().manual_seed(1))
    codes = net.encode(pcm, k)
    seconds, times = n / c["sample_rate"], dict.fromkeys(KEYS)
    can_encode, can_decode = net.streams
    if can_encode:
        pieces = pcm.split(frames * c["hop"], 2)
        run = lambda piece: net.encode(piece, k)  # noqa: E731
        times["encode_stream"] = seconds / best_of(lambda: push_through(net, run, pieces), ROUNDS)
    if can_decode and net.context:
        some = codes[: 10 * frames]
        took = best_of(lambda: rerun(net, some, frames), 1)
        times["decode_stream"] = len(some) * c["hop"] / c["sample_rate"] / took
    elif can_decode:
        pieces = codes.split(frames)
        took = best_of(lambda: push_through(net, net.decode, pieces), ROUNDS)
        times["decode_stream"] = seconds / took
    times["encode"] = seconds / best_of(lambda: net.encode(pcm, k), ROUNDS)
    times["decode"] = seconds / best_of(lambda: net.decode(codes), ROUNDS)
    times["search_flops"] = search_flops(c)
    times["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps(times))


def output(*command):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def megabytes(*command):
    """What a command takes at most."""
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(map(str, command))}")
    return usage.ru_maxrss / 1000


def command_memory(build, path, folder):
    """To encode and to decode."""
    rate = 24000
    with wave.open(f"{folder}/in.wav", "wb") as sound:
        sound.setparams((1, 2, rate, 0, "NONE", None))
        sound.writeframes(random.Random(1).randbytes(2 * SECONDS * rate))
    tessera = (build / "bin/tessera",)
    ends = ("-q", "-f", "-m", path)
    return (megabytes(*tessera, "encode", *ends, f"{folder}/in.wav", f"{folder}/codes.tess"),
            megabytes(*tessera, "decode", *ends, f"{folder}/codes.tess", f"{folder}/out.wav"))


def column(ours, theirs, peak, flops):
    """Ours, theirs, their quotient and our part of the peak."""
    if ours is None:
        return f"{'-':>24}"
    times = f"{ours / theirs:5.1f}x" if theirs else "     -"
    part = f"{ours * flops / peak / 1e9:4.0%}"
    return f"{ours:7.1f}{f'{theirs:.1f}' if theirs else '-':>7}{times}{part}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--torch", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.torch:
        return measure_torch(given.folder)
    peak = output(given.build / "bin/tessera", "bench", "--json")["peak_gflops"]
    print(f"Times real time on one core, of {peak:.0f} GFLOP/s at most: ours, PyTorch's, ours by PyTorch's,")
    print("ours of the peak. Memory in MB at most: ours to encode, to decode, PyTorch's, PyTorch's by ours.")
    heads = ("encode", "decode", "encode, 80 ms", "decode, 80 ms")
    print(f"{'':30}" + "".join(f"{head:>24}" for head in heads) + f"{'memory':>25}")
    for name in given.names or sorted(path.stem for path in given.folder.glob("*.safetensors")):
        path = given.folder / f"{name}.safetensors"
        try:
            ours = output(given.build / "bin/bench_family", path, str(SECONDS))
        except subprocess.CalledProcessError:
            print(f"{name:30}  does not run")
            continue
        theirs = output(sys.executable, "-B", __file__, given.build, path, "--torch")
        ours["encode_flops"] += theirs["search_flops"]
        flops = {key: ours[key[:6] + "_flops"] for key in KEYS}
        row = "".join(column(ours[key], theirs[key], peak, flops[key]) for key in KEYS)
        with tempfile.TemporaryDirectory() as folder:
            memory = command_memory(given.build, path, folder)
        row += f"{memory[0]:7.0f}{memory[1]:7.0f}{theirs['megabytes']:7.0f}{theirs['megabytes'] / max(memory):4.1f}"
        print(f"{name:30}{row}", flush=True)


if __name__ == "__main__":
    main()
