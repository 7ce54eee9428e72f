"""Chance without a state: every choice of a step follows from (seed, start, step, who), so a stopped run goes
on as if it had never stopped, and a run from other weights sees other clips."""

import numpy as np
import torch

ALL = 0  # a choice that all workers must make alike; worker r makes its own as 1 + r


class Draw:
    def __init__(self, seed, start, step, who):
        self.rng = np.random.default_rng([seed, start, step, who])

    def happens(self, share, n):
        """[n] bool, each true with the chance `share`."""
        return torch.from_numpy(self.rng.random(n) < share)

    def indices(self, below, n):
        """[n], different ones as long as there are enough."""
        return torch.from_numpy(self.rng.choice(below, n, replace=n > below))

    def one_of(self, choices):
        return choices[self.rng.integers(len(choices))]
