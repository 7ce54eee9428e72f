"""Mimi: a SEANet with a transformer on either side of two quantizers of one latent."""

from . import fold, seanet
from .rows import Model, Row, conv, depthwise, dropped, linear, norm, plain


def _transformer(c, side):
    width, expansion, rows = c["latent_width"], c["transformer_expansion"], []
    for i in range(c["transformer_layers"]):
        ours = f"{side}.transformer.{i}"
        published = f"{side}_transformer.transformer.layers.{i}"
        rows += norm(f"{ours}.norm_1", f"{published}.norm1", width)
        inner, attention = f"{ours}.attention", f"{published}.self_attn"
        rows += plain(f"{inner}.in.weight", f"{attention}.in_proj_weight", 3 * width, width)
        rows += linear(f"{inner}.out", f"{attention}.out_proj", width, width, bias=False)
        rows += plain(f"{ours}.gain_1", f"{published}.layer_scale_1.scale", width)
        rows += norm(f"{ours}.norm_2", f"{published}.norm2", width)
        rows += linear(f"{ours}.up", f"{published}.linear1", expansion, width, bias=False)
        rows += linear(f"{ours}.down", f"{published}.linear2", width, expansion, bias=False)
        rows += plain(f"{ours}.gain_2", f"{published}.layer_scale_2.scale", width)
    return rows


def _quantizer(c, part, books):
    entries, narrow = c["entries"], c["entry_width"]
    published, rows = f"quantizer.rvq_{part}", []
    for i, k in enumerate(books):
        book = f"{published}.vq.layers.{i}._codebook"
        shapes = {f"{book}.cluster_usage": (entries,), f"{book}.embedding_sum": (entries, narrow)}
        rows.append(Row(f"quantizer.{k}", shapes, fold.codebook))
        rows += dropped(f"{book}._initialized", 1)
    return rows


def _projections(c):
    """Both quantizers' projections in one matrix each: what they see stands side by side."""
    narrow, wide = c["entry_width"], c["latent_width"]
    rows = []
    for name, shape, axis in (("input", (narrow, wide, 1), 0), ("output", (wide, narrow, 1), 1)):
        parts = {f"quantizer.rvq_{part}.{name}_proj.weight": shape for part in ("first", "rest")}
        rows.append(Row(f"quantizer.{name}.weight", parts, fold.side_by_side(axis)))
    return rows


def _model():
    config = {
        "sample_rate": 24000, "hop": 1920,
        **seanet.network([8, 6, 5, 4], width=64, latent_width=512, last_kernel=3, shortcut=0,
                         lstm_layers=0, causal=1, padding="zero"),
        "transformer_layers": 8, "transformer_heads": 8, "transformer_expansion": 2048,
        "transformer_context": 250, "rotary_period": 10000, "downsample": 2,
        "entries": 2048, "entry_width": 256, "codebooks": 32, "codebooks_default": 8,
        "codebooks_legal": list(range(1, 33)),
    }  # fmt: skip
    width, kernel = config["latent_width"], 2 * config["downsample"]
    down = ("encoder.downsample", "downsample.conv.conv.conv", width, width, kernel)
    up = ("decoder.upsample", "upsample.convtr.convtr.convtr", width, kernel)
    rows = [
        *seanet.encoder(config, "encoder.model", normed=False),
        *_transformer(config, "encoder"),
        *conv(*down, bias=False),
        *_projections(config),
        *_quantizer(config, "first", range(1)),
        *_quantizer(config, "rest", range(1, config["codebooks"])),
        *depthwise(*up, bias=False),
        *_transformer(config, "decoder"),
        *seanet.decoder(config, "decoder.model", normed=False),
    ]
    return Model("mimi", config, rows)


MODELS = {"mimi_24khz": _model()}
