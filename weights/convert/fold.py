"""Arrays as they are published in, arrays as Tessera multiplies them out.

All in float64; who writes the file rounds once, to float32.
"""

import numpy as np

from .checkpoint import Refused


def weight_norm(g, v):
    """w = g v / |v|, the norm over all but the first dimension, whatever that dimension means.
    Source: arXiv:1602.07868, equation 2."""
    v = v.astype(np.float64)
    norm = np.sqrt(np.sum(v * v, axis=tuple(range(1, v.ndim)), keepdims=True))
    if not norm.all():
        raise Refused("weight norm divides by a vector of length 0")
    return g * v / norm


def same(x):
    return x


def conv(w):
    """[out][in][k] to [out][k][in]; [out][in] where k is 1."""
    return w[:, :, 0] if w.shape[2] == 1 else w.transpose(0, 2, 1)


def transposed(w):
    """[in][out][k] to [k][out][in]."""
    return w.transpose(2, 1, 0)


def depthwise(w):
    """[C][1][k] to [k][C], whether transposed or not."""
    return w[:, 0, :].T


def side_by_side(axis):
    """1x1 convolutions of one input (axis 0) or to one sum (axis 1) as one matrix."""
    return lambda *parts: np.concatenate([conv(part) for part in parts], axis)


def total(a, b):
    return a.astype(np.float64) + b


def codebook(usage, total):
    """Mean of the vectors assigned to each entry. In float32, as the published network divides:
    one rounding more or less decides ties."""
    return total / np.maximum(usage, np.float32(1e-5))[:, None]


def snake_frequency(alpha):
    return np.exp(alpha.astype(np.float64)).reshape(-1)


def snake_gain(beta):
    return 1 / (np.exp(beta.astype(np.float64)).reshape(-1) + 1e-9)
