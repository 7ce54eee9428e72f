"""The vocabulary of the tables: one row for each tensor that is written, or read and left out."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from . import fold
from .checkpoint import Refused


class Row(NamedTuple):
    ours: str | None  # None: left out
    published: dict[str, tuple[int, ...]]  # shapes by name
    make: Callable[..., np.ndarray] | None  # of the published arrays, in that order; None: unread


class Model(NamedTuple):
    """One published network. `rows` say what its checkpoint holds; names that begin like one of
    `ignored`, or do not begin with `trunk`, are other people's."""

    family: str
    config: dict
    rows: list[Row]
    trunk: str = ""
    ignored: tuple[str, ...] = ()


def plain(ours, published, *shape, make=fold.same):
    return [Row(ours, {published: shape}, make)]


def dropped(published, *shape):
    return [Row(None, {published: shape}, None)]


def constant(published, expected):
    """A buffer that is the same in every checkpoint; Tessera computes it."""
    expected = np.asarray(expected)

    def check(values):
        if np.abs(values - expected).max() > 1e-6:  # a few roundings of numbers up to 1
            raise Refused("its values are not the constants of this network")

    return [Row(None, {published: expected.shape}, check)]


def _layer(ours, published, shape, n_out, layout, normed, bias):
    if normed:
        weight = {f"{published}.weight_g": (shape[0], 1, 1), f"{published}.weight_v": shape}
        rows = [Row(f"{ours}.weight", weight, lambda g, v: layout(fold.weight_norm(g, v)))]
    else:
        rows = [Row(f"{ours}.weight", {f"{published}.weight": shape}, layout)]
    return rows + (plain(f"{ours}.bias", f"{published}.bias", n_out) if bias else [])


def conv(ours, published, out, n_in, kernel, normed=False, bias=True):
    return _layer(ours, published, (out, n_in, kernel), out, fold.conv, normed, bias)


def transposed(ours, published, out, n_in, kernel, normed=False):
    return _layer(ours, published, (n_in, out, kernel), out, fold.transposed, normed, True)


def depthwise(ours, published, channels, kernel, bias=True):
    return _layer(ours, published, (channels, 1, kernel), channels, fold.depthwise, False, bias)


def linear(ours, published, out, n_in, bias=True):
    return _layer(ours, published, (out, n_in), out, fold.same, False, bias)


def norm(ours, published, channels):
    return [
        *plain(f"{ours}.weight", f"{published}.weight", channels),
        *plain(f"{ours}.bias", f"{published}.bias", channels),
    ]


def lstm(ours, published, width, n_layers):
    rows = []
    for i in range(n_layers):
        for part in ("weight_ih", "weight_hh"):
            rows += plain(f"{ours}.{i}.{part}", f"{published}.{part}_l{i}", 4 * width, width)
        biases = {f"{published}.bias_{part}_l{i}": (4 * width,) for part in ("ih", "hh")}
        rows.append(Row(f"{ours}.{i}.bias", biases, fold.total))
    return rows


def codebooks(published, n, entries, width):
    """Codebooks trained by moving averages, whose state is left out."""
    rows = []
    for i in range(n):
        book = f"{published}.{i}._codebook"
        rows += plain(f"quantizer.{i}", f"{book}.embed", entries, width)
        rows += dropped(f"{book}.embed_avg", entries, width)
        rows += dropped(f"{book}.cluster_size", entries)
        rows += dropped(f"{book}.inited", 1)
    return rows
