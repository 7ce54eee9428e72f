#!/usr/bin/env python3
"""What `tessera completion` prints completes words in real shells: bash, and zsh and fish where they are.

Usage: test_completion.py BUILD_BIN [unittest options]
"""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
import unittest

from cli import BIN, USAGE, Case, environment

VERBS = ("encode", "decode", "info", "verify", "bench", "batch", "quantize", "mic", "play", "models",
         "completion")
ECHO = "tessera() { printf '<%s>' \"$@\"; echo; }"  # what the line has become


class Terminal:
    """A shell that thinks that somebody types."""

    def __init__(self, words, folder):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(words[0], words, environment(TERM="vt100", PS1="ready", HOME=str(folder),
                                                    INPUTRC="/dev/null", HISTFILE=""))
        self.text = ""

    def until(self, pattern):
        deadline = time.monotonic() + 60
        while not (found := re.search(pattern, self.text)):
            if not select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"no {pattern!r} in {self.text!r}")
            self.text += os.read(self.fd, 4096).decode(errors="replace")
        self.text = self.text[found.end():]
        return found.group()

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def close(self):
        os.close(self.fd)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Completion(Case):
    def setUp(self):
        super().setUp()
        for shell, name in (("bash", "tessera.bash"), ("zsh", "_tessera"), ("fish", "tessera.fish")):
            self.path(name).write_bytes(self.run_it("completion", shell).stdout)
        self.path("a sound.wav").write_bytes(b"")

    def completed(self, terminal, keys):
        terminal.type(keys + "\r")
        return re.findall("<([^<>]*)>", terminal.until(r"(<[^<>\r\n]*>)+\r?\n"))

    def at_a_terminal(self, words, setup):
        terminal = Terminal(words, self.folder)
        self.addCleanup(terminal.close)
        terminal.until("ready")
        terminal.type(f"{setup}; {ECHO}; echo set''up\r")
        terminal.until("setup\r?\n")
        self.assertEqual(self.completed(terminal, "tessera enc\t"), ["encode"])
        self.assertEqual(self.completed(terminal, "tessera encode a\\ s\t"), ["encode", "a sound.wav"])
        self.assertEqual(self.completed(terminal, "tessera models sh\t"), ["models", "show"])
        self.assertEqual(self.completed(terminal, "tessera mic --list\t"), ["mic", "--list-devices"])
        self.assertEqual(self.completed(terminal, "tessera batch --format=web\t"),
                         ["batch", "--format=webdataset"])
        self.assertEqual(self.completed(terminal, "tessera decode --rate so\t"),
                         ["decode", "--rate", "source"])

    def test_bash(self):
        self.at_a_terminal(["bash", "--norc", "--noprofile", "-i"], "source ./tessera.bash")

    @unittest.skipUnless(shutil.which("zsh"), "no zsh here")
    def test_zsh(self):
        self.at_a_terminal(["zsh", "-f", "-i"],
                           "fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D")

    @unittest.skipUnless(shutil.which("fish"), "no fish here")
    def test_fish(self):
        for line, words in (("enc", ["encode"]), ("encode a\\ s", ["a sound.wav"]),
                            ("models sh", ["show"]), ("mic --list", ["--list-devices"]),
                            ("batch --format=web", ["--format=webdataset"]),
                            ("decode --rate so", ["source"])):
            command = f"source tessera.fish; complete -C'tessera {line}'"
            done = subprocess.run(["fish", "--no-config", "-c", command], stdout=subprocess.PIPE,
                                  cwd=self.folder, check=True, env=environment(HOME=str(self.folder)))
            self.assertEqual([w.split("\t")[0] for w in done.stdout.decode().splitlines()], words)

    def test_all_verbs_and_options(self):
        """bash offers just what --help lists."""
        def offered(*words):
            line = " ".join(("tessera", *words))
            command = (f"source ./tessera.bash; COMP_WORDS=({line}); COMP_CWORD={len(words)}; "
                       "_tessera; echo ${COMPREPLY[@]}")
            done = subprocess.run(["bash", "-c", command], cwd=self.folder, stdout=subprocess.PIPE)
            return done.stdout.decode().split()
        self.assertEqual(sorted(offered("''")), sorted(("--help", "--version", *VERBS)))
        for verb in VERBS:
            shown = self.run_it(verb, "--help").stdout.decode()
            options = re.findall(r"^ +(?:-\w, )?(--[\w-]+)", shown, re.M)
            self.assertGreater(len(options), 3)
            self.assertEqual(sorted(offered(verb, "--")), sorted(options))

    def test_usage(self):
        self.fails(USAGE, "completion", says=["bash | zsh | fish"])
        self.fails(USAGE, "completion", "tcsh", says=["tcsh", "bash, zsh or fish"])


if __name__ == "__main__":
    unittest.main()
