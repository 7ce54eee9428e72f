#!/usr/bin/env python3
"""Makes the published families' models that the tests run: FOLDER/NAME.safetensors of the seed.

Usage: make_models.py FOLDER [--seed N] [NAME...]      all families without a NAME; one seed a folder
A model that is newer than what makes it is kept. Needs numpy; run from anywhere.
"""

import argparse
import pathlib
import sys

import make_weights

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from weights import convert  # noqa: E402


def is_fresh(model, family):
    makers = [*(ROOT / "weights/convert").glob("*.py"), *make_weights.HERE.glob("*.py")]
    makers.append(make_weights.HERE / family / "checkpoint.txt")
    newest = max(path.stat().st_mtime for path in makers)
    return model.exists() and model.stat().st_mtime > newest


def make(folder, family, seed):
    """The model and, beside it while it is made, its checkpoint."""
    model, checkpoint = folder / f"{family}.safetensors", folder / f"{family}.checkpoint"
    if is_fresh(model, family):
        return
    weights = make_weights.tensors(family, seed)
    golden = make_weights.golden_metadata(family)
    if str(seed) == golden["seed"] and make_weights.digest(weights) != golden["weights_sha256"]:
        sys.exit(f"{family}: seed {seed} made other weights than the golden ones")
    try:
        make_weights.write(checkpoint, family, weights)
        convert.convert(family, checkpoint, model)
    finally:
        checkpoint.unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("names", nargs="*", metavar="NAME")
    given = parser.parse_intermixed_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for family in given.names or convert.MODELS:
        make(given.folder, family, given.seed)


if __name__ == "__main__":
    main()
