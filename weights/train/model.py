"""Samples -> latent, latent -> samples: docs/architecture.md, "The default model's mathematics". Modules are
named so that a state dict holds the model file's own names (export.py).

C channels, T frames, N samples; activations [B][T][C].
"""

from collections import OrderedDict

import torch
import torch.nn as nn
import torch.nn.functional as F

from .quantizer import Quantizer

FLOOR = 1e-5  # of magnitudes: -100 dB
LOUDEST = 6.0  # of a predicted log magnitude
NORM_EPSILON = 1e-6


def linear(n_in, n_out, spread=0.03):
    layer = nn.Linear(n_in, n_out)
    nn.init.trunc_normal_(layer.weight, std=spread)
    nn.init.zeros_(layer.bias)
    return layer


def norm(channels):
    return nn.LayerNorm(channels, eps=NORM_EPSILON)


class Depthwise(nn.Module):
    """Causal convolution of each channel by itself, zeros before the start."""

    def __init__(self, channels, kernel):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(kernel, channels) * kernel**-0.5)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, h):
        kernel, n_frames = len(self.weight), h.shape[1]
        past = F.pad(h, (0, 0, kernel - 1, 0))
        return self.bias + sum(self.weight[i] * past[:, i:i + n_frames] for i in range(kernel))


class Block(nn.Module):
    """ConvNeXt's block (arXiv 2201.03545), causal, as Vocos has it (arXiv 2306.00814)."""

    def __init__(self, c):
        super().__init__()
        self.dw = Depthwise(c.channels, c.kernel)
        self.norm = norm(c.channels)
        self.up = linear(c.channels, c.expansion, 0.04)
        self.down = linear(c.expansion, c.channels, 0.04)
        self.gain = nn.Parameter(torch.full((c.channels,), 0.1))

    def forward(self, h):
        y = F.gelu(self.up(self.norm(self.dw(h))), approximate="tanh")
        return h + self.gain * self.down(y)


def blocks(c, n_blocks, first, last):
    """first, norm, blocks, norm, last; `first` and `last` are (name, layer)."""
    middle = [(str(i), Block(c)) for i in range(n_blocks)]
    return nn.Sequential(OrderedDict([first, ("in_norm", norm(c.channels)), *middle,
                                      ("out_norm", norm(c.channels)), last]))


class Codec(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        self.c = c = recipe.model
        self.register_buffer("window", torch.hann_window(c.n_fft), persistent=False)
        self.encoder = blocks(c, c.encoder_blocks, ("in", linear(c.bins + 2 * c.phase_bins, c.channels)),
                              ("to_latent", linear(c.channels, c.latent)))
        self.decoder = blocks(c, c.decoder_blocks, ("from_latent", linear(c.latent, c.channels)),
                              ("head", linear(c.channels, 2 * c.bins)))
        self.quantizer = Quantizer(c, recipe.quantizer)
        with torch.no_grad():
            self.decoder.head.bias[:c.bins] = -1.5  # new weights begin as quiet as speech is

    def compile(self):
        for layer in [*self.encoder, *self.decoder]:
            if isinstance(layer, Block):
                layer.compile()

    def feature(self, pcm):
        """[B][N] -> [B][T][bins + 2 phase_bins]; a last partial hop is filled with zeros."""
        c = self.c
        n_frames = -(-pcm.shape[1] // c.hop)
        pcm = F.pad(pcm, (c.n_fft - c.hop, n_frames * c.hop - pcm.shape[1]))
        spectrum = torch.fft.rfft(pcm.unfold(1, c.n_fft, c.hop) * self.window) / 60
        size = spectrum.abs().clamp(min=FLOOR)
        low = spectrum[..., :c.phase_bins] * size[..., :c.phase_bins] ** -0.7
        return torch.cat([(torch.log(size) + 4) / 3, low.real, low.imag], -1)

    def encode(self, pcm):
        """[B][N] -> latent [B][T][D]"""
        return self.encoder(self.feature(pcm)).to(pcm.dtype)

    def spectra(self, latent):
        """[B][T][D] -> log magnitudes and phases [B][T][2 bins]"""
        return self.decoder(latent).to(latent.dtype)

    def synthesis(self, spectra):
        """[B][T][2 bins] -> [B][T hop]"""
        c = self.c
        size, phase = torch.exp(spectra[..., :c.bins].clamp(max=LOUDEST)), spectra[..., c.bins:]
        frames = torch.fft.irfft(torch.complex(size * torch.cos(phase), size * torch.sin(phase)), c.n_fft)
        overlap = c.n_fft // c.hop
        n_clips, n_frames, _ = frames.shape
        parts = (frames * self.window).view(n_clips, n_frames, overlap, c.hop).unbind(2)
        pcm = sum(F.pad(part, (0, 0, i, overlap - 1 - i)) for i, part in enumerate(parts))
        return pcm[:, overlap - 1:].reshape(n_clips, n_frames * c.hop) / 1.5

    def decode(self, latent):
        return self.synthesis(self.spectra(latent))
