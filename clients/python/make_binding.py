#!/usr/bin/env python3
"""tessera.h in, the C source of the module tessera._tessera out.

The header is the only list of the library's calls: the preprocessor takes its macros away, cffi parses
what is left, and the compiler checks the outcome against the header once more. What cffi cannot parse
fails the build.

Usage: make_binding.py CC TESSERA_H OUT
"""

import pathlib
import re
import subprocess
import sys

import cffi

# Files of Python's are read and written through these; _native.py defines them.
CALLBACKS = """
extern "Python" ptrdiff_t tess_py_read(void *file, void *bytes, size_t n);
extern "Python" int tess_py_write(void *file, const void *bytes, size_t n);
"""


def declarations(cc: str, header: pathlib.Path) -> str:
    text = re.sub(r"^#include.*$", "", header.read_text(), flags=re.M)  # cffi knows those types
    # Without __GNUC__ the header declares no visibility, which cffi could not parse.
    words = [cc, "-E", "-P", "-U__GNUC__", "-x", "c", "-"]
    return subprocess.run(words, input=text, capture_output=True, text=True, check=True).stdout


def main(cc: str, header: str, out: str) -> None:
    ffi = cffi.FFI()
    ffi.cdef(declarations(cc, pathlib.Path(header)) + CALLBACKS)
    ffi.set_source("tessera._tessera", '#include "src/tessera.h"', py_limited_api=True)
    ffi.emit_c_code(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
