#!/usr/bin/env python3
"""Takes packaging/Containerfile's steps one by one, in folders made by debootstrap instead of images,
and runs what comes out as a container engine would.

Needs root, debootstrap and the Debian mirror that apt is configured with. Usage: test_containerfile.py
SOURCE BUILD
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from daemon import Client, Daemon
from test_daemon_trust import encode


def run(*words, **options):
    print("+", *words, flush=True)
    return subprocess.run(words, check=True, **options)


def mirror(suite):
    """Where this machine's apt gets the suite."""
    sites = subprocess.run(["apt-get", "indextargets", "--format", "$(RELEASE) $(SITE)"], check=True,
                           stdout=subprocess.PIPE, text=True).stdout
    return re.search(rf"^{suite} (\S+)$", sites, re.M).group(1)


class Stage:
    """What a FROM begins: a root folder, and who runs in it with which variables."""

    def __init__(self, root, base):
        self.root, self.user = root, "root"
        self.environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        run("cp", "-a", base, root)
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        run("mount", "--bind", "/proc", root / "proc")

    def close(self):
        run("umount", self.root / "proc")

    def enter(self):
        """The words before a command that is to run inside."""
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return ["chroot", f"--userspec={self.user}", self.root, "env", "-i", *variables]


class Build:
    def __init__(self, source, folder):
        self.source, self.folder = source, folder
        self.stages = {}  # by name; the last is being built
        self.entrypoint = None

    def step(self, instruction, words):
        print(f"-- {instruction} {words}", flush=True)
        steps = {"FROM": self.begin, "COPY": self.copy, "RUN": self.run, "ENV": self.set, "USER": self.become,
                 "EXPOSE": self.expose, "ENTRYPOINT": self.enter}
        steps[instruction](words)

    @property
    def stage(self):
        return list(self.stages.values())[-1]

    def begin(self, words):
        suite, name = re.fullmatch(r"debian:(\w+)(?: AS (\w+))?", words).groups()
        base = self.folder / suite
        if not base.exists():
            run("debootstrap", "--variant=minbase", suite, base, mirror(suite), stdout=subprocess.DEVNULL)
        self.stages[name] = Stage(self.folder / f"stage{len(self.stages)}", base)

    def copy(self, words):
        of_stage = re.fullmatch(r"--from=(\w+) /(\w+) /", words)
        if of_stage:
            name, path = of_stage.groups()
            run("cp", "-a", f"{self.stages[name].root}/{path}/.", self.stage.root)
            return
        to = self.stage.root / re.fullmatch(r"\. /(\w+)", words).group(1)
        to.mkdir()
        archive = subprocess.run(["git", "-C", self.source, "archive", "HEAD"], check=True,
                                 stdout=subprocess.PIPE).stdout
        run("tar", "-x", "-C", to, input=archive)

    def run(self, words):
        run(*self.stage.enter(), "sh", "-c", words)

    def set(self, words):
        name, value = words.split("=", 1)
        self.stage.environment[name] = value

    def become(self, words):
        self.stage.user = words

    def expose(self, words):
        assert words == "7207 7208", words

    def enter(self, words):
        self.entrypoint = json.loads(words)

    def close(self):
        for stage in self.stages.values():
            stage.close()


def check(stage, entrypoint, build):
    """It refuses to start without keys; with them it serves the codes that this machine's build gives."""
    done = subprocess.run([*stage.enter(), *entrypoint], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2, done
    keys = stage.root / "etc/tessera/api-keys"
    keys.parent.mkdir()
    keys.write_text("a-key\n")
    with Daemon(build) as daemon:
        want = encode(daemon.connect())
    root, program = os.path.split(os.path.dirname(entrypoint[0]))
    assert program == "bin" and entrypoint == [f"{root}/bin/tesserad"], entrypoint
    run(*stage.enter(), f"{root}/bin/tessera", "encode", "--help", stdout=subprocess.DEVNULL)  # the command, too
    with Daemon(root, wrapper=stage.enter()) as daemon:
        port = int(re.search(r"native protocol on 0\.0\.0\.0:(\d+)", daemon.log()).group(1))
        assert encode(Client(("127.0.0.1", port), key="a-key")) == want


def main():
    source, build = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    text = (source / "packaging/Containerfile").read_text()
    steps = re.findall(r"^([A-Z]+) (.*)$", text, re.M)
    with tempfile.TemporaryDirectory() as folder:
        made = Build(source, pathlib.Path(folder))
        try:
            for instruction, words in steps:
                made.step(instruction, words)
            check(made.stage, made.entrypoint, build)
        finally:
            made.close()  # before the folder goes, and with it what is mounted there


if __name__ == "__main__":
    main()
