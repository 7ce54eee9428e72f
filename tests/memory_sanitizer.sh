#!/usr/bin/env bash
# The library's tests under clang's memory sanitizer. It must see every write, so the libraries that ours
# stands on are built with it as well, from Debian's sources of the versions installed here. Takes some
# minutes, which is why it is not part of the suite.
#   tests/memory_sanitizer.sh FOLDER    (kept between runs)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1" && cd "$1"
here=$PWD inst=$PWD/inst
export CC=clang CFLAGS="-O1 -g -fsanitize=memory -fno-omit-frame-pointer"

# sources PACKAGE...: unpacked here; the lists of sources are made from those of binaries.
sources()
{
    mkdir -p apt/lists/partial apt/sources
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
        [[ -f $list ]] || continue
        sed 's/^deb /deb-src /; s/^Types: deb$/Types: deb-src/' "$list" > "apt/sources/${list##*/}"
        [[ $list == *.sources ]] || mv "apt/sources/${list##*/}" apt/sources/main.list
    done
    local options=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$here/apt/sources"
        -o "Dir::State::lists=$here/apt/lists" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update
    apt-get "${options[@]}" source "$@"
}

# cmake_library FOLDER OPTION...
cmake_library()
{
    cmake -S "$1" -B "build/${1%%-*}" -DCMAKE_INSTALL_PREFIX="$inst" -DCMAKE_INSTALL_LIBDIR=lib \
        -DCMAKE_POLICY_VERSION_MINIMUM=3.5 -DCMAKE_BUILD_TYPE= "${@:2}" >/dev/null
    cmake --build "build/${1%%-*}" --parallel "$(nproc)" && cmake --install "build/${1%%-*}"
}

# configured_library FOLDER OPTION...
configured_library()
{
    (cd "$1" && ./configure --prefix="$inst" "${@:2}" >/dev/null && make -j"$(nproc)" install)
}

if [[ ! -f $inst/done ]]; then
    sources cjson libmd fftw3 libsoxr zlib
    cmake_library cjson-*/ -DENABLE_CJSON_TEST=OFF
    # What sets registers' worth of memory by assembly is unseen: plain C.
    cmake_library libsoxr-*/ -DBUILD_TESTS=OFF -DBUILD_EXAMPLES=OFF -DWITH_OPENMP=OFF \
        -DWITH_CR32S=OFF -DWITH_CR64S=OFF -DWITH_PFFFT=OFF -DWITH_AVFFT=OFF
    configured_library libmd-*/
    configured_library fftw3-*/ --enable-shared --disable-fortran --disable-doc
    configured_library zlib-*/
    touch "$inst/done"
fi

# It does not know either that glibc's stat and fstat write.
cat >stat.h <<'END'
#include <string.h>
#include <sys/stat.h>
#define stat(path, status) (memset(status, 0, sizeof *(status)), stat(path, status))
#define fstat(fd, status)  (memset(status, 0, sizeof *(status)), fstat(fd, status))
END
export PKG_CONFIG_PATH=$inst/lib/pkgconfig
cmake -S "$root" -B build/tessera -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DCMAKE_C_FLAGS="-include $here/stat.h -D_GNU_SOURCE" -DTESS_SANITIZE=memory -DTESS_SERVER=OFF -DCMAKE_PREFIX_PATH="$inst" >/dev/null
cmake --build build/tessera --parallel "$(nproc)"
# The sanitizer of this age cannot start where addresses are randomized by more than 28 bits.
fixed=
! setarch -R true 2>/dev/null || fixed="setarch -R"
# Programs of the command's read sound by libraries that are as Debian built them.
$fixed ctest --test-dir build/tessera --output-on-failure --label-exclude 'nightly|families' \
    --tests-regex '^(test|fuzz)_' --exclude-regex '_(cli|cli_trouble|docs|install|symbols|convert|rooms)$'
