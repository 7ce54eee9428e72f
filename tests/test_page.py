#!/usr/bin/env python3
"""The daemon's page in a real browser: what it sends, shows and saves is what the command computes.
Pictures of the page are left in BUILD/page.

Usage: test_page.py BUILD [...]
"""

import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy

from browser import Chromium
from daemon import Daemon

SPEECH = pathlib.Path(__file__).parent / "data/speech.flac"
WEIGHTS = pathlib.Path(__file__).parent.parent / "weights"
RATE, HOP = 24000, 320
build = None


def tessera(*words, stdin=b""):
    return subprocess.run([pathlib.Path(build, "bin/tessera"), *map(str, words)], input=stdin, check=True,
                          stdout=subprocess.PIPE).stdout


def encode_raw(pcm, kind="tess"):
    return tessera("encode", "-q", "--raw", "--raw-rate", RATE, "--raw-chan", 1, "--format", kind, "-", "-", stdin=pcm)


def decode_raw(codes):
    return tessera("decode", "-q", "--raw", "-", "-", stdin=codes)


class Case(unittest.TestCase):
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.pictures = pathlib.Path(build, "page")
        cls.pictures.mkdir(exist_ok=True)
        cls.wav = cls.folder / "speech.wav"
        cls.wav.write_bytes(tessera("decode", "-q", "-", "-", stdin=tessera("encode", "-q", SPEECH, "-")))
        cls.daemon = cls.enterClassContext(Daemon(build, *cls.options))
        cls.browser = cls.enterClassContext(Chromium(cls.wav))

    def open(self):
        page = self.browser.page(f"http://127.0.0.1:{self.daemon.http_port}/")
        page.size(1100, 820)
        self.addCleanup(page.close)
        return page

    def speak(self, page, seconds):
        page.tab_to("speak")
        page.key(" ")
        page.until(f"state.live?.take.pcm.length > {seconds * RATE}")

    def well(self, page):
        """Nothing to complain of, and nobody else asked."""
        self.assertEqual(page.problems, [])
        origin = f"://127.0.0.1:{self.daemon.http_port}/"
        foreign = [url for url in page.requests if origin not in url and not url.startswith("blob:")]
        self.assertEqual(foreign, [])

    def saved(self, page, link, name):
        page.tab_to(link)
        page.key("Enter")
        return self.browser.downloaded(name)


class Speaking(Case):
    def test_keyboard(self):
        """From the microphone to the files, by Tab, Space and Enter alone."""
        page = self.open()
        self.speak(page, 3)
        page.evaluate("globalThis.kept = { ...state.live.take }")  # codes and sound as they came live
        page.screenshot(self.pictures / "live.png")
        page.key(" ")
        page.until("state.phase === 'idle'")
        self.assertEqual(page.focused(), "speak")
        pcm = page.bytes("kept.pcm.all()")
        self.assertEqual(len(pcm) % (2 * HOP), 0)
        self.assertGreater(len(set(pcm)), 200)  # not silence
        expected = encode_raw(pcm)
        self.assertEqual(self.saved(page, "save-tess", "speech.tess"), expected)
        self.assertEqual(page.bytes("kept.codes.all()"), page.bytes("state.take.codes.all()"))
        self.assertEqual(page.bytes("kept.codes.all()"), numpy.load(io.BytesIO(encode_raw(pcm, "npy"))).tobytes())
        self.assertEqual(page.bytes("kept.decoded.all()"), decode_raw(expected))
        wav = self.saved(page, "save-wav", "speech.wav")
        self.assertEqual(wav[44:], decode_raw(expected))
        self.assertIn("3.00 kb/s", page.text("#rate"))
        for figure in ("#codes-after", "#sound-after"):
            self.assertRegex(page.text(figure), r"^\d+ ms$")
        self.well(page)

    def test_listening(self):
        """Both sounds play, and one goes on where the other was."""
        page = self.open()
        self.speak(page, 2)
        page.key(" ")
        page.until("state.phase === 'idle'")
        page.tab_to("play-in")
        page.key(" ")
        page.until("document.getElementById('position').value > 20")
        page.tab_to("play-out")
        page.key(" ")
        page.until("document.getElementById('play-out').ariaPressed === 'true'")
        self.assertGreater(page.evaluate("Number(document.getElementById('position').value)"), 20)
        page.until("document.getElementById('play-out').ariaPressed === 'false'")  # its end
        self.well(page)

    def test_motion(self):
        """The picture runs, or where motion is not wanted is turned like a page."""
        page = self.open()
        page.size(360, 740)
        self.speak(page, 2)
        running = "state.first === Math.max(0, state.live.take.frames - document.getElementById('codes').width)"
        page.until(running + " && state.first > 0")
        page.media(prefers_reduced_motion="reduce")
        page.until("state.first > 0 && state.first % document.getElementById('codes').width === 0")
        page.key(" ")
        page.until("state.phase === 'idle'")


class Files(Case):
    def test_drop(self):
        page = self.open()
        page.drop(self.wav)
        page.until("state.take?.wav")
        expected = tessera("encode", "-q", self.wav, "-")
        self.assertEqual(self.saved(page, "save-tess", "speech.tess"), expected)
        self.assertEqual(page.bytes("state.take.decoded.all()"), decode_raw(expected))
        page.screenshot(self.pictures / "desktop.png")
        page.evaluate("document.querySelector('[name=codebooks]:checked').focus()")
        page.key("ArrowLeft")
        page.until("state.take.codebooks === 2 && state.take.wav")
        half = tessera("encode", "-q", "--codebooks", 2, self.wav, "-")
        self.assertEqual(self.saved(page, "save-tess", "speech.tess"), half)
        self.assertIn("1.50 kb/s", page.text("#rate"))
        self.well(page)

    def test_only_browsers_read(self):
        """WebM is none of the daemon's formats: the browser's samples are coded."""
        page = self.open()
        page.evaluate("""await (async () => {
            const context = new AudioContext(), to = context.createMediaStreamDestination();
            await context.resume();
            const tone = new OscillatorNode(context), recorder = new MediaRecorder(to.stream);
            tone.connect(to);
            tone.start();
            const chunk = new Promise(done => { recorder.ondataavailable = e => done(e.data); });
            recorder.start();
            await new Promise(done => { tone.onended = done; tone.stop(context.currentTime + 0.5); });
            recorder.stop();
            const data = new DataTransfer();
            data.items.add(new File([await chunk], 'tone.webm'));
            dispatchEvent(new DragEvent('drop', { dataTransfer: data }));
        })()""")
        page.until("state.take?.tess")
        pcm = page.bytes("state.take.pcm.all()")
        self.assertGreater(len(pcm), RATE // 2)
        self.assertEqual(self.saved(page, "save-tess", "tone.tess"), encode_raw(pcm))

    def test_no_sound(self):
        page = self.open()
        page.drop(__file__)
        page.until("document.querySelector('#status.bad')")
        self.assertIn("cannot read that file", page.text("#status"))
        page.drop(self.wav)
        page.until("state.take?.tess")

    def test_phone(self):
        for scheme in ("light", "dark"):
            page = self.open()
            page.media(prefers_color_scheme=scheme)
            for width in (1100, 360):
                page.size(width, 780, scale=2)
                self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), width)
                page.drop(self.wav)
                page.until("state.phase === 'idle' && state.take?.tess")
                page.evaluate("await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
                self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), width)
                page.screenshot(self.pictures / f"{scheme}-{width}.png")

    def test_focus(self):
        """All that can be used is reached by Tab, seen to be, and has a name."""
        page = self.open()
        page.drop(self.wav)
        page.until("state.phase === 'idle' && state.take?.tess")
        page.evaluate("document.activeElement.blur()")
        for element in ("speak", "choose", "mute", "play-in", "play-out", "position", "save-tess", "save-wav"):
            page.tab_to(element)
            self.assertNotEqual(page.evaluate("getComputedStyle(document.activeElement).outlineStyle"), "none", element)
            self.assertTrue(page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel || "
                                          "document.activeElement.labels[0].innerText"), element)


def at_rate(rate, path):
    """The default model for sound of another rate: the same numbers, so another model."""
    data = (WEIGHTS / "tessera-24k-speech-int8.safetensors").read_bytes()
    n = int.from_bytes(data[:8], "little")
    head = json.loads(data[8:8 + n])
    config = json.loads(head["__metadata__"]["tessera.config"])
    head["__metadata__"]["tessera.config"] = json.dumps({**config, "sample_rate": rate})
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + n:])
    return path


class Models(Case):
    def choose(self, page, key, name):
        page.tab_to("models")
        page.key(key)
        page.until(f"state.model.name === {name!r} && state.phase === 'idle' && state.take.tess")

    def test_one(self):
        """Who has no choice is not asked."""
        self.assertEqual(self.open().evaluate("document.getElementById('choice').offsetParent"), None)

    def test_several(self):
        """The one that is chosen codes the file that is open, what is spoken, and what was spoken before."""
        flat, narrow = WEIGHTS / "tessera-24k-speech.safetensors", at_rate(16000, self.folder / "narrow.safetensors")
        models = "tessera-24k-speech-int8", f"a float & one={flat}", f"narrow={narrow}"
        raw = "encode", "-q", "--raw", "--raw-chan", 1, "-", "-"
        with Daemon(build, *(word for model in models for word in ("--model", model))) as daemon:
            page = self.browser.page(f"http://127.0.0.1:{daemon.http_port}/")
            self.addCleanup(page.close)
            page.drop(self.wav)
            page.until("state.phase === 'idle' && state.take?.tess")
            self.assertEqual(page.evaluate("document.getElementById('models').labels[0].firstChild.data"), "Model ")
            self.assertEqual(page.evaluate("state.take.model.name"), models[0])
            for name, model in ("a float & one", flat), ("narrow", narrow):
                self.choose(page, "ArrowDown", name)
                self.assertEqual(page.bytes("state.take.tess"), tessera("encode", "-q", "-m", model, self.wav, "-"))
            self.assertIn("16000 Hz", page.text("#model"))
            self.speak(page, 1)
            page.key(" ")
            page.until("state.phase === 'idle' && state.take.tess")
            pcm = page.bytes("state.take.pcm.all()")
            self.assertEqual(page.bytes("state.take.tess"), tessera(*raw, "--raw-rate", 16000, "-m", narrow, stdin=pcm))
            self.choose(page, "ArrowUp", "a float & one")
            again = page.bytes("state.take.pcm.all()")
            self.assertEqual(len(again), 3 * len(pcm) // 2)
            self.assertEqual(page.bytes("state.take.tess"), tessera(*raw, "--raw-rate", RATE, "-m", flat, stdin=again))
            page.screenshot(self.pictures / "models.png")
            self.assertEqual(page.problems, [])


class Trouble(Case):
    def test_killed(self):
        with Daemon(build) as daemon:
            page = self.browser.page(f"http://127.0.0.1:{daemon.http_port}/")
            self.addCleanup(page.close)
            self.speak(page, 1)
            daemon.process.kill()
            daemon.process.wait()
            page.until("document.querySelector('#status.bad')")
            self.assertIn("daemon does not answer", page.text("#status"))
            self.assertIn("is kept", page.text("#status"))
            self.assertEqual(page.evaluate("state.phase"), "idle")
            self.assertFalse(page.evaluate("document.getElementById('play-in').disabled"))
            daemon.process.returncode = 0  # as it was to be

    def test_full(self):
        with Daemon(build, "--max-streams", "1") as daemon:
            client = daemon.connect()
            client.open(1, direction="encode")
            page = self.browser.page(f"http://127.0.0.1:{daemon.http_port}/")
            self.addCleanup(page.close)
            page.tab_to("speak")
            page.key(" ")
            page.until("document.querySelector('#status.bad')")
            self.assertIn("full", page.text("#status"))
            client.close()
            page.until("state.phase === 'idle'")
            page.key(" ")
            page.until("state.phase !== 'busy'")

    def test_no_microphone(self):
        page = self.open()
        page.evaluate("navigator.mediaDevices.getUserMedia = async () => { "
                      "throw new DOMException('', 'NotAllowedError'); }")  # the fake microphone allows everything
        page.tab_to("speak")
        page.key(" ")
        page.until("document.querySelector('#status.bad')")
        self.assertIn("may not use the microphone", page.text("#status"))

    def test_key(self):
        keys = self.folder / "keys"
        keys.write_text("secret\n")
        with Daemon(build, "--api-key-file", str(keys)) as daemon:
            page = self.browser.page(f"http://127.0.0.1:{daemon.http_port}/")
            self.addCleanup(page.close)
            for key, phase in (("wrong", "away"), ("secret", "idle")):
                page.until("!document.getElementById('key-form').hidden && document.activeElement.id === 'key'")
                page.evaluate("document.activeElement.select()")
                page.type(key)
                page.key("Enter")
                page.until(f"state.key === '{key}' && state.phase === '{phase}'")
            page.drop(self.wav)
            page.until("state.take?.tess")
            self.assertTrue(page.evaluate("document.getElementById('key-form').hidden"))
            self.assertEqual([url for url in page.requests if "secret" in url], [])


if __name__ == "__main__":
    build = os.path.abspath(sys.argv.pop(1))
    unittest.main(warnings="ignore")
