"""python3 -m weights.train, from the project's root."""

import argparse
import dataclasses
import pathlib
import sys

from . import Refused, recipe as recipes

RECIPE = pathlib.Path(__file__).with_name("recipe.yaml")


def prepare(a):
    from . import data

    rate = recipes.load(a.recipe or RECIPE, a.set).model.sample_rate
    data.prepare(a.recordings, a.folder, rate, a.manifest)
    return 0


def run(a):
    from . import loop

    given = a.recipe or a.set
    values = dataclasses.asdict(recipes.load(a.recipe or RECIPE, a.set))
    stopped = (pathlib.Path(a.folder) / "last.pt").exists()
    return 0 if loop.run(values if given or not stopped else None, a.data, a.folder, a.init, a.judges) else 130


def export(a):
    from . import checkpoint, export as exports

    state = checkpoint.load_cycle(a.checkpoint)
    print(exports.export(state, recipes.check(state["recipe"]), a.folder, a.golden))
    return 0


def evaluate(a):
    from . import checkpoint, data, evaluate as evaluation, export as exports
    from .model import Codec

    if a.model.endswith(".safetensors"):
        recipe = recipes.load(a.recipe or RECIPE, a.set)
        net = Codec(recipe)
        exports.read(a.model, net)
    else:
        state = checkpoint.load_cycle(a.model)
        recipe = recipes.check(state["recipe"])
        net = Codec(recipe)
        net.load_state_dict(state["net"])
    print("kind", "codebooks", "mel", "magnitude", "disturbance", sep="\t")
    found = evaluation.errors(net, recipe, data.Recordings(a.data, "valid"))
    for (kind, n), errors in sorted(found.items()):
        print(kind, n, *(f"{error:.4f}" for error in errors), sep="\t")
    return 0


def arguments():
    p = argparse.ArgumentParser(prog="python3 -m weights.train", description="Train the default model.")
    verbs = p.add_subparsers(required=True, metavar="VERB")

    def verb(work, text, *positionals):
        v = verbs.add_parser(work.__name__, help=text, description=text)
        for name, what in positionals:
            v.add_argument(name, help=what)
        v.set_defaults(work=work)
        return v

    def with_recipe(v):
        v.add_argument("--recipe", help="a YAML file of all numbers; weights/train/recipe.yaml")
        v.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="one other number")

    v = verb(prepare, "Decode a folder of recordings, once.", ("recordings", "a folder, searched to its depth"),
             ("folder", "where the samples go"))
    v.add_argument("--manifest", help=".tsv or .jsonl: path, and if known split (train, valid) and kind (speech, ...)")
    with_recipe(v)
    v = verb(run, "Train one cycle, or go on with a stopped one.", ("folder", "checkpoints and log"))
    v.add_argument("--data", required=True, help="what `prepare` made")
    v.add_argument("--init", help="weights to begin with: a model file or a checkpoint")
    v.add_argument("--judges", help="discriminators to begin with: judges.pt; else the checkpoint's, else new ones")
    with_recipe(v)
    v = verb(export, "Write the model file and judges.pt of a checkpoint.", ("checkpoint", "final.pt or last.pt"),
             ("folder", "where they go"))
    v.add_argument("--golden", metavar="RECORDING", help="and golden.safetensors of its first three seconds")
    v = verb(evaluate, "Spectral errors on the validation recordings.", ("model", "a model file or a checkpoint"))
    v.add_argument("--data", required=True, help="what `prepare` made")
    with_recipe(v)
    return p


def main(words=None):
    a = arguments().parse_args(words)
    try:
        return a.work(a)
    except (Refused, OSError) as error:
        print(f"weights.train: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"weights.train: {error.name} is missing: pip install -r weights/train/requirements.txt", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
