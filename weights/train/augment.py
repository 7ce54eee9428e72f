"""A crop -> the same crop as another microphone, room or moment would have had it."""

import numpy as np


def _decibels(rng, low, high):
    return 10 ** (rng.uniform(low, high) / 20)


def level(x, rng, c):
    loudest = c.peak / (np.abs(x).max() + 1e-9)
    return x * min(_decibels(rng, c.level_low, c.level_high), loudest)


def band(x, rng, c, rate):
    """The top of the band gone, as from a telephone or a small file."""
    spectrum = np.fft.rfft(x)
    spectrum[int(rng.uniform(c.band_low, rate / 2) / rate * len(x)):] = 0
    return np.fft.irfft(spectrum, len(x))


def noise(x, rng, c):
    """Noise whose power falls by 0 to 6 dB an octave."""
    spectrum = np.fft.rfft(rng.standard_normal(len(x)))
    added = np.fft.irfft(spectrum * np.arange(1, len(spectrum) + 1.0) ** -rng.uniform(0, 1), len(x))
    return x + added * x.std() / (added.std() * _decibels(rng, c.noise_low, c.noise_high))


def clip(x, rng, c, rate):
    if rng.random() < c.band:
        x = band(x, rng, c, rate)
    if rng.random() < c.noise:
        x = noise(x, rng, c)
    return level(x, rng, c)


def mix(clips, rng, c):
    """Clips [B][N], some of which become two at once."""
    for i in np.flatnonzero(rng.random(len(clips)) < c.mixture):
        other = clips[(i + 1) % len(clips)]
        clips[i] = (1 - c.mixture_level) * clips[i] + c.mixture_level * other
    return clips
