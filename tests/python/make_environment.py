#!/usr/bin/env python3
"""The Python package's wheel, and a virtual environment that it is installed in.

    make_environment.py wheel SOURCE BUILD   builds the wheel and installs it, with what it names itself
    make_environment.py more SOURCE BUILD    then adds what requirements.txt names,
    make_environment.py quality SOURCE BUILD what weights/requirements.txt does

Everything lies in BUILD/python, is made once, and again where it is not up to date: packages when their
list changed, the wheel always (compiled files that did not change are kept).
"""

import hashlib
import pathlib
import subprocess
import sys
import venv

REQUIREMENTS = {"more": "tests/python/requirements.txt", "quality": "weights/requirements.txt"}


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


def add(part, source, folder, python):
    stamp, requirements = folder / f"{part}.sha256", source / REQUIREMENTS[part]
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    run(python, "-m", "pip", "install", "-q", "-r", requirements)
    stamp.write_text(wanted)


def main(part, source, build):
    source, folder = pathlib.Path(source), pathlib.Path(build) / "python"
    python = folder / "env/bin/python"
    if part == "wheel":
        make_wheel(source, folder, python)
    else:
        add(part, source, folder, python)


if __name__ == "__main__":
    main(*sys.argv[1:])
