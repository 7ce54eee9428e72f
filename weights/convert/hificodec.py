"""HiFi-Codec: stages of three residual branches each, two groups of two residual codebooks."""

from .rows import Model, conv, norm, plain, transposed


def _branches(c, ours, published, stage, channels, kernels):
    """The residual branches of a stage; the published network numbers them through."""
    rows = []
    for b, kernel in enumerate(kernels):
        block = f"{published}.resblocks.{len(kernels) * stage + b}"
        for m in range(len(c["dilations"])):
            for part, theirs in (("dilated", "convs1"), ("plain", "convs2")):
                rows += conv(f"{ours}.{stage}.branch.{b}.{m}.{part}", f"{block}.{theirs}.{m}",
                             channels, channels, kernel, normed=True)  # fmt: skip
    return rows


def _encoder(c):
    width = c["width"]
    rows = conv("encoder.in", "encoder.conv_pre", width, c["channels"], c["kernel"], normed=True)
    for i, kernel in enumerate(reversed(c["kernels"])):
        down = f"encoder.{i}.down"
        rows += conv(down, f"encoder.ups.{i}", 2 * width, width, kernel, normed=True)
        width *= 2
        branches = c["branch_kernels"][::-1]
        rows += _branches(c, "encoder", "encoder", i, width, branches)
        for b in range(len(branches)):
            published = f"encoder.normalize.{len(branches) * i + b}"
            rows += norm(f"encoder.{i}.branch.{b}.norm", published, width)
    kernel = c["encoder_last_kernel"]
    return rows + conv("encoder.out", "encoder.conv_post", c["latent_width"], width, kernel)


def _decoder(c):
    width = c["width"] << len(c["ratios"])
    first, last = ("decoder.in", "generator.conv_pre"), ("decoder.out", "generator.conv_post")
    rows = conv(*first, width, c["latent_width"], c["kernel"], normed=True)
    for i, kernel in enumerate(c["kernels"]):
        up = f"decoder.{i}.up"
        rows += transposed(up, f"generator.ups.{i}", width // 2, width, kernel, normed=True)
        width //= 2
        rows += _branches(c, "decoder", "generator", i, width, c["branch_kernels"])
    return rows + conv(*last, c["channels"], width, c["kernel"], normed=True)


def _quantizer(c):
    rows = []
    for layer, modules in enumerate(("quantizer_modules", "quantizer_modules2")):
        for group in range(c["groups"]):
            published = f"quantizer.{modules}.{group}.embedding.weight"
            rows += plain(f"quantizer.{group}.{layer}", published, c["entries"], c["group_width"])
    return rows


def _model(sample_rate, hop, ratios, kernels):
    config = {
        "sample_rate": sample_rate, "hop": hop, "channels": 1, "width": 32, "ratios": ratios,
        "kernels": kernels, "kernel": 7, "encoder_last_kernel": 3, "branch_kernels": [3, 7, 11],
        "dilations": [1, 3, 5], "norm_width": 16, "latent_width": 512, "groups": 2, "layers": 2,
        "group_width": 256, "entries": 1024, "codebooks": 4, "codebooks_default": 4,
        "codebooks_legal": [4],
    }  # fmt: skip
    return Model("hificodec", config, _encoder(config) + _quantizer(config) + _decoder(config))


MODELS = {
    "hificodec_24k_320d": _model(24000, 320, [8, 5, 4, 2], [16, 11, 8, 4]),
    "hificodec_16k_320d": _model(16000, 320, [8, 5, 4, 2], [16, 11, 8, 4]),
    "hificodec_24k_240d": _model(24000, 240, [8, 5, 3, 2], [16, 11, 7, 4]),
}
