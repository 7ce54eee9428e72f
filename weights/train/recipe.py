"""A YAML file in, a checked recipe out. Every key must be there, no other may, and each has its range."""

import dataclasses
from dataclasses import dataclass, field

from . import Refused

BIG = 1 << 30


def within(low, high):
    return field(metadata={"range": (low, high)})


def among(*words):
    return field(metadata={"words": words})


def share():
    return within(0.0, 1.0)


@dataclass(frozen=True)
class Export:
    name: str
    licence: str


@dataclass(frozen=True)
class Model:
    sample_rate: int = within(1, 192000)
    hop: int = within(1, 4096)
    n_fft: int = within(4, 8192)
    phase_bins: int = within(1, 4097)
    channels: int = within(1, 4096)
    expansion: int = within(1, 16384)
    kernel: int = within(1, 31)
    encoder_blocks: int = within(0, 32)
    decoder_blocks: int = within(0, 32)
    groups: int = within(1, 8)
    layers: int = within(1, 8)
    entries: int = within(2, 65536)
    group_width: int = within(1, 256)

    @property
    def bins(self):
        return self.n_fft // 2 + 1

    @property
    def latent(self):
        return self.groups * self.group_width


@dataclass(frozen=True)
class Cycle:
    minutes: float = within(0.0, BIG)
    steps: int = within(0, BIG)
    warmup: int = within(1, BIG)
    unquantized: int = within(0, BIG)
    averaging: float = share()


@dataclass(frozen=True)
class Batch:
    clips: int = within(1, 4096)
    seconds: float = within(0.2, 60.0)


@dataclass(frozen=True)
class Data:
    other: float = share()
    quiet: float = share()
    tries: int = within(1, 1000)


@dataclass(frozen=True)
class Augment:
    level_low: float = within(-100.0, 100.0)
    level_high: float = within(-100.0, 100.0)
    peak: float = share()
    mixture: float = share()
    mixture_level: float = share()
    band: float = share()
    band_low: float = within(100.0, 96000.0)
    noise: float = share()
    noise_low: float = within(-100.0, 200.0)
    noise_high: float = within(-100.0, 200.0)


@dataclass(frozen=True)
class Quantizer:
    decay: float = share()
    dead: float = share()
    revived: float = share()
    half: float = share()
    bypass: float = share()
    bypass_until: float = share()
    seed_batches: int = within(1, 10000)
    seed_rounds: int = within(0, 1000)


@dataclass(frozen=True)
class Loss:
    mel: float = within(0.0, BIG)
    magnitude: float = within(0.0, BIG)
    phase: float = within(0.0, BIG)
    phase_below: float = within(0.0, 96000.0)
    phase_windows: list = within(16, 16384)
    disturbance: float = within(0.0, BIG)
    commitment: float = within(0.0, BIG)
    windows: dict = within(16, 16384)
    short: int = within(16, 16384)
    compression: float = share()


@dataclass(frozen=True)
class Judges:
    windows: list = within(16, 16384)
    width: int = within(1, 1024)
    compression: float = share()
    score: float = within(0.0, BIG)
    match: float = within(0.0, BIG)
    begin: float = share()
    ramp: int = within(1, BIG)
    rate: float = within(0.0, BIG)
    rate_floor: float = within(0.0, 1.0)


@dataclass(frozen=True)
class Optimizer:
    rate: float = within(0.0, 1.0)
    rate_floor: float = within(0.0, 1.0)
    beta1: float = share()
    beta2: float = share()
    decay: float = share()
    clip: float = within(0.0, BIG)
    muon: bool
    muon_rate: float = within(0.0, 1.0)
    muon_momentum: float = share()
    muon_rounds: int = within(1, 20)


@dataclass(frozen=True)
class Machine:
    workers: int = within(0, 1024)
    precision: str = among("auto", "fp32", "bf16")
    compile: bool
    seed: int = within(0, BIG)
    log: int = within(1, BIG)
    save: int = within(1, BIG)


@dataclass(frozen=True)
class Recipe:
    export: Export
    model: Model
    cycle: Cycle
    batch: Batch
    data: Data
    augment: Augment
    quantizer: Quantizer
    loss: Loss
    judges: Judges
    optimizer: Optimizer
    machine: Machine

    @property
    def compared(self):
        """Samples of a clip that the losses compare: later ones lack frames that would follow in a stream."""
        m = self.model
        return int(self.batch.seconds * m.sample_rate) // m.hop * m.hop - (m.n_fft - m.hop)


def _number(key, value, kind, low, high):
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        what = "a whole number" if kind is int else "a number such as 0.001"
        raise Refused(f"{key}: {value!r} is not {what}")
    if not low <= value <= high:
        raise Refused(f"{key}: {value} is not in {low} to {high}")
    return value


def _value(key, value, its):
    """The checked value of the dataclass field `its`."""
    if its.type in (int, float):
        return _number(key, value, its.type, *its.metadata["range"])
    if type(value) is not its.type or value in ([], {}):
        raise Refused(f"{key}: {value!r} is not {its.type.__name__}")
    if its.type is list:
        return [_number(key, n, int, *its.metadata["range"]) for n in value]
    if its.type is dict:
        return {_number(key, n, int, *its.metadata["range"]): _number(f"{key}.{n}", bands, int, 1, 1024)
                for n, bands in value.items()}
    if its.type is str and value not in its.metadata.get("words", (value,)):
        raise Refused(f"{key}: {value!r} is not one of {', '.join(its.metadata['words'])}")
    return value


def _fill(kind, values, path=""):
    if type(values) is not dict:
        raise Refused(f"{path or 'recipe'}: keys and values are wanted, not {values!r}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key in values:
        if key not in fields:
            raise Refused(f"{path}{key}: no such key")
    checked = {}
    for name, its in fields.items():
        key = f"{path}{name}"
        if name not in values:
            raise Refused(f"{key} is missing")
        if dataclasses.is_dataclass(its.type):
            checked[name] = _fill(its.type, values[name], f"{key}.")
        else:
            checked[name] = _value(key, values[name], its)
    return kind(**checked)


def _check(r):
    """What no single key can say."""
    if r.model.n_fft % 2 or r.model.n_fft % r.model.hop or r.model.n_fft < 3 * r.model.hop:
        raise Refused("model.n_fft: it is not even, or not three or more times model.hop")
    if r.model.phase_bins > r.model.bins:
        raise Refused(f"model.phase_bins: there are {r.model.bins} bins")
    if (r.cycle.minutes > 0) == (r.cycle.steps > 0):
        raise Refused("cycle.minutes, cycle.steps: one of the two must be 0, the other more")
    for n in r.loss.phase_windows:
        if n not in r.loss.windows:
            raise Refused(f"loss.phase_windows: {n} is not one of loss.windows")
    if not min(r.loss.windows) <= r.loss.short < max(r.loss.windows):
        raise Refused("loss.short: there must be windows up to it and above it")
    longest = max(*r.loss.windows, *r.judges.windows)
    if r.compared < longest:
        raise Refused(f"batch.seconds: {r.compared} samples of a clip are compared, fewer than a window of {longest}")


def check(values):
    """A dict of sections -> Recipe. Raises Refused with the key's name."""
    recipe = _fill(Recipe, values)
    _check(recipe)
    return recipe


def load(path, changes=()):
    """The recipe of a YAML file with changes such as "cycle.steps=20"."""
    import yaml

    try:
        with open(path) as file:
            values = yaml.safe_load(file)
    except yaml.YAMLError as error:
        raise Refused(f"{path}: {' '.join(str(error).split())}") from None
    for change in changes:
        name, equals, text = change.partition("=")
        section, dot, key = name.partition(".")
        if not equals or not dot:
            raise Refused(f"--set {change}: section.key=value is wanted")
        try:
            values[section][key] = yaml.safe_load(text)
        except (KeyError, TypeError, yaml.YAMLError):
            raise Refused(f"--set {change}: no such section, or no value") from None
    return check(values)
