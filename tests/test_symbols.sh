#!/usr/bin/env bash
# The binary interface is src/tessera.map: what the header declares, what libtessera.so exports.
# Names seen by a static link keep to tess_. Usage: test_symbols.sh SOURCE LIBTESSERA.SO LIBTESSERA.A
set -euo pipefail
source=$1 shared=$2 static=$3

listed=$(sed -nE 's/^ +(tess_[a-z0-9_]+);$/\1/p' "$source/src/tessera.map")
declared=$(tr '\n' ' ' <"$source/src/tessera.h" | grep -oE 'TESS_API [a-z][^(;]*\(' |
    sed -E 's/.*[ *](tess_[a-z0-9_]+)\($/\1/')
exported=$(nm -D --defined-only "$shared" | sed -nE 's/^.* T ([^@]*)(@@TESSERA_0)?$/\1/p')
others=$(nm -D --defined-only "$shared" | grep -vE ' T .*@@TESSERA_0$| A TESSERA_0$' || true)
foreign=$(nm -g --defined-only "$static" | sed -nE 's/^[0-9a-f]+ . (.*)/\1/p' | grep -v '^tess_' || true)

diff <(echo "$declared") <(echo "$listed") || { echo "tessera.h and tessera.map differ" >&2; exit 1; }
diff <(sort <<<"$listed") <(sort <<<"$exported") || { echo "tessera.map and the library differ" >&2; exit 1; }
[[ -z $others$foreign ]] || { echo "names that are not the interface's:" $others $foreign >&2; exit 1; }

dynamic=$(readelf -d "$shared")
grep -qF 'Library soname: [libtessera.so.0]' <<<"$dynamic"
grep -q 'BIND_NOW' <<<"$dynamic"
echo "$(wc -w <<<"$listed") functions"
