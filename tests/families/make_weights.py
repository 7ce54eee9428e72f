"""A seed in, a checkpoint in the form in which a family is published out.

checkpoint.txt of a family lists every tensor in the order of the published file:

    NAME SHAPE KIND NUMBERS...      a '/' in the name ends the name of an outer dict

    gauss S      roughly normal of deviation S: four 16-bit numbers of a word added
    gauss0 S     the same, less the mean over all but the first dimension
    unif A B     even between A and B
    const X      X everywhere
    values X...  these
    hann         the periodic Hann window

Values depend on the seed and the tensor's name alone, and only on integer arithmetic and single
operations on doubles, so they are the same on every machine. Word i of a tensor is
splitmix64(h + (i + 1) golden), h = FNV-1a of "salt|seed|name".
"""

import hashlib
import json
import pathlib
import struct
import zipfile

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
SALT = "tessera-golden-v1"
DEVIATION = 2.0 * (4.0 * (65536.0 * 65536.0 - 1.0) / 12.0) ** 0.5  # of four 16-bit numbers, twice


def _fnv1a(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return h


def _words(text, n):
    z = np.arange(1, n + 1, dtype=np.uint64)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(_fnv1a(text))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    z ^= z >> np.uint64(31)
    return z


def _gauss(words):
    quarters = words.view("<u2").reshape(-1, 4)
    return quarters.sum(axis=1, dtype=np.int64) * 2 - 4 * 65535


def _values(key, shape, kind, numbers, seed):
    n = int(np.prod(shape))
    if kind == "const":
        return np.full(n, numbers[0])
    if kind == "values":
        return np.array(numbers)
    if kind == "hann":
        return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    words = _words(f"{SALT}|{seed}|{key}", n)
    if kind == "unif":
        low, high = numbers
        return low + (high - low) * ((words >> np.uint64(11)) * 2.0**-53)
    t = _gauss(words)
    if kind == "gauss":
        return t * (numbers[0] / DEVIATION)
    assert kind == "gauss0", kind
    t = t.reshape(shape[0], -1)
    m = t.shape[1]
    return (t * m - t.sum(axis=1, keepdims=True)) * (numbers[0] / (m * DEVIATION))


def published(family):
    """(outer names, name, shape, kind, numbers) of each tensor, in order."""
    for line in (HERE / family / "checkpoint.txt").read_text().splitlines():
        name, shape, kind, *numbers = line.split()
        *outer, name = name.split("/")
        yield outer, name, tuple(map(int, shape.split("x"))), kind, [float(x) for x in numbers]


def tensors(family, seed):
    """Every tensor by its full name, dicts joined by dots."""
    made = {}
    for outer, name, shape, *rest in published(family):
        key = ".".join([*outer, name])
        made[key] = _values(key, shape, *rest, seed).astype("<f4").reshape(shape)
    return made


def digest(made):
    """SHA-256 over names, shapes and bytes: `weights_sha256` in the golden files' metadata."""
    h = hashlib.sha256()
    for key, array in made.items():
        h.update(f"{key}|float32|{'x'.join(map(str, array.shape))}\n".encode())
        h.update(array)
    return h.hexdigest()


def nested(family, made):
    """The same tensors in the dicts in which they are published."""
    root = {}
    for outer, name, *_ in published(family):
        inner = root
        for word in outer:
            inner = inner.setdefault(word, {})
        inner[name] = made[".".join([*outer, name])]
    return root


def golden_metadata(family):
    with open(HERE / family / "golden_1.safetensors", "rb") as file:
        (n,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(n))["__metadata__"]


def write_safetensors(path, made):
    header, at = {}, 0
    for key, array in made.items():
        offsets = [at, at := at + array.nbytes]
        header[key] = {"dtype": "F32", "shape": array.shape, "data_offsets": offsets}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in made.values():
            file.write(array)


# Just enough of pickle's second protocol; its opcodes are listed in Python's pickletools.


def _text(word):
    return b"X" + struct.pack("<I", len(word.encode())) + word.encode()


def _tuple(*items):
    return b"(" + b"".join(items) + b"t"


def _int(n):
    return b"J" + struct.pack("<i", n)


def name_of(module, name):
    return f"c{module}\n{name}\n".encode()


def call(function, *arguments):
    return function + _tuple(*arguments) + b"R"


def _pickle_tensor(array, storages):
    reference = _tuple(
        _text("storage"),
        name_of("torch", "FloatStorage" if array.dtype == np.float32 else "DoubleStorage"),
        _text(str(len(storages))),
        _text("cpu"),
        _int(array.size),
    )
    storages.append(array)
    steps = np.cumprod([1, *array.shape[:0:-1]], dtype=int)[::-1]
    sizes = (_tuple(*map(_int, map(int, numbers))) for numbers in (array.shape, steps))
    hooks = call(name_of("collections", "OrderedDict"))
    return call(
        name_of("torch._utils", "_rebuild_tensor_v2"),
        reference + b"Q",
        _int(0),
        *sizes,
        b"\x89",
        hooks,
    )


def pickled(value, storages):
    """The pickle of nested dicts, without its beginning and end. Arrays go to `storages`; bytes
    stand for what they are."""
    if isinstance(value, dict):
        items = (_text(key) + pickled(item, storages) for key, item in value.items())
        return b"}(" + b"".join(items) + b"u"
    if isinstance(value, np.ndarray):
        return _pickle_tensor(value, storages)
    return value


def write_torch(path, root):
    """What torch.save writes for nested dicts of arrays."""
    storages = []
    program = b"\x80\x02" + pickled(root, storages) + b"."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", "little")
        for i, array in enumerate(storages):
            archive.writestr(f"archive/data/{i}", array.tobytes())
        archive.writestr("archive/version", "3\n")


def write(path, family, made):
    """The checkpoint as it is published."""
    if family.startswith("mimi"):
        write_safetensors(path, made)
    else:
        write_torch(path, nested(family, made))
