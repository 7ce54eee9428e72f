#!/usr/bin/env python3
"""POST /v1/encode and /v1/decode: the command's bytes, slow and dying clients, a full queue.

TESSERA_NIGHTLY=1 adds live streams beside files of ten minutes. Usage: test_http_jobs.py BUILD [...]
"""

import array
import concurrent.futures
import http.client
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import tempfile
import unittest
import wave

from daemon import Daemon
from test_daemon_trust import until

FLAC = pathlib.Path(__file__).with_name("data") / "speech.flac"
TYPES = {"json": "application/json", "npy": "application/x-npy", "tess": "application/x-tess"}
RATE, SECONDS = 24000, 6
FRAMES = 75 * SECONDS
PATIENCE = 600  # seconds: a sanitizer's build on a loaded machine takes its time
build = None


def curl(*words):
    return subprocess.run(["curl", "-sS", "--fail-with-body", *map(str, words)], check=True,
                          stdout=subprocess.PIPE).stdout


def setUpModule():
    """A noise, and what the command makes of it."""
    folder = pathlib.Path(unittest.enterModuleContext(tempfile.TemporaryDirectory()))

    def command(verb, source, name, *options):
        subprocess.run([pathlib.Path(build, "bin/tessera"), verb, "-q", *options, folder / source,
                        folder / name], check=True)
        return (folder / name).read_bytes()

    draw = random.Random(1)
    with wave.open(str(folder / "in.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(array.array("h", (draw.randrange(-9000, 9000) for _ in range(RATE * SECONDS))).tobytes())
    WithDaemon.folder = folder
    WithDaemon.source = (folder / "in.wav").read_bytes()
    WithDaemon.coded = {kind: command("encode", "in.wav", "in." + kind) for kind in TYPES}
    WithDaemon.sound = command("decode", "in.tess", "out.wav")
    WithDaemon.wide = command("decode", "in.tess", "wide.wav", "--float", "--rate", "96000")


class WithDaemon(unittest.TestCase):
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon(build, *cls.options))
        cls.url = f"http://127.0.0.1:{cls.daemon.http_port}"

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
        """2.3 MB of sound, more than sockets and queues take: the socket, and the answer so far."""
        body = self.coded["tess"]
        s = self.dial(b"POST /v1/decode?float&rate=96000 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                      b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return s, s.recv(100)


class Answers(WithDaemon):
    def test_encode(self):
        for kind, media in TYPES.items():
            answer, data = self.post("/v1/encode", self.source, Accept=media)
            self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, media))
            self.assertEqual(data, self.coded[kind])

    def test_decode(self):
        for kind in ("tess", "npy"):
            answer, data = self.post("/v1/decode", self.coded[kind])
            self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "audio/wav"))
            self.assertEqual(int(answer.headers["Content-Length"]), len(data))
            self.assertEqual(data, self.sound)

    def test_json_there_and_back(self):
        _, text = self.post("/v1/encode?layout=TK", self.source)
        words = json.loads(text)
        self.assertEqual((words["layout"], words["n_frames"]), ("TK", FRAMES))
        self.assertEqual(self.post("/v1/decode", text)[1], self.sound)

    def test_curl(self):
        tess = curl("-H", "Accept: application/x-tess", "--data-binary", f"@{self.folder}/in.wav",
                    "-H", "Content-Type: audio/wav", self.url + "/v1/encode")
        self.assertEqual(tess, self.coded["tess"])
        form = curl("-F", f"file=@{self.folder}/in.wav", self.url + "/v1/encode")
        self.assertEqual(form, self.coded["json"])
        wide = curl("-F", f"file=@{self.folder}/in.tess",
                    self.url + "/v1/decode?float=1&rate=96000")
        self.assertEqual(wide, self.wide)

    def test_refusals(self):
        for status, path, body, headers, word in (
                (400, "/v1/encode", b"", {}, "empty"),
                (400, "/v1/encode", b"text", {}, "not a sound file"),
                (400, "/v1/encode?model=other", b"", {}, "'other'"),
                (400, "/v1/encode?layout=T", b"", {}, "layout=T"),
                (406, "/v1/encode", b"", {"Accept": "image/png"}, "application/json"),
                (400, "/v1/encode", FLAC.read_bytes()[:60000], {}, "sound"),
                (400, "/v1/decode", self.coded["tess"][:-100], {}, ""),
                (413, "/v1/decode", b"{" + bytes(1 << 20), {}, ".tess")):
            answer, data = self.post(path, body, **headers)
            error = json.loads(data)["error"]
            self.assertEqual((answer.status, error["code"]), (status, status), error)
            self.assertIn(word, error["message"])
        self.assertEqual(self.post("/v1/encode", self.source)[1], self.coded["json"])

    def test_many_at_once(self):
        def one(i):
            path, body, right = (("/v1/encode", self.source, self.coded["json"]),
                                 ("/v1/decode", self.coded["npy"], self.sound))[i % 2]
            return self.post(path, body)[1] == right

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            self.assertTrue(all(pool.map(one, range(6))))


class Clients(WithDaemon):
    options = "--slow-timeout", "3600000"  # the slow reader is to be held here, not dropped

    def test_slow_reader(self):
        """What nobody reads is not computed, and is all there later."""
        decoded = self.metric("frames_decoded_total")
        s, start = self.ask_for_wide()
        for _ in range(2):  # others are served meanwhile
            self.assertEqual(self.post("/v1/encode", self.source)[1], self.coded["json"])
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
        for _ in range(3):
            self.ask_for_wide()[0].close()
            self.dial(half).close()
        until(lambda: self.metric('jobs_total{result="failed"}') == failed + 6, PATIENCE)
        self.assertEqual(self.metric("jobs_active") + self.metric("jobs_waiting"), 0)
        self.assertEqual(self.metric("streams_active"), 0)
        until(lambda: self.daemon.n_files() <= files)


class FullQueue(WithDaemon):
    options = "--max-jobs", "1"

    def test_queue(self):
        """A job counts from its head on; who comes then is told to come again."""
        body = self.source
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
        raw = self.sound[44:] * (600 // SECONDS)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(self.post, "/v1/encode?raw=s16le", raw, Accept=TYPES["tess"])
                    for _ in range(4)]
            said = subprocess.run([pathlib.Path(build, "bin/load"), str(self.daemon.port), "40", "30", "0",
                                   str(self.daemon.process.pid)],
                                  stdout=subprocess.PIPE, text=True, check=True).stdout
            print(said)
            for job in jobs:
                self.assertEqual(job.result()[0].status, 200)
        self.assertLess(float(re.search(r"p99 ([\d.]+)", said).group(1)), 40)


if __name__ == "__main__":
    build = os.path.abspath(sys.argv.pop(1))
    unittest.main()
