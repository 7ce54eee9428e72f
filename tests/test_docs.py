#!/usr/bin/env python3
"""Runs every command that the documentation shows.

README.md and docs/*.md: fenced blocks with the info string `sh`. docs/man/*: lines between .EX and
.EE under EXAMPLES. Each line is a command (a backslash at its end joins the next one to it, a line
that starts with # is a comment) and must exit with 0. A document's commands run in order, with
bash, in one temporary folder where build/bin comes first in PATH and which holds

    speech.wav      four seconds of speech, 24 kHz, 16 bit, mono
    recordings/     a folder with two copies of it, a.wav and b.wav

Blocks for other ears (output, C, other shells) carry another info string. Not run, because they
install, build, or need a sound card, are the commands that begin like one of SKIPPED.

Usage: test_docs.py SOURCE BUILD
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import wave

SKIPPED = (
    "sudo ", "apt-get ", "git clone ", "cd tessera",  # getting it
    "make", "cmake ", "ctest ", ".ci/",               # building it: continuous checks do it
    "tessera mic", "tessera play",                    # need a sound card
    "tessera bench",                                  # minutes; has a test of its own
    "man ",                                           # need not be installed
)


def join_lines(lines):
    """One string a command: continuation lines joined, blank lines and comments left out."""
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [line.strip() for line in text.split("\n") if line.strip() and not line.startswith("#")]


def markdown_commands(text):
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)
    return [command for block in blocks for command in join_lines(block.split("\n"))]


def man_commands(text):
    examples = re.search(r"^\.SH EXAMPLES\n(.*?)(?=^\.SH |\Z)", text, re.M | re.S)
    blocks = re.findall(r"^\.EX\n(.*?)^\.EE$", examples.group(1), re.M | re.S) if examples else []
    plain = ((r"\-", "-"), (r"\(aq", "'"), (r"\(dq", '"'), (r"\&", ""), (r"\e", "\\"))
    commands = []
    for block in blocks:
        for escape, character in plain:
            block = block.replace(escape, character)
        commands += join_lines(block.split("\n"))
    return commands


def furnish(folder, source, environment):
    """Puts the sample files where a document's commands run."""
    command = "tessera encode -q tests/data/speech.flac - | tessera decode -q --raw - -"
    pcm = subprocess.run(command, shell=True, cwd=source, env=environment, check=True,
                         stdout=subprocess.PIPE).stdout
    (folder / "recordings").mkdir()
    for name in ("speech.wav", "recordings/a.wav", "recordings/b.wav"):
        with wave.open(str(folder / name), "wb") as sound:
            sound.setparams((1, 2, 24000, 0, "NONE", ""))
            sound.writeframes(pcm[: 4 * 24000 * 2])


def run(commands, folder, environment):
    """Runs the commands in order; returns how many ran and which failed."""
    n_run, failed = 0, []
    for command in commands:
        if command.startswith(SKIPPED):
            print(f"  skip  {command}")
            continue
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=folder, env=environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=300)
        n_run += 1
        print(f"  {done.returncode:4}  {command}")
        if done.returncode != 0:
            failed.append(command)
            print(done.stdout.decode(errors="replace"))
    return n_run, failed


def main():
    source, build = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    documents = {source / "README.md": markdown_commands}
    documents |= {path: markdown_commands for path in sorted(source.glob("docs/*.md"))}
    documents |= {path: man_commands for path in sorted(source.glob("docs/man/*.[1-8]"))}

    environment = dict(os.environ, PATH=f"{build}/bin:{os.environ['PATH']}")
    environment.pop("TESSERA_MODEL", None)
    total, failures = 0, []
    for path, commands_of in documents.items():
        commands = commands_of(path.read_text())
        if not commands and path.suffix == ".md" and path.name != "README.md":
            continue  # a page of prose; README.md and the manual have something to run
        print(path.relative_to(source))
        with tempfile.TemporaryDirectory() as folder:
            furnish(pathlib.Path(folder), source, environment)
            n_run, failed = run(commands, folder, environment)
        total += n_run
        failures += failed if n_run else [f"{path.name} shows no command"]
    print(f"{total} commands, failed: {failures or 'none'}")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
