#!/usr/bin/env python3
"""The balancers' configurations that are shipped, before two tesserads: streams through TLS, a server
that drains, and one that comes back.

Needs what `.ci/packages nightly` installs. Usage: test_balancers.py BUILD [...]
"""

import asyncio
import http.client
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest

import websockets

from daemon import CODES, END, HELLO, OPEN, PCM, STATS, Client, Closed, Daemon, message
from test_daemon_trust import HOP, PCM_BYTES, encode, until

PACKAGING = pathlib.Path(__file__).parent.parent / "packaging"
build = None


def free_port():
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


class Balancer:
    """A balancer with the shipped configuration, its addresses, ports and paths replaced, each once at
    least."""

    def __init__(self, folder, name, command, replaced):
        self.path = os.path.join(folder, name)
        text = (PACKAGING / name).read_text()
        for old, new in replaced.items():
            assert re.search(old, text), f"{name} has no {old}"
            text = re.sub(old, new, text)
        pathlib.Path(self.path).write_text(text)
        self.log = open(self.path + ".log", "wb")
        self.process = subprocess.Popen([word.format(path=self.path) for word in command],
                                        stdout=self.log, stderr=self.log)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def nginx(folder, native, web, one, two):
    return Balancer(folder, "nginx.conf", ["nginx", "-c", "{path}", "-e", "stderr", "-g", "daemon off;"], {
        r"listen 7207 ssl": f"listen 127.0.0.1:{native} ssl",
        r"listen 443 ssl": f"listen 127.0.0.1:{web} ssl",
        r"10\.0\.0\.1:7207": f"127.0.0.1:{one.port}", r"10\.0\.0\.2:7207": f"127.0.0.1:{two.port}",
        r"10\.0\.0\.1:7208": f"127.0.0.1:{one.http_port}", r"10\.0\.0\.2:7208": f"127.0.0.1:{two.http_port}",
        r"/etc/tessera/": f"{folder}/", r"/run/nginx.pid": f"{folder}/pid",
        r"error_log \S+;": "error_log stderr;"})


def haproxy(folder, native, web, one, two):
    return Balancer(folder, "haproxy.cfg", ["haproxy", "-db", "-f", "{path}"], {
        r"bind :7207": f"bind 127.0.0.1:{native}", r"bind :443": f"bind 127.0.0.1:{web}",
        r"10\.0\.0\.1:7207 check port 7208": f"127.0.0.1:{one.port} check port {one.http_port}",
        r"10\.0\.0\.2:7207 check port 7208": f"127.0.0.1:{two.port} check port {two.http_port}",
        r"10\.0\.0\.1:7208": f"127.0.0.1:{one.http_port}", r"10\.0\.0\.2:7208": f"127.0.0.1:{two.http_port}",
        r"/etc/tessera/": f"{folder}/"})


class Balancers(unittest.TestCase):
    def connect(self):
        client = Client(("127.0.0.1", self.native), hello=False)
        client.socket = self.tls.wrap_socket(client.socket, server_hostname="127.0.0.1")
        client.ready = client.hello()
        return client

    def ready(self):
        try:
            self.connect().close()
            return True
        except (OSError, Closed):
            return False

    def ask(self, path, body=None):
        """Status and body of a request."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.web, context=self.tls, timeout=20)
        connection.request("POST" if body else "GET", path, body)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text

    async def encode_by_websocket(self):
        address = f"wss://127.0.0.1:{self.web}/v1/stream"
        async with websockets.connect(address, ssl=self.tls) as socket:
            codes, kind = b"", HELLO
            await socket.send(message(HELLO, 0, {"protocol": 1}))
            await socket.recv()
            await socket.send(message(OPEN, 1, {"direction": "encode"}))
            await socket.send(message(PCM, 1, PCM_BYTES[:2 * HOP * 10]))
            await socket.send(message(END, 1))
            while kind != STATS:
                data = await socket.recv()
                kind = data[0]
                codes += data[8:] if kind == CODES else b""
            return codes

    def serve_web(self, daemon):
        speech = (PACKAGING.parent / "tests/data/speech.flac").read_bytes()
        direct = http.client.HTTPConnection("127.0.0.1", daemon.http_port, timeout=20)
        direct.request("POST", "/v1/encode", speech)
        self.assertEqual(self.ask("/v1/encode", speech), (200, direct.getresponse().read()))
        direct.close()
        self.assertEqual(self.ask("/health")[0], 200)
        self.assertEqual(self.ask("/metrics")[0], 404)
        for _ in range(4):  # both servers
            self.assertEqual(asyncio.run(self.encode_by_websocket()), self.codes)

    def n_clients(self, daemon):
        return len(re.findall(r"client: client \d+ by tcp", daemon.log()))

    def serve_both(self, daemons):
        """Clients come until each of the daemons has had two."""
        want = [self.n_clients(daemon) + 2 for daemon in daemons]

        def had():
            client = self.connect()
            self.assertEqual(encode(client), self.codes)
            client.close()
            return all(self.n_clients(d) >= n for d, n in zip(daemons, want))
        until(had, 30)

    def balanced(self, balancer):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{folder}/tls.key",
                        "-out", f"{folder}/tls.crt"], check=True, stderr=subprocess.DEVNULL)
        pem = pathlib.Path(folder, "tls.crt").read_text() + pathlib.Path(folder, "tls.key").read_text()
        pathlib.Path(folder, "tls.pem").write_text(pem)
        self.tls = ssl.create_default_context(cafile=f"{folder}/tls.crt")
        self.native, self.web = free_port(), free_port()
        options = "--allow-host", "tessera.example"  # whom haproxy asks for
        one, two = (self.enterContext(Daemon(build, *options)) for _ in range(2))
        self.codes = encode(one.connect())
        running = balancer(folder, self.native, self.web, one, two)
        self.addCleanup(running.stop)
        until(self.ready, 20)
        self.serve_both([one, two])
        self.serve_web(one)

        # One drains while its stream goes on: every new client is served, and by the other.
        clients = [self.connect() for _ in range(4)]
        streams = [client.open(1, direction="both") for client in clients]
        two.terminate()
        two.wait_for("drain")
        n_one = self.n_clients(one)
        for _ in range(10):
            client = self.connect()
            self.assertEqual(encode(client), self.codes)
            client.close()
            self.assertEqual(asyncio.run(self.encode_by_websocket()), self.codes)
        self.assertEqual(self.n_clients(one), n_one + 10)
        for stream in streams:
            stream.end()
            stream.finish()
        self.assertEqual(two.process.wait(10), 0)
        with Daemon(build, "--http-port", str(two.http_port), *options, port=two.port) as again:
            self.serve_both([one, again])

    def test_nginx(self):
        self.balanced(nginx)

    def test_haproxy(self):
        self.balanced(haproxy)


if __name__ == "__main__":
    build = os.path.abspath(sys.argv.pop(1))
    unittest.main(warnings="ignore")  # a test's clients may go with their daemon
