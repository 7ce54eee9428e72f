#!/usr/bin/env bash
# .ci/rooms.sh accepts the tree, and refuses a copy with any one of these includes added.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

"$root/.ci/rooms.sh" "$root"

cp -r "$root"/{dsp,rvq,src,formats,clients} "$copy"
while read -r room header; do
    echo "#include $header" >"$copy/$room/guest.c"
    if said=$("$root/.ci/rooms.sh" "$copy" 2>&1); then
        echo "$room/guest.c was let in with $header" >&2
        exit 1
    fi
    grep -q "^$room/guest.c: may not include" <<<"$said"
    rm "$copy/$room/guest.c"
done <<'END'
dsp "rvq/codebook.h"
dsp "src/tessera.h"
dsp "../src/tessera.h"
dsp <zlib.h>
rvq "dsp/stft.h"
rvq <fftw3.h>
src "clients/peak.h"
src "missing.h"
src <soxr.h>
formats "clients/input.h"
formats <sndfile.h>
clients "src/base.h"
clients "src/simd.h"
clients "dsp/stft.h"
clients <curl/curl.h>
clients <portaudio.h>
clients <sys/socket.h>
END
