"""Steps, one after the other, until the cycle is over or somebody asks for the end; what they leave on disk.

FOLDER/last.pt is the latest checkpoint, FOLDER/final.pt a finished cycle's, FOLDER/log.tsv how it went.
"""

import os
import time

import numpy as np
import torch

from . import Refused, checkpoint, data, recipe as recipes, team
from .training import Training

BEAT = 10  # steps between two looks at what all workers must see alike, the clock and the wish to end: seconds
COLUMNS = ("step", "hours", "progress", "mel", "magnitude", "disturbance", "commitment", "entries_in_use",
           "audio_s_per_s")


class Log:
    """A line every so many steps: the mean of what they returned."""

    def __init__(self, path, training):
        self.path, self.training, self.recent = path, training, []
        if not os.path.exists(path):
            with open(path, "w") as file:
                print(*COLUMNS, sep="\t", file=file)
        self.clock = time.monotonic()

    def add(self, values):
        self.recent.append(values)
        t, c = self.training, self.training.recipe
        if t.step % c.machine.log:
            return
        books = [book for group in t.net.quantizer.children() for book in group]
        speed = len(self.recent) * t.team.size * c.batch.clips * c.batch.seconds / (time.monotonic() - self.clock)
        mel, magnitude, disturbance, commitment = np.mean(self.recent, 0)
        with open(self.path, "a") as file:
            print(t.step, f"{t.elapsed / 3600:.3f}", f"{t.progress():.4f}", f"{mel:.4f}", f"{magnitude:.4f}",
                  f"{disturbance:.4f}", f"{commitment:.3f}", ",".join(f"{book.in_use():.0f}" for book in books),
                  f"{speed:.1f}", sep="\t", file=file)
        self.recent, self.clock = [], time.monotonic()


def train(training, folder):
    """The rest of the cycle. True if it came to its end."""
    me, c = training.team, training.recipe
    first = me.rank == 0
    log = Log(f"{folder}/log.tsv", training) if first else None
    began, shared = time.monotonic() - training.elapsed, torch.zeros(2, dtype=torch.float64)
    beat_is_due = True
    while True:
        if beat_is_due:
            shared[0], shared[1] = time.monotonic() - began, me.stopping
            training.elapsed, stopping = me.first(shared).tolist()
            if stopping or training.progress() >= 1:
                break
        values = training.take_step()
        if first:
            log.add(values)
            if training.step % c.machine.save == 0:
                checkpoint.save(f"{folder}/last.pt", training.state(running=True))
        beat_is_due = training.step % BEAT == 0 or training.step == c.cycle.steps
    finished = training.progress() >= 1
    if first:
        checkpoint.save(f"{folder}/last.pt", training.state(running=not finished))
        if finished:
            os.replace(f"{folder}/last.pt", f"{folder}/final.pt")
    return finished


def make(me, values, recordings, stopped=None, init=None, judges=None):
    """The training at its beginning, or where the checkpoint `stopped` has it."""
    c = recipes.check(values)
    training = Training(me, c, data.Clips(data.Recordings(recordings, "train"), c))
    if stopped:
        training.go_on(checkpoint.load(stopped))
    elif init:
        training.begin_from(init, judges)
    return training


def work(me, folder, *arguments):
    training = make(me, *arguments)
    if training.recipe.machine.compile:
        training.net.compile()
    finished = train(training, folder)
    if me.rank == 0:
        where = f"{folder}/final.pt" if finished else f"{folder}/last.pt; the same command goes on from it"
        print(f"{'finished' if finished else 'stopped'} after {training.step} steps: {where}")


def run(values, recordings, folder, init=None, judges=None):
    """A cycle in `folder` by the recipe's values: a new one, or the rest of a stopped one. None of them: the
    stopped one's. Returns whether it came to its end."""
    if os.path.exists(f"{folder}/final.pt"):
        raise Refused(f"{folder} holds a finished cycle: begin the next in another folder, --init {folder}/final.pt")
    last = f"{folder}/last.pt"
    stopped = last if os.path.exists(last) else None
    if stopped:
        its = checkpoint.load(stopped)["recipe"]
        if init or judges or values not in (None, its):
            raise Refused(f"{folder} holds a stopped cycle, which goes on as it began: leave out --recipe, --set, "
                          "--init and --judges, or name another folder")
        values = its
    arguments = values, recordings, stopped, init, judges
    machine = recipes.check(values).machine
    size = machine.workers or (1 if torch.cuda.is_available() else len(os.sched_getaffinity(0)))
    if size > 1:
        make(team.Team(0, 1), *arguments)  # what is wrong with them is said here, once
    os.makedirs(folder, exist_ok=True)
    team.run(size, work, folder, *arguments)
    return os.path.exists(f"{folder}/final.pt")
