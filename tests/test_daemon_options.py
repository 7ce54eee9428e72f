#!/usr/bin/env python3
"""tesserad's options: flags, variables, the file, and what refuses to start.

Usage: test_daemon_options.py BUILD [...]
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

from daemon import Daemon, ServerError
from test_daemon_trust import encode

build = None


class Options(unittest.TestCase):
    def print_config(self, *words, environment=None):
        done = subprocess.run([f"{build}/bin/tesserad", "--print-config", *words], check=True,
                              env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, text=True)
        rows = [re.fullmatch(r"(\S+) = (.*?) +# (.*)", line) for line in done.stdout.splitlines()]
        return {row.group(1): (row.group(2), row.group(3)) for row in rows}

    def words(self, name, value):
        """A flag's value stands apart from it, or for on or off is left out."""
        return [f"--{name}"] if name in ("insecure", "log-addresses") else [f"--{name}", value]

    def test_every_row(self):
        """Each option as a flag, as a variable and in a file; the first of the three counts."""
        defaults = self.print_config()
        self.assertGreater(len(defaults), 20)
        for name, (value, source) in defaults.items():
            self.assertEqual(source, "default", name)
            if name in ("insecure", "log-addresses"):
                one, two, three = "1", "0", "1"
            elif name == "threads":
                one, two, three = "1", "2", "3"
            elif value.isdigit():
                low = {"max-backlogs": 1048576, "max-backlog": 262144}.get(name, 1000)
                one, two, three = str(low + 24), str(low + 25), str(low + 26)
            elif name == "log-format":
                one, two, three = "json", "text", "json"
            else:
                one, two, three = "one", "two", "three"
            variable = {"TESSERA_" + name.upper().replace("-", "_"): two}
            with tempfile.NamedTemporaryFile("w") as file:
                file.write(f"# a comment\n\n  {name} =  {three} # why\n")
                file.flush()
                config = "--config", file.name
                for got, want in (
                        (self.print_config(*config), (three, "file")),
                        (self.print_config(*config, environment=variable), (two, "environment")),
                        (self.print_config(*config, f"--{name}={one}", environment=variable),
                         (one, "command line")),
                        (self.print_config(*self.words(name, one)), (one, "command line")),
                        (self.print_config(environment={"TESSERA_CONFIG": file.name}), (three, "file"))):
                    self.assertEqual(got[name], want, name)
                    self.assertEqual({n for n in got if got[n] != defaults[n]} - {name}, set())

    def test_print_config_is_a_config(self):
        printed = subprocess.run([f"{build}/bin/tesserad", "--print-config", "--max-clients", "7",
                                  "--unix", "/tmp/a#b.sock"], stdout=subprocess.PIPE, text=True).stdout
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(printed)
            file.flush()
            again = self.print_config("--config", file.name)
        self.assertEqual(again["max-clients"], ("7", "file"))
        self.assertEqual(again["unix"], ("/tmp/a#b.sock", "file"))

    def test_long_line(self):
        """A line is read whole or refused, never in two."""
        for n, told in (4000, ""), (4200, "tesserad: --config {}, line 2: the line: is longer than 4094 bytes\n"):
            with tempfile.NamedTemporaryFile("w") as file:
                file.write(f"\nunix = /{'x' * n}\n")
                file.flush()
                done = subprocess.run([f"{build}/bin/tesserad", "--print-config", "--config", file.name],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertEqual((done.returncode, done.stderr), (2 if told else 0, told.format(file.name)))

    def test_refused(self):
        for words in (["--nothing"], ["file"], ["--port"], ["--port", "65536"], ["--port", "x"],
                      ["--max-clients", "0"], ["--max-clients", "9" * 30], ["--log-format", "xml"],
                      ["--config", "/nonexistent/tesserad.conf"], ["--host", "0.0.0.0", "--port", "0", "--unix", ""],
                      ["--host", "0.0.0.0", "--port", "0", "--insecure"], ["--allow-origin", "https://a.b/"],
                      ["--allow-origin", "a.b"],
                      ["--api-key-file", "/nonexistent/tesserad.conf"], ["--api-key-file", "/dev/null"]):
            done = subprocess.run([f"{build}/bin/tesserad", *words], stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 2, (words, done.stderr))
            self.assertNotEqual(done.stderr, "")
        done = subprocess.run([f"{build}/bin/tesserad", "--config", "/usr"], stderr=subprocess.PIPE, text=True)
        self.assertEqual((done.returncode, done.stderr), (2, "tesserad: --config /usr: Is a directory\n"))
        done = subprocess.run([f"{build}/bin/tesserad"], stderr=subprocess.PIPE, text=True,
                              env={**os.environ, "TESSERA_MAX_CLIENTS": "many"})
        self.assertEqual(done.returncode, 2)
        self.assertIn("tesserad: TESSERA_MAX_CLIENTS", done.stderr)
        done = subprocess.run([f"{build}/bin/tesserad", "--model", "nobody"], stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("weights/nobody.safetensors", done.stderr)
        with tempfile.NamedTemporaryFile("w") as keys:
            keys.write("secret\n")
            keys.flush()
            words = ["--host", "0.0.0.0", "--port", "0", "--api-key-file", keys.name]
            done = subprocess.run([f"{build}/bin/tesserad", *words], stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 2, done.stderr)
        done = subprocess.run([f"{build}/bin/tesserad", "--model", "/nonexistent.safetensors"],
                              stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)

    def test_help_and_version(self):
        for word, text in (("--help", "--max-clients"), ("--version", "tesserad ")):
            done = subprocess.run([f"{build}/bin/tesserad", word], stdout=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 0)
            self.assertIn(text, done.stdout)

    def test_full_disk(self):
        for word in ("--help", "--version", "--print-config"):
            with open("/dev/full", "w") as full:
                done = subprocess.run([f"{build}/bin/tesserad", word], stdout=full, stderr=subprocess.PIPE, text=True)
            self.assertEqual((done.returncode, done.stderr),
                             (1, "tesserad: standard output: No space left on device\n"), word)

    def test_manual(self):
        """The manual page has every option, its default, and no other."""
        page = pathlib.Path(__file__).parent.parent.joinpath("docs/man/tesserad.8").read_text()
        options = re.search(r"^\.SH OPTIONS$(.*?)^\.SH ", page, re.M | re.S).group(1).replace("\\-", "-")
        entries = re.findall(r"^\.TP\n\.BR? .*?--([a-z-]+)(.*?)(?=^\.TP|^\.SS|\Z)", options, re.M | re.S)
        printed = subprocess.run([f"{build}/bin/tesserad", "--help"], stdout=subprocess.PIPE, text=True).stdout
        helped = re.findall(r"^  (?:-\w, )?--([a-z-]+)", printed, re.M)
        self.assertEqual(sorted(name for name, _ in entries), sorted(helped))
        for name, (default, _) in self.print_config().items():
            if default:
                self.assertIn(f"\n[{default}]\n", dict(entries)[name], name)

    def test_models(self):
        """Two names for one file are two models; the first is the default."""
        path = os.path.join(os.path.dirname(__file__), "..", "weights", "tessera-24k-speech.safetensors")
        with Daemon(build, "--model", f"a={path}", "--model", f"b={path}") as daemon:
            client = daemon.connect()
            self.assertEqual([m["name"] for m in client.ready["models"]], ["a", "b"])
            self.assertEqual(client.open(1, direction="encode").opened["model"], "a")
            self.assertEqual(client.open(2, direction="encode", model="b").opened["model"], "b")
            client.close()

    def test_keys(self):
        with tempfile.NamedTemporaryFile("w") as keys:
            keys.write("# ours\n\nfirst-key\nsecond-key\n")
            keys.flush()
            with Daemon(build, "--api-key-file", keys.name, "--log-format", "json") as daemon:
                for key in ("first-key", "second-key"):
                    encode(daemon.connect(key=key))
                for key in (None, "", "first", "first-key ", "first-keyy", "# ours", "x" * 1000):
                    client = daemon.connect(hello=False)
                    with self.assertRaises(ServerError) as raised:
                        client.hello(key)
                    self.assertEqual(raised.exception.code, 401)
                    client.close()
                self.assertNotIn("-key", daemon.log())
                lines = [json.loads(line) for line in daemon.log().splitlines()]
                self.assertIn("drop", {line["event"] for line in lines})


if __name__ == "__main__":
    build = os.path.abspath(sys.argv.pop(1))
    unittest.main(warnings="ignore")  # a test's clients may go with their daemon
