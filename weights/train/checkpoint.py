"""What a run leaves on disk: a file that is there as a whole or not at all.

`net` (the averaged weights), `judges` and their `windows` are what the next cycle or an export wants; `running`
is all that a stopped cycle needs besides to go on; a finished one has none.
"""

import io
import os
import pickle

import torch

from . import Refused


def write(path, content):
    part = f"{path}.part"
    with open(part, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def save(path, state):
    content = io.BytesIO()
    torch.save(state, content)
    write(path, content.getbuffer())


def load(path):
    """A dict of a run's or of `judges.pt`; nothing but tensors and plain values is unpickled."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise Refused(f"{path}: it is not a checkpoint: {str(error).splitlines()[0]}") from None


def load_cycle(path):
    """The same of a run's `last.pt` or `final.pt` alone."""
    state = load(path)
    if "recipe" not in state:
        raise Refused(f"{path}: it is not a cycle's checkpoint")
    return state


def pinned_judges(judges, windows):
    """Half the bytes, and enough to go on from."""
    return {"judges": {name: t.half() for name, t in judges.items()}, "windows": list(windows)}


def load_judges(judges, windows, state):
    """Judges of the windows that `state` has too take its weights; true if none is left new."""
    theirs = state.get("windows", [512, 1024, 2048])
    for i, n in enumerate(windows):
        if n in theirs:
            prefix = f"{theirs.index(n)}."
            judges[i].load_state_dict({name.removeprefix(prefix): t.float() for name, t in state["judges"].items()
                                       if name.startswith(prefix)})
    return set(windows) <= set(theirs)
