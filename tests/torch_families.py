"""The published families in PyTorch, from the same model files: `make bench-families` compares.

A network runs a whole clip, or streams: causal layers then keep what their windows reach back to;
elsewhere the frames around a push are run again with it. What cannot stream without starting over (a
norm over the clip, an LSTM between layers that look ahead) has no stream.
"""

import json
import math
import pathlib
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from weights.convert import safetensors_io, walloc  # noqa: E402


def config_of(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return json.loads(header["__metadata__"]["tessera.config"])


class Network:
    """Layers by the names of a model file's tensors; activations [1][C][T]."""

    reflect = False
    fill = False  # a last stride that is not full gives a step
    context = None  # frames on either side that a decoder's frame depends on: streams rerun them

    def __init__(self, path):
        self.config = config_of(path)
        self.stored = safetensors_io.read(path)
        self.ready = {}
        self.state = None  # a stream's: what layers keep from push to push

    def tensor(self, name):
        return torch.from_numpy(np.array(self.stored[name].read()))

    def once(self, name, make):
        if name not in self.ready:
            self.ready[name] = make()
        return self.ready[name]

    def bias(self, name):
        return self.tensor(name + ".bias") if name + ".bias" in self.stored else None

    def conv(self, name, x, stride=1, dilation=1, right=0, mode=None):
        def make():
            w = self.tensor(name + ".weight")
            return w[..., None] if w.ndim == 2 else w.transpose(1, 2).contiguous(), self.bias(name)

        w, b = self.once(name, make)
        reach = (w.shape[2] - 1) * dilation + 1 - stride
        if self.state is not None and reach:
            x = torch.cat([self.state.get(name, torch.zeros(1, x.shape[1], reach)), x], 2)
            self.state[name] = x[..., x.shape[2] - reach :]
        elif reach:
            extra = -x.shape[2] % stride if self.fill else 0
            mode = mode or ("reflect" if self.reflect else "constant")
            x = F.pad(x, (reach - right, right + extra), mode)
        return F.conv1d(x, w, b, stride, dilation=dilation)

    def depthwise(self, name, x):
        w, b = self.once(
            name, lambda: (self.tensor(name + ".weight").T[:, None].contiguous(), self.bias(name))
        )
        return F.conv1d(x, w, b, padding=w.shape[2] // 2, groups=x.shape[1])

    def upconv(self, name, x, stride, right, groups=1):
        def make():
            w = self.tensor(name + ".weight")
            w = w.T[:, None] if w.ndim == 2 else w.permute(2, 1, 0)
            return w.contiguous(), self.bias(name)

        w, b = self.once(name, make)
        overlap, n = w.shape[2] - stride, x.shape[2] * stride
        if self.state is None:
            full = F.conv_transpose1d(x, w, b, stride, groups=groups)
            return full[..., overlap - right :][..., :n]
        full = F.conv_transpose1d(x, w, None, stride, groups=groups)
        if name in self.state:
            full[..., :overlap] += self.state[name]
        self.state[name] = full[..., n:].clone()
        return full[..., :n] if b is None else full[..., :n] + b[:, None]

    def lstm(self, name, layers, x):
        def make():
            width = x.shape[1]
            net = torch.nn.LSTM(width, width, layers)
            for i in range(layers):
                getattr(net, f"weight_ih_l{i}").copy_(self.tensor(f"{name}.lstm.{i}.weight_ih"))
                getattr(net, f"weight_hh_l{i}").copy_(self.tensor(f"{name}.lstm.{i}.weight_hh"))
                getattr(net, f"bias_ih_l{i}").copy_(self.tensor(f"{name}.lstm.{i}.bias"))
                getattr(net, f"bias_hh_l{i}").zero_()
            return net

        before = None if self.state is None else self.state.get(name)
        y, after = self.once(name, make)(x.permute(2, 0, 1), before)
        if self.state is not None:
            self.state[name] = after
        return x + y.permute(1, 2, 0)

    def nearest(self, name, x):
        """Codes [T] of x [T][D] and their entries."""
        book, half = self.once(
            name, lambda: (e := self.tensor(name), 0.5 * e.square().sum(1))
        )
        codes = (x @ book.T - half).argmax(1)
        return codes, book[codes]

    def entries(self, name, codes):
        return self.once(name + " alone", lambda: self.tensor(name))[codes]


class Seanet(Network):
    """Either side of EnCodec, its relatives and Mimi."""

    def __init__(self, path):
        super().__init__(path)
        self.causal = bool(self.config["causal"])
        self.reflect = self.config["padding"] == "reflect"
        self.fill = True

    def right(self, kernel, stride):
        return 0 if self.causal else (kernel - stride) // 2

    def window(self, name, x, kernel, stride=1):
        return self.conv(name, x, stride, right=self.right(kernel, stride))

    def residual(self, name, x):
        y = self.window(name + ".block.1", F.elu(x), self.config["residual_kernel"])
        y = self.conv(name + ".block.3", F.elu(y))
        return y + (self.conv(name + ".shortcut", x) if self.config["shortcut"] else x)

    def seanet_encoder(self, x):
        c, i = self.config, 1
        x = self.window("encoder.0", x, c["kernel"])
        for ratio in reversed(c["ratios"]):
            x = F.elu(self.residual(f"encoder.{i}", x))
            x = self.window(f"encoder.{i + 2}", x, 2 * ratio, ratio)
            i += 3
        if c["lstm_layers"]:
            x = self.lstm(f"encoder.{i}", c["lstm_layers"], x)
            i += 1
        return self.window(f"encoder.{i + 1}", F.elu(x), c["last_kernel"])

    def seanet_decoder(self, x):
        c, i = self.config, 1
        x = self.window("decoder.0", x, c["kernel"])
        if c["lstm_layers"]:
            x = self.lstm("decoder.1", c["lstm_layers"], x)
            i += 1
        for ratio in c["ratios"]:
            right = ratio if self.causal else ratio // 2
            x = self.upconv(f"decoder.{i + 1}", F.elu(x), ratio, right)
            x = self.residual(f"decoder.{i + 2}", x)
            i += 3
        return self.window(f"decoder.{i + 1}", F.elu(x), c["last_kernel"])

    def encode(self, pcm, k):
        rest, codes = self.seanet_encoder(pcm)[0].T, []
        for i in range(k):
            chosen, entry = self.nearest(f"quantizer.{i}", rest)
            rest = rest - entry
            codes.append(chosen)
        return torch.stack(codes, 1)

    def decode(self, codes):
        latent = sum(self.entries(f"quantizer.{i}", codes[:, i]) for i in range(codes.shape[1]))
        return self.seanet_decoder(latent.T[None])

    @property
    def streams(self):
        return self.causal, self.causal


class Segments(Seanet):
    """EnCodec at 48 kHz: norms over the clip after every convolution; a clip is a segment."""

    streams = False, False
    scales = None  # of the segments of the latest clip

    def norm(self, name, x):
        w, b = self.once(
            name + ".norm",
            lambda: (self.tensor(name + ".norm.weight"), self.bias(name + ".norm")),
        )
        return F.group_norm(x, 1, w, b, 1e-5)

    def conv(self, name, x, *window, **more):
        return self.norm(name, super().conv(name, x, *window, **more))

    def upconv(self, name, x, stride, right):
        w, b = self.once(
            name, lambda: (self.tensor(name + ".weight").permute(2, 1, 0), self.bias(name))
        )
        y = self.norm(name, F.conv_transpose1d(x, w.contiguous(), b, stride))
        return y[..., stride - right : y.shape[2] - right]

    def encode(self, pcm, k):
        codes, self.scales = [], []
        for at in range(0, pcm.shape[2], self.config["segment_stride"]):
            segment = pcm[..., at : at + self.config["segment"]]
            self.scales.append(1e-8 + segment.mean(1).square().mean().sqrt())
            codes.append(super().encode(segment / self.scales[-1], k))
        return torch.cat(codes)

    def decode(self, codes):
        c = self.config
        parts = codes.split(c["segment"] // c["hop"])
        n, stride = len(parts[0]) * c["hop"], c["segment_stride"]
        weight = 0.5 - ((torch.arange(n) + 1) / (n + 1) - 0.5).abs()
        total = (len(parts) - 1) * stride + len(parts[-1]) * c["hop"]
        sound, weights = torch.zeros(c["channels"], total), torch.zeros(total)
        for i, (part, scale) in enumerate(zip(parts, self.scales)):
            clip = super().decode(part)[0] * scale
            at = slice(i * stride, i * stride + clip.shape[1])
            sound[:, at] += clip * weight[: clip.shape[1]]
            weights[at] += weight[: clip.shape[1]]
        return (sound / weights)[None]


class LanguageCodec(Seanet):
    context = 41

    def encode(self, pcm, k):
        latent = self.seanet_encoder(pcm)[0].T
        masks, rest, codes = self.config["masks"], latent, []
        for i in range(k):
            if i < 3:
                seen = torch.zeros_like(latent)
                seen[:, masks[i] : masks[i + 1]] = latent[:, masks[i] : masks[i + 1]]
            else:
                seen = rest
            chosen, entry = self.nearest(f"quantizer.{i}", seen)
            rest = rest - entry
            codes.append(chosen)
        return torch.stack(codes, 1)

    def norm(self, name, x, suffixes=("scale", "shift")):
        def make():
            w, b = (self.tensor(f"{name}.{suffix}") for suffix in suffixes)
            return (w[0], b[0]) if w.ndim == 2 else (w, b)

        w, b = self.once(name, make)
        return F.layer_norm(x.transpose(1, 2), w.shape, w, b, 1e-6).transpose(1, 2)

    def seanet_decoder(self, latent):
        x = self.norm("decoder.in_norm", self.plain(latent, "decoder.in"))
        for i in range(self.config["blocks"]):
            y = self.norm(f"decoder.{i}.norm", self.depthwise(f"decoder.{i}.dw", x))
            y = self.conv(f"decoder.{i}.down", F.gelu(self.conv(f"decoder.{i}.up", y)))
            name = f"decoder.{i}.gain"
            x = x + self.once(name, lambda name=name: self.tensor(name)[:, None]) * y
        x = self.norm("decoder.out_norm", x, ("weight", "bias"))
        size, angle = self.conv("decoder.head", x).chunk(2, 1)
        spectrum = size.exp().clamp(max=100.0) * torch.exp(1j * angle)
        return self.overlap(torch.fft.irfft(spectrum, self.config["n_fft"], 1))

    def plain(self, x, name):
        return self.conv(name, x, right=self.config["decoder_kernel"] // 2, mode="constant")

    def overlap(self, frames):
        n_fft, hop = self.config["n_fft"], self.config["hop"]
        window = torch.hann_window(n_fft)[None, :, None]
        n = (frames.shape[2] - 1) * hop + n_fft
        both = torch.cat([frames * window, (window * window).expand_as(frames)])
        sound, weight = F.fold(both, (1, n), (1, n_fft), stride=(1, hop))[:, 0, 0]
        cut = (n_fft - hop) // 2
        return (sound[cut : n - cut] / weight[cut : n - cut])[None, None]

    @property
    def streams(self):
        return False, True


class Mimi(Seanet):
    def attention(self, name, x):
        c = self.config
        heads, n = c["transformer_heads"], x.shape[2]
        q, k, v = self.conv(name + ".in", x).view(3, heads, -1, n).transpose(2, 3)
        dim, before = q.shape[2], 0
        if self.state is not None:
            before = self.state.setdefault(name + " steps", 0)
            self.state[name + " steps"] += n
        t = torch.arange(before, before + n)[:, None]
        rate = torch.exp(torch.arange(dim // 2) * (-math.log(c["rotary_period"]) * 2 / dim))
        turn = torch.polar(torch.ones(n, dim // 2), t * rate)
        pairs = (y.reshape(heads, n, -1, 2).contiguous() for y in (q, k))
        q, k = (torch.view_as_real(torch.view_as_complex(y) * turn).flatten(2) for y in pairs)
        if name in (self.state or {}):
            k, v = (torch.cat(pair, 1) for pair in zip(self.state[name], (k, v)))
        if self.state is not None:
            self.state[name] = tuple(y[:, -c["transformer_context"] :] for y in (k, v))
        s = torch.arange(before + n - k.shape[1], before + n)[None]
        seen = (s <= t) & (t - s < c["transformer_context"])
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return self.conv(name + ".out", y.transpose(1, 2).reshape(1, -1, n))

    def norm(self, name, x):
        w, b = self.once(name, lambda: (self.tensor(name + ".weight"), self.bias(name)))
        return F.layer_norm(x.transpose(1, 2), w.shape, w, b, 1e-5).transpose(1, 2)

    def transformer(self, side, x):
        for i in range(self.config["transformer_layers"]):
            name = f"{side}.transformer.{i}"
            gains = [
                self.once(f"{name} {j}", lambda j=j: self.tensor(f"{name}.gain_{j}")[:, None])
                for j in (1, 2)
            ]
            x = x + gains[0] * self.attention(name + ".attention", self.norm(name + ".norm_1", x))
            y = F.gelu(self.conv(name + ".up", self.norm(name + ".norm_2", x)))
            x = x + gains[1] * self.conv(name + ".down", y)
        return x

    def encode(self, pcm, k):
        c = self.config
        pcm = F.pad(pcm, (0, -pcm.shape[2] % c["hop"]))
        x = self.transformer("encoder", self.seanet_encoder(pcm))
        x = self.conv("encoder.downsample", x, c["downsample"], mode="replicate")
        first, rest = self.conv("quantizer.input", x)[0].T.split(c["entry_width"], 1)
        codes = [self.nearest("quantizer.0", first)[0]]
        for i in range(1, k):
            chosen, entry = self.nearest(f"quantizer.{i}", rest)
            rest = rest - entry
            codes.append(chosen)
        return torch.stack(codes, 1)

    def decode(self, codes):
        first = self.entries("quantizer.0", codes[:, 0])
        rest = sum(self.entries(f"quantizer.{i}", codes[:, i]) for i in range(1, codes.shape[1]))
        x = self.conv("quantizer.output", torch.cat([first, rest], 1).T[None])
        s = self.config["downsample"]
        x = self.upconv("decoder.upsample", x, s, s, groups=x.shape[1])
        return self.seanet_decoder(self.transformer("decoder", x))


class HifiCodec(Network):
    context = 14
    streams = False, True

    def centred(self, name, x, kernel, dilation=1):
        return self.conv(name, x, dilation=dilation, right=(kernel - 1) * dilation // 2)

    def branch(self, name, kernel, x):
        for i, dilation in enumerate(self.config["dilations"]):
            y = self.centred(f"{name}.{i}.dilated", F.leaky_relu(x, 0.1), kernel, dilation)
            x = x + self.centred(f"{name}.{i}.plain", F.leaky_relu(y, 0.1), kernel)
        return x

    def norm(self, name, x):
        w, b = self.once(name, lambda: (self.tensor(name + ".weight"), self.bias(name)))
        return F.group_norm(x, x.shape[1] // self.config["norm_width"], w, b, 1e-6)

    def encode(self, pcm, k):
        c = self.config
        x = self.centred("encoder.in", pcm, c["kernel"])
        for i, (ratio, kernel) in enumerate(zip(reversed(c["ratios"]), reversed(c["kernels"]))):
            right = (kernel - ratio) // 2
            x = self.conv(f"encoder.{i}.down", F.leaky_relu(x, 0.1), ratio, right=right)
            total = 0
            for b, width in enumerate(reversed(c["branch_kernels"])):
                name = f"encoder.{i}.branch.{b}"
                total = self.norm(name + ".norm", total + self.branch(name, width, x))
            x = total / len(c["branch_kernels"])
        x = self.centred("encoder.out", F.leaky_relu(x, 0.01), c["encoder_last_kernel"])
        rests, codes = list(x[0].T.split(c["group_width"], 1)), []
        for layer in range(c["layers"]):
            for g in range(c["groups"]):
                chosen, entry = self.nearest(f"quantizer.{g}.{layer}", rests[g])
                rests[g] = rests[g] - entry
                codes.append(chosen)
        return torch.stack(codes, 1)

    def decode(self, codes):
        c = self.config
        latent = sum(
            torch.cat(
                [
                    self.entries(f"quantizer.{g}.{layer}", codes[:, layer * c["groups"] + g])
                    for g in range(c["groups"])
                ],
                1,
            )
            for layer in range(c["layers"])
        )
        x = self.centred("decoder.in", latent.T[None], c["kernel"])
        for i, (ratio, kernel) in enumerate(zip(c["ratios"], c["kernels"])):
            right = (kernel - ratio) // 2
            x = self.upconv(f"decoder.{i}.up", F.leaky_relu(x, 0.1), ratio, right)
            x = sum(
                self.branch(f"decoder.{i}.branch.{b}", width, x)
                for b, width in enumerate(c["branch_kernels"])
            ) / len(c["branch_kernels"])
        return torch.tanh(self.centred("decoder.out", F.leaky_relu(x, 0.1), c["kernel"]))


class Walloc(Network):
    streams = False, False

    def centred(self, name, x, kernel, dilation=1):
        return self.conv(name, x, dilation=dilation, right=(kernel - 1) * dilation // 2)

    def snake(self, name, x):
        frequency, gain = self.once(
            name, lambda: [self.tensor(f"{name}.{part}")[:, None] for part in ("frequency", "gain")]
        )
        return x + gain * torch.sin(frequency * x).square()

    def filters(self, *names):
        taps = walloc.filters()
        return self.once(names[0], lambda: torch.tensor([taps[name] for name in names])[:, None])

    def bands(self, x):
        w = self.filters("wt.h0", "wt.h1")
        for _ in range(self.config["levels"]):
            rows = F.conv1d(F.pad(x.transpose(0, 1), (4, 4), "circular"), w, stride=2)
            x = rows.reshape(1, -1, rows.shape[2])
        return x

    def join(self, x):
        w = self.filters("iwt.g0", "iwt.g1")
        for _ in range(self.config["levels"]):
            n = 2 * x.shape[2]
            full = F.conv_transpose1d(x.reshape(-1, 2, x.shape[2]), w, stride=2)
            y = full[..., 4 : n + 4].clone()
            y[..., n - 4 :] += full[..., :4]
            y[..., :4] += full[..., n + 4 :]
            x = y.transpose(0, 1)
        return x

    def encode(self, pcm, k):
        m, s = self.config["code_max"] + 0.499, self.config["code_max"] / 1.85
        z = self.conv("encoder.in", F.pad(self.bands(pcm), (1, 1)))
        return torch.round(m * torch.erf(z / (s * math.sqrt(2.0))))[0].T.to(torch.int16)

    def decode(self, codes):
        c = self.config
        m, s = c["code_max"] + 0.499, c["code_max"] / 1.85
        p = (codes.T[None] / (2 * m) + 0.5).clamp(0.0001, 0.9999)
        x = s * math.sqrt(2.0) * torch.erfinv(2 * p - 1)
        x = self.centred("decoder.in", x, c["kernel"])
        for i in range(len(c["widths"]) - 1):
            name = f"decoder.{i}"
            x = self.upconv(name + ".transposed", self.snake(name + ".snake", x), 1, 0)[..., :-1]
            for u, dilation in enumerate(c["dilations"]):
                unit = f"{name}.unit.{u}"
                y = self.snake(unit + ".snake_1", x)
                y = self.centred(unit + ".conv_1", y, c["kernel"], dilation)
                x = x + self.conv(unit + ".conv_2", self.snake(unit + ".snake_2", y))
        x = self.centred("decoder.out", self.snake("decoder.snake", x), c["kernel"])
        return self.centred("decoder.post", self.join(x), c["post_kernel"]).clamp(-0.5, 0.5)


FAMILIES = {
    "academicodec": Seanet,
    "encodec_24khz": Seanet,
    "encodec_48khz": Segments,
    "hificodec": HifiCodec,
    "languagecodec": LanguageCodec,
    "mimi": Mimi,
    "soundstream": Seanet,
    "walloc": Walloc,
}


def load(path):
    """The network of the model file NAME.safetensors."""
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    name = pathlib.Path(path).name
    return next(family for start, family in FAMILIES.items() if name.startswith(start))(path)
