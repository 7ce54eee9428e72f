#!/usr/bin/env python3
"""tesserad by WebSocket: the native protocol's messages, and RFC 6455 kept by the websockets package on
the other side or broken by hand.

Usage: test_ws.py BUILD [...]
"""

import json
import os
import random
import re
import struct
import sys
import tempfile
import time
import unittest

from websockets.frames import OP_BINARY, OP_CLOSE, OP_CONT, OP_PING, OP_PONG, OP_TEXT

from daemon import HELLO, OPEN, PCM, Closed, Daemon, ServerError, message
from test_daemon_trust import PCM_BYTES, until
from web import WebSocket, ask

HOP = 320
build = None
HELLO_BYTES = message(HELLO, 0, {"protocol": 1})
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13",
           "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=="}


def encode(client, frames=10):
    stream = client.open(9, direction="encode")
    stream.pcm(PCM_BYTES[:2 * HOP * frames])
    stream.end()
    return stream.finish().codes


def frame(opcode, data=b"", fin=True, rsv=0, length=None, mask=b"\x01\x02\x03\x04"):
    """A client's frame; `length` is what it says."""
    n = len(data) if length is None else length
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if n < 126:
        head += bytes([128 | n])
    else:
        head += struct.pack(">BH" if n < 1 << 16 else ">BQ", 128 | (126 if n < 1 << 16 else 127), n)
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))


class Sessions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon(build))
        cls.codes = encode(cls.daemon.connect())

    def connect(self, **words):
        return WebSocket(self.daemon.http_port, **words)

    def healthy(self):
        client = self.connect()
        self.assertEqual(encode(client), self.codes)
        client.close()

    def ended(self, client, error, close=1008):
        """The server says why in a message of its protocol, then in WebSocket's way."""
        with self.assertRaises(ServerError) as raised:
            client.next(0)
        self.assertEqual((raised.exception.stream, raised.exception.code), (0, error))
        self.assertEqual(client.close_code(), close)

    def test_streams(self):
        """Bit-equal to TCP's, with both directions and several streams on one connection."""
        client = self.connect()
        self.assertEqual(encode(client), self.codes)
        both = client.open(1, direction="both")
        other = client.open(2, direction="encode", format="f32le")
        both.pcm(PCM_BYTES[:2 * HOP * 10])
        both.put_codes(self.codes)
        other.pcm(bytes(4 * HOP * 3))
        for stream in (other, both):
            stream.end()
            stream.finish()
        self.assertEqual(both.codes, self.codes)
        self.assertEqual(len(both.pcm_bytes), 2 * HOP * 10)
        self.assertEqual(len(other.codes), 8 * 3)
        self.assertIn('connections{proto="ws"} 1',
                      ask(self.daemon.http_port, "GET", "/metrics").body.decode())
        client.close()

    def test_long_stream(self):
        """More than sockets and credit hold, both ways."""
        client = self.connect()
        stream = client.open(1, direction="decode")
        stream.put_codes(self.codes * 100)
        stream.end()
        self.assertEqual(len(stream.finish().pcm_bytes), 2 * HOP * 1000)
        client.close()

    def test_closes(self):
        client = self.connect()
        client.protocol.send_close(1000)
        client.flush()
        self.assertEqual(client.close_code(), 1000)
        until(lambda: 'connections{proto="ws"} 0' in
              ask(self.daemon.http_port, "GET", "/metrics").body.decode())

    def test_control_frames(self):
        client = self.connect()
        client.protocol.send_ping(b"x" * 125)
        client.flush()
        pong = client._event()
        self.assertEqual((pong.opcode, pong.data), (OP_PONG, b"x" * 125))
        client.protocol.send_pong(b"nobody asked")
        self.assertEqual(encode(client), self.codes)
        client.close()

    def test_fragments(self):
        """A message in up to 16 frames is one; control frames may come between them."""
        for n in (2, 3, 16):
            client = self.connect(hello=False)
            cuts = [len(HELLO_BYTES) * i // n for i in range(n + 1)]
            for i in range(n):
                client.socket.sendall(frame(OP_BINARY if i == 0 else OP_CONT,
                                            HELLO_BYTES[cuts[i]:cuts[i + 1]], fin=i == n - 1))
                client.socket.sendall(frame(OP_PONG, b"x"))
            client.expect(2, 0)
            self.assertEqual(encode(client), self.codes)
            client.close()

    def test_many_fragments(self):
        client = self.connect()
        for i in range(17):
            client.socket.sendall(frame(OP_BINARY if i == 0 else OP_CONT, b"\x05", fin=False))
        self.ended(client, 413)

    def test_byte_by_byte(self):
        client = self.connect(hello=False)
        for byte in frame(OP_BINARY, HELLO_BYTES):
            client.socket.sendall(bytes([byte]))
        client.expect(2, 0)
        self.assertEqual(encode(client), self.codes)
        client.close()

    def test_not_one_message(self):
        for data in (b"", HELLO_BYTES[:5], HELLO_BYTES + b"x", HELLO_BYTES * 2):
            client = self.connect(hello=False)
            client.send_bytes(data)
            self.ended(client, 400)

    def test_text(self):
        client = self.connect()
        client.protocol.send_text(b'{"type": "hello"}')
        client.flush()
        self.ended(client, 400)

    def test_oversize(self):
        for n in (65537, (1 << 31) - 1, (1 << 32) - 1, (1 << 63) - 1):
            with self.subTest(n):
                client = self.connect()
                client.socket.sendall(frame(OP_BINARY, bytes(5000), length=n))
                self.ended(client, 413)
        self.healthy()

    def test_largest(self):
        """A message of --max-message's 64 KiB is none too many for the carrier: PCM of over a second is."""
        client = self.connect()
        client.open(1, direction="encode")
        client.send(PCM, 1, bytes(65536 - 8))
        with self.assertRaises(ServerError) as raised:
            client.next(1)
        self.assertEqual((raised.exception.stream, raised.exception.code), (1, 413))
        self.assertEqual(encode(client), self.codes)
        client.close()

    def test_against_the_rules(self):
        """What RFC 6455 calls a failed connection: closed, with 1002 or 1007 or at once."""
        cases = {
            "continuation of nothing": frame(OP_CONT, b"x"),
            "message within a message": frame(OP_BINARY, b"x", fin=False) + frame(OP_BINARY, b"y"),
            "fragmented control frame": frame(OP_PING, b"x", fin=False),
            "long control frame": frame(OP_PING, bytes(126)),
            "length of 64 bits with the highest": frame(OP_BINARY, b"x", length=1 << 63),
            "text that is not UTF-8": frame(OP_TEXT, b"\xc0\xaf"),
            "text that stops within a character": frame(OP_TEXT, b"\xce"),
            "a surrogate, in two frames": frame(OP_TEXT, b"\xed", fin=False) + frame(OP_CONT, b"\xa0\x80"),
            "close of one byte": frame(OP_CLOSE, b"\x03"),
            "long close": frame(OP_CLOSE, struct.pack(">H", 1000) + bytes(124)),
        }
        cases |= {f"reserved bits {rsv}": frame(opcode, b"x", rsv=rsv)
                  for rsv in range(1, 8) for opcode in (OP_BINARY, OP_PING)}
        cases |= {f"opcode {opcode}": frame(opcode, b"x") for opcode in (*range(3, 8), *range(11, 16))}
        cases |= {f"close {code}": frame(OP_CLOSE, struct.pack(">H", code))
                  for code in (0, 999, 1004, 1005, 1006, 1015)}
        for name, data in cases.items():
            with self.subTest(name):
                client = self.connect()
                client.socket.sendall(data)
                self.assertIn(client.close_code(), (1002, 1007, None))
                client.close()
        self.healthy()

    def test_close_codes(self):
        """A close that may be is answered by one of the same code."""
        for code in (1000, 1001, 1003, 1007, 1011, 3000, 3999, 4000, 4999):
            with self.subTest(code):
                client = self.connect()
                client.socket.sendall(frame(OP_CLOSE, struct.pack(">H", code) + "leb wohl, \u03ba".encode()))
                self.assertEqual(client.close_code(), code)
                client.close()

    def test_edges_of_lengths(self):
        """Messages to both sides of where the length takes 2 and 8 bytes more, in one frame and in two."""
        client = self.connect()
        stream = client.open(1, direction="encode", format="f32le")
        sizes = (116, 120, 65524, 65528)  # 124, 128, 65532 and 65536 with the message's own 8 bytes
        for n in sizes:
            data = message(PCM, 1, bytes(n))
            client.socket.sendall(frame(OP_BINARY, data))
            client.socket.sendall(frame(OP_BINARY, data[:125], fin=False) + frame(OP_CONT, data[125:]))
        stream.end()
        n_samples = 2 * sum(sizes) // 4
        self.assertEqual(len(stream.finish().codes), 8 * -(-n_samples // HOP))
        client.close()

    def test_every_prefix_and_flip(self):
        """A dialogue cut at each place, and with each of its bits wrong: no harm to others."""
        script = (frame(OP_BINARY, HELLO_BYTES) +
                  frame(OP_BINARY, message(OPEN, 1, {"direction": "encode"})) +
                  frame(OP_BINARY, message(PCM, 1, bytes(64))))
        for i in range(0, len(script), 3):
            client = self.connect(hello=False)
            client.socket.sendall(script[:i])
            client.close()
        for bit in range(0, 8 * len(script), 29):
            flipped = bytearray(script)
            flipped[bit // 8] ^= 1 << bit % 8
            client = self.connect(hello=False)
            client.socket.sendall(bytes(flipped))
            client.close()
        self.healthy()

    def test_garbage(self):
        source = random.Random(11)
        for _ in range(10):
            client = self.connect()
            try:
                client.socket.sendall(source.randbytes(1 << 18))
                client.close_code()
            except OSError:
                pass  # it has had enough
            client.close()
        self.healthy()

    def upgrade(self, path="/v1/stream", **headers):
        return ask(self.daemon.http_port, "GET", path, **{**UPGRADE, **headers})

    def test_upgrade(self):
        self.assertEqual(self.upgrade().status, 101)
        self.assertEqual(self.upgrade(Connection="keep-alive, Upgrade").status, 101)
        answer = self.upgrade(Sec_WebSocket_Protocol="tessera")
        self.assertEqual(answer.headers["sec-websocket-protocol"], "tessera")
        for status, path, headers in (
                (404, "/v1/streams", {}),
                (426, "/v1/stream", {"Upgrade": "h2c", "HTTP2_Settings": ""}),
                (400, "/v1/stream?key=secret", {}),
                (400, "/v1/stream", {"Connection": "close"}),
                (400, "/v1/stream", {"Sec_WebSocket_Key": "short"}),
                (426, "/v1/stream", {"Sec_WebSocket_Version": "8"}),
                (400, "/v1/stream", {"Sec_WebSocket_Protocol": "chat"}),
                (403, "/v1/stream", {"Origin": "http://evil.example"}),
                (403, "/v1/stream", {"Origin": "null"}),
                (403, "/v1/stream", {"host": "evil.example"})):
            with self.subTest(path=path, headers=headers):
                answer = self.upgrade(path, **headers)
                self.assertEqual(answer.status, status)
                answer.error()
                self.assertNotIn("access-control-allow-origin", answer.headers)


class Limits(unittest.TestCase):
    def daemon(self, *options, **words):
        return self.enterContext(Daemon(build, *options, **words))

    def test_keys(self):
        with tempfile.NamedTemporaryFile("w") as keys:
            keys.write("secret\n")
            keys.flush()
            daemon = self.daemon("--api-key-file", keys.name)
            bearer = [("Authorization", "Bearer secret")]
            encode(WebSocket(daemon.http_port, headers=bearer))
            encode(WebSocket(daemon.http_port, key="secret"))
            for key in (None, "wrong"):
                with self.assertRaises(ServerError) as raised:
                    WebSocket(daemon.http_port, key=key)
                self.assertEqual(raised.exception.code, 401)
            with self.assertRaises(Closed) as raised:
                WebSocket(daemon.http_port, headers=[("Authorization", "Bearer wrong")])
            self.assertIn("401", str(raised.exception.args))

    def test_handshake_timeout(self):
        daemon = self.daemon("--handshake-timeout", "300")
        client = WebSocket(daemon.http_port, hello=False)
        with self.assertRaises(ServerError) as raised:
            client.next(0)
        self.assertEqual(raised.exception.code, 408)

    def test_slow_reader(self):
        """Whoever does not read what is decoded for it is dropped, and holds little memory till then."""
        daemon = self.daemon("--slow-timeout", "1000", "--pong-timeout", "60000")
        client = WebSocket(daemon.http_port, receive_buffer=4096)
        client.open(1, direction="decode")
        client.socket.settimeout(0.1)
        end = time.monotonic() + 20
        while not re.search(r"drop: client \d+ .*: slow", daemon.log()):
            self.assertLess(time.monotonic(), end)
            try:
                client.send(6, 1, bytes(8 * 75))
            except (TimeoutError, OSError):
                pass
        encode(daemon.connect())
        client.close()

    def test_input_ahead(self):
        """The server stops reading a client that has no credit: nothing is lost, others go on."""
        daemon = self.daemon("--input-ahead", "1000")
        client = WebSocket(daemon.http_port)
        client.open(1, direction="decode", credit=0)
        client.socket.settimeout(1)
        sent = 0
        with self.assertRaises(TimeoutError):
            while True:
                client.send(6, 1, bytes(75 * 8))
                sent += 75
                self.assertLess(sent, 1 << 20)
        encode(WebSocket(daemon.http_port))
        client.close()

    def test_drain(self):
        daemon = self.daemon()
        client = WebSocket(daemon.http_port)
        stream = client.open(1, direction="encode")
        stream.pcm(PCM_BYTES[:2 * HOP * 5])
        daemon.terminate()
        self.assertTrue(json.loads(client.expect(2, 0))["draining"])
        self.assertEqual(ask(daemon.http_port, "GET", "/v1/stream", **UPGRADE).status, 503)
        stream.pcm(PCM_BYTES[2 * HOP * 5:2 * HOP * 10])
        stream.end()
        self.assertEqual(len(stream.finish().codes), 80)
        with self.assertRaises(ServerError):
            client.next(0)
        self.assertEqual(client.close_code(), 1001)
        self.assertEqual(daemon.process.wait(10), 0)


if __name__ == "__main__":
    build = os.path.abspath(sys.argv.pop(1))
    unittest.main(warnings="ignore")  # a test's clients may go with their daemon
