"""Clips -> gradients -> weights: a step of the training, and all of its state."""

import copy
import dataclasses
import math
import zlib

import torch

from . import checkpoint, export, judges, optimizer
from .draw import ALL, Draw
from .losses import SpectralLoss
from .loudness import Disturbance
from .model import Codec

PLAIN = ("step", "elapsed", "start", "warm", "judges_warm", "judged")  # state besides tensors


def bf16(device, precision):
    """Whether products run in bfloat16."""
    if precision != "auto":
        return precision == "bf16"
    if device == "cuda":
        return True
    try:
        with open("/proc/cpuinfo") as file:
            return "avx512_bf16" in file.read()
    except OSError:
        return False


class Training:
    def __init__(self, team, recipe, clips):
        self.team, self.recipe, self.clips = team, recipe, clips
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.manual_seed(recipe.machine.seed)  # the same new weights on every worker
        self.net = Codec(recipe).to(self.device)
        self.judges = judges.make(recipe.judges).to(self.device)
        self.spectral = SpectralLoss(recipe).to(self.device)
        self.disturbance = Disturbance(recipe.model.sample_rate).to(self.device)
        self.averaged = copy.deepcopy(self.net)
        self.codec_steps = optimizer.of_codec(self.net, recipe.optimizer)
        self.judge_steps = optimizer.of_judges(self.judges, recipe)
        self.bf16 = bf16(self.device, recipe.machine.precision)
        self.step, self.elapsed, self.start = 0, 0.0, 0
        self.warm = self.judges_warm = False
        self.judged = None  # the step at which the judges joined

    # Where it begins

    def begin_from(self, init, judges_path):
        """Weights of a model file or a checkpoint, judges of the checkpoint or of a file of their own."""
        with open(init, "rb") as file:
            self.start = zlib.crc32(file.read())
        state = {}
        if init.endswith(".safetensors"):
            export.read(init, self.net, grown=True)
        else:
            state = checkpoint.load(init)
            self.net.load_state_dict(state["net"])
        if judges_path:
            state = checkpoint.load(judges_path)
        if "judges" in state:
            self.judges_warm = checkpoint.load_judges(self.judges, self.recipe.judges.windows, state)
        self.averaged.load_state_dict(self.net.state_dict())
        self.warm = True

    def go_on(self, state):
        """Exactly where `state` was taken."""
        self.averaged.load_state_dict(state["net"])
        self.judges.load_state_dict(state["judges"])
        running = state["running"]
        self.net.load_state_dict(running["net"])
        self.codec_steps.load_state_dict(running["codec_steps"])
        self.judge_steps.load_state_dict(running["judge_steps"])
        for name in PLAIN:
            setattr(self, name, running[name])

    def state(self, running):
        state = {"recipe": dataclasses.asdict(self.recipe), "net": self.averaged.state_dict(),
                 "judges": self.judges.state_dict(), "windows": list(self.recipe.judges.windows)}
        if running:
            state["running"] = {"net": self.net.state_dict(), "codec_steps": self.codec_steps.state_dict(),
                                "judge_steps": self.judge_steps.state_dict(),
                                **{name: getattr(self, name) for name in PLAIN}}
        return state

    # A step

    def progress(self):
        c = self.recipe.cycle
        return self.step / c.steps if c.steps else self.elapsed / (60 * c.minutes)

    def quantizes(self):
        return self.warm or self.step >= self.recipe.cycle.unquantized

    def autocast(self):
        return torch.autocast(self.device, torch.bfloat16, enabled=self.bf16)

    def batch(self, draw):
        return torch.from_numpy(self.clips.batch(draw.rng)).to(self.device)

    def quantized(self, z, draw):
        """The latents that the decoder gets, and their commitment."""
        c, n = self.recipe.quantizer, len(z)
        if not self.quantizes():
            return z, torch.zeros(())
        update = lambda book, r, code: book.update(r, code, c, self.team, draw)
        zq, commitment, _ = self.net.quantizer(z, draw.happens(c.half, n).to(z.device), update)
        if self.progress() < c.bypass_until:
            skips = draw.happens(c.bypass, n).to(z.device)
            zq = torch.where(skips[:, None, None], z, zq)
        return zq, commitment

    @torch.no_grad()
    def seed_codebooks(self, draw):
        batches = self.recipe.quantizer.seed_batches
        z = torch.cat([self.net.encode(self.batch(draw)) for _ in range(batches)])
        self.net.quantizer.seed(z, self.team, draw)

    def persuasion(self, real, made, draw):
        """One of the judges learns from half the clips, then says what it thinks of them."""
        c = self.recipe.judges
        judge = draw.one_of(self.judges)
        half = max(1, len(real) // 2)
        part = slice(0, half) if self.step % 2 else slice(-half, None)
        with self.autocast():
            loss, real_features = judges.verdict(judge, real[part], made[part])
        self.descend(loss, self.judge_steps, judge, math.inf, c.rate_floor)
        judge.requires_grad_(False)
        with self.autocast():
            loss = judges.persuasion(judge, made[part], real_features, c)
        judge.requires_grad_(True)
        self.judged = self.step if self.judged is None else self.judged
        return loss * (1 if self.judges_warm else min(1, (self.step - self.judged) / c.ramp))

    def descend(self, loss, steps, network, clip, floor):
        """One step down the mean of all workers' gradients; none where it is not finite."""
        steps.zero_grad()
        loss.backward()
        parameters = list(network.parameters())
        self.team.average(parameters)
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(parameters, clip)):  # the same on every worker
            rise = min(1, (self.step + 1) / self.recipe.cycle.warmup)
            steps.step(rise * 0.5 * (1 + math.cos(math.pi * min(1, self.progress()))), floor)

    @torch.no_grad()
    def average_weights(self):
        share = 1 - min(self.recipe.cycle.averaging, (1 + self.step) / (10 + self.step))
        for mean, now in zip(self.averaged.parameters(), self.net.parameters()):
            mean.lerp_(now, share)
        for mean, now in zip(self.averaged.buffers(), self.net.buffers()):
            mean.copy_(now)  # codebooks are averages already

    def take_step(self):
        """Log-mel error, magnitude error, disturbance and commitment of the step."""
        c, machine = self.recipe, self.recipe.machine
        own, same = (Draw(machine.seed, self.start, self.step, who) for who in (1 + self.team.rank, ALL))
        if not self.warm and self.step == c.cycle.unquantized:
            self.seed_codebooks(own)
        real = self.batch(own)
        with self.autocast():
            z = self.net.encode(real)
        zq, commitment = self.quantized(z, own)
        with self.autocast():
            spectra = self.net.spectra(zq)
        made = self.net.synthesis(spectra)[:, :real.shape[1]]
        real, made = real[:, :c.compared], made[:, :c.compared]
        mel, magnitude = self.spectral(real, made, self.spectral.draw(same))
        disturbance = self.disturbance(real, made)
        loss = c.loss.mel * mel + c.loss.magnitude * magnitude + c.loss.disturbance * disturbance \
            + c.loss.commitment * commitment
        if self.quantizes() and self.progress() >= c.judges.begin:
            loss = loss + self.persuasion(real, made, same)
        self.descend(loss, self.codec_steps, self.net, c.optimizer.clip, c.optimizer.rate_floor)
        self.average_weights()
        self.step += 1
        return [float(part.detach()) for part in (mel, magnitude, disturbance, commitment)]
