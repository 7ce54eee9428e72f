"""Published checkpoints in, Tessera's model files out. README.md has what stands in them."""

import json

import numpy as np

from . import hificodec, languagecodec, mimi, safetensors_io, seanet, torch_zip, walloc
from .checkpoint import Refused

MODELS = {
    **hificodec.MODELS,
    **languagecodec.MODELS,
    **seanet.MODELS,
    **mimi.MODELS,
    **walloc.MODELS,
}

LICENCE = "see the checkpoint's source"


def read(path):
    """The tensors of a checkpoint by name, whichever of the two kinds of file it is."""
    with open(path, "rb") as file:
        is_zip = file.read(2) == b"PK"
    return (torch_zip if is_zip else safetensors_io).read(path)


def _first(names, what):
    return f"tensor '{names[0]}' {what}" + (f" (1 of {len(names)})" if len(names) > 1 else "")


def check(name, tensors):
    """Refuses tensors that are not exactly those of the model `name`."""
    model = MODELS[name]
    shapes = {n: shape for row in model.rows for n, shape in row.published.items()}
    missing = [n for n in shapes if n not in tensors]
    others = [n for n in tensors if n not in shapes and n.startswith(model.trunk)]
    extra = [n for n in others if not n.startswith(model.ignored)]
    problems = []
    if missing:
        problems.append(_first(missing, "is missing"))
    if extra:
        problems.append(_first(extra, f"is not one of {name}'s"))
    if problems:
        raise Refused("; ".join(problems))
    for n, shape in shapes.items():
        if tensors[n] is None:
            raise Refused(f"'{n}' is not a tensor")
        if tensors[n].dtype != "F32":
            raise Refused(f"tensor '{n}' is {tensors[n].dtype}, not F32")
        if tensors[n].shape != shape:
            have, want = ("".join(f"[{d}]" for d in s) for s in (tensors[n].shape, shape))
            raise Refused(f"tensor '{n}' has the shape {have} instead of {want}")


def _values(name, stored):
    try:
        values = stored.read()
    except Refused as error:
        raise Refused(f"tensor '{name}': {error}") from None
    if not np.isfinite(values).all():
        raise Refused(f"tensor '{name}' has a value that is infinite or not a number")
    return values


def _row(row, tensors):
    """The array of one row, or None where it has none."""
    if not row.make:
        return None
    values = [_values(name, tensors[name]) for name in row.published]
    try:
        array = row.make(*values)
    except Refused as error:
        raise Refused(f"tensor '{next(iter(row.published))}': {error}") from None
    if row.ours is None:
        return None
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(array).all():
        raise Refused(f"tensor '{next(iter(row.published))}' makes '{row.ours}' infinite")
    return array


def convert(name, checkpoint, out):
    """Writes the model `name` from the file `checkpoint` to the file `out`. Raises Refused, or
    OSError; `out` is then as it was before."""
    model, tensors = MODELS[name], read(checkpoint)
    check(name, tensors)
    arrays = {row.ours: _row(row, tensors) for row in model.rows}
    arrays.pop(None, None)
    metadata = {
        "tessera.format": "1",
        "tessera.family": model.family,
        "tessera.name": name,
        "tessera.licence": LICENCE,
        "tessera.config": json.dumps({**model.config, "arithmetic": "fp32"}),
    }
    safetensors_io.write(out, arrays, metadata)
