"""python3 -m weights.convert NAME CHECKPOINT OUT.safetensors, from the project's root."""

import sys

from . import MODELS, convert
from .checkpoint import Refused


USAGE = """usage: python3 -m weights.convert NAME CHECKPOINT OUT.safetensors
NAME is one of
  {}"""


def complain(text):
    """One line on standard error, whatever bytes a file's names have brought in."""
    line = " ".join(text.split()).encode("ascii", "replace").decode()
    print(f"weights.convert: {line}", file=sys.stderr)


def main(arguments):
    if len(arguments) != 3 or arguments[0] not in MODELS:
        print(USAGE.format("\n  ".join(MODELS)), file=sys.stderr)
        return 2
    name, checkpoint, out = arguments
    try:
        convert(name, checkpoint, out)
    except Refused as error:
        complain(f"{checkpoint}: {error}")
        return 1
    except OSError as error:
        complain(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
