"""Language-Codec: a SEANet encoder, codebooks of which three see a third of the latent each, a
decoder of ConvNeXt blocks and a spectrum head."""

import numpy as np

from . import seanet
from .rows import Model, codebooks, constant, conv, depthwise, linear, norm, plain


def _adaptive_norm(ours, published, n_ids, channels):
    return [
        *plain(f"{ours}.scale", f"{published}.scale.weight", n_ids, channels),
        *plain(f"{ours}.shift", f"{published}.shift.weight", n_ids, channels),
    ]


def _decoder(c):
    width, expansion, kernel = c["decoder_width"], c["expansion"], c["decoder_kernel"]
    rows = conv("decoder.in", "state_dict.backbone.embed", width, c["latent_width"], kernel)
    rows += _adaptive_norm("decoder.in_norm", "state_dict.backbone.norm", c["bandwidths"], width)
    for i in range(c["blocks"]):
        ours, published = f"decoder.{i}", f"state_dict.backbone.convnext.{i}"
        rows += depthwise(f"{ours}.dw", f"{published}.dwconv", width, kernel)
        rows += _adaptive_norm(f"{ours}.norm", f"{published}.norm", c["bandwidths"], width)
        rows += linear(f"{ours}.up", f"{published}.pwconv1", expansion, width)
        rows += linear(f"{ours}.down", f"{published}.pwconv2", width, expansion)
        rows += plain(f"{ours}.gain", f"{published}.gamma", width)
    rows += norm("decoder.out_norm", "state_dict.backbone.final_layer_norm", width)
    rows += linear("decoder.head", "state_dict.head.out", c["n_fft"] + 2, width)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(c["n_fft"]) / c["n_fft"])
    return rows + constant("state_dict.head.istft.window", hann)


def _model():
    config = {
        "sample_rate": 24000, "hop": 320, **seanet.network([8, 5, 4, 2]),
        "entries": 1024, "codebooks": 8, "codebooks_default": 8, "codebooks_legal": [4, 8],
        "masks": [0, 42, 85, 128], "decoder_width": 384, "expansion": 1152, "blocks": 12,
        "decoder_kernel": 7, "bandwidths": 4, "n_fft": 1280,
    }  # fmt: skip
    encodec = "state_dict.feature_extractor.encodec"
    books = (config["codebooks"], config["entries"], config["latent_width"])
    unused = seanet.decoder(config, f"{encodec}.decoder.model", normed=True)
    rows = [
        *seanet.encoder(config, f"{encodec}.encoder.model", normed=True),
        *codebooks(f"{encodec}.quantizer.vq.layers", *books),
        *(row._replace(ours=None, make=None) for row in unused),
        *_decoder(config),
    ]
    training = (
        "multiperioddisc", "multiresddisc", "dac", "dacdiscriminator", "disc_loss", "gen_loss",
        "feat_matching_loss", "melspec_loss",
    )  # fmt: skip
    ignored = tuple(f"state_dict.{name}." for name in training)
    return Model("languagecodec", config, rows, "state_dict.", ignored)


MODELS = {"languagecodec_24k": _model()}
