"""WaLLoC: wavelet packets, one linear layer, rounding; a decoder of Snake blocks and a filter."""

from . import fold
from .rows import Model, constant, conv, plain, transposed

# The filters of the biorthogonal wavelet CDF 9/7: halves of the symmetric low passes of analysis
# and synthesis, the middle first; the high passes are these with the other's signs alternating.
ANALYSIS = [0.8526986790088938, 0.37740285561283066, -0.11062440441843718,
            -0.023849465019556843, 0.03782845550726404]  # fmt: skip
SYNTHESIS = [0.7884856164055829, 0.41809227322161724, -0.0406894176091641,
             -0.06453888262869706, 0.0]  # fmt: skip


def filters():
    """h0, h1, g0, g1, ten taps each, as the published buffers hold them."""
    low, high = ([*half[:0:-1], *half] for half in (ANALYSIS, SYNTHESIS))
    alternating = [(-1) ** k for k in range(9)]
    return {
        "wt.h0": [*low, 0.0],
        "wt.h1": [0.0, *(-x * s for x, s in zip(high, alternating))],
        "iwt.g0": [*high, 0.0],
        "iwt.g1": [0.0, *(-x * s for x, s in zip(low, alternating))],
    }


def _snake(ours, published, channels):
    """x + sin^2(frequency x) gain; the published parameters are logarithms."""
    parts = (("frequency", "alpha", fold.snake_frequency), ("gain", "beta", fold.snake_gain))
    rows = []
    for part, theirs, make in parts:
        rows += plain(f"{ours}.{part}", f"{published}.{theirs}", 1, channels, 1, make=make)
    return rows


def _block(c, i):
    n_in, out = c["widths"][i : i + 2]
    ours, published = f"decoder.{i}", f"model_state_dict.decoder.1.block.{i}"
    rows = _snake(f"{ours}.snake", f"{published}.snake1", n_in)
    rows += transposed(f"{ours}.transposed", f"{published}.conv_t1", out, n_in, 2, normed=True)
    for u in range(len(c["dilations"])):
        for part, kernel in ((1, c["kernel"]), (2, 1)):
            unit, theirs = f"{ours}.unit.{u}", f"{published}.res_unit{u + 1}"
            rows += _snake(f"{unit}.snake_{part}", f"{theirs}.snake{part}", out)
            names = (f"{unit}.conv_{part}", f"{theirs}.conv{part}")
            rows += conv(*names, out, out, kernel, normed=True)
    return rows


def _model():
    config = {
        "sample_rate": 44100, "channels": 2, "hop": 256, "levels": 8, "latent_width": 108,
        "code_max": 127, "widths": [756, 756, 108], "kernel": 7, "dilations": [1, 3, 9],
        "post_kernel": 129,
    }  # fmt: skip
    trunk, latent, kernel = "model_state_dict.", config["latent_width"], config["kernel"]
    first, *_, last = config["widths"]
    channels, bands = config["channels"], config["channels"] << config["levels"]
    rows = []
    for name, taps in filters().items():
        rows += constant(trunk + name, [[taps]])
    rows += conv("encoder.in", f"{trunk}encoder.0", latent, bands, 1)
    rows += conv("decoder.in", f"{trunk}decoder.1.conv1", first, latent, kernel, normed=True)
    for i in range(2):
        rows += _block(config, i)
    rows += _snake("decoder.snake", f"{trunk}decoder.1.snake1", last)
    out = ("decoder.out", f"{trunk}decoder.1.conv2")
    rows += conv(*out, bands, last, kernel, normed=True, bias=False)
    rows += conv("decoder.post", f"{trunk}post", channels, channels, config["post_kernel"])
    return Model("walloc", config, rows, trunk)


MODELS = {"walloc_stereo_5x": _model()}
