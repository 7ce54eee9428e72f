"""HTTP and WebSocket clients for the tests of tesserad: bytes as they are said, so that bad ones can be
said too; WebSocket's side that is to be right is the websockets package's."""

import json
import socket
import ssl

from websockets.client import ClientConnection
from websockets.frames import OP_BINARY, OP_CLOSE, OP_PING, OP_PONG
from websockets.uri import parse_uri

from daemon import PING, PONG, Client, Closed, message


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def error(self):
        error = self.json()["error"]
        assert error["code"] == self.status and set(error) == {"code", "message", "type"}, error
        return error["message"]


class Http:
    """A connection."""

    def __init__(self, port, host="127.0.0.1", seconds=20, tls=None, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(seconds)
        self.socket.connect((host, port))
        if tls:
            context = ssl.create_default_context(cafile=tls)
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.name = f"{host}:{port}"
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, method, path, body=None, version="1.1", host=None, **headers):
        """Sends a request; a header's name has _ for -."""
        lines = [f"{method} {path} HTTP/{version}", f"Host: {host or self.name}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body is not None and "Content_Length" not in headers:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines + ["", ""]).encode() + (body or b""))

    def _more(self):
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed()
        self.buffer += data

    def _take(self, n):
        while len(self.buffer) < n:
            self._more()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def _line(self, end=b"\r\n"):
        while end not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(end, 1)
        return line

    def _chunks(self):
        body = b""
        while n := int(self._line(), 16):
            body += self._take(n)
            assert self._take(2) == b"\r\n"
        assert self._line() == b""
        return body

    def answer(self, head_only=False):
        """The next answer."""
        start, *lines = self._line(b"\r\n\r\n").decode().split("\r\n")
        version, status, _ = start.split(" ", 2)
        assert version == "HTTP/1.1", start
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        if head_only or status in ("100", "101", "204", "304"):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = self._chunks()
        elif "content-length" in headers:
            body = self._take(int(headers["content-length"]))
        else:
            body = self.rest()
        return Answer(int(status), headers, body)

    def rest(self):
        """All until the server closes."""
        try:
            while True:
                self._more()
        except Closed:
            data, self.buffer = self.buffer, b""
            return data

    def closed(self):
        """Waits for the end; nothing may come before it."""
        return self.rest() == b""

    def close(self):
        self.socket.close()


def ask(port, method, path, *args, tls=None, **words):
    """One request on a connection of its own."""
    http = Http(port, tls=tls)
    try:
        http.ask(method, path, *args, **words)
        return http.answer(head_only=method == "HEAD")
    finally:
        http.close()


class WebSocket(Client):
    """A client of the native protocol whose carrier is a WebSocket."""

    def __init__(self, port, hello=True, key=None, headers=(), seconds=20, receive_buffer=None):
        http = Http(port, seconds=seconds, receive_buffer=receive_buffer)
        self.socket = http.socket
        self.frames, self.waiting = [], []
        self.protocol = ClientConnection(parse_uri(f"ws://127.0.0.1:{port}/v1/stream"))
        request = self.protocol.connect()
        for name, value in headers:
            request.headers[name] = value
        self.protocol.send_request(request)
        self.flush()
        self.response = self._event()
        if self.response.status_code != 101:
            raise Closed(self.response.status_code, self.response.body)
        if hello:
            self.ready = self.hello(key)

    def flush(self):
        for data in self.protocol.data_to_send():
            if data:
                self.socket.sendall(data)

    def _event(self):
        """The next frame; websockets answers control frames itself."""
        while not self.frames:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if data:
                self.protocol.receive_data(data)
            else:
                self.protocol.receive_eof()
            self.frames += self.protocol.events_received()
            self.flush()
            if self.protocol.handshake_exc:
                raise Closed(self.protocol.handshake_exc)
            if not data and not self.frames:
                raise Closed()
        return self.frames.pop(0)

    def send_bytes(self, data):
        self.protocol.send_binary(data)
        self.flush()

    def receive(self):
        while True:
            frame = self._event()
            if frame.opcode == OP_CLOSE:
                raise Closed()
            if frame.opcode in (OP_PING, OP_PONG):
                continue
            assert frame.opcode == OP_BINARY and frame.fin
            kind, stream, payload = frame.data[0], frame.data[2] | frame.data[3] << 8, frame.data[8:]
            assert len(payload) == int.from_bytes(frame.data[4:8], "little")
            if kind != PING:
                return kind, stream, payload
            self.send_bytes(message(PONG, stream, payload))

    def close_code(self):
        """Reads to the end; the code of the server's CLOSE, None without one."""
        try:
            while True:
                self.receive()
        except Closed:
            return self.protocol.close_rcvd and self.protocol.close_rcvd.code
