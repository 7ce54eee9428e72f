#!/usr/bin/env bash
# What is installed is complete: others build against it in each way there is, and the command runs
# wherever the tree lies, on the installed model and not on the source tree's.
# Usage: test_install.sh SOURCE BUILD CMAKE
set -euo pipefail
source=$1 build=$2 cmake=$3
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'echo "failed in line $LINENO" >&2' ERR
unset TESSERA_MODEL LD_LIBRARY_PATH PKG_CONFIG_PATH
cd "$tmp"

refuse() { if "$@"; then return 1; fi; }
install() { DESTDIR=$tmp/stage "$cmake" --install "$build" --component "$1" >/dev/null; }
prefix=$tmp/stage$(sed -n 's/^CMAKE_INSTALL_PREFIX:PATH=//p' "$build/CMakeCache.txt")
libdir=$prefix/$(sed -n 's/^CMAKE_INSTALL_LIBDIR:PATH=//p' "$build/CMakeCache.txt")

echo "-- runtime and devel share nothing and have their own"
install runtime
test -x "$prefix/bin/tessera" -a -e "$prefix/share/man/man1/tessera.1"
for file in bash-completion/completions/tessera zsh/site-functions/_tessera fish/vendor_completions.d/tessera.fish; do
    test -s "$prefix/share/$file"
done
test -e "$libdir/libtessera.so.0" -a ! -e "$libdir/libtessera.so" -a ! -e "$prefix/include"
install devel
test -e "$libdir/libtessera.so" -a -e "$libdir/libtessera.a"
refuse grep -rlF -e "$source" -e "$build" "$libdir/pkgconfig" "$libdir/cmake"

echo "-- what its pages name is there: links, and what the README calls docs/..."
pages=$(find "$prefix" -name '*.md')
test "$(wc -l <<<"$pages")" -gt 10
for page in $pages; do
    for link in $(grep -oE '\]\([^)#:]+\)' "$page" | sed -E 's/^..(.*).$/\1/'); do
        test -s "$(dirname "$page")/$link" || { echo "$page: no $link" && false; }
    done
done
for page in $(grep -oE 'docs/[a-z-]+\.[a-z]+' "$prefix"/share/doc/*/README.md); do
    test -s "$prefix"/share/doc/*/"$page"
done

echo "-- the header as C99 and C++11"
printf '#include <tessera/tessera.h>\nint main(void) { return tess_abi(); }\n' >header.c
cp header.c header.cc
gcc -std=c99 -Wall -Wextra -pedantic -Werror -I "$prefix/include" -c header.c
g++ -std=c++11 -Wall -Wextra -pedantic -Werror -I "$prefix/include" -c header.cc

mv "$prefix" "$tmp/moved" # nothing may remember where it was put
libdir=$tmp/moved${libdir#"$prefix"}
prefix=$tmp/moved
model=$prefix/share/tessera/models/tessera-24k-speech-int8.safetensors

echo "-- pkg-config, shared and static"
export PKG_CONFIG_PATH=$libdir/pkgconfig
main=$source/tests/consumer/main.c
gcc "$main" $(pkg-config --cflags --libs tessera) -lm -o pc_shared
LD_LIBRARY_PATH=$libdir ./pc_shared "$model"
gcc "$main" $(pkg-config --static --cflags --libs tessera | sed s/-ltessera/-l:libtessera.a/) -o pc_static
./pc_static "$model"

echo "-- find_package, shared and static"
"$cmake" -S "$source/tests/consumer" -B consumer -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
"$cmake" --build consumer >/dev/null
for program in shared static; do "consumer/$program" "$model"; done
refuse grep tessera <(readelf -d consumer/static pc_static)
refuse grep -E 'fftw|soxr|cjson' <(readelf -d consumer/shared pc_shared) # the library's own affair

echo "-- the command, after the move, and the examples, which do the same"
head -c 192000 /dev/urandom >noise.raw # four seconds: any sound does here
"$prefix/bin/tessera" encode --raw --raw-rate 24000 --raw-chan 1 noise.raw noise.tess
"$prefix/bin/tessera" decode --raw noise.tess command.raw
test -s command.raw
export LD_LIBRARY_PATH=$libdir
for example in live file socket tts; do
    gcc -Wall -Wextra -Werror "$prefix/share/doc"/*/examples/$example.c $(pkg-config --cflags --libs tessera) -lm -o $example
done
./live "$model" <noise.raw | cmp - command.raw
./file "$model" noise.raw file.tess file.raw
"$prefix/bin/tessera" verify noise.tess file.tess
cmp file.raw command.raw
if [ -x "$build/bin/tesserad" ]; then
    head -c 48000 noise.raw >second.raw
    "$prefix/bin/tessera" encode -q --raw --raw-rate 24000 --raw-chan 1 second.raw second.tess
    "$prefix/bin/tessera" decode -q --raw second.tess second.decoded
    : >log
    "$build/bin/tesserad" --port 0 --http-port 0 --unix "$tmp/t.sock" 2>>log &
    daemon=$!
    trap 'kill $daemon; wait $daemon || true; rm -rf "$tmp"' EXIT
    until port=$(sed -nE 's/.*native protocol on 127\.0\.0\.1:([0-9]+).*/\1/p' log) && [ "$port" ]; do
        kill -0 $daemon
        sleep 0.05
    done
    ./socket "$port" <second.raw >second.codes
    test "$(stat -c %s second.codes)" -eq $((75 * 8))
    ./tts "$port" <second.codes | cmp - second.decoded
    # Codes that come slowly are heard before the last has come.
    mkfifo slow.codes
    ./tts "$port" <slow.codes >slow.decoded &
    tts=$!
    exec 5>slow.codes
    head -c 84 second.codes >&5
    for _ in {1..200}; do [[ -s slow.decoded ]] && break; sleep 0.05; done
    [[ -s slow.decoded ]]
    tail -c +85 second.codes >&5
    exec 5>&-
    wait "$tts"
    cmp slow.decoded second.decoded
fi
unset LD_LIBRARY_PATH

rm "$model"
status=0
"$prefix/bin/tessera" encode "$source/tests/data/speech.flac" again.tess || status=$?
test $status -eq 3 # "no model": the source tree's own must stay unseen
