"""A headless Chromium driven over its DevTools protocol, for the test of the daemon's page.

    with Chromium(microphone="speech.wav") as browser:
        page = browser.page("http://127.0.0.1:7208/")
        page.until("document.title")
"""

import base64
import json
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

from websockets.client import ClientConnection
from websockets.uri import parse_uri

FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-extensions
    --disable-background-networking --disable-component-update --disable-sync --remote-debugging-port=0
    --use-fake-device-for-media-stream --use-fake-ui-for-media-stream""".split()
KEYS = {"Tab": ("\t", 9), " ": (" ", 32), "Enter": ("\r", 13), "ArrowLeft": ("", 37), "ArrowRight": ("", 39),
        "ArrowUp": ("", 38), "ArrowDown": ("", 40)}


class Page:
    """A tab. What its console complained of is in problems, what it asked for in requests."""

    def __init__(self, address):
        self.number, self.partial, self.problems, self.requests = 0, b"", [], []
        where = parse_uri(address)
        self.socket = socket.create_connection((where.host, where.port), timeout=60)
        self.frames = ClientConnection(where, max_size=1 << 28)
        self.frames.send_request(self.frames.connect())
        self._flush()
        self._events()  # the handshake's answer
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def _flush(self):
        for data in self.frames.data_to_send():
            self.socket.sendall(data)

    def _events(self):
        while not (events := self.frames.events_received()):
            data = self.socket.recv(1 << 16)
            assert data, "Chromium has gone"
            self.frames.receive_data(data)
        return events

    def _messages(self):
        """What came, the JSON of whole messages."""
        for frame in self._events():
            self.partial += frame.data
            if frame.fin:
                yield json.loads(self.partial)
                self.partial = b""

    def _take(self, event):
        method, words = event["method"], event["params"]
        if method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(words["exceptionDetails"]))
        elif method == "Log.entryAdded" and words["entry"]["level"] == "error":
            self.problems.append(words["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and words["type"] in ("error", "warning", "assert"):
            self.problems.append(json.dumps(words["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(words["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.requests.append(words["url"])

    def call(self, method, **words):
        self.number += 1
        self.frames.send_text(json.dumps({"id": self.number, "method": method, "params": words}).encode())
        self._flush()
        result = None
        while result is None:
            for answer in self._messages():
                if "method" in answer:
                    self._take(answer)
                elif answer["id"] == self.number:
                    assert "error" not in answer, (method, answer["error"])
                    result = answer["result"]
        return result

    def evaluate(self, script):
        """The value of an expression, which may wait for promises."""
        script = f"(async () => {{ const {{ state }} = await import('/page.js'); return {script}; }})()"
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True,
                           userGesture=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, script, seconds=20):
        end = time.monotonic() + seconds
        while not self.evaluate(f"!!({script})"):
            assert time.monotonic() < end, (script, self.text("body"), self.problems)
            time.sleep(0.05)

    def close(self):
        self.call("Page.close")
        self.socket.close()

    def text(self, selector):
        return self.evaluate(f"document.querySelector({selector!r}).innerText")

    def bytes(self, array):
        """The bytes of a typed array."""
        return base64.b64decode(self.evaluate(
            f"await new Promise(done => {{ const r = new FileReader(); r.onload = () => done(r.result.split(',')[1]); "
            f"r.readAsDataURL(new Blob([{array}])); }})"))

    def key(self, name):
        text, code = KEYS.get(name, (name, 0))
        words = {"key": name, "code": "Space" if name == " " else name, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **words)
        self.call("Input.dispatchKeyEvent", type="keyUp", **words)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def focused(self):
        return self.evaluate("document.activeElement.id")

    def tab_to(self, element):
        """Only the way that a keyboard has."""
        for _ in range(40):
            if self.focused() == element:
                return
            self.key("Tab")
        raise AssertionError(f"#{element} is not reached by Tab")

    def drop(self, path):
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=100, y=200, data=data)

    def size(self, width, height, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                  mobile=width < 500)

    def media(self, **features):
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": name.replace("_", "-"), "value": value} for name, value in features.items()])

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))


class Chromium:
    def __init__(self, microphone, *flags):
        program = shutil.which("chromium")
        assert program, "chromium is not installed (.ci/packages)"
        self.folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self.path = pathlib.Path(self.folder.name)
        self.process = subprocess.Popen(
            [program, *FLAGS, f"--use-file-for-fake-audio-capture={microphone}%noloop",
             f"--user-data-dir={self.path}/profile", *flags, "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(self.path / "log").open("wb"))
        told, end = self.path / "profile/DevToolsActivePort", time.monotonic() + 60
        while not (told.exists() and "\n" in told.read_text()):
            assert self.process.poll() is None and time.monotonic() < end, (self.path / "log").read_text()
            time.sleep(0.05)
        self.port = int(told.read_text().split("\n")[0])

    def page(self, url):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request) as answer:
            page = Page(json.load(answer)["webSocketDebuggerUrl"])
        page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.path))
        page.call("Page.navigate", url=url)
        page.until("state.phase !== 'away' || document.querySelector('#status.bad')")
        return page

    def downloaded(self, name, seconds=30):
        """The bytes of a file that the page saved; it is then gone."""
        path, end = self.path / name, time.monotonic() + seconds
        while not path.exists():
            assert time.monotonic() < end, [p.name for p in self.path.iterdir()]
            time.sleep(0.05)
        data = path.read_bytes()
        path.unlink()
        return data

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()
