#!/usr/bin/env python3
"""tesserad under bad input, slow and dying clients, small limits, and signals.

TESSERA_NIGHTLY=1 in the environment runs the long counts. Usage: test_daemon_trust.py BUILD [...]
"""

import concurrent.futures
import os
import pathlib
import random
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from daemon import (CODES, CREDIT, END, ERROR, FLUSH, HELLO, LOST, OPEN, PCM, PING, PONG, READY, STATS, Client,
                    Closed, Daemon, ServerError, message)

HOP = 320
NIGHTLY = os.environ.get("TESSERA_NIGHTLY") == "1"
PCM_BYTES = random.Random(3).randbytes(2 * 100 * HOP)  # noise: any sound does here
build = None


def encode(client, number=9, frames=10):
    """A stream's whole life; the codes."""
    stream = client.open(number, direction="encode")
    stream.pcm(PCM_BYTES[:2 * HOP * frames])
    stream.end()
    return stream.finish().codes


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def sanitized():
    return b"__asan_init" in pathlib.Path(build, "bin/tesserad").read_bytes()


def read_to_end(client, seconds=10):
    """Everything until the server closes: the types of the messages, the code of a last ERROR."""
    kinds, code = [], None
    client.socket.settimeout(seconds)
    try:
        while True:
            kind, stream, payload = client.receive()
            kinds.append(kind)
            code = struct.unpack("<H", payload[:2])[0] if kind == ERROR and stream == 0 else None
    except (Closed, BrokenPipeError, ConnectionResetError):
        return kinds, code


class WithDaemon(unittest.TestCase):
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon(build, *cls.options))
        client = cls.daemon.connect()
        cls.codes = encode(client)
        client.close()

    def healthy(self):
        client = self.daemon.connect()
        self.assertEqual(encode(client), self.codes)
        client.close()


SCRIPT = (message(HELLO, 0, {"protocol": 1, "client": "x"}) +
          message(OPEN, 1, {"direction": "both", "credit": 9999, "rate": 24000}) +
          message(PCM, 1, PCM_BYTES[:40]) + message(5, 1, PCM_BYTES[:2 * HOP]) +
          message(6, 1, bytes(16)) + message(LOST, 1, bytes([2, 0, 0, 0])) +
          message(FLUSH, 1, bytes([7, 0, 0, 0])) + message(12, 1, bytes([0, 1, 0, 0])) +
          message(PING, 0, b"ping") + message(PONG, 0, b"pong") + message(0x90, 5, b"later") +
          message(END, 1))


class BadInput(WithDaemon):
    """A witness streams on through all of it."""

    def setUp(self):
        self.witness = self.daemon.connect()
        self.stream = self.witness.open(1, direction="encode")

    def tearDown(self):
        self.stream.pcm(PCM_BYTES[:2 * HOP * 10])
        self.stream.end()
        self.assertEqual(self.stream.finish().codes, self.codes)
        self.witness.close()
        self.healthy()

    def played(self, data):
        """The data, then the end of the connection; waits until the server has closed it too."""
        client = self.daemon.connect(hello=False)
        try:
            client.send_bytes(data)
            client.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has closed already
        result = read_to_end(client)
        client.close()
        return result

    def test_every_prefix(self):
        for n in range(0, len(SCRIPT), 1 if NIGHTLY else 3):
            self.played(SCRIPT[:n])

    def test_one_byte_at_a_time(self):
        client = self.daemon.connect(hello=False)
        for i in range(len(SCRIPT)):
            client.send_bytes(SCRIPT[i:i + 1])
        kinds = []
        while STATS not in kinds:
            kinds.append(client.receive()[0])
        client.close()

    def test_every_bit_flipped(self):
        """Cut short of the samples' bulk: their bits make no difference to the protocol."""
        n = len(SCRIPT)
        for bit in range(0, 8 * n, 1 if NIGHTLY else 7):
            flipped = bytearray(SCRIPT)
            flipped[bit // 8] ^= 1 << bit % 8
            self.played(bytes(flipped))

    def test_oversize(self):
        before = self.daemon.rss()
        hello = message(HELLO, 0, {"protocol": 1})
        for kind in (HELLO, OPEN, PCM, FLUSH, PING, ERROR, 0x80):
            for n in ((1 << 31) - 1, (1 << 32) - 1, 65536 - 7):
                client = self.daemon.connect(hello=False)
                client.send_bytes(hello if kind != HELLO else b"")
                client.send_bytes(struct.pack("<BBHI", kind, 0, 1 if kind != HELLO else 0, n))
                kinds, code = read_to_end(client)
                self.assertEqual((kinds[-1], code), (ERROR, 413))
                client.close()
        self.assertLess(self.daemon.rss() - before, 4 << 20)

    def test_deep_json(self):
        deep = b'{"protocol": 1, "x": ' + b"[" * 10000 + b"]" * 10000 + b"}"
        client = self.daemon.connect(hello=False)
        client.send_bytes(message(HELLO, 0, deep))
        self.assertEqual(read_to_end(client)[1], 400)
        client.close()

    def test_name_in_the_log(self):
        """A client's name makes no line of the log, nor colours one."""
        client = self.daemon.connect(hello=False)
        client.send(HELLO, 0, {"protocol": 1, "client": "x\n2026 error forged \x1b[31m\u00e9"})
        client.expect(READY, 0)
        self.assertIn(": x?2026 error forged ?[31m??\n", self.daemon.log())
        client.close()

    def test_garbage(self):
        source = random.Random(12)
        for i in range(10 if not NIGHTLY else 1000):
            client = self.daemon.connect(hello=i % 2 == 0)
            try:
                client.send_bytes(source.randbytes(1 << 20))
            except OSError:
                pass
            self.assertIn(read_to_end(client)[1], (400, 413, None))
            client.close()
        for text in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3, b"\r\n" * 100, b"{}" * 100):
            self.played(text)


class Clients(WithDaemon):
    options = "--slow-timeout", "1000", "--ping-interval", "500", "--pong-timeout", "1500"

    def test_slow_readers(self):
        """Clients that do not read, or a byte now and then: those that decode are dropped by the age of
        what waits for them, those that encode for a PING. One that reads is not disturbed."""
        n_clients = 8 if sanitized() else 40  # each decodes seconds of sound before it is noticed
        reader = self.daemon.connect()
        live = reader.open(1, direction="encode")
        before, n_before = self.daemon.rss(), len(self.drops("slow"))
        slow = [self.daemon.connect(receive_buffer=4096) for _ in range(n_clients)]
        for i, client in enumerate(slow):
            client.open(1, direction="decode" if i % 2 else "encode")
            client.socket.settimeout(0.01)
        end, n_hops, stuck = time.monotonic() + 60, 0, set()
        while len(self.drops("slow")) - n_before < len(slow) or n_hops < 10:
            self.assertLess(time.monotonic(), end)
            for i, client in enumerate(slow):
                try:
                    if i >= n_clients // 2:
                        client.socket.recv(1)
                except OSError:
                    pass
                try:
                    if client not in stuck:
                        client.send(CODES if i % 2 else PCM, 1, bytes(8 * 75))
                except OSError:
                    stuck.add(client)  # half a message may be out: no other can follow
            live.pcm(PCM_BYTES[2 * HOP * (n_hops % 100):2 * HOP * (n_hops % 100 + 1)])
            n_hops += 1
            while len(live.codes) < 8 * n_hops:
                live.take()
        if not sanitized():  # freed memory stays in quarantine
            self.assertLess(self.daemon.rss() - before, len(slow) << 20)
        self.assertEqual(live.codes[:len(self.codes)], self.codes)
        for client in slow:
            client.close()
        reader.close()
        self.healthy()

    def drops(self, reason):
        return re.findall(rf"drop: client \d+ .*: {reason}: .*", self.daemon.log())

    def test_unanswered_ping(self):
        """An encoder's client: what it does not read is too little to fill any buffer."""
        client = self.daemon.connect()
        client.open(1, direction="encode")
        before = len(self.drops("slow"))
        until(lambda: len(self.drops("slow")) > before, 5)
        kinds, code = read_to_end(client)
        self.assertEqual((kinds[-1], code), (ERROR, 408))
        client.close()

    def test_answered_ping(self):
        self.answers_pings(self.daemon)

    def test_rare_ping(self):
        """Who has not been asked owes no answer, however short the time for one."""
        with Daemon(build, "--ping-interval", "1600", "--pong-timeout", "1500") as daemon:
            self.answers_pings(daemon)

    def answers_pings(self, daemon):
        client = daemon.connect()
        end = time.monotonic() + 3
        client.socket.settimeout(0.2)
        while time.monotonic() < end:
            try:
                client.receive()  # answers PINGs
            except TimeoutError:
                pass
        client.socket.settimeout(10)
        self.assertEqual(encode(client), self.codes)
        client.close()

    def test_killed(self):
        """kill -9 in the middle of a stream: nothing is left behind."""
        n_files = self.daemon.n_files()
        for _ in range(1000 if NIGHTLY else 50):
            ready, done = os.pipe()
            child = os.fork()
            if child == 0:
                client = self.daemon.connect()
                stream = client.open(1, direction="both")
                os.write(done, b"x")
                while True:
                    stream.send(PCM, PCM_BYTES[:2 * 3 * HOP])
                    stream.send(CODES, bytes(24))
                    time.sleep(0.005)
            os.read(ready, 1)
            time.sleep(0.01)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(ready)
            os.close(done)
        until(lambda: self.daemon.n_files() <= n_files)
        cpu = self.daemon.threads_cpu()
        time.sleep(0.5)
        self.assertLess(self.daemon.threads_cpu() - cpu, 0.1)  # nobody computes any more
        self.healthy()

    def test_churn(self):
        """Whole lives of clients, 64 at once: files and memory come back."""
        def lives(n):
            list(clients.map(lambda _: self.healthy(), range(n)))
            until(lambda: self.daemon.n_files() <= files)
        all_here = threading.Barrier(64)

        def together(_):
            client = self.daemon.connect()
            client.open(1, direction="encode").pcm(PCM_BYTES[:20 * HOP])
            all_here.wait(60)
            client.close()
        files = self.daemon.n_files()
        with concurrent.futures.ThreadPoolExecutor(64) as clients:
            list(clients.map(together, range(64)))  # as many at once as there may be by chance later
            lives(300)
            before = self.daemon.rss()
            lives(10000 if NIGHTLY else 300)
        if sanitized():
            before *= 2  # freed memory stays in quarantine
        self.assertLess(self.daemon.rss(), before * 1.05)  # the allocator's own slack


class Limits(unittest.TestCase):
    """Each limit with a value that a test can reach."""

    def daemon(self, *options, **words):
        return self.enterContext(Daemon(build, *options, **words))

    def refused(self, client, code):
        with self.assertRaises(ServerError) as raised:
            client.next(0)
        self.assertEqual(raised.exception.code, code)
        client.close()

    def dropped(self, daemon, reason, n=1):
        self.assertEqual(daemon.metric(f'clients_dropped_total{{reason="{reason}"}}'), n)

    def test_max_clients(self):
        daemon = self.daemon("--max-clients", "3")
        self.assertIn("3 clients at most", daemon.log())
        clients = [daemon.connect() for _ in range(3)]
        self.refused(daemon.connect(hello=False), 503)
        self.refused(daemon.connect(unix=True, hello=False), 503)
        for client in clients[1:]:
            client.close()
        until(lambda: self.try_connect(daemon))
        self.assertEqual(daemon.metric("connections_max"), 3)
        self.assertGreaterEqual(daemon.metric('clients_dropped_total{reason="limit"}'), 2)

    def try_connect(self, daemon):
        try:
            daemon.connect().close()
            return True
        except (ServerError, Closed, OSError):
            return False

    def test_max_streams(self):
        daemon = self.daemon("--max-streams", "3", "--max-client-streams", "2")
        client, other = daemon.connect(), daemon.connect()
        first = client.open(1, direction="encode")
        client.open(2, direction="decode")
        for connection, code in ((client, 429), (other, 503)):
            if connection is other:
                other.open(1, direction="encode")
            with self.assertRaises(ServerError) as raised:
                connection.open(3, direction="encode")
            self.assertEqual((raised.exception.stream, raised.exception.code), (3, code))
        first.end()
        first.finish()
        encode(other)
        for reason in ("client", "streams"):
            self.assertEqual(daemon.metric(f'streams_refused_total{{reason="{reason}"}}'), 1)
        self.assertEqual(daemon.metric("streams_max"), 3)

    def test_max_load(self):
        """Admission: a share of 1 % is less than any two live streams need, bulk ones need none."""
        daemon = self.daemon("--max-load", "1")
        client = daemon.connect()
        with self.assertRaises(ServerError) as raised:
            for number in range(1, 10):
                client.open(number, direction="both")
        self.assertEqual(raised.exception.code, 503)
        client.open(20, direction="both", bulk=True)
        self.assertEqual(daemon.metric('streams_refused_total{reason="load"}'), 1)
        self.assertLessEqual(daemon.metric("load_ratio"), 0.01)

    def test_max_message(self):
        daemon = self.daemon("--max-message", "1024")
        client = daemon.connect()
        stream = client.open(1, direction="decode")
        stream.put_codes(bytes(8 * 20), 80)
        stream.end()
        self.assertEqual(len(stream.finish().pcm_bytes), 2 * 20 * HOP)
        client.send(PCM, 1, bytes(1017))
        self.refused(client, 413)
        self.dropped(daemon, "limit")

    def test_input_ahead(self):
        """The server stops reading where the client may not go on: nothing is lost."""
        daemon = self.daemon("--input-ahead", "1000")
        client = daemon.connect()
        stream = client.open(1, direction="decode", credit=0)
        self.assertEqual(stream.opened["credit"], 75 * 8)
        client.socket.settimeout(1)
        sent = 0
        with self.assertRaises(TimeoutError):
            while True:
                client.send(CODES, 1, bytes(75 * 8))
                sent += 75
                self.assertLess(sent, 1 << 20)
        self.assertEqual(daemon.metric("connections_paused"), 1)
        client.close()

    def test_flush_where_credit_ends(self):
        """FLUSH needs no credit: the CREDIT after it is read, though all the input that may wait does."""
        daemon = self.daemon("--input-ahead", "1000")
        client = daemon.connect()
        stream = client.open(1, direction="decode", credit=2)
        n_frames = 0
        client.socket.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            while True:
                while stream.credit >= 8:
                    stream.put_codes(bytes(8))
                    n_frames += 1
                stream.take()
        client.socket.settimeout(20)
        client.send(FLUSH, 1, bytes(4))
        client.send(CREDIT, 1, struct.pack("<I", 1 << 30))
        while not stream.flushed:
            stream.take()
        self.assertEqual(stream.flushed, [(0, HOP * n_frames - 640, n_frames)])  # the decoder's delay

    def test_handshake_timeout(self):
        daemon = self.daemon("--handshake-timeout", "300")
        quiet = [daemon.connect(hello=False) for _ in range(50)]
        for client in quiet[:25]:
            client.send_bytes(message(HELLO, 0, {"protocol": 1})[:5])
        start = time.monotonic()
        encode(daemon.connect())
        self.assertLess(time.monotonic() - start, 0.5)
        for client in quiet:
            self.refused(client, 408)
        self.assertLess(time.monotonic() - start, 2)
        self.dropped(daemon, "idle", len(quiet))

    def test_idle_timeout(self):
        daemon = self.daemon("--idle-timeout", "400")
        busy = daemon.connect()
        busy.open(1, direction="encode")
        start = time.monotonic()
        self.refused(daemon.connect(), 408)
        self.assertGreater(time.monotonic() - start, 0.3)
        self.assertLess(time.monotonic() - start, 2)
        encode(busy)
        self.dropped(daemon, "idle")

    def test_max_backlog(self):
        daemon = self.daemon("--max-backlog", "262144")
        client = daemon.connect(receive_buffer=4096)
        with self.assertRaises(OSError):
            while True:
                client.send(PING, 0, bytes(125))
        daemon.wait_for("drop: .* slow: .*--max-backlog")
        self.dropped(daemon, "slow")

    def test_max_backlogs(self):
        daemon = self.daemon("--max-backlogs", "1048576")
        clients = [daemon.connect(receive_buffer=4096) for _ in range(4)]
        for client in clients:
            client.socket.settimeout(0.05)
        end = time.monotonic() + 20
        while "--max-backlogs" not in daemon.log():
            self.assertLess(time.monotonic(), end)
            for client in clients:
                try:
                    client.send(PING, 0, bytes(125))
                except OSError:
                    pass
        encode(daemon.connect())

    def beyond_loopback(self, *options):
        """A daemon at another address of this machine's, and that address."""
        address = subprocess.run(["hostname", "-I"], stdout=subprocess.PIPE, text=True).stdout.split()
        address = next((a for a in address if ":" not in a), None)
        if not address:
            self.skipTest("this machine has no other address than loopback")
        keys = self.enterContext(tempfile.NamedTemporaryFile("w"))
        keys.write("secret\n")
        keys.flush()
        daemon = self.daemon("--host", address, "--insecure", "--api-key-file", keys.name, *options)
        return daemon, (address, int(re.search(rf"{address}:(\d+)", daemon.log()).group(1)))

    def test_per_address(self):
        daemon, address = self.beyond_loopback("--max-per-address", "2")
        clients = [Client(address, key="secret") for _ in range(2)]
        self.refused(Client(address, hello=False), 429)
        clients += [Client(daemon.unix, key="secret") for _ in range(5)]
        encode(clients[-1])

    def test_log_addresses(self):
        for options in ((), ("--log-addresses",)):
            daemon, address = self.beyond_loopback(*options)
            client = Client(address, key="secret")
            client.send(PCM, 0, b"xx")
            self.refused(client, 400)
            dropped = re.search(r"drop: client \d+ (.*): protocol", daemon.log()).group(1)
            self.assertEqual(dropped, address[0] if options else "")

    def test_few_files(self):
        """Descriptors run out: no spinning, and all is well once clients leave."""
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        daemon = self.daemon(preexec=few)
        self.assertIn("32 clients at most", daemon.log())
        clients = [Client(daemon.tcp, hello=False) for _ in range(200)]
        self.idle(daemon)
        for client in clients:
            client.close()
        until(lambda: self.try_connect(daemon))
        # Below what is open already: even accepting fails.
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (daemon.n_files(), 64))
        clients = [Client(daemon.tcp, hello=False) for _ in range(50)]
        self.idle(daemon)
        for client in clients:
            client.close()
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (64, 64))
        until(lambda: self.try_connect(daemon))

    def idle(self, daemon):
        time.sleep(0.3)
        before = daemon.threads_cpu()
        time.sleep(1)
        self.assertLess(daemon.threads_cpu() - before, 0.05)


if __name__ == "__main__":
    build = os.path.abspath(sys.argv.pop(1))
    unittest.main(warnings="ignore")  # a test's clients may go with their daemon
