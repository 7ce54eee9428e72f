"""A tesserad to test, and a client of its native protocol: standard library alone.

    with Daemon(build, "--max-streams", "4") as daemon:
        client = daemon.connect()
        stream = client.open(1, direction="encode")
        stream.pcm(samples)
        stream.end()
        codes, stats = stream.finish()
"""

import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

(HELLO, READY, OPEN, OPENED, PCM, CODES, LOST, FLUSH, FLUSHED, END, STATS, CREDIT, PING, PONG,
 ERROR) = range(1, 16)
NAMES = dict(enumerate("- HELLO READY OPEN OPENED PCM CODES LOST FLUSH FLUSHED END STATS CREDIT PING "
                       "PONG ERROR".split()))
MAX_MESSAGE = 65536
# Admission is by the cost of a frame, and a sanitizer's build pays much for one.
SLOW_BUILDS = {"TESSERA_MAX_LOAD": "1000000"}


def message(kind, stream=0, payload=b""):
    if isinstance(payload, dict):
        payload = json.dumps(payload).encode()
    return struct.pack("<BBHI", kind, 0, stream, len(payload)) + payload


class ServerError(Exception):
    def __init__(self, stream, code, text):
        super().__init__(f"stream {stream}: {code} {text}")
        self.stream, self.code, self.text = stream, code, text


class Closed(Exception):
    """The server closed the connection."""


class Client:
    """A connection. PINGs are answered while it reads."""

    def __init__(self, address, timeout=20, hello=True, key=None, receive_buffer=None):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.waiting = []  # messages read while another was looked for
        if hello:
            self.ready = self.hello(key)

    def hello(self, key=None):
        words = {"protocol": 1, "client": "test"}
        if key is not None:
            words["key"] = key
        self.send(HELLO, 0, words)
        return json.loads(self.expect(READY, 0))

    def send(self, kind, stream=0, payload=b""):
        self.send_bytes(message(kind, stream, payload))

    def send_bytes(self, data):
        self.socket.sendall(data)

    def _read(self, n):
        while len(self.buffer) < n:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                raise Closed()
            self.buffer += data
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def receive(self):
        """The next message from the wire: (type, stream, payload)."""
        while True:
            kind, flags, stream, n = struct.unpack("<BBHI", self._read(8))
            assert flags == 0 and n <= MAX_MESSAGE - 8, (kind, flags, stream, n)
            payload = self._read(n)
            if kind != PING:
                return kind, stream, payload
            self.send(PONG, stream, payload)

    def next(self, stream):
        """The next message of a stream; an ERROR of it or of the connection is raised."""
        for i, (kind, number, payload) in enumerate(self.waiting):
            if number == stream or kind == ERROR and number == 0:
                del self.waiting[i]
                break
        else:
            while True:
                kind, number, payload = self.receive()
                if number == stream or kind == ERROR and number == 0:
                    break
                self.waiting.append((kind, number, payload))
        if kind == ERROR:
            raise ServerError(number, struct.unpack("<H", payload[:2])[0], payload[2:].decode())
        return kind, payload

    def expect(self, kind, stream):
        got, payload = self.next(stream)
        assert got == kind, f"{NAMES.get(got, got)} where {NAMES[kind]} was due"
        return payload

    def open(self, number=1, **words):
        self.send(OPEN, number, words)
        return Stream(self, number, json.loads(self.expect(OPENED, number)))

    def close(self):
        self.socket.close()


class Stream:
    """An open stream: what has come of it is in codes and pcm, bytes."""

    def __init__(self, client, number, opened):
        self.client, self.number, self.opened = client, number, opened
        self.credit = opened["credit"]
        self.codes, self.pcm_bytes, self.flushed = b"", b"", []
        self.output_messages = 0
        self.stats = None

    def send(self, kind, payload=b""):
        self.client.send(kind, self.number, payload)

    def put(self, kind, data, piece=4096):
        """Sends within the credit, taking what comes meanwhile."""
        for at in range(0, len(data), piece):
            some = data[at:at + piece]
            while self.credit < len(some):
                self.take()
            self.credit -= len(some)
            self.send(kind, some)

    def pcm(self, data, piece=4096):
        self.put(PCM, data, piece)

    def put_codes(self, data, piece=400):
        self.put(CODES, data, piece)

    def lost(self, n):
        self.send(LOST, struct.pack("<I", n))

    def flush(self, number):
        self.send(FLUSH, struct.pack("<I", number))
        while not self.flushed or self.flushed[-1][0] != number:
            self.take()
        return self.flushed[-1]

    def end(self):
        self.send(END)

    def take(self):
        """Takes one message of this stream."""
        kind, payload = self.client.next(self.number)
        if kind == CODES:
            self.codes += payload
            self.output_messages += 1
        elif kind == PCM:
            self.pcm_bytes += payload
            self.output_messages += 1
        elif kind == CREDIT:
            self.credit += struct.unpack("<I", payload)[0]
        elif kind == FLUSHED:
            self.flushed.append(struct.unpack("<IQQ", payload))
        elif kind == STATS:
            self.stats = json.loads(payload)
        else:
            raise AssertionError(NAMES.get(kind, kind))
        return kind

    def finish(self):
        """Takes everything until STATS."""
        while self.stats is None:
            self.take()
        return self


# Listening sockets become descriptors from 3 on, and the daemon takes this process's place.
HAND_OVER = """
import fcntl, os, sys
n, names, words = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
kept = [fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, 100) for fd in words[:n]]
for i, fd in enumerate(kept):
    os.dup2(fd, 3 + i)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(n), LISTEN_FDNAMES=names)
os.execv(words[n], words[n:])
"""


def handed_over(**sockets):
    """Options of Daemon that hand it listening sockets as a service manager does: name=[socket...]."""
    pairs = [(name, s.fileno()) for name, some in sockets.items() for s in some]
    fds = [fd for _, fd in pairs]
    return {"pass_fds": fds, "wrapper": [sys.executable, "-c", HAND_OVER, str(len(fds)),
                                         ":".join(name for name, _ in pairs), *map(str, fds)]}


class Daemon:
    """A running tesserad on a free port and a Unix socket in a folder of its own."""

    def __init__(self, build, *options, environment=None, wrapper=(), port=0, unix=True,
                 pass_fds=(), preexec=None):
        self.program = str(pathlib.Path(build) / "bin/tesserad")
        self.folder = tempfile.TemporaryDirectory(prefix="tesserad-")
        self.unix = os.path.join(self.folder.name, "t.sock") if unix else ""
        self.log_path = os.path.join(self.folder.name, "log")
        words = [*wrapper, self.program, "--port", str(port), "--http-port", "0",
                 "--unix", self.unix, *options]
        self.log_file = open(self.log_path, "wb")
        self.process = subprocess.Popen(words, stderr=self.log_file, stdin=subprocess.DEVNULL,
                                        env={**os.environ, **SLOW_BUILDS, **(environment or {})}, pass_fds=pass_fds,
                                        preexec_fn=preexec)
        self.wait_for(r"tesserad [\d.]+: \d+ models", 30)
        found = re.search(r"native protocol on 127\.0\.0\.1:(\d+)", self.log())
        self.port = int(found.group(1)) if found else None
        found = re.search(r"HTTP on \S+:(\d+)", self.log())
        self.http_port = int(found.group(1)) if found else None

    def log(self):
        return pathlib.Path(self.log_path).read_text(errors="replace")

    def wait_for(self, pattern, seconds=10):
        """Waits until a line of the log matches."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.log()):
            assert self.process.poll() is None, f"tesserad ended: {self.log()}"
            assert time.monotonic() < end, f"no '{pattern}' in {self.log()}"
            time.sleep(0.01)

    @property
    def tcp(self):
        return "127.0.0.1", self.port

    def connect(self, unix=False, **words):
        return Client(self.unix if unix else self.tcp, **words)

    def metric(self, name):
        """The value of a line of /metrics: "name" or 'name{label="value"}'."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/metrics") as answer:
            return float(re.search(rf"^tessera_{re.escape(name)} (\S+)$", answer.read().decode(), re.M).group(1))

    def threads_cpu(self):
        """Seconds of CPU so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss(self):
        """Resident bytes."""
        pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    def n_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self, seconds=40):
        """SIGTERM twice, and the exit code."""
        for _ in range(2):
            if self.process.poll() is None:
                self.terminate()
                time.sleep(0.05)
        return self.process.wait(seconds)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            code = self.stop()
            if kind is None:
                assert code == 0, f"exit code {code}: {self.log()}"
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            if kind is not None:
                print(self.log()[-4000:])
            self.log_file.close()
            self.folder.cleanup()
