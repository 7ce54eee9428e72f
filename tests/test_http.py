#!/usr/bin/env python3
"""tesserad by HTTP: what each path says, jobs, keys, TLS, the end.

Usage: test_http.py BUILD [...]
"""

import concurrent.futures
import io
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import wave

from daemon import Daemon, handed_over
from test_daemon_trust import PCM_BYTES, until
from web import Http, ask

HOP = 320
DATA = pathlib.Path(__file__).parent / "data"
WEB = pathlib.Path(__file__).parent.parent / "clients/web"
CERT, KEY = str(DATA / "tls_cert.pem"), str(DATA / "tls_key.pem")
TESS = {"Accept": "application/x-tess"}
build = None


def wav(pcm, rate=24000):
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, rate, 0, "NONE", ""))
        sound.writeframes(pcm)
    return file.getvalue()


def samples(file):
    with wave.open(io.BytesIO(file)) as sound:
        return sound.readframes(sound.getnframes())


def form(*parts, boundary="x.y"):
    """A form's body: each part its head's words and its bytes."""
    body = b""
    for words, data in parts:
        body += f"--{boundary}\r\nContent-Disposition: form-data; {words}\r\n".encode()
        body += b"Content-Type: audio/wav\r\n\r\n" + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


FORM = {"Content_Type": "multipart/form-data; boundary=x.y"}
SOUND = wav(PCM_BYTES)


class Base(unittest.TestCase):
    def daemon(self, *options, **words):
        return self.enterContext(Daemon(build, *options, **words))


class Pages(Base):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Daemon(build))
        cls.port = cls.server.http_port

    def get(self, path, **words):
        return ask(self.port, "GET", path, **words)

    def test_health(self):
        for path in ("/health", "/v1/health"):
            answer = self.get(path)
            self.assertEqual((answer.status, answer.json()), (200, {"status": "ok"}))
            self.assertEqual(answer.headers["content-type"], "application/json")
            self.assertNotIn("access-control-allow-origin", answer.headers)

    def test_version(self):
        version = self.get("/version").json()
        self.assertRegex(version["version"], r"^\d+\.\d+\.\d+$")
        self.assertEqual(version["protocol"], 1)
        ready = self.server.connect().ready["models"][0]
        self.assertEqual(version["models"], {ready["name"]: ready["sha256"]})

    def test_models(self):
        models = self.get("/v1/models").json()
        self.assertEqual(models["object"], "list")
        model, = models["data"]
        self.assertEqual((model["id"], model["object"]), ("tessera-24k-speech-int8", "model"))
        self.assertLess(abs(model["created"] - time.time()), 3600)
        meta = model["meta"]
        self.assertEqual((meta["sample_rate"], meta["hop"], meta["frame_rate"], meta["codebooks"],
                          meta["codebook_size"], meta["vocab_size"], meta["offsets"],
                          meta["bits_per_frame"], meta["causal"], meta["loaded"]),
                         (24000, 320, 75, 4, 1024, 4096, [0, 1024, 2048, 3072], 40, True, True))

    def test_status(self):
        client = self.server.connect()
        client.open(1, direction="encode")
        status = self.get("/v1/status").json()
        self.assertEqual((status["streams_active"], status["streams_max"], status["queue"], status["draining"]),
                         (1, 256, 0, False))
        self.assertGreaterEqual(status["connections"], 2)
        client.close()

    def test_page(self):
        """Its files say what they are and what they may do, and are not sent twice."""
        for path, kind in (("/", "text/html; charset=utf-8"), ("/page.js", "text/javascript; charset=utf-8"),
                           ("/style.css", "text/css; charset=utf-8"), ("/icon.svg", "image/svg+xml")):
            answer = self.get(path)
            name = "index.html" if path == "/" else path[1:]
            self.assertEqual(answer.body, (WEB / name).read_bytes())
            self.assertEqual((answer.headers["content-type"], answer.headers["cache-control"]), (kind, "no-cache"))
            self.assertTrue(answer.headers["content-security-policy"].startswith("default-src 'self'; "))
            self.assertNotIn("unsafe", answer.headers["content-security-policy"])
            tag = answer.headers["etag"]
            for tags, status in ((tag, 304), (f'"other", {tag}', 304), ('"other"', 200)):
                again = self.get(path, If_None_Match=tags)
                self.assertEqual((again.status, again.headers["etag"]), (status, tag))
        self.assertNotIn("etag", self.get("/", host="evil.example").headers)
        self.assertEqual(ask(self.port, "POST", "/", b"x").status, 405)

    def test_no_such(self):
        for method, path, status in (("GET", "/nothing", 404), ("GET", "/index.html", 404),
                                     ("POST", "/health", 405), ("GET", "/v1/encode", 405),
                                     ("OPTIONS", "/health", 405), ("GET", "/v1/stream", 426)):
            answer = ask(self.port, method, path)
            self.assertEqual(answer.status, status, (method, path))
            self.assertEqual("allow" in answer.headers, status == 405)
            answer.error()

    def test_connection(self):
        """One after another and all at once on a connection that stays; HEAD; HTTP/1.0; an error ends it."""
        http = Http(self.port)
        for _ in range(3):
            http.ask("GET", "/health")
            self.assertEqual(http.answer().status, 200)
        for path in ("/health", "/version", "/metrics"):
            http.ask("GET", path)
        for kind in ("application/json", "application/json",
                     "text/plain; version=0.0.4; charset=utf-8"):
            self.assertEqual(http.answer().headers["content-type"], kind)
        http.ask("HEAD", "/health")
        self.assertEqual(http.answer(head_only=True).headers["content-length"], "15")
        http.ask("GET", "/nothing")
        self.assertEqual(http.answer().headers["connection"], "close")
        self.assertTrue(http.closed())
        http = Http(self.port)  # an offer to speak HTTP/2, as some clients make, is left alone
        for method, path, body in (("GET", "/health", None), ("POST", "/v1/encode", SOUND)):
            http.ask(method, path, body, Connection="Upgrade, HTTP2-Settings", Upgrade="h2c", HTTP2_Settings="x")
            self.assertEqual(http.answer().status, 200)
        http = Http(self.port)
        http.ask("GET", "/health", version="1.0")
        self.assertEqual(http.answer().status, 200)
        self.assertTrue(http.closed())

    def test_hosts(self):
        for host, status in (("localhost", 200), ("LOCALHOST:80", 200), ("127.1.2.3", 200),
                             ("[::1]:7208", 200), ("evil.example", 403), ("127.0.0.1.evil.example", 403),
                             ("localhost.evil.example:7208", 403), ("10.0.0.1", 403), ("[::2]", 403),
                             ("localhost:7208x", 400), ("[::1", 400), ("127.0.0.1, localhost", 403)):
            self.assertEqual(self.get("/health", host=host).status, status, host)
        for head in (b"GET /health HTTP/1.1\r\n\r\n", b"GET /health HTTP/1.1\r\nHost:\r\n\r\n",
                     b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"):
            http = Http(self.port)
            http.send(head)
            self.assertIn(http.answer().status, (400, 403), head)


class Jobs(Base):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Daemon(build))
        cls.port = cls.server.http_port
        client = cls.server.connect()
        stream = client.open(1, direction="encode")
        stream.pcm(PCM_BYTES)
        stream.end()
        cls.codes = stream.finish().codes
        stream = client.open(2, direction="decode")
        stream.put_codes(cls.codes)
        stream.end()
        cls.pcm = stream.finish().pcm_bytes
        cls.tess = ask(cls.port, "POST", "/v1/encode", SOUND, **TESS).body
        client.close()

    def post(self, path, body, **headers):
        return ask(self.port, "POST", path, body, **headers)

    def test_there_and_back(self):
        """The same codes and the same sound as the native protocol's, by each way in."""
        for path in ("/v1/encode", "/tokenize"):
            answer = self.post(path, SOUND)
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
            self.assertEqual(answer.json()["n_frames"], 100)
        columns = self.post("/v1/encode", SOUND).json()["audio_codes"]
        self.assertEqual(b"".join(code.to_bytes(2, "little") for row in zip(*columns) for code in row),
                         self.codes)
        for path in ("/v1/decode", "/detokenize"):
            answer = self.post(path, self.tess)
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "audio/wav"))
            self.assertEqual(samples(answer.body), self.pcm)

    def test_query(self):
        self.assertEqual(self.post("/v1/encode?model=tessera-24k-speech-int8&codebooks=2", SOUND).json()["n_codebooks"], 2)
        for query in ("", "codebooks=4&", "&&codebooks=4"):
            self.assertEqual(self.post("/v1/encode?" + query, SOUND).json()["n_codebooks"], 4)
        answer = self.post("/v1/encode?model=a%26b%3d%2b", SOUND)
        self.assertEqual(answer.status, 400)
        self.assertIn("a&b=+", answer.error())
        answer = self.post("/v1/encode?%1b[2J%c3=%ff", SOUND)  # quoted to nobody as it is
        self.assertIn("'?[2J?'", answer.error())
        self.assertNotIn("\x1b", self.server.log())
        for n in (1000, 1100, 3000):  # none is too long to be looked at
            self.assertIn(self.post("/v1/encode?codebooks=" + n * "2", SOUND).status, (400, 431))

    def test_form(self):
        file = 'name="file"; filename="a.wav"', SOUND
        other = 'name="note"', b"--x.\r\n--x.\r\r\n--x"
        for parts in ([file], [other, file, other], [other, ('filename="a"; name="file"', SOUND)]):
            self.assertEqual(self.post("/v1/encode", form(*parts), **FORM, **TESS).body, self.tess)
        for bad in (form(other), form(file)[:-8], form(('name="filename"', SOUND)), b"", b"x" * 1000):
            answer = self.post("/v1/encode", bad, **FORM)
            self.assertEqual(answer.status, 400)
            answer.error()
        for kind in ("multipart/form-data", "multipart/form-data; boundary=",
                     "multipart/form-data; boundary=" + "x" * 71):
            self.assertEqual(self.post("/v1/encode", form(file), Content_Type=kind).status, 400)

    def test_form_in_pieces(self):
        """Wherever the network cuts it."""
        sound = wav(PCM_BYTES[:2 * HOP * 2])
        body = form(('name="file"; filename="\r--x.wav"', sound))
        whole = self.post("/v1/encode", sound).body
        for size in (1, 2, 7, 61):
            http = Http(self.port)
            http.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            http.ask("POST", "/v1/encode", Content_Length=len(body), **FORM)
            for at in range(0, len(body), size):
                http.send(body[at:at + size])
            self.assertEqual(http.answer().body, whole)
            http.close()

    def test_continue(self):
        http = Http(self.port)
        http.ask("POST", "/v1/encode", Content_Length=len(SOUND), Expect="100-continue", **TESS)
        self.assertEqual(http.answer().status, 100)
        http.send(SOUND)
        self.assertEqual(http.answer().body, self.tess)
        http.ask("GET", "/health")  # the connection stays
        self.assertEqual(http.answer().status, 200)

    def test_length(self):
        for headers, status in (({}, 411), ({"Content_Length": "x"}, 411), ({"Content_Length": "-1"}, 411),
                                ({"Content_Length": "1, 1"}, 411), ({"Content_Length": "1" * 30}, 411),
                                ({"Transfer_Encoding": "chunked"}, 411),
                                ({"Transfer_Encoding": "chunked", "Content_Length": "5"}, 411),
                                ({"Content_Length": 257 << 20}, 413)):
            answer = self.post("/v1/encode", None, **headers)
            self.assertEqual(answer.status, status, headers)
            answer.error()
        for length in ("6", "x", ": 0", "0, 0"):
            http = Http(self.port)
            http.ask("GET", "/health", b"a body", Content_Length=length)
            self.assertEqual(http.answer().status, 400, length)
        http = Http(self.port)
        http.ask("GET", "/health", Transfer_Encoding="chunked")
        self.assertEqual(http.answer().status, 400)
        http = Http(self.port)
        for _ in range(2):
            http.ask("GET", "/health", Content_Length=0)
            self.assertEqual(http.answer().status, 200)

    def test_error_while_sending(self):
        """The answer to a body that is not wanted comes although the client goes on sending."""
        http = Http(self.port)
        http.ask("POST", "/v1/encode?model=none", Content_Length=10 << 20)
        try:
            for _ in range(10):
                http.send(bytes(1 << 20))
        except OSError:
            pass
        self.assertEqual(http.answer().status, 400)

    def test_not_sound(self):
        """From many at once: descriptors that are closed twice would be somebody else's by then."""
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda i: self.post("/v1/encode", b"noise" * 200), range(400)))
        self.assertEqual({(answer.status, answer.error()[:15]) for answer in answers}, {(400, "not a sound fil")})

    def test_behind_a_body(self):
        """Nothing may follow a body before its answer."""
        http = Http(self.port)
        http.ask("POST", "/v1/encode", SOUND * 2)
        http.ask("GET", "/health")
        http.rest()
        self.assertEqual(ask(self.port, "GET", "/health").status, 200)

    def test_client_goes(self):
        """In the middle of a body, of the work and of the answer: nothing is left behind."""
        long = wav(PCM_BYTES * 60)
        n_files = self.server.n_files()
        for i in range(12):
            http = Http(self.port)
            http.ask("POST", "/v1/encode", Content_Length=len(long))
            http.send(long[:len(long) // 2] if i % 2 else long)
            if i % 4 == 0:
                until(lambda: ask(self.port, "GET", "/v1/status").json()["streams_active"] > 0)
            http.close()
        until(lambda: self.server.n_files() <= n_files)
        until(lambda: ask(self.port, "GET", "/v1/status").json()["streams_active"] == 0)
        self.assertEqual(self.post("/v1/encode", SOUND, **TESS).body, self.tess)

    def test_memory(self):
        """Bodies lie in files."""
        before = self.server.rss()
        clients = [Http(self.port) for _ in range(4)]
        for http in clients:
            http.ask("POST", "/v1/encode", Content_Length=32 << 20)
            for _ in range(31):
                http.send(bytes(1 << 20))
        self.assertLess(self.server.rss() - before, 16 << 20)  # a read each, and the allocator's slack
        for http in clients:
            http.close()


class Guards(Base):
    def test_origins(self):
        site = "https://app.example"
        daemon = self.daemon("--allow-origin", site, "--allow-host", "tokens.example")
        port = daemon.http_port
        for origin, status in ((site, 200), (f"http://127.0.0.1:{port}", 200), ("https://app.example.evil", 403),
                               ("http://app.example", 403), ("null", 403), ("*", 403), ("x" * 600, 403)):
            answer = ask(port, "GET", "/health", Origin=origin)
            self.assertEqual(answer.status, status, origin)
            self.assertEqual(answer.headers.get("access-control-allow-origin"), site if origin == site else None)
        answer = ask(port, "OPTIONS", "/v1/encode", Origin=site, Access_Control_Request_Method="POST")
        self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (204, site))
        self.assertIn("Authorization", answer.headers["access-control-allow-headers"])
        self.assertEqual(ask(port, "OPTIONS", "/v1/encode", Origin="null").status, 403)
        self.assertEqual(ask(port, "GET", "/health", host="tokens.example:443").status, 200)
        self.assertEqual(ask(port, "GET", "/health", host="other.example").status, 403)

    def test_form_post(self):
        """What a page of another site can send without asking."""
        daemon = self.daemon()
        answer = ask(daemon.http_port, "POST", "/v1/encode", form(('name="file"; filename="a"', SOUND)),
                     Origin="http://evil.example", **FORM)
        self.assertEqual(answer.status, 403)

    def test_keys(self):
        with tempfile.NamedTemporaryFile("w") as keys:
            keys.write("# whose\nfirst\nsecond\n")
            keys.flush()
            port = self.daemon("--api-key-file", keys.name).http_port
            for path in ("/metrics", "/version", "/v1/models", "/v1/status"):
                self.assertEqual(ask(port, "GET", path).status, 401)
                for value, status in (("Bearer first", 200), ("bearer second", 200), ("Bearer third", 401),
                                      ("Bearer ", 401), ("first", 401), ("Basic first", 401),
                                      ("Bearer first second", 401), ("Bearer " + "x" * 300, 401)):
                    self.assertEqual(ask(port, "GET", path, Authorization=value).status, status, value)
            answer = ask(port, "POST", "/v1/encode", SOUND)
            self.assertEqual((answer.status, answer.headers["www-authenticate"]), (401, "Bearer"))
            self.assertEqual(ask(port, "GET", "/health").status, 200)
            for query in ("key=x", "?a&api_key=x", "access%5ftoken=x", "nothing=first", "a=1&b=second"):
                answer = ask(port, "GET", f"/health?{query}", Authorization="Bearer first")
                self.assertEqual(answer.status, 400, query)
                self.assertNotIn("first", answer.error())
            self.assertIn('reason="auth"} ', ask(port, "GET", "/metrics", Authorization="Bearer first").body.decode())


class Carriers(Base):
    def test_tls(self):
        daemon = self.daemon("--tls-cert", CERT, "--tls-key", KEY)
        port = daemon.http_port
        self.assertEqual(ask(port, "GET", "/health", tls=CERT).json(), {"status": "ok"})
        answer = ask(port, "POST", "/v1/encode", SOUND, tls=CERT, **TESS)
        self.assertEqual(len(ask(port, "POST", "/v1/decode", answer.body, tls=CERT).body), len(SOUND))
        http = Http(port)
        http.ask("GET", "/health")
        self.assertNotIn(b"HTTP", http.rest())  # no plain words on this port

    def test_tls_options(self):
        for options, code in ((("--tls-cert", CERT), 2), (("--tls-key", KEY), 2),
                              (("--tls-cert", KEY, "--tls-key", KEY), 1),
                              (("--tls-cert", "/nowhere", "--tls-key", KEY), 1)):
            done = subprocess.run([f"{build}/bin/tesserad", "--port", "0", "--http-port", "0", "--unix", "",
                                   *options], stderr=subprocess.PIPE, text=True, timeout=60)
            self.assertEqual(done.returncode, code, done.stderr)

    def test_inherited(self):
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as native:
            daemon = self.daemon(**handed_over(http=[listener], native=[native]))
            self.assertEqual(ask(listener.getsockname()[1], "GET", "/health").status, 200)
            self.assertEqual(ask(listener.getsockname()[1], "GET", "/health", host="evil.example").status, 403)
            daemon.wait_for("HTTP on inherited")

    def test_port_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            done = subprocess.run([f"{build}/bin/tesserad", "--port", "0", "--unix", "", "--http-port",
                                   str(taken.getsockname()[1])], stderr=subprocess.PIPE, text=True, timeout=60)
            self.assertEqual(done.returncode, 1)
            self.assertIn("address already in use", done.stderr)

    def test_drain(self):
        """SIGTERM: /health says so, the request under way gets its answer, then the end with 0."""
        daemon = self.daemon()
        busy, idle = Http(daemon.http_port), Http(daemon.http_port)
        busy.ask("POST", "/v1/encode", Content_Length=len(SOUND))
        busy.send(SOUND[:-10])
        idle.ask("GET", "/health")
        self.assertEqual(idle.answer().status, 200)
        daemon.terminate()
        daemon.wait_for("drain: ")
        for http in (idle, Http(daemon.http_port)):
            http.ask("GET", "/health")
            answer = http.answer()
            self.assertEqual((answer.status, answer.json()), (503, {"status": "draining"}))
        answer = ask(daemon.http_port, "POST", "/v1/encode", SOUND)
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
        busy.send(SOUND[-10:])
        self.assertEqual(busy.answer().json()["n_frames"], 100)
        self.assertEqual(daemon.process.wait(20), 0)


if __name__ == "__main__":
    build = os.path.abspath(sys.argv.pop(1))
    unittest.main(warnings="ignore")
