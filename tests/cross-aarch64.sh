#!/usr/bin/env bash
# cross-aarch64.sh: builds for aarch64 in a folder and runs suites there under qemu, on Debian 12 or newer.
# cross-aarch64.sh FOLDER [SUITE...]; without suites: unit, kernels, golden. The processor that qemu plays is one
# of the first with this instruction set, so that nothing newer can be in use.
set -euo pipefail
if [ $# -eq 0 ]; then
    echo "usage: $0 FOLDER [SUITE...]" >&2
    exit 2
fi
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- unit kernels golden
cd "$(dirname "$0")/.."

./install.sh
missing=()
for package in gcc-aarch64-linux-gnu mmdebstrap qemu-user; do
    dpkg-query -W -f '${Status}' $package 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "installing ${missing[*]}"
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    export DEBIAN_FRONTEND=noninteractive
    "${as_root[@]}" apt-get update -q >/dev/null
    "${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
fi

# The libraries, unpacked beside the system's own and never set up: nothing in there runs but our tests.
root=$folder/root
libraries=$root/usr/lib/aarch64-linux-gnu
if [ ! -d "$root" ]; then
    echo "unpacking libraries"
    rm -rf "$root.part"
    packages=libc6-dev,libopenblas-dev,libyajl-dev,libpcre2-dev,libutf8proc-dev,libxxhash-dev,libzstd-dev
    mmdebstrap --quiet --variant=extract --architectures=arm64 \
        --include="$packages,libssl-dev,liburing-dev,libpopt-dev,check" \
        "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root.part"
    find "$root.part" -path '*/lib/*' -lname '/*' | while read -r link; do
        ln -sfn "$root$(readlink "$link")" "$link"
    done
    mv "$root.part" "$root"
fi

cat >"$folder/cross.ini" <<EOF
[binaries]
c = ['aarch64-linux-gnu-gcc', '--sysroot=$root']
ar = 'aarch64-linux-gnu-ar'
strip = 'aarch64-linux-gnu-strip'
pkgconfig = 'pkg-config'
exe_wrapper = ['qemu-aarch64', '-cpu', 'cortex-a53', '-L', '$root',
               '-E', 'LD_LIBRARY_PATH=$libraries/openblas-pthread']

[properties]
sys_root = '$root'
pkg_config_libdir = ['$libraries/pkgconfig', '$libraries/openblas-pthread/pkgconfig', '$root/usr/share/pkgconfig']

[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
EOF
[ -e "$folder/build/build.ninja" ] || meson setup "$folder/build" --cross-file "$folder/cross.ini" --werror
ninja -C "$folder/build"
# Check ends tests that take long; qemu is slow.
export CK_TIMEOUT_MULTIPLIER=20
suites=()
for suite; do suites+=(--suite "$suite"); done
meson test -C "$folder/build" --no-rebuild --print-errorlogs --timeout-multiplier 20 "${suites[@]}"
