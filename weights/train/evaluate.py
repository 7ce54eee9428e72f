"""A model and recordings it has not been trained on -> how far what comes back is from what went in."""

import numpy as np
import torch

from .losses import SpectralLoss
from .loudness import Disturbance

LONGEST = 10  # seconds heard of each recording


@torch.no_grad()
def errors(net, recipe, recordings):
    """{(kind, codebooks): (log-mel error, magnitude error, disturbance), the means over recordings}"""
    c = recipe.model
    spectral, disturbance = SpectralLoss(recipe), Disturbance(c.sample_rate)
    windows = list(recipe.loss.windows)
    found = {}
    for i in range(len(recordings)):
        pcm = torch.from_numpy(recordings.read(i, n=LONGEST * c.sample_rate))[None]
        if pcm.shape[1] < max(windows):
            continue
        z = net.encode(pcm)
        for n_codes, half in ((c.groups * c.layers, None), (c.groups, torch.ones(1, dtype=torch.bool))):
            latent, _, _ = net.quantizer(z, half)
            made = net.decode(latent)[:, :pcm.shape[1]]
            three = [float(e) for e in (*spectral(pcm, made, windows), disturbance(pcm, made))]
            found.setdefault((recordings.kinds[i], n_codes), []).append(three)
    return {key: np.mean(threes, 0) for key, threes in found.items()}
