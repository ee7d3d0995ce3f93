#!/usr/bin/env bash
# install.sh: the distribution packages that building (default), testing ("test") or fuzzing ("fuzz")
# needs, on Debian 12 or Ubuntu 24.04 and newer. Does nothing where they are there already.
set -euo pipefail

packages=(gcc libc6-dev meson ninja-build pkg-config python3 libopenblas-dev libyajl-dev libpcre2-dev
          libutf8proc-dev libxxhash-dev libzstd-dev libssl-dev liburing-dev libpopt-dev)
if [ "${1:-build}" != build ]; then
    packages+=(check clang llvm valgrind python3-venv binutils util-linux iproute2 libopenmpi-dev openmpi-bin)
fi
if [ "${1:-build}" = fuzz ]; then
    packages+=(libclang-rt-dev)
fi

missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
echo "installing ${missing[*]}"
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -q >/dev/null
"${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
