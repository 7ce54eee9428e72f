#!/usr/bin/env python3
"""What is installed to run tesserad: units that a service manager takes, as closed as they say, and
sockets that are the daemon's defaults.

Usage: test_packaging.py BUILD CMAKE [...]
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

build = cmake = None
EXPOSURE = 2.0  # of 10, as systemd-analyze weighs what a service could do


class Packaging(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.prefix = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        subprocess.run([cmake, "--install", build, "--component", "daemon", "--prefix", cls.prefix],
                       check=True, stdout=subprocess.DEVNULL)
        cls.units = cls.prefix / "lib/systemd/system"

    def settings(self, name):
        """A unit's KEY=VALUE lines."""
        lines = re.findall(r"^(\w+)=(.*)$", (self.units / name).read_text(), re.M)
        return {key: [v for k, v in lines if k == key] for key, _ in lines}

    def test_files(self):
        for path in ("lib/sysusers.d/tesserad.conf", "share/man/man8/tesserad.8"):
            self.assertTrue((self.prefix / path).exists(), path)
        program = self.settings("tesserad.service")["ExecStart"][0]
        self.assertEqual(program, f"{self.prefix}/bin/tesserad")
        subprocess.run([program, "--version"], check=True, stdout=subprocess.DEVNULL)

    def test_defaults(self):
        """The sockets are those that the daemon would open itself; it ends before it is ended."""
        printed = subprocess.run([f"{build}/bin/tesserad", "--print-config"], check=True,
                                 stdout=subprocess.PIPE, text=True).stdout
        default = dict(re.findall(r"^(\S+) = (.*?) +#", printed, re.M))
        native, http = (self.settings(name) for name in ("tesserad.socket", "tesserad-http.socket"))
        self.assertEqual(native["ListenStream"],
                         [f"{default['host']}:{default['port']}", default["unix"]])
        self.assertEqual(http["ListenStream"], [f"{default['host']}:{default['http-port']}"])
        self.assertEqual(native["FileDescriptorName"] + http["FileDescriptorName"], ["native", "http"])
        stop = self.settings("tesserad.service")["TimeoutStopSec"][0]
        self.assertGreater(int(stop) * 1000, int(default["drain-timeout"]))

    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd here")
    def test_units(self):
        names = "tesserad.service", "tesserad.socket", "tesserad-http.socket"
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", *(self.units / n for n in names)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd here")
    def test_exposure(self):
        done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                               self.units / "tesserad.service"], stdout=subprocess.PIPE, text=True)
        exposure = float(re.search(r"exposure level for tesserad.service: ([\d.]+)", done.stdout).group(1))
        self.assertLessEqual(exposure, EXPOSURE, done.stdout)


if __name__ == "__main__":
    build, cmake = os.path.abspath(sys.argv.pop(1)), sys.argv.pop(1)
    unittest.main()
