"""Speech to tokens and tokens back to speech, live, on ordinary CPUs.

    codec = tessera.Codec()                         # the model that came with the package
    codes = codec.encode(samples, 24000)            # Codes: [K, T] uint16
    sound = codec.decode(codes)                     # float32, as many samples as went in

    encoder = codec.stream_encoder()                # live: any split, the same codes
    codes = encoder.push(samples)

tessera.aio is a client of the daemon, tessera.ray tokenizes on many machines; neither needs the other,
and the client does not need the compiled part.
"""

from typing import TYPE_CHECKING, Any

from .codes import Codes
from .errors import (CodeError, EndedError, Error, FileError, InputError, MismatchError, ModelError,
                     NonFiniteError, RateError, ServerError, UnsupportedError)
from .layouts import delay, flatten, undelay, unflatten

if TYPE_CHECKING:
    from .codec import Codec, StreamDecoder, StreamEncoder

__version__ = "0.1.0"
__all__ = [
    "Codec", "StreamEncoder", "StreamDecoder", "Codes",
    "flatten", "unflatten", "delay", "undelay",
    "Error", "InputError", "RateError", "NonFiniteError", "CodeError", "MismatchError", "ModelError",
    "FileError", "EndedError", "UnsupportedError", "ServerError",
]


def __getattr__(name: str) -> Any:
    """What needs the compiled part is loaded when it is first asked for."""
    if name in ("Codec", "StreamEncoder", "StreamDecoder"):
        from . import codec

        return getattr(codec, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
