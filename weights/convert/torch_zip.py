"""A zip written by torch.save in, its dicts of tensors out, without torch.

The zip holds STEM/data.pkl, a pickle of the dicts with a reference where a tensor's values belong,
and STEM/data/N, the values. A pickle is a program that may call whatever it can name. Here it can
name what `_Unpickler.find_class` lists and nothing else, and of that nothing is torch's own: our
own functions take down what the pickle says about a tensor.
"""

import io
import pickle
import pickletools
import zipfile
from typing import NamedTuple

from .checkpoint import Refused, Stored, numbers

MAX_PICKLE = 64 << 20  # bytes; those of the published checkpoints have less than 1 MiB

DTYPES = {
    "FloatStorage": "F32", "DoubleStorage": "F64", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8",
    "ByteStorage": "U8", "BoolStorage": "BOOL",
}  # fmt: skip


class _Storage(NamedTuple):
    dtype: str
    member: str
    n_values: int


class _Dict(dict):
    """Stands in for OrderedDict; forgets the attributes that torch hangs onto a state dict."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


def _whole(value):
    return type(value) is int and value >= 0


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive, stem, program):
        super().__init__(io.BytesIO(program))
        self.archive, self.stem = archive, stem

    def find_class(self, module, name):
        if module == "torch" and name in DTYPES:
            return DTYPES[name]  # a mere word: what calls it fails
        allowed = {
            ("collections", "OrderedDict"): _Dict,
            ("torch._utils", "_rebuild_tensor_v2"): self.tensor,
            ("torch._utils", "_rebuild_parameter"): self.parameter,
        }
        if (module, name) not in allowed:
            raise Refused(f"its pickle wants {module}.{name}, which no tensor needs")
        return allowed[module, name]

    def persistent_load(self, reference):
        kind, dtype, key, _location, n_values = reference
        if kind != "storage" or dtype not in DTYPES.values() or not _whole(n_values):
            raise Refused(f"its pickle refers to {reference!r:.80}, which is no tensor's storage")
        return _Storage(dtype, f"{self.stem}/data/{key}", n_values)

    def tensor(self, storage, offset, shape, strides, *_gradients):
        if not isinstance(storage, _Storage) or not all(map(_whole, (offset, *shape, *strides))):
            raise Refused("its pickle makes a tensor of something else")
        return Stored(storage.dtype, shape, lambda: self.read(storage, offset, shape, strides))

    def parameter(self, tensor, *_gradients):
        if not isinstance(tensor, Stored):
            raise Refused("its pickle makes a parameter of something else")
        return tensor

    def read(self, storage, offset, shape, strides):
        try:
            member = self.archive.getinfo(storage.member)
            if member.file_size != 4 * storage.n_values or member.compress_type:
                raise Refused(f"'{storage.member}' is not {storage.n_values} plain values")
            return numbers(self.archive.read(member), shape, strides, offset)
        except KeyError:
            raise Refused(f"the zip has no '{storage.member}'") from None
        except (zipfile.BadZipFile, RuntimeError, EOFError, OSError) as error:
            raise Refused(f"'{storage.member}' cannot be read: {error}") from None


def read(path):
    """The tensors of the file `path` by name, "outer.inner" where a dict stands in a dict; what is
    not a tensor has None under its name."""
    try:
        archive = zipfile.ZipFile(path)  # open as long as its tensors live
    except zipfile.BadZipFile:
        raise Refused("the zip is cut short or damaged") from None
    try:
        return _flat(_load(archive))
    except Exception as error:  # of any type: a damaged pickle can trip the machine anywhere
        archive.close()
        if isinstance(error, Refused):
            raise
        raise Refused(f"its data.pkl is damaged: {error or type(error).__name__}") from None


def _load(archive):
    pickles = [member for member in archive.infolist() if member.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Refused(f"the zip has {len(pickles)} data.pkl where torch.save writes one")
    if pickles[0].compress_type or pickles[0].file_size > MAX_PICKLE:
        raise Refused("its data.pkl is compressed or too large for torch.save's")
    stem = pickles[0].filename[: -len("/data.pkl")]
    if f"{stem}/byteorder" in archive.namelist() and archive.read(f"{stem}/byteorder") != b"little":
        raise Refused("its numbers are not little-endian")
    program = archive.read(pickles[0])
    for opcode, argument, _ in pickletools.genops(program):
        if opcode.name.endswith("PUT") and argument > len(program):  # is allocated as an index
            raise Refused("its data.pkl is damaged: it remembers more than it says")
    return _Unpickler(archive, stem, program).load()


def _flat(root):
    if not isinstance(root, dict):
        raise Refused("its data.pkl holds no dict of tensors")
    tensors = {}
    for outer, value in root.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        for name, entry in inner:
            full = f"{outer}.{name}" if name else str(outer)
            if full in tensors:
                raise Refused(f"tensor '{full}' appears twice")
            tensors[full] = entry if isinstance(entry, Stored) else None
    return tensors
