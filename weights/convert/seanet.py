"""SEANet encoders and decoders: EnCodec, AcademiCodec's Encodec and SoundStream; Language-Codec and
Mimi build on the two functions. A layer keeps the number it has in the published network."""

from .rows import Model, codebooks, conv, lstm, norm, transposed


class _Layers:
    """Rows of one side; `n` is the published number of the next layer."""

    def __init__(self, config, ours, published, normed):
        self.c, self.ours, self.published, self.normed = config, ours, published, normed
        self.n, self.rows = 0, []

    def _name(self):
        name = f"{self.ours}.{self.n}", f"{self.published}.{self.n}"
        self.n += 1
        return name

    def _one(self, kind, word, ours, published, out, n_in, kernel):
        inner = f"{published}.{word}"
        self.rows += kind(ours, f"{inner}.{word}", out, n_in, kernel, normed=self.normed)
        if self.c["group_norm"]:
            self.rows += norm(f"{ours}.norm", f"{inner}.norm", out)

    def conv(self, out, n_in, kernel):
        self._one(conv, "conv", *self._name(), out, n_in, kernel)

    def transposed(self, out, n_in, kernel):
        self._one(transposed, "convtr", *self._name(), out, n_in, kernel)

    def residual(self, channels):
        parts = [("block.1", channels // 2, channels, self.c["residual_kernel"]),
                 ("block.3", channels, channels // 2, 1)]  # fmt: skip
        if self.c["shortcut"]:
            parts.append(("shortcut", channels, channels, 1))
        ours, published = self._name()
        for part, out, n_in, kernel in parts:
            self._one(conv, "conv", f"{ours}.{part}", f"{published}.{part}", out, n_in, kernel)

    def lstm(self, channels):
        if self.c["lstm_layers"]:
            ours, published = self._name()
            self.rows += lstm(f"{ours}.lstm", f"{published}.lstm", channels, self.c["lstm_layers"])

    def elu(self):
        self.n += 1


def encoder(c, published, normed):
    side, width = _Layers(c, "encoder", published, normed), c["width"]
    side.conv(width, c["channels"], c["kernel"])
    for ratio in reversed(c["ratios"]):
        side.residual(width)
        side.elu()
        side.conv(2 * width, width, 2 * ratio)
        width *= 2
    side.lstm(width)
    side.elu()
    side.conv(c["latent_width"], width, c["last_kernel"])
    return side.rows


def decoder(c, published, normed):
    side, width = _Layers(c, "decoder", published, normed), c["width"] << len(c["ratios"])
    side.conv(width, c["latent_width"], c["kernel"])
    side.lstm(width)
    for ratio in c["ratios"]:
        side.elu()
        side.transposed(width // 2, width, 2 * ratio)
        width //= 2
        side.residual(width)
    side.elu()
    side.conv(c["channels"], width, c["last_kernel"])
    return side.rows


def network(ratios, **more):
    """The config keys of a SEANet; `more` replaces some."""
    return {
        "channels": 1, "width": 32, "ratios": ratios, "latent_width": 128, "kernel": 7,
        "last_kernel": 7, "residual_kernel": 3, "shortcut": 1, "lstm_layers": 2, "causal": 0,
        "group_norm": 0, "padding": "reflect", **more,
    }  # fmt: skip


def model(family, prefix, sample_rate, hop, n_codebooks, ratios, **more):
    """A whole codec; `more` replaces config keys."""
    config = {
        "sample_rate": sample_rate, "hop": hop, **network(ratios), "segment": 0,
        "segment_stride": 0, "entries": 1024, "codebooks": n_codebooks,
        "codebooks_default": n_codebooks, "codebooks_legal": list(range(1, n_codebooks + 1)),
        **more,
    }  # fmt: skip
    normed = not config["group_norm"]
    books = (n_codebooks, config["entries"], config["latent_width"])
    rows = [
        *encoder(config, f"{prefix}encoder.model", normed),
        *codebooks(f"{prefix}quantizer.vq.layers", *books),
        *decoder(config, f"{prefix}decoder.model", normed),
    ]
    return Model(family, config, rows)


ACADEMICODEC = "academicodec_encodec"
MODULE = "module."  # what training on several machines puts before every name

MODELS = {
    "academicodec_encodec_24k_240d": model(
        ACADEMICODEC, MODULE, 24000, 240, 12, [6, 5, 4, 2], latent_width=512
    ),
    "academicodec_encodec_16k_320d": model(
        ACADEMICODEC, MODULE, 16000, 320, 24, [8, 5, 4, 2], latent_width=512
    ),
    "academicodec_encodec_24k_32d": model(
        ACADEMICODEC, MODULE, 24000, 32, 2, [2, 2, 2, 4], latent_width=512, codebooks_default=1
    ),
    "soundstream_24k_240d": model(
        "soundstream", MODULE, 24000, 240, 15, [6, 5, 4, 2], latent_width=512
    ),
    "encodec_24khz": model(
        "encodec", "", 24000, 320, 32, [8, 5, 4, 2], codebooks_legal=[2, 4, 8, 16, 32], causal=1
    ),
    "encodec_48khz": model(
        "encodec", "", 48000, 320, 16, [8, 5, 4, 2], codebooks_legal=[2, 4, 8, 16],
        segment=48000, segment_stride=47520, channels=2, group_norm=1,
    ),
}  # fmt: skip
