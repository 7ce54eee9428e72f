#!/usr/bin/env python3
"""tesserad's HTTP under bad input, slow clients and small limits; its metrics under a strict reader.

TESSERA_NIGHTLY=1 in the environment runs the long counts. Usage: test_http_trust.py BUILD [...]
"""

import os
import random
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from daemon import Closed, Daemon
from test_daemon_trust import PCM_BYTES, encode, sanitized, until
from test_http import FORM, SOUND, form, wav
from web import Http, WebSocket, ask

NIGHTLY = os.environ.get("TESSERA_NIGHTLY") == "1"
build = None


def parse_metrics(text):
    """{(name, labels): value}, as strict as the format's description (version 0.0.4) allows."""
    label = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"'
    sample = re.compile(rf"([a-zA-Z_][a-zA-Z0-9_]*)(?:\{{({label}(?:,{label})*)\}})? (\S+)")
    types, helped, values, last, ended = {}, set(), {}, None, set()
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if found := re.fullmatch(r"# HELP (\S+) (.+)", line):
            assert found.group(1) not in helped, line
            helped.add(found.group(1))
            continue
        if found := re.fullmatch(r"# TYPE (\S+) (counter|gauge|histogram)", line):
            assert found.group(1) not in types, line
            types[found.group(1)] = found.group(2)
            continue
        found = sample.fullmatch(line)
        assert found, line
        name, labels, value = found.groups()
        family = name if name in types else re.sub("_(bucket|sum|count)$", "", name)
        assert family in types and (family == name) == (types[family] != "histogram"), line
        assert (types[family] == "counter") == name.endswith("_total"), line
        if family != last:  # a family's samples stand together
            assert family not in ended, line
            ended.add(last)
            last = family
        key = name, labels or ""
        assert key not in values, line
        values[key] = float(value)
        assert values[key] >= 0, line
    for family in (name for name, kind in types.items() if kind == "histogram"):
        buckets = [(float(labels[4:-1]), v) for (name, labels), v in values.items() if name == family + "_bucket"]
        assert buckets == sorted(buckets) and buckets[-1][0] == float("inf"), family
        assert [v for _, v in buckets] == sorted(v for _, v in buckets), family
        assert buckets[-1][1] == values[family + "_count", ""] and (family + "_sum", "") in values, family
    return types, values


class WithDaemon(unittest.TestCase):
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Daemon(build, *cls.options))
        cls.port = cls.server.http_port
        cls.json = ask(cls.port, "POST", "/v1/encode", SOUND).body

    def healthy(self):
        self.assertEqual(ask(self.port, "POST", "/v1/encode", SOUND).body, self.json)

    def metrics(self):
        answer = ask(self.port, "GET", "/metrics")
        self.assertEqual((answer.status, answer.headers["content-type"]),
                         (200, "text/plain; version=0.0.4; charset=utf-8"))
        return parse_metrics(answer.body.decode())


class Metrics(WithDaemon):
    NAMES = """connections streams_active streams_max frames_encoded_total frames_decoded_total
        step_duration_seconds batch_streams queue_seconds deadline_misses_total clients_dropped_total bytes_total
        output_buffer_bytes build_info""".split()

    def test_metrics(self):
        types, before = self.metrics()
        for name in self.NAMES:
            self.assertIn("tessera_" + name, types)
        for name in ("process_resident_memory_bytes", "process_open_fds"):
            self.assertIn(name, types)
        self.assertEqual({labels for name, labels in before if name == "tessera_connections"},
                         {f'proto="{proto}"' for proto in ("tcp", "unix", "ws", "http")})
        self.assertEqual({labels for name, labels in before if name == "tessera_clients_dropped_total"},
                         {f'reason="{reason}"' for reason in ("slow", "idle", "protocol", "limit", "auth")})

        encode(self.server.connect())
        encode(WebSocket(self.port))
        self.healthy()
        ask(self.port, "GET", "/nothing")
        types, after = self.metrics()
        rose = lambda name, labels="": after["tessera_" + name, labels] - before["tessera_" + name, labels]
        for (name, labels), value in before.items():
            if types.get(name) == "counter" or re.search("_(bucket|count|sum)$", name):
                self.assertGreaterEqual(after[name, labels], value, name)
        self.assertEqual(rose("frames_encoded_total"), 10 + 10 + 100)
        self.assertEqual(rose("clients_dropped_total", 'reason="protocol"'), 1)
        self.assertGreater(rose("bytes_total", 'dir="in"'), len(SOUND))
        self.assertGreater(rose("bytes_total", 'dir="out"'), len(self.json))
        self.assertEqual(after["process_open_fds", ""] >= 10, True)


class Broken(WithDaemon):
    def sent(self, data, half=False):
        """Sends bytes and reads what comes until the server closes."""
        http = Http(self.port)
        try:
            http.send(data)
            if half:
                http.socket.shutdown(socket.SHUT_WR)
            return http.rest()
        except OSError:
            return b""
        finally:
            http.close()

    def request(self):
        body = form(('name="file"; filename="a.wav"', wav(PCM_BYTES[:640])))
        head = (f"POST /v1/encode?layout=TK HTTP/1.1\r\nHost: localhost:{self.port}\r\nAccept: application/json\r\n"
                f"Content-Type: {FORM['Content_Type']}\r\nContent-Length: {len(body)}\r\n\r\n")
        return head.encode() + body

    def test_every_prefix(self):
        whole = self.request()
        self.assertIn(b"200 OK", self.sent(whole.replace(b"\r\nAccept", b"\r\nConnection: close\r\nAccept")))
        for n in range(0, len(whole), 1 if NIGHTLY else 3):
            self.assertNotIn(b"200 OK", self.sent(whole[:n], half=True))
        self.healthy()

    def test_every_bit(self):
        """Whatever comes of it, it is an answer or the end, and others have theirs."""
        whole = self.request()
        for bit in range(0, 8 * 400, 1 if NIGHTLY else 11):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            answer = self.sent(bytes(flipped), half=True)
            self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1."), answer)
        self.healthy()

    def test_garbage(self):
        source = random.Random(12)
        head = f"Host: localhost:{self.port}\r\n\r\n".encode()
        for _ in range(10 if not NIGHTLY else 100):
            self.sent(source.randbytes(1 << 20))
        for line in (b"GET GET /health HTTP/1.1\r\n", b"GET\r\n", b"GET  HTTP/1.1\r\n", b"/health\r\n",
                     b"GET http://evil.example/ HTTP/1.1\r\n", b"CONNECT localhost:1 HTTP/1.1\r\n",
                     b"GET /%zz HTTP/1.1\r\n", b"GET /%00health HTTP/1.1\r\n", b"GET /health%0d%0aX:y HTTP/1.1\r\n",
                     b"PRI * HTTP/2.0\r\n", b"\r\n\r\n", b"\0" * 100):
            self.assertNotIn(b"200 OK", self.sent(line + head, half=True), line)
        for path in (b"/../../etc/passwd", b"/..%2f..%2fetc/passwd", b"/health/../../etc", b"//etc/passwd"):
            self.assertNotIn(b"200 OK", self.sent(b"GET " + path + b" HTTP/1.1\r\n" + head, half=True), path)
        self.healthy()

    def test_pipelined(self):
        http = Http(self.port)
        http.send(f"GET /health HTTP/1.1\r\nHost: localhost:{self.port}\r\n\r\n".encode() * 200)
        for _ in range(200):
            self.assertEqual(http.answer().status, 200)
        http.close()

    def test_oversize(self):
        """More than there is room for costs no memory and harms nobody."""
        before = self.server.rss()
        for name in ("Cookie", "Accept", "User-Agent"):
            answer = ask(self.port, "GET", "/health", **{name.replace("-", "_"): "x" * 9000})
            self.assertEqual(answer.status, 431)
            self.assertIn("--max-header", answer.error())
        line = f"GET /health HTTP/1.1\r\nHost: localhost:{self.port}\r\n"
        for field in (b"X-Large: " + b"x" * (1 << 20), b"Cookie: " + b"x" * (1 << 20), b"X-A: b\r\n" * (1 << 17)):
            self.assertNotIn(b"200 OK", self.sent(line.encode() + field + b"\r\n\r\n"))
        self.assertNotIn(b"200 OK", self.sent(b"GET /" + b"x" * (1 << 20)))
        http = Http(self.port)
        http.ask("POST", "/v1/encode", Content_Length=257 << 20)
        answer = http.answer()
        self.assertEqual(answer.status, 413)
        self.assertIn("--max-body", answer.error())
        deep = b'{"audio_codes":' + b"[" * 10000 + b"]" * 10000 + b"}"
        self.assertEqual(ask(self.port, "POST", "/v1/decode", deep, Content_Type="application/json").status, 400)
        self.healthy()
        if not sanitized():  # freed memory stays in quarantine
            self.assertLess(self.server.rss() - before, 8 << 20)


class Slow(WithDaemon):
    options = ("--header-timeout", "700", "--handshake-timeout", "700", "--body-timeout", "700",
               "--slow-timeout", "1000")

    def test_slowloris(self):
        """Byte by byte on each carrier: all are closed, and a real client is served meanwhile."""
        n = 167 if NIGHTLY else 30
        clients = [Http(self.port) for _ in range(n)] + [Http(self.server.port) for _ in range(n)]
        starts = [b"GET /health HTTP/1.1\r\n"] * n + [b"\x01\x00\x00\x00\xff"] * n
        clients += [WebSocket(self.port, hello=False) for _ in range(n)]
        starts += [b"\x82\xff\x00\x00\x00\x00"] * n
        begin, at, left = time.monotonic(), 0, set(range(len(clients)))
        while left:
            self.assertLess(time.monotonic() - begin, 20)
            for i in list(left):
                s = clients[i].socket
                s.settimeout(0.001)
                try:
                    s.sendall(starts[i][at % len(starts[i]):][:1])
                    while s.recv(4096):
                        pass
                    left.remove(i)
                except TimeoutError:
                    pass
                except OSError:
                    left.remove(i)
            at += 1
            self.healthy()
        for client in clients:
            client.close()

    def test_header_timeout(self):
        http = Http(self.port)
        http.send(b"GET /health HTTP/1.1\r\nHost: loc")
        answer = http.answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (408, "close"))
        self.assertIn("--header-timeout", answer.error())
        self.assertTrue(http.closed())
        http = Http(self.port)  # between two requests there is nothing to be told
        http.ask("GET", "/health")
        self.assertEqual(http.answer().status, 200)
        self.assertTrue(http.closed())

    def test_body_timeout(self):
        before = self.metrics()[1]
        http = Http(self.port)
        http.ask("POST", "/v1/encode", Content_Length=100)
        http.send(b"x")
        answer = http.answer()
        self.assertEqual(answer.status, 408)
        self.assertIn("--body-timeout", answer.error())
        self.assertTrue(http.closed())
        key = "tessera_clients_dropped_total", 'reason="idle"'
        self.assertGreater(self.metrics()[1][key], before[key])

    def test_slow_reader(self):
        """An answer that nobody reads stops being computed, and then its client is dropped."""
        codes = ask(self.port, "POST", "/v1/encode", wav(PCM_BYTES * 40), Accept="application/x-tess").body
        http = Http(self.port, receive_buffer=4096)
        before, key = self.metrics()[1], ("tessera_clients_dropped_total", 'reason="slow"')
        http.ask("POST", "/v1/decode", codes)
        until(lambda: self.metrics()[1][key] > before[key], 20)
        http.close()
        self.healthy()


class Limits(unittest.TestCase):
    def daemon(self, *options, **words):
        return self.enterContext(Daemon(build, *options, **words))

    def test_max_clients(self):
        daemon = self.daemon("--max-clients", "3")
        clients = [Http(daemon.http_port), daemon.connect(), WebSocket(daemon.http_port)]
        until(lambda: ask(daemon.http_port, "GET", "/health").status == 503)
        answer = ask(daemon.http_port, "GET", "/health")
        self.assertEqual(answer.headers["retry-after"], "1")
        self.assertIn("--max-clients", answer.error())
        with self.assertRaises(Closed):
            WebSocket(daemon.http_port)
        crowd = [Http(daemon.http_port) for _ in range(100)]  # beyond those who are told
        clients.pop(0).close()
        for http in crowd:
            http.close()
        until(lambda: self.try_health(daemon.http_port))

    def test_per_address(self):
        address = subprocess.run(["hostname", "-I"], stdout=subprocess.PIPE, text=True).stdout.split()
        address = next((a for a in address if ":" not in a), None)
        if not address:
            self.skipTest("this machine has no other address than loopback")
        with tempfile.NamedTemporaryFile("w") as keys:
            keys.write("secret\n")
            keys.flush()
            daemon = self.daemon("--host", address, "--insecure", "--api-key-file", keys.name,
                                 "--max-per-address", "2")
            clients = [Http(daemon.http_port, host=address) for _ in range(3)]
            for http, status in zip(clients, (200, 200, 429)):
                http.ask("GET", "/health", host="any.example")  # the key is what keeps pages out
                answer = http.answer()
                self.assertEqual(answer.status, status)
            self.assertIn("--max-per-address", answer.error())

    def test_max_body(self):
        port = self.daemon("--max-body", "1024").http_port
        self.assertEqual(ask(port, "POST", "/v1/encode", wav(bytes(980))).status, 200)
        self.assertEqual(ask(port, "POST", "/v1/encode", wav(bytes(981 + 44))).status, 413)

    def test_no_room(self):
        """The disk, or the folder, is not there for a body."""
        port = self.daemon(environment={"TMPDIR": "/nowhere"}).http_port
        answer = ask(port, "POST", "/v1/encode", SOUND)
        self.assertEqual(answer.status, 507)
        self.assertEqual(ask(port, "GET", "/health").status, 200)

        def small_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        port = self.daemon(preexec=small_files).http_port
        self.assertEqual(ask(port, "POST", "/v1/encode", SOUND).status, 507)
        self.assertEqual(ask(port, "GET", "/health").status, 200)

    def test_few_files(self):
        """Descriptors run out: no spinning, and all is well once clients leave."""
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        daemon = self.daemon(preexec=few)
        clients = [Http(daemon.http_port) for _ in range(100)]
        cpu = daemon.threads_cpu()
        time.sleep(1)
        self.assertLess(daemon.threads_cpu() - cpu, 0.3)
        for http in clients:
            http.close()
        until(lambda: self.try_health(daemon.http_port))

    def try_health(self, port):
        try:
            return ask(port, "GET", "/health").status == 200
        except (OSError, Closed):
            return False


if __name__ == "__main__":
    build = os.path.abspath(sys.argv.pop(1))
    import test_daemon_trust
    test_daemon_trust.build = build
    unittest.main(warnings="ignore")
