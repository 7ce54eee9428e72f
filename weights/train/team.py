"""A process a core, with equal weights and gradients averaged over them (gloo). A team of one needs none of it."""

import os
import signal
import sys
import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


class Team:
    """What this process is among `size`. `stopping` once it has been asked to end."""

    def __init__(self, rank, size):
        self.rank, self.size, self.stopping = rank, size, False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, *_):
        self.stopping = True

    def sum(self, t):
        """The sum of t over all workers, in its place."""
        if self.size > 1:
            dist.all_reduce(t)
        return t

    def first(self, t):
        """The first worker's t, in its place."""
        if self.size > 1:
            dist.broadcast(t, 0)
        return t

    def average(self, parameters):
        """Gradients become their mean over all workers."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters]
        flat = self.sum(torch.cat([g.reshape(-1) for g in gradients])) / self.size
        for g, mean in zip(gradients, flat.split([g.numel() for g in gradients])):
            g.copy_(mean.view_as(g))


def _work(rank, size, meeting, work, arguments):
    team = Team(rank, size)
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # each compiles on its own core
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // size))
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    work(team, *arguments)
    dist.barrier()  # nobody leaves while another still reads from it
    sys.stdout.flush()
    os._exit(0)  # what there is to keep is kept; the long way out, PyTorch's threads abort one process in thirty


def run(size, work, *arguments):
    """work(team, *arguments) in `size` processes; a signal to end is passed on, and the first failure ends all."""
    if size == 1:
        work(Team(0, 1), *arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        team = mp.start_processes(_work, (size, f"{folder}/meeting", work, arguments), size, join=False,
                                  start_method="spawn")

        def pass_on(number, _):
            for process in team.processes:
                if process.is_alive():
                    os.kill(process.pid, number)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, pass_on)
        while not team.join():
            pass
