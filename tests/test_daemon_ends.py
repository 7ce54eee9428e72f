#!/usr/bin/env python3
"""How tesserad ends and begins again: drain, restart under load, the service manager's words.

Usage: test_daemon_ends.py BUILD [...]
"""

import http.client
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from daemon import READY, Client, Daemon, ServerError, handed_over
from test_daemon_trust import HOP, PCM_BYTES, encode, read_to_end, until

build = None


class Drain(unittest.TestCase):
    def test_drain(self):
        """SIGTERM among 50 live streams of ten clients: every frame of theirs is answered."""
        with Daemon(build) as daemon:
            clients = [daemon.connect() for _ in range(10)]
            encoding = [client.open(n, direction="encode") for client in clients for n in (1, 2, 3)]
            decoding = [client.open(n, direction="decode") for client in clients for n in (4, 5)]
            idle = daemon.connect()

            def send_hops(first, last):
                for stream in encoding:
                    stream.pcm(PCM_BYTES[2 * HOP * first:2 * HOP * last])
                for stream in decoding:
                    stream.put_codes(bytes(8 * (last - first)))

            send_hops(0, 20)
            daemon.terminate()
            for client in clients:
                self.assertIn(b'"draining":true', client.expect(READY, 0))
            with self.assertRaises(ServerError) as raised:
                clients[0].open(99, direction="encode")
            self.assertEqual(raised.exception.code, 503)
            with self.assertRaises(ConnectionRefusedError):
                daemon.connect()
            self.assertEqual(read_to_end(idle)[1], 503)
            send_hops(20, 40)
            for stream in encoding + decoding:
                stream.end()
            for stream in encoding:
                self.assertEqual(len(stream.finish().codes), 8 * 40)
            for stream in decoding:
                self.assertEqual(len(stream.finish().pcm_bytes), 2 * HOP * 40)
            for client in clients:
                self.assertEqual(read_to_end(client)[1], 503)
                client.close()
            self.assertEqual(daemon.process.wait(5), 0)

    def test_drain_ends_streams(self):
        """Streams that go on are ended as if by END: what was sent is answered."""
        with Daemon(build, "--drain-timeout", "1000") as daemon:
            client = daemon.connect()
            stream = client.open(1, direction="encode")
            stream.pcm(PCM_BYTES[:2 * HOP * 7 + 2])
            start = time.monotonic()
            daemon.terminate()
            client.expect(READY, 0)
            self.assertEqual(len(stream.finish().codes), 8 * 8)
            client.close()
            self.assertEqual(daemon.process.wait(5), 0)
            self.assertLess(time.monotonic() - start, 3)  # of 30 that would be the default

    def test_drain_leaves(self):
        """Who takes no output cannot hold the daemon, however short the time it has."""
        for ms in "0", "5", "50":
            with self.subTest(ms=ms), Daemon(build, "--drain-timeout", ms) as daemon:
                client = daemon.connect()
                client.open(1, direction="decode", credit=0).put_codes(bytes(8))
                daemon.terminate()
                self.assertEqual(daemon.process.wait(10), 0)
                client.close()

    def test_second_signal(self):
        """At once, with 50 streams under way."""
        with Daemon(build) as daemon:
            client = daemon.connect()
            for number in range(1, 51):
                client.open(number, direction="both").pcm(PCM_BYTES)
            daemon.terminate()
            daemon.wait_for("drain")
            start = time.monotonic()
            daemon.terminate()
            self.assertEqual(daemon.process.wait(10), 0)
            self.assertLess(time.monotonic() - start, 3)  # of the 30 of a drain
            client.close()

    def test_signals_to_the_end(self):
        """No signal comes so late that the daemon dies of it, whichever of its threads gets it."""
        for _ in range(3):
            with Daemon(build) as daemon:
                asked = http.client.HTTPConnection("127.0.0.1", daemon.http_port, timeout=60)
                # Starts the threads that read and parse.
                asked.request("POST", "/v1/encode?raw=s16le&rate=24000&channels=1", PCM_BYTES)
                self.assertEqual(asked.getresponse().status, 200)
                asked.close()
                while daemon.process.poll() is None:
                    daemon.terminate()
                    time.sleep(0.0005)
                self.assertEqual(daemon.process.returncode, 0)


class Restart(unittest.TestCase):
    def live(self, address):
        """Clients' lives one after another until `ending`; a draining server sends them to the next."""
        try:
            while not self.ending.is_set():
                client = Client(address, hello=False)
                try:
                    client.hello()
                    self.assertEqual(encode(client), self.codes)
                    self.n_lives[address] += 1
                except ServerError as error:
                    self.assertEqual(error.code, 503, error.text)
                    self.assertIn("draining", error.text)
                    self.n_sent_away += 1
                client.close()
        except Exception as error:
            self.failures.append(repr(error))

    def ask(self, address):
        """The same by HTTP."""
        try:
            while not self.ending.is_set():
                connection = http.client.HTTPConnection(*address, timeout=20)
                connection.request("GET", "/health")
                self.assertIn(connection.getresponse().status, (200, 503))
                connection.close()
                self.n_lives[address] += 1
        except Exception as error:
            self.failures.append(repr(error))

    def test_restart_under_load(self):
        """The service manager holds the sockets: while the daemon restarts 20 times, nobody is refused
        or cut off, and all codes are right."""
        with Daemon(build) as daemon:
            self.codes = encode(daemon.connect())
        folder = self.enterContext(tempfile.TemporaryDirectory())
        tcp, web, unix = socket.socket(), socket.socket(), socket.socket(socket.AF_UNIX)
        tcp.bind(("127.0.0.1", 0))
        web.bind(("127.0.0.1", 0))
        unix.bind(os.path.join(folder, "t.sock"))
        for listener in (tcp, web, unix):
            listener.listen(100)
        self.ending, self.failures, self.n_sent_away = threading.Event(), [], 0
        self.n_lives = {listener.getsockname(): 0 for listener in (tcp, web, unix)}
        clients = [threading.Thread(target=self.ask if listener is web else self.live,
                                    args=[listener.getsockname()])
                   for listener in (tcp, web, unix) for _ in range(3)]
        for client in clients:
            client.start()
        try:
            for i in range(20):
                with Daemon(build, **handed_over(native=[tcp, unix], http=[web])) as daemon:
                    want = {address: n + 2 for address, n in self.n_lives.items()}
                    until(lambda: self.failures or all(self.n_lives[a] >= n for a, n in want.items()), 30)
                    if i == 19:
                        self.ending.set()
                        for client in clients:
                            client.join()
                    daemon.terminate()
                    self.assertEqual(daemon.process.wait(30), 0)
        finally:
            self.ending.set()
        self.assertEqual(self.failures, [])
        print(f"lives {sum(self.n_lives.values())}, sent to the next daemon {self.n_sent_away}")


class Sockets(unittest.TestCase):
    def test_unix_mode(self):
        with Daemon(build) as daemon:
            self.assertEqual(stat.S_IMODE(os.stat(daemon.unix).st_mode), 0o660)

    def test_stale_socket(self):
        """A socket file left by a daemon that was killed is no obstacle; a living one's is kept."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "t.sock")
            left = socket.socket(socket.AF_UNIX)
            left.bind(path)
            left.close()
            with Daemon(build, "--unix", path) as daemon:
                encode(Client(path))
                done = subprocess.run([daemon.program, "--port", "0", "--unix", path],
                                      stderr=subprocess.PIPE, text=True)
                self.assertEqual(done.returncode, 1)
                self.assertIn(path, done.stderr)
                encode(Client(path))
            self.assertFalse(os.path.exists(path))

    def test_service_manager(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "notify")
            manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            manager.bind(path)
            manager.settimeout(10)
            environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"}
            with Daemon(build, environment=environment) as daemon:
                self.assertEqual(manager.recv(100), b"READY=1")
                self.assertEqual(manager.recv(100), b"WATCHDOG=1")
                daemon.terminate()
                said = set()
                while b"STOPPING=1" not in said:
                    said.add(manager.recv(100))
            manager.close()


if __name__ == "__main__":
    build = os.path.abspath(sys.argv.pop(1))
    unittest.main(warnings="ignore")  # a test's clients may go with their daemon
