#!/usr/bin/env bash
# Every C file is as clang-format leaves it, and no source file is longer than 600 lines.
set -euo pipefail
cd "$(dirname "$0")/.."

find dsp rvq src formats clients server tests -name '*.[ch]' -print0 | xargs -0 clang-format --dry-run -Werror

find . -name 'build*' -prune -o \( -name '*.[ch]' -o -name '*.py' -o -name '*.sh' \) -print0 |
    xargs -0 wc -l |
    awk '$1 > 600 && $2 != "total" { print $2 ": " $1 " lines"; long = 1 } END { exit long }' >&2
