#!/usr/bin/env python3
"""The Python package's wheel, and a virtual environment that it is installed in.

    make_environment.py wheel SOURCE BUILD   builds the wheel and installs it, with what it names itself
    make_environment.py more SOURCE BUILD    then adds what requirements.txt names

Everything lies in BUILD/python, is made once, and again where it is not up to date: packages when their
list changed, the wheel always (compiled files that did not change are kept).
"""

import hashlib
import pathlib
import subprocess
import sys
import venv

REQUIREMENTS = pathlib.Path(__file__).parent / "requirements.txt"


def run(*words):
    subprocess.run([str(word) for word in words], check=True)


def make_wheel(source, folder, python):
    if not python.exists():
        venv.create(folder / "env", with_pip=True, clear=True)
    run(python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder / "wheel",
        "--config-settings", f"build-dir={folder / 'build'}", source / "clients/python")
    wheel, = (folder / "wheel").glob("*.whl")
    run(python, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", wheel)
    run(python, "-m", "pip", "install", "-q", wheel)


def add_more(folder, python):
    stamp = folder / "requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    run(python, "-m", "pip", "install", "-q", "-r", REQUIREMENTS)
    stamp.write_text(wanted)


def main(what, source, build):
    folder = pathlib.Path(build) / "python"
    python = folder / "env/bin/python"
    if what == "wheel":
        make_wheel(pathlib.Path(source), folder, python)
    else:
        add_more(folder, python)


if __name__ == "__main__":
    main(*sys.argv[1:])
