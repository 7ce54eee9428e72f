#!/usr/bin/env bash
# Each folder is a room, and a room knows only the rooms below it:
#     dsp, rvq  <-  src  <-  formats  <-  clients, server  (tests may look anywhere)
# Reads every #include and fails on another arrow. Usage: .ci/rooms.sh [ROOT]
set -euo pipefail
cd "${1-$(dirname "$0")/..}"

# What every room may use: ISO C, POSIX and the compiler's own.
system=" assert ctype errno fenv float inttypes limits locale math signal stdalign stdarg stdatomic
 stdbool stddef stdint stdio stdlib string time
 dirent fcntl poll pthread sched semaphore strings sys/mman sys/resource sys/stat sys/time sys/types
 sys/wait unistd
 arm_neon cpuid immintrin "

# allowed FILE HEADER: may FILE include HEADER, a path from the root or <name>?
allowed()
{
    case "$1 $2" in
    *../*) false ;; # paths go down from the root
    "dsp/"*" src/base.h" | "dsp/"*" dsp/"*) ;;
    "rvq/"*" src/base.h" | "rvq/"*" src/simd.h" | "rvq/"*" rvq/"*) ;;
    "src/"*" src/"* | "src/"*" dsp/"* | "src/"*" rvq/"*) ;;
    "formats/"*" src/tessera.h" | "formats/"*" formats/"*) ;;
    "clients/"*" formats/"* | "server/"*" formats/"*) ;;
    "clients/"*" src/tessera.h" | "clients/"*" clients/"* | "clients/peak.c src/simd.h") ;;
    "clients/"*" src/tessera_wire.h") ;;

    "dsp/"*" <fftw3.h>" | "dsp/"*" <soxr.h>") ;;
    "rvq/"*" <zlib.h>") ;;
    "src/"*" <cjson/cJSON.h>" | "src/"*" <sha2.h>" | "clients/"*" <sha2.h>") ;;
    "server/"*" src/tessera.h" | "server/"*" src/tessera_wire.h" | "server/"*" server/"*) ;;
    "server/"*" <libwebsockets.h>") ;;
    "server/"*" <uv.h>" | "server/"*" <cjson/cJSON.h>" | "server/"*" <sndfile.h>") ;;
    "server/"*" <sys/socket.h>" | "server/"*" <sys/un.h>" | "server/"*" <netdb.h>") ;;
    "server/"*" <netinet/in.h>" | "server/"*" <netinet/tcp.h>") ;;
    "formats/"*" <cjson/cJSON.h>") ;;
    "clients/examples/"*" <tessera/"*.h">") ;; # as a stranger's program
    "clients/examples/"*" <sys/socket.h>" | "clients/examples/"*" <arpa/inet.h>") ;;
    "clients/device.c <portaudio.h>" | "clients/remote.c <netdb.h>") ;;
    "clients/remote.c <sys/socket.h>" | "clients/remote.c <sys/un.h>") ;;
    "clients/remote.c <netinet/in.h>" | "clients/remote.c <netinet/tcp.h>") ;;
    "clients/"*" <cjson/cJSON.h>" | "clients/"*" <sndfile.h>" | "clients/"*" <popt.h>") ;;

    *" <"*)
        local name=${2#<}
        [[ ${system//$'\n'/} == *" ${name%.h>} "* ]]
        ;;
    *) false ;;
    esac
}

files=0 bad=0
while IFS= read -r file; do
    files=$((files + 1))
    while IFS= read -r header; do
        if [[ $header == \"* ]]; then # beside the file, else from the root
            header=${header//\"/}
            [[ ! -e ${file%/*}/$header ]] || header=${file%/*}/$header
        fi
        if ! allowed "$file" "$header"; then
            echo "$file: may not include $header" >&2
            bad=$((bad + 1))
        fi
    done < <(sed -nE 's/^[ \t]*#[ \t]*include[ \t]*(<[^>]*>|"[^"]*").*/\1/p' "$file")
done < <(find dsp rvq src formats clients server -name '*.[ch]' | sort)

echo "rooms: $files files, $bad includes that may not be"
[[ $files -gt 0 && $bad -eq 0 ]]
