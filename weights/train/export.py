"""Weights -> a model file (docs/model.md), golden vectors of it, discriminators to go on with."""

import json
import os

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from . import Refused, checkpoint
from .model import Block, Codec
from .quantizer import Codebook

ENTRIES = ".entries"


def tensors(net):
    """The model file's names and what they stand for: a state dict without what only training needs."""
    return {name.removesuffix(ENTRIES): t for name, t in net.state_dict().items()
            if not name.endswith((".count", ".total"))}


def write(net, recipe, path):
    """A model file of float16 weights, which the library widens exactly."""
    halves = {name: t.detach().half().contiguous().clone() for name, t in tensors(net).items()}
    for name, t in halves.items():
        if not t.isfinite().all():
            raise Refused(f"tensor '{name}' has a value that float16 cannot hold")
    config = {name: getattr(recipe.model, name) for name in recipe.model.__dataclass_fields__}
    metadata = {
        "tessera.format": "1",
        "tessera.family": "tessera",
        "tessera.name": recipe.export.name,
        "tessera.licence": recipe.export.licence,
        "tessera.config": json.dumps({**config, "arithmetic": "fp32"}),
    }
    checkpoint.write(path, safetensors.torch.save(halves, metadata))


@torch.no_grad()
def read(path, net, grown=False):
    """Fills net from a model file; its codebooks' averages begin as if every entry were used alike. `grown`: net may
    have more blocks than the file, which change nothing until they are trained."""
    named = tensors(net)
    try:
        with safe_open(path, "pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise Refused(f"{path}: {error}") from None
    for name, block in net.named_modules():
        if grown and isinstance(block, Block) and f"{name}.gain" not in stored:
            block.gain.zero_()
            stored.update({key: t for key, t in named.items() if key.startswith(f"{name}.")})
    for name in named.keys() ^ stored.keys():
        raise Refused(f"{path}: tensor '{name}' is {'missing' if name in named else 'not one of the recipe'}")
    for name, t in named.items():
        if t.shape != stored[name].shape:
            raise Refused(f"{path}: tensor '{name}' is {list(stored[name].shape)}, the recipe's is {list(t.shape)}")
        t.copy_(stored[name])
    for module in net.modules():
        if isinstance(module, Codebook):
            module.settle(module.entries.clone(), 1.0)


@torch.no_grad()
def golden(recipe, path, pcm):
    """What the model file at `path` makes of pcm [N], a whole number of hops, in double precision.

    margin [T][K]: by how much the second nearest entry is farther (squared distance). Where it is small, another
    implementation may choose that one, and then differ in its group's later layers too.
    """
    c = recipe.model
    net = Codec(recipe)
    read(path, net)
    net.double()
    net.window = torch.hann_window(c.n_fft, dtype=torch.float64)
    z = net.encode(torch.from_numpy(pcm).double()[None])
    columns, sums = {}, {1: [], c.layers: []}
    for g, (books, r) in enumerate(net.quantizer.groups(z)):
        total = 0
        for layer, book in enumerate(books):
            distance, nearest = (torch.cdist(r, book.entries) ** 2).topk(2, largest=False)
            columns[layer, g] = nearest[:, 0], distance[:, 1] - distance[:, 0]
            entry = book.entries[nearest[:, 0]]
            total, r = total + entry, r - entry
            if layer + 1 in sums:
                sums[layer + 1].append(total)
    codes, margin = (torch.stack([columns[key][i] for key in sorted(columns)], 1) for i in (0, 1))
    audio, half = (net.decode(torch.cat(sums[n], 1)[None])[0] for n in (c.layers, 1))
    return {"pcm": torch.from_numpy(pcm), "latent": z[0].float(), "codes": codes.int(), "margin": margin.float(),
            "audio": audio.float(), "audio_half": half.float()}


def first_seconds(path, seconds, c):
    """The start of a recording at the model's rate, in whole hops; float32 [N]."""
    import soundfile
    import soxr

    pcm, rate = soundfile.read(path, dtype="float32", always_2d=True)
    pcm = soxr.resample(pcm.mean(1), rate, c.sample_rate, quality="VHQ")[:int(seconds * c.sample_rate)]
    return np.ascontiguousarray(pcm[:len(pcm) // c.hop * c.hop], np.float32)


def export(state, recipe, folder, clip=None):
    """A checkpoint's averaged weights and judges, and golden vectors of three seconds of `clip`."""
    net = Codec(recipe)
    net.load_state_dict(state["net"])
    os.makedirs(folder, exist_ok=True)
    path = f"{folder}/{recipe.export.name}.safetensors"
    write(net, recipe, path)
    checkpoint.save(f"{folder}/judges.pt", checkpoint.pinned_judges(state["judges"], state["windows"]))
    if clip:
        vectors = golden(recipe, path, first_seconds(clip, 3, recipe.model))
        vectors = {name: t.contiguous() for name, t in vectors.items()}
        checkpoint.write(f"{folder}/golden.safetensors", safetensors.torch.save(vectors))
    return path
