#!/usr/bin/env python3
"""tesserad with a model that has an option of its own: over a stream, over HTTP and from the command it
comes to the same.

Usage: test_daemon_families.py BUILD MODELS [...], MODELS being what make_models.py made.
"""

import pathlib
import subprocess
import sys
import tempfile
import unittest
from urllib.parse import quote

from daemon import Daemon, ServerError
from web import ask

SPEECH = pathlib.Path(__file__).parent / "data/speech.flac"
SECONDS = 1
build = models = None


def tessera(*words, stdin=b""):
    return subprocess.run([pathlib.Path(build, "bin/tessera"), *map(str, words)], input=stdin, check=True,
                          stdout=subprocess.PIPE).stdout


class Option(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.model = pathlib.Path(models, "languagecodec_24k.safetensors")
        cls.daemon = cls.enterClassContext(Daemon(build, "--model", f"lc={cls.model}"))
        cls.tess = folder / "speech.tess"
        sound = tessera("decode", "-q", "--raw", "-", "-", stdin=tessera("encode", "-q", SPEECH, "-"))
        encode = "encode", "-q", "--raw", "--raw-rate", 24000, "--raw-chan", 1, "-m", cls.model, "-"
        sound = sound[:SECONDS * 24000 * 2]
        tessera(*encode, cls.tess, stdin=sound)
        cls.codes = tessera(*encode, "-", "--format", "npy", stdin=sound)[-SECONDS * 75 * 8 * 2:]
        cls.wanted = [tessera("decode", "-q", "--raw", "-m", cls.model, "--option", f"bandwidth_id={i}", cls.tess, "-")
                      for i in (0, 1)]

    def test_streams(self):
        self.assertNotEqual(*self.wanted)
        client = self.daemon.connect()
        model, = client.ready["models"]
        self.assertEqual(list(model["options"]), ["bandwidth_id"])
        for i, options in enumerate(({}, {"bandwidth_id": 1})):
            stream = client.open(1, direction="decode", options=options)
            self.assertEqual(stream.opened["options"], {"bandwidth_id": i})
            stream.put_codes(self.codes, 16 * 25)
            stream.end()
            self.assertEqual(stream.finish().pcm_bytes[:len(self.wanted[i])], self.wanted[i])
        for bad in ({"bandwidth_id": model["options"]["bandwidth_id"] + 1}, {"bandwidth_id": -1},
                    {"bandwidth_id": 0, "x": 1}, {"x": 1}, [1], 1):
            with self.assertRaises(ServerError) as raised:
                client.open(1, direction="decode", options=bad)
            self.assertEqual(raised.exception.code, 400)
            self.assertIn('{"bandwidth_id": 0 to', raised.exception.text)
        client.close()

    def test_http(self):
        for i, query in enumerate(("", "?option=bandwidth_id%3D1")):
            answer = ask(self.daemon.http_port, "POST", f"/v1/decode{query}", self.tess.read_bytes())
            self.assertEqual((answer.status, answer.body[44:]), (200, self.wanted[i]))
        for bad in ("bandwidth_id", "bandwidth_id=", "bandwidth_id=99", "x=1", "9" * 100):
            for path, body in (("decode", self.tess.read_bytes()), ("encode", SPEECH.read_bytes())):
                answer = ask(self.daemon.http_port, "POST", f"/v1/{path}?option={quote(bad)}", body)
                self.assertEqual(answer.status, 400, bad)
                self.assertIn("option", answer.error())


if __name__ == "__main__":
    build, models = sys.argv.pop(1), sys.argv.pop(1)
    unittest.main(warnings="ignore")
