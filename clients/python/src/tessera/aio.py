"""A client of tesserad's native protocol (docs/protocol.md) for asyncio. Needs no compiled part.

    async with tessera.aio.connect("127.0.0.1:7207") as server:
        encoder = await server.stream_encoder()
        codes = await encoder.push(samples)         # [K, T] of what has come so far
        codes = await encoder.flush()               # the rest

The streams have the names of Codec's; the sound is float32 and codes and samples are, to the bit, those
that a Codec of the same model gives.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from typing import Any, AsyncIterator, Dict, List, Optional

import numpy as np

from .arrays import Array, as_codes, as_pcm, as_rows, from_pcm
from .errors import EndedError, InputError, ServerError

(_HELLO, _READY, _OPEN, _OPENED, _PCM, _CODES, _LOST, _FLUSH, _FLUSHED, _END, _STATS, _CREDIT, _PING,
 _PONG, _ERROR) = range(1, 16)
_HEADER = struct.Struct("<BBHI")  # type, flags, stream, bytes of payload
_EXTENSIONS = 128  # types from here on are skipped
_OPTIONS = ("model", "codebooks", "rate", "channels", "bulk", "options")  # of OPEN


@contextlib.asynccontextmanager
async def connect(address: str = "127.0.0.1:7207", *, key: Optional[str] = None) -> AsyncIterator[Connection]:
    """A connection to a tesserad at "host:port" or "unix:/path", closed when the block ends; `key` is one
    of the server's, where it has any. Raises OSError, ServerError, InputError (the address)."""
    if address.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(address[5:])
    else:
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
            raise InputError(f"address {address!r}: host:port or unix:/path")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    connection = Connection(reader, writer)
    try:
        await connection._greet(key)
        yield connection
    finally:
        await connection._close()


class Connection:
    """A greeted server; made by `connect`.

    models    what it serves, as READY tells them; the first is the default
    limits    of this server
    draining  it takes no new streams and will go: end yours and connect again
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.models: List[Dict[str, Any]] = []
        self.limits: Dict[str, Any] = {}
        self.draining = False
        self._reader, self._writer = reader, writer
        self._streams: Dict[int, _Stream] = {}
        self._failure: Optional[Exception] = None  # why nothing comes any more
        self._greeted = asyncio.Event()
        self._task = asyncio.create_task(self._receive())

    async def stream_encoder(self, **options: Any) -> StreamEncoder:
        """Opens a live encoder. Options are those of OPEN: model, codebooks, rate (Hz, of the samples to
        come), channels, bulk, options. Raises ServerError, ConnectionError, InputError (another option)."""
        encoder = StreamEncoder(self, options)
        await encoder.reset()
        return encoder

    async def stream_decoder(self, **options: Any) -> StreamDecoder:
        """Opens a live decoder, as `stream_encoder`."""
        decoder = StreamDecoder(self, options)
        await decoder.reset()
        return decoder

    async def _greet(self, key: Optional[str]) -> None:
        words = {"protocol": 1, "client": "tessera.aio"}
        self._send(_HELLO, 0, json.dumps(words if key is None else {**words, "key": key}).encode())
        await self._greeted.wait()
        self._check()

    def _check(self) -> None:
        if self._failure:
            raise self._failure

    def _send(self, kind: int, stream: int, payload: bytes = b"") -> None:
        self._check()
        self._writer.write(_HEADER.pack(kind, 0, stream, len(payload)) + payload)

    async def _receive(self) -> None:
        try:
            while True:
                kind, _, number, n = _HEADER.unpack(await self._reader.readexactly(_HEADER.size))
                self._take(kind, number, await self._reader.readexactly(n))
        except (asyncio.IncompleteReadError, OSError):
            self._fail(ConnectionError("the server closed the connection"))
        except Exception as error:  # what it sent is not the protocol, or an ERROR of the connection
            self._fail(error)

    def _take(self, kind: int, number: int, payload: bytes) -> None:
        if kind == _PING:
            self._send(_PONG, number, payload)
        elif kind == _READY:
            ready = json.loads(payload)
            self.models, self.limits = ready["models"], ready["limits"]
            self.draining = ready["draining"]
            self._greeted.set()
        elif kind == _ERROR and number == 0:
            raise _error(payload)
        elif kind < _EXTENSIONS and number in self._streams:
            self._streams[number]._take(kind, payload)

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._greeted.set()
        for stream in list(self._streams.values()):
            stream._fail(error)

    def _free_number(self) -> int:
        return next(n for n in range(1, 65536) if n not in self._streams)

    async def _close(self) -> None:
        self._task.cancel()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        self._fail(ConnectionError("the connection has been closed"))


def _error(payload: bytes) -> ServerError:
    return ServerError(struct.unpack("<H", payload[:2])[0], payload[2:].decode("utf-8", "replace"))


class _Stream:
    """A stream of the connection, for one task at a time: what the server still takes of it, and what has
    come."""

    _direction = ""

    def __init__(self, connection: Connection, options: Dict[str, Any]):
        for name in options:
            if name not in _OPTIONS:
                raise InputError(f"{name!r} is none of a stream's options: {', '.join(_OPTIONS)}")
        self._connection = connection
        self._words = {**options, "direction": self._direction, "format": "f32le"}
        self._number = 0  # none: not open
        self._failure: Optional[Exception] = None
        self._news = asyncio.Event()
        self.opened: Dict[str, Any] = {}
        self.stats: Optional[Dict[str, Any]] = None

    async def reset(self) -> None:
        """Opens the stream anew, after `flush` or in place of what ran, whose output is dropped."""
        if self._number:
            await self.flush()
        connection = self._connection
        self._failure, self.stats, self.opened = None, None, {}
        self._credit = self._flushed = self._flushes = 0
        self._output = bytearray()
        self._number = connection._free_number()
        connection._streams[self._number] = self
        connection._send(_OPEN, self._number, json.dumps(self._words).encode())
        await self._until(lambda: self.opened)
        model = {m["name"]: m for m in connection.models}[self.opened["model"]]
        self._code_min, self._entries = model["code_min"], model["entries"]

    async def flush(self) -> Array:
        """Ends the recording; returns the rest of the output. Then only a reset is allowed, and `stats`
        says what the server counted."""
        self._open()
        self._connection._send(_END, self._number)
        await self._until(lambda: self.stats is not None)
        return self._taken()

    async def sync(self) -> Array:
        """Returns the output once all that the input so far allows has come: whole hops of it."""
        self._open()
        self._flushes += 1
        self._connection._send(_FLUSH, self._number, struct.pack("<I", self._flushes))
        await self._until(lambda: self._flushed == self._flushes)
        return self._taken()

    @property
    def codebooks(self) -> int:
        """K of a frame's codes."""
        return int(self.opened["codebooks"])

    def _open(self) -> None:
        if not self._number:
            raise self._failure or EndedError("the stream has been flushed: reset it first")

    async def _put(self, kind: int, rows: Array) -> Array:
        """Sends [T][..] in messages of at most half a second and within the credit, in whole rows."""
        self._open()
        row_bytes = rows.dtype.itemsize * rows.shape[1]
        second = self._rows_a_second()
        piece = max(1, min(second // 2, (1 << 15) // row_bytes))
        for at in range(0, len(rows), piece):
            data = rows[at:at + piece].tobytes()
            await self._until(lambda: self._credit >= len(data))
            self._credit -= len(data)
            self._connection._send(kind, self._number, data)
            await self._connection._writer.drain()
        return self._taken()

    async def _until(self, condition: Any) -> None:
        while not condition():
            self._open()
            self._news.clear()
            await self._news.wait()
        if self._failure:
            raise self._failure

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == _OPENED:
            self.opened = json.loads(payload)
            self._credit = self.opened["credit"]
        elif kind in (_PCM, _CODES):
            self._output += payload
        elif kind == _CREDIT:
            self._credit += struct.unpack("<I", payload)[0]
        elif kind == _FLUSHED:
            self._flushed = struct.unpack("<IQQ", payload)[0]
        elif kind == _STATS:
            self.stats = json.loads(payload)
            self._close()
        elif kind == _ERROR:
            self._fail(_error(payload))
        self._news.set()

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._close()
        self._news.set()

    def _close(self) -> None:
        self._connection._streams.pop(self._number, None)
        self._number = 0

    def _rows_a_second(self) -> int:
        raise NotImplementedError

    def _taken(self) -> Array:
        raise NotImplementedError

    def _drain(self, dtype: Any, width: int) -> Array:
        rows = np.frombuffer(bytes(self._output), dtype).reshape(-1, width)
        self._output.clear()
        return rows


class StreamEncoder(_Stream):
    """Samples in, codes out; made by Connection.stream_encoder."""

    _direction = "encode"

    async def push(self, pcm: Any) -> Array:
        """Sends samples [N], or [channels, N], of the rate that was opened; waits while the server has
        all that it takes. Returns the codes [K, T] that have come so far. Raises InputError, ServerError,
        ConnectionError, EndedError."""
        self._open()
        return await self._put(_PCM, as_pcm(pcm, self.opened["channels"]).astype("<f4", copy=False))

    def _rows_a_second(self) -> int:
        return int(self.opened["rate"])

    def _taken(self) -> Array:
        return self._drain("<i2" if self._code_min < 0 else "<u2", self.codebooks).T


class StreamDecoder(_Stream):
    """Codes in, samples out; made by Connection.stream_decoder."""

    _direction = "decode"

    async def push(self, codes: Any) -> Array:
        """Sends codes [K, T]. Returns the float32 samples [N], or [channels, N], that have come so far.
        Waits and raises as StreamEncoder.push."""
        self._open()
        codes = as_codes(codes)
        if codes.shape[0] != self.codebooks:
            raise InputError(f"{codes.shape[0]} codebooks where the stream has {self.codebooks}")
        rows = as_rows(codes, self._code_min, self._entries)
        return await self._put(_CODES, rows.astype(rows.dtype.newbyteorder("<"), copy=False))

    async def lost(self, n_frames: int) -> Array:
        """Conceals frames that never came. Returns the samples that have come so far."""
        self._open()
        second = self._rows_a_second()
        for at in range(0, n_frames, second):
            n = min(second, n_frames - at)
            self._connection._send(_LOST, self._number, struct.pack("<I", n))
        return self._taken()

    def _rows_a_second(self) -> int:
        model = {m["name"]: m for m in self._connection.models}[self.opened["model"]]
        return int(max(1, model["sample_rate"] // model["hop"]))

    def _taken(self) -> Array:
        return from_pcm(self._drain("<f4", self.opened["channels"]))
