#!/usr/bin/env bash
# The kernels of arm64, NEON and the definition: cross-built, run under qemu's emulation of the CPU, held
# to the hashes that x86 wrote. Debian's arm64 libraries are unpacked below FOLDER, so nothing of another
# machine is installed here. Takes a quarter of an hour on two cores.
#   test_neon.sh SOURCE FOLDER    (FOLDER is kept between runs)
set -euo pipefail
source=$1
mkdir -p "$2" && cd "$2"
here=$PWD root=$PWD/root
tests="test_gemm test_gemm8 test_ops test_simd_math test_codebook test_stft test_golden test_kernels"

for program in aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v $program >/dev/null || { echo "no $program here: .ci/packages nightly" >&2; exit 1; }
done

# What the library and its tests stand on, with apt's own mirror, keys and choice of versions, as on an
# arm64 machine that has no package yet.
if [[ ! -d $root ]]; then
    mkdir -p apt/lists/partial apt/archives/partial
    : >apt/status
    options=(-o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o "Dir::State=$here/apt"
        -o "Dir::State::status=$here/apt/status" -o "Dir::Cache=$here/apt" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update -q
    apt-get "${options[@]}" install -q --yes --download-only --no-install-recommends libfftw3-dev \
        libsoxr-dev libcjson-dev libmd-dev zlib1g-dev libsndfile1-dev libcmocka-dev
    for package in apt/archives/*.deb; do
        dpkg-deb --extract "$package" unpacked
    done
    mv unpacked "$root"
    find "$root" -type l -lname '/*' | while read -r link; do # they mean this root, not ours
        ln -sfn "$root$(readlink "$link")" "$link"
    done
fi

# CMake runs each test through the emulator; its programs look for libraries below the root first.
export PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$root/usr/lib/aarch64-linux-gnu/pkgconfig
cmake -S "$source" -B build -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_SYSROOT="$root" \
    -DCMAKE_CROSSCOMPILING_EMULATOR="qemu-aarch64;-L;$root" \
    -DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER -DTESS_CLIENTS=OFF -DTESS_SERVER=OFF -DTESS_WERROR=ON
cmake --build build --parallel "$(nproc)" --target $tests
ctest --test-dir build --output-on-failure --no-tests=error --parallel "$(nproc)" \
    --tests-regex "^(${tests// /|}|test_kernels_int8)$"
