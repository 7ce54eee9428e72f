"""How far what came back is from what went in, as loud as ears have it: the disturbance of PESQ (ITU-T P.862, sections
10.2.3 to 10.2.7) in a form that has gradients, after Martin-Donas et al., "A deep learning loss function based on
the perceptual evaluation of the speech quality" (IEEE SPL 2018). What a louder sound nearby hides costs nothing.

Left out: the alignments (decoding is aligned, and levels are to be kept) and the longer averages over frames. Bands
are even in Traunmueller's Bark scale, hearing thresholds those of Terhardt's formula, instead of the standard's tables.
"""

import torch
import torch.nn as nn

WINDOW = 0.032  # seconds, half of which a frame advances
BANDS, HIGHEST = 49, 8000.0  # Hz: as wideband PESQ hears
LISTENING = 10**7.9  # power: speech is heard at 79 dB SPL
FAINTEST = 1e-4  # mean square of full scale: a quieter clip is not heard as loud as speech
STEVENS = 0.23  # Zwicker's exponent of loudness
SONES = 0.1866  # of his formula, for dB SPL
MASKED = 0.25  # of the smaller loudness: a smaller difference is not heard
ADDED = 50.0, 1.2, 3.0, 12.0  # asymmetry: what is added disturbs, by (b + 50 / a + 50)^1.2, from 3 to 12
EVEN, ASYMMETRIC = 0.1, 0.0309  # of PESQ's scale a unit of each disturbance


def bark_bank(n, rate):
    """[bands][bins] of ones and fractions: each bin's power belongs to the bands it overlaps."""
    bark = lambda f: 26.81 * f / (1960 + f) - 0.53
    hertz = lambda z: 1960 * (z + 0.53) / (26.28 - z)
    edges = [hertz(z) for z in torch.linspace(bark(50.0), bark(HIGHEST), BANDS + 1).tolist()]
    width = rate / n
    low = (torch.arange(n // 2 + 1) - 0.5) * width
    share = [(low + width).clamp(max=b) - low.clamp(min=a) for a, b in zip(edges, edges[1:])]
    centres = torch.tensor([(a + b) / 2 for a, b in zip(edges, edges[1:])])
    return torch.stack(share).clamp(min=0) / width, centres


def threshold(f):
    """Of hearing in quiet, as power where 0 dB SPL is 1; Terhardt 1979."""
    f = f / 1000
    level = 3.64 * f**-0.8 - 6.5 * torch.exp(-0.6 * (f - 3.3) ** 2) + 1e-3 * f**4
    return 10 ** (level / 10)


class Disturbance(nn.Module):
    def __init__(self, rate):
        super().__init__()
        self.n = 2 * round(rate * WINDOW / 2)
        bank, centres = bark_bank(self.n, rate)
        window = torch.hann_window(self.n)
        self.register_buffer("bank", bank * 2 / (self.n * (window**2).sum()), persistent=False)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("quiet", threshold(centres)[:, None], persistent=False)

    def power(self, pcm):
        """[B][N] -> [B][bands][frames] of mean square"""
        spectrum = torch.stft(pcm, self.n, self.n // 2, window=self.window, return_complex=True)
        return self.bank @ (spectrum.real**2 + spectrum.imag**2)

    def loudness(self, power):
        """Power where 0 dB SPL is 1 -> sones a Bark"""
        sones = SONES * (2 * self.quiet) ** STEVENS * ((0.5 + 0.5 * power / self.quiet) ** STEVENS - 1)
        return sones * (sones > 0)

    def forward(self, real, made):
        """real, made [B][N] -> on PESQ's scale, without its limits"""
        level = LISTENING / (real**2).mean(1).clamp(min=FAINTEST)[:, None, None]
        a, b = level * self.power(real), level * self.power(made)
        loud_a, loud_b = self.loudness(a), self.loudness(b)
        gap = ((loud_b - loud_a).abs() - MASKED * torch.minimum(loud_a, loud_b)).clamp(min=0)
        constant, exponent, least, most = ADDED
        asymmetry = ((b.detach() + constant) / (a + constant)) ** exponent
        asymmetry = asymmetry.clamp(max=most) * (asymmetry >= least)
        even = BANDS * (gap**2).mean(1).clamp(min=1e-8).sqrt()
        added = BANDS * (gap * asymmetry).mean(1)
        heard = (a.sum(1) / LISTENING).clamp(min=1e-3) ** 0.04
        return EVEN * (even * heard).mean() + ASYMMETRIC * (added * heard).mean()
