"""What can go wrong. Running out of memory is MemoryError, and a failing file OSError, as everywhere."""


class Error(Exception):
    """Any failure that Tessera itself reports."""


class InputError(Error, ValueError):
    """An argument has a wrong shape, type or value."""


class RateError(InputError):
    """The sound has another sample rate than the model, and `resample` was not asked for."""


class NonFiniteError(InputError):
    """A sample is NaN or infinite."""


class CodeError(InputError):
    """A code is outside its codebook."""


class MismatchError(InputError):
    """The codes were made by another model."""


class ModelError(Error, ValueError):
    """There is no such model, or its file is not valid."""


class FileError(Error, ValueError):
    """A coded file is damaged, cut short, or none."""


class EndedError(Error, RuntimeError):
    """The stream has been flushed: reset it first."""


class UnsupportedError(Error, RuntimeError):
    """This model, or this machine, cannot do that."""


class ServerError(Error, RuntimeError):
    """tesserad refused: `code` is one of docs/protocol.md's, like an HTTP status."""

    def __init__(self, code: int, text: str):
        super().__init__(f"{code}: {text}")
        self.code = code
