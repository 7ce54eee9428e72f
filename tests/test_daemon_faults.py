#!/usr/bin/env python3
"""tesserad where calls on sockets are cut short, interrupted, put off or fail: the same codes and sound,
or a connection that ends cleanly.

TESSERA_NIGHTLY=1 in the environment tries many more places. Usage: test_daemon_faults.py BUILD [...]
"""

import os
import re
import sys
import unittest

from daemon import Closed, Daemon
from test_daemon_trust import HOP, NIGHTLY, PCM_BYTES, encode

build = None


def round_trip(client):
    """Sound to codes and codes to sound on one connection, in small pieces."""
    encoding, decoding = client.open(1, direction="encode"), client.open(2, direction="decode")
    encoding.pcm(PCM_BYTES[:2 * HOP * 40], 1000)
    encoding.end()
    codes = encoding.finish().codes
    decoding.put_codes(codes, 24)
    decoding.end()
    return codes, decoding.finish().pcm_bytes


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with Daemon(build) as daemon:
            cls.want = round_trip(daemon.connect())
            cls.codes = encode(daemon.connect())

    def daemon(self, kind, every):
        # A sanitizer's runtime would be first; it works as the second too.
        options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        return Daemon(build, environment={"LD_PRELOAD": f"{build}/bin/libfaults.so", "ASAN_OPTIONS": options,
                                          "TESSERA_FAULT": kind, "TESSERA_FAULT_EVERY": str(every)})

    def faults(self, daemon):
        daemon.stop()
        return int(re.search(r"^faults: (\d+)", daemon.log(), re.M).group(1))

    def test_no_harm(self):
        for kind in ("short", "intr", "again"):
            for every in (2, 3, 7) if not NIGHTLY else range(2, 40):
                with self.subTest(kind=kind, every=every), self.daemon(kind, every) as daemon:
                    for unix in (False, True):
                        client = daemon.connect(unix=unix)
                        self.assertEqual(round_trip(client), self.want)
                        client.close()
                    self.assertGreater(self.faults(daemon), 0)

    def test_reset(self):
        """Whose connection fails is told by its end; everybody else has the right codes."""
        n_right = n_closed = n_faults = 0
        for every in (17,) if not NIGHTLY else range(11, 60):
            with self.daemon("reset", every) as daemon:
                for i in range(60):
                    client = daemon.connect(unix=i % 2 == 1, hello=False)
                    try:
                        client.hello()
                        self.assertEqual(encode(client), self.codes)
                        n_right += 1
                    except (Closed, ConnectionError):
                        n_closed += 1
                    client.close()
                n_faults += self.faults(daemon)
        self.assertGreater(n_right, 5)
        self.assertGreater(n_closed, 5)
        self.assertGreaterEqual(n_faults, n_closed)


if __name__ == "__main__":
    build = os.path.abspath(sys.argv.pop(1))
    unittest.main(warnings="ignore")  # a test's clients may go with their daemon
