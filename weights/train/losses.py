"""What came back, beside what went in, over windows from 64 to 2048 samples.

Log-mel L1 over several windows: DAC (arXiv 2306.06546, section 3.5), after Yamamoto et al. (arXiv 1910.11480).
A pair of windows drawn a step costs a third and has the same mean. Magnitudes compressed by a power weigh quiet
parts as ears do, with and without phase: Braun and Tashev (arXiv 2009.12286), section 3.
"""

import math

import torch
import torch.nn as nn

QUIET = 1e-5  # of a magnitude whose full scale is 1/2: what lies below it is silence to the loss


def mel_bank(n, n_bands, rate, low=20.0):
    """[bands][bins] triangles evenly wide in mel (O'Shaughnessy's formula), each of the sum 1."""
    edges = torch.linspace(*(2595 * math.log10(1 + f / 700) for f in (low, rate / 2)), n_bands + 2)
    edges = 700 * (10 ** (edges / 2595) - 1)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    f = torch.linspace(0, rate / 2, n // 2 + 1)
    bank = torch.minimum((f - left) / (centre - left), (right - f) / (right - centre)).clamp(min=0)
    return bank / bank.sum(1, keepdim=True).clamp(min=1e-3)


def compressed(spectrum, exponent, quiet=1e-4):
    """A complex spectrum whose magnitudes are raised to `exponent`, its phases kept."""
    return spectrum * spectrum.abs().clamp(min=quiet) ** (exponent - 1)


class SpectralLoss(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        self.c, self.rate = recipe.loss, recipe.model.sample_rate
        for n, n_bands in self.c.windows.items():
            self.register_buffer(f"bank{n}", mel_bank(n, n_bands, self.rate), persistent=False)
            self.register_buffer(f"window{n}", torch.hann_window(n), persistent=False)

    def draw(self, draw):
        """The windows of a step: a short one, for when things happen, and a long one, for their pitch."""
        short = [n for n in self.c.windows if n <= self.c.short]
        return draw.one_of(short), draw.one_of([n for n in self.c.windows if n > self.c.short])

    def _stft(self, pcm, n):
        window = getattr(self, f"window{n}")
        return torch.stft(pcm, n, n // 4, window=window, return_complex=True) / window.sum()

    def forward(self, real, made, windows):
        """real, made [B][N] -> log-mel error (natural logarithms), compressed magnitude error."""
        mel = magnitude = 0.0
        for n in windows:
            a, b, bank = self._stft(real, n), self._stft(made, n), getattr(self, f"bank{n}")
            size_a, size_b = a.abs(), (b.real**2 + b.imag**2 + 1e-12).sqrt()  # finite slope at 0
            mel_a, mel_b = ((bank @ size).clamp(min=QUIET).log() for size in (size_a, size_b))
            mel = mel + (mel_a - mel_b).abs().mean()
            size_a, size_b = (size.clamp(min=QUIET) ** self.c.compression for size in (size_a, size_b))
            magnitude = magnitude + (size_a - size_b).abs().mean()
            if n in self.c.phase_windows:
                below = int(n * self.c.phase_below / self.rate)
                gap = torch.view_as_real(compressed(a[:, :below], 0.4) - compressed(b[:, :below], 0.4))
                magnitude = magnitude + self.c.phase * 2 * gap.abs().mean()  # 2: real and imaginary part
        return mel / len(windows), magnitude / len(windows)
