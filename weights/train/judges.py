"""Small discriminators over complex spectra, one a window length (EnCodec's MS-STFT, arXiv 2210.13438, section
3.4, smaller), with hinge scores and feature matching (MelGAN, arXiv 1910.06711). Each step draws one of them."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.parametrizations import weight_norm

from .losses import compressed


def conv(n_in, n_out, kernel, stride, padding):
    return weight_norm(nn.Conv2d(n_in, n_out, kernel, stride, padding))


class Judge(nn.Module):
    def __init__(self, n, c):
        super().__init__()
        self.n, self.exponent, w = n, c.compression, c.width
        self.register_buffer("window", torch.hann_window(n), persistent=False)
        self.layers = nn.ModuleList([  # [frames][bins]
            conv(2, w, (3, 9), (1, 2), (1, 4)),
            conv(w, 2 * w, (3, 9), (1, 2), (1, 4)),
            conv(2 * w, 2 * w, (3, 9), (2, 2), (1, 4)),
            conv(2 * w, 2 * w, (3, 3), (1, 2), (1, 1)),
        ])
        self.score = conv(2 * w, 1, 3, 1, 1)

    def forward(self, pcm):
        """[B][N] -> scores, the features of each layer"""
        spectrum = torch.stft(pcm, self.n, self.n // 4, window=self.window, return_complex=True)
        spectrum = compressed(spectrum / self.n**0.5, self.exponent)
        h = torch.stack([spectrum.real, spectrum.imag], 1).transpose(2, 3)[..., :-1]
        h = h.contiguous(memory_format=torch.channels_last)
        features = []
        for layer in self.layers:
            h = F.leaky_relu(layer(h), 0.1)
            features.append(h)
        return self.score(h).float(), features


def make(c):
    return nn.ModuleList(Judge(n, c) for n in c.windows).to(memory_format=torch.channels_last)


def verdict(judge, real, made):
    """The judge's own loss, and what it felt at the real ones."""
    score, features = judge(torch.cat([real, made.detach()]))
    of_real, of_made = score.chunk(2)
    loss = F.relu(1 - of_real).mean() + F.relu(1 + of_made).mean()
    return loss, [f.detach().chunk(2)[0] for f in features]


def persuasion(judge, made, real_features, c):
    """The codec's loss: to score well, and to feel like the real ones."""
    score, features = judge(made)
    match = sum((a - b).abs().float().mean() / (a.abs().float().mean() + 1e-4)
                for a, b in zip(real_features, features)) / len(features)
    return c.match * match - c.score * score.mean()
