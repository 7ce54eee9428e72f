#!/usr/bin/env python3
"""Live two-way streams at the pace of the sound: every frame is answered.

With TESSERA_NIGHTLY=1 a hundred of them, for a minute and then, with a thousand idle connections, for ten:
99 of 100 frames within 40 ms, nobody dropped, a mebibyte a stream at most. Needs two cores that nobody
else uses. Usage: test_load.py BUILD
"""

import os
import pathlib
import re
import subprocess
import sys

from daemon import Daemon


def run(build, streams, seconds, idle):
    with Daemon(build, "--max-streams", "1000", "--idle-timeout", "0") as daemon:
        before = daemon.rss()
        done = subprocess.run([pathlib.Path(build) / "bin/load", str(daemon.port), str(streams),
                               str(seconds), str(idle), str(daemon.process.pid)],
                              stdout=subprocess.PIPE, text=True)
        print(done.stdout)
        assert done.returncode == 0, "a frame was not answered"
        assert "drop:" not in daemon.log()
        return float(re.search(r"p99 ([\d.]+)", done.stdout).group(1)), daemon.rss() - before


def main():
    build = sys.argv[1]
    if os.environ.get("TESSERA_NIGHTLY") != "1":
        run(build, 4, 2, 20)
        return
    assert run(build, 1, 10, 0)[0] < 40
    for idle, seconds in ((0, 60), (1000, 600)):
        p99, rise = run(build, 100, seconds, idle)
        assert rise <= 100 << 20
        assert p99 <= 40, f"p99 {p99} ms with {idle} idle connections"


if __name__ == "__main__":
    main()
