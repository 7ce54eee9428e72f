#!/usr/bin/env python3
"""POST /v1/encode and /v1/decode: the command's bytes, slow and dying clients, a full queue.

TESSERA_NIGHTLY=1 adds live streams beside files of ten minutes. Usage: test_http_jobs.py BUILD [...]
"""

import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import unittest

from daemon import Daemon
from test_daemon_trust import until

SPEECH = pathlib.Path(__file__).with_name("data") / "speech.flac"  # a minute
TYPES = {"json": "application/json", "npy": "application/x-npy", "tess": "application/x-tess"}
FRAMES = 4500
PATIENCE = 600  # seconds: a sanitizer's build on a loaded machine takes its time
build = None


def curl(*words):
    return subprocess.run(["curl", "-sS", "--fail-with-body", *map(str, words)], check=True,
                          stdout=subprocess.PIPE).stdout


class WithDaemon(unittest.TestCase):
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.coded = {kind: cls.command("encode", SPEECH, "speech." + kind) for kind in TYPES}
        cls.sound = cls.command("decode", cls.folder / "speech.tess", "speech.wav")
        cls.wide = cls.command("decode", cls.folder / "speech.tess", "wide.wav", "--float",
                               "--rate", "48000")
        cls.daemon = cls.enterClassContext(Daemon(build, *cls.options))
        cls.url = f"http://127.0.0.1:{cls.daemon.http_port}"

    @classmethod
    def command(cls, verb, source, name, *options):
        target = cls.folder / name
        subprocess.run([pathlib.Path(build, "bin/tessera"), verb, "-q", *options, source, target],
                       check=True)
        return target.read_bytes()

    def post(self, path, body, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.daemon.http_port, timeout=PATIENCE)
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer, data

    def metric(self, name):
        text = curl(self.url + "/metrics").decode()
        return float(re.search(rf"^tessera_{re.escape(name)} (\S+)$", text, re.M).group(1))

    def dial(self, request, receive_buffer=65536):
        """A socket on which a request has been sent."""
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        s.settimeout(PATIENCE)
        s.connect(("127.0.0.1", self.daemon.http_port))
        s.sendall(request)
        return s

    def ask_for_wide(self):
        """11 MB of sound, more than sockets and queues take: the socket, and the answer so far."""
        body = self.coded["tess"]
        s = self.dial(b"POST /v1/decode?float&rate=48000 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                      b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return s, s.recv(100)


class Answers(WithDaemon):
    def test_encode(self):
        for kind, media in TYPES.items():
            answer, data = self.post("/v1/encode", SPEECH.read_bytes(), Accept=media)
            self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, media))
            self.assertEqual(data, self.coded[kind])

    def test_decode(self):
        for kind in ("tess", "npy"):
            answer, data = self.post("/v1/decode", self.coded[kind])
            self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "audio/wav"))
            self.assertEqual(int(answer.headers["Content-Length"]), len(data))
            self.assertEqual(data, self.sound)

    def test_json_there_and_back(self):
        for layout in ("KT", "TK", "flat"):
            _, text = self.post("/v1/encode?layout=" + layout, SPEECH.read_bytes())
            words = json.loads(text)
            self.assertEqual((words["layout"], words["n_frames"]), (layout, FRAMES))
            self.assertEqual(self.post("/v1/decode", text)[1], self.sound)

    def test_curl(self):
        tess = curl("-H", "Accept: application/x-tess", "--data-binary", f"@{SPEECH}",
                    "-H", "Content-Type: audio/flac", self.url + "/v1/encode")
        self.assertEqual(tess, self.coded["tess"])
        form = curl("-F", f"file=@{SPEECH}", self.url + "/v1/encode")
        self.assertEqual(form, self.coded["json"])
        wide = curl("-F", f"file=@{self.folder}/speech.tess",
                    self.url + "/v1/decode?float=1&rate=48000")
        self.assertEqual(wide, self.wide)

    def test_refusals(self):
        for status, path, body, headers, word in (
                (400, "/v1/encode", b"", {}, "empty"),
                (400, "/v1/encode", b"text", {}, "not a sound file"),
                (400, "/v1/encode?model=other", b"", {}, "'other'"),
                (400, "/v1/encode?layout=T", b"", {}, "layout=T"),
                (406, "/v1/encode", b"", {"Accept": "image/png"}, "application/json"),
                (400, "/v1/encode", SPEECH.read_bytes()[:200000], {}, "sound"),
                (400, "/v1/decode", self.coded["tess"][:5000], {}, ""),
                (413, "/v1/decode", b"{" + bytes(1 << 20), {}, ".tess")):
            answer, data = self.post(path, body, **headers)
            error = json.loads(data)["error"]
            self.assertEqual((answer.status, error["code"]), (status, status), error)
            self.assertIn(word, error["message"])
        self.assertEqual(self.post("/v1/encode", SPEECH.read_bytes())[1], self.coded["json"])

    def test_many_at_once(self):
        def one(i):
            path, body, right = (("/v1/encode", SPEECH.read_bytes(), self.coded["json"]),
                                 ("/v1/decode", self.coded["npy"], self.sound))[i % 2]
            return self.post(path, body)[1] == right

        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            self.assertTrue(all(pool.map(one, range(10))))


class Clients(WithDaemon):
    options = "--slow-timeout", "3600000"  # the slow reader is to be held here, not dropped

    def test_slow_reader(self):
        """What nobody reads is not computed, and is all there later."""
        decoded = self.metric("frames_decoded_total")
        s, start = self.ask_for_wide()
        for _ in range(2):  # others are served meanwhile
            self.assertEqual(self.post("/v1/encode", SPEECH.read_bytes())[1], self.coded["json"])
        self.assertLess(self.metric("frames_decoded_total"), decoded + FRAMES)
        self.assertLess(self.metric("output_buffer_bytes"), 1 << 20)
        self.assertEqual(self.metric("jobs_active"), 1)
        with s, s.makefile("rb") as rest:
            head, _, data = (start + rest.read(len(self.wide))).partition(b"\r\n\r\n")
            data += rest.read(len(self.wide) - len(data))
        self.assertTrue(head.startswith(b"HTTP/1.1 200 "))
        self.assertEqual(data, self.wide)

    def test_killed(self):
        """A client that goes in the middle, in its body or in its answer, leaves nothing behind."""
        self.post("/v1/encode", b"")
        files = self.daemon.n_files()
        failed = self.metric('jobs_total{result="failed"}')
        half = b"POST /v1/encode HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n" + bytes(50000)
        for _ in range(5):
            self.ask_for_wide()[0].close()
            self.dial(half).close()
        until(lambda: self.metric('jobs_total{result="failed"}') == failed + 10, PATIENCE)
        self.assertEqual(self.metric("jobs_active") + self.metric("jobs_waiting"), 0)
        self.assertEqual(self.metric("streams_active"), 0)
        until(lambda: self.daemon.n_files() <= files)


class FullQueue(WithDaemon):
    options = "--max-jobs", "1"

    def test_queue(self):
        """A job counts from its head on; who comes then is told to come again."""
        body = SPEECH.read_bytes()
        head = (b"POST /v1/encode HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body))
        with self.dial(head + body[:1000]) as s:
            until(lambda: self.post("/v1/encode", body)[0].status == 503)
            answer, data = self.post("/v1/encode", body)
            self.assertEqual(answer.status, 503)
            self.assertTrue(answer.headers["Retry-After"])
            self.assertIn("--max-jobs", json.loads(data)["error"]["message"])
            s.sendall(body[1000:])
            with s.makefile("rb") as rest:
                self.assertTrue(rest.read().startswith(b"HTTP/1.1 200 "))
        until(lambda: self.post("/v1/encode", body)[1] == self.coded["json"])


@unittest.skipUnless(os.environ.get("TESSERA_NIGHTLY") == "1", "needs two cores that nobody else uses")
class Live(WithDaemon):
    def test_live_beside_long_files(self):
        """Forty live two-way streams keep their deadline beside four files of ten minutes."""
        raw = self.sound[44:] * 10
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(self.post, "/v1/encode?raw=s16le", raw, Accept=TYPES["tess"])
                    for _ in range(4)]
            said = subprocess.run([pathlib.Path(build, "bin/load"), str(self.daemon.port), "40", "30"],
                                  stdout=subprocess.PIPE, text=True, check=True).stdout
            print(said)
            for job in jobs:
                self.assertEqual(job.result()[0].status, 200)
        self.assertLess(float(re.search(r"p99 ([\d.]+)", said).group(1)), 40)


if __name__ == "__main__":
    build = os.path.abspath(sys.argv.pop(1))
    unittest.main()
