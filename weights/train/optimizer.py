"""Gradients -> weights. AdamW (arXiv 1711.05101), and where the recipe asks for it Muon (K. Jordan, "Muon", 2024;
arXiv 2502.16982) on the linear layers inside the blocks, whose weights are matrices from one hidden state to
another; what meets the outside (first and last layers) and vectors stay with AdamW."""

import torch

from .model import Block


class Optimizer:
    """Its groups keep the learning rate they have at the cycle's height as `peak`."""

    def __init__(self, parameters, c, peak, matrices=()):
        mine = {id(p) for p in matrices}
        rest = [p for p in parameters if id(p) not in mine]
        self.parts = [torch.optim.AdamW(rest, peak, (c.beta1, c.beta2), weight_decay=c.decay, fused=True)]
        if matrices:
            self.parts.append(torch.optim.Muon(
                matrices, c.muon_rate, weight_decay=c.decay, momentum=c.muon_momentum, ns_steps=c.muon_rounds,
                adjust_lr_fn="match_rms_adamw"))
        for group in self._groups():
            group["peak"] = group["lr"]

    def _groups(self):
        return [group for part in self.parts for group in part.param_groups]

    def step(self, height, floor):
        """One step at `height` (0 to 1) of the learning rates, and `floor` more."""
        for group in self._groups():
            group["lr"] = group["peak"] * height + floor
        for part in self.parts:
            part.step()

    def zero_grad(self):
        for part in self.parts:
            part.zero_grad()

    def state_dict(self):
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states):
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


def of_codec(net, c):
    matrices = [layer.weight for block in [*net.encoder, *net.decoder] if isinstance(block, Block)
                for layer in (block.up, block.down)]
    return Optimizer(list(net.parameters()), c, c.rate, matrices if c.muon else ())


def of_judges(judges, recipe):
    return Optimizer(list(judges.parameters()), recipe.optimizer, recipe.optimizer.rate * recipe.judges.rate)
