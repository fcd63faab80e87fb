#!/usr/bin/env bash
# Makes sure that the HDF5 library can be built against. Source it: it sets CARGO_FEATURES for cargo, an array that
# is empty where the system has libhdf5-dev, and may extend PATH.
#
# In this order: the system's library; apt, when we are root; a static build from source (feature `static-hdf5`)
# with a cmake from PyPI, because Debian 12's is too old for it; a line that says what to install.
#
# It asks before it installs (installing.sh says how). FINESCALE_STATIC_HDF5=1 takes the static build in any case.

CARGO_FEATURES=()
source "$(dirname "${BASH_SOURCE[0]}")/installing.sh"
hdf5_purpose="To build with HDF5"

hdf5_cmake=3.31.10
# Digests of that cmake's wheels on PyPI: Linux on x86_64 and aarch64, macOS.
hdf5_cmake_sha256=(
    2f766bb46367e5e0559fa33184653754bce044583a06014dcaebf8e6dff8a1f1
    a4a5615f31f692c9b9aa8b365704e4b76172348af6fa40e16fea3f118bb01194
    ad697643a00d9ba85179590a383c4f7401169b55ebf4b8b2938daf28c6bdeb6d
)

hdf5_is_there() {
    # Where hdf5-metno-sys looks, in its order.
    [ -n "${HDF5_DIR:-}" ] || { command -v pkg-config > /dev/null && pkg-config --exists "hdf5 >= 1.10.7"; } ||
        [ -e /usr/include/hdf5/serial/hdf5.h ] || [ -e /usr/include/hdf5.h ]
}

hdf5_by_apt() {
    install_by_apt "$hdf5_purpose" libhdf5-dev pkg-config
}

# The static build needs cmake 3.26 or newer.
cmake_is_new_enough() {
    local version
    version=$(cmake --version 2> /dev/null | sed -n '1s/^cmake version //p')
    [ -n "$version" ] && [ "$(printf '%s\n3.26\n' "$version" | sort -V | head -n 1)" = 3.26 ]
}

hdf5_from_source() {
    if ! cmake_is_new_enough; then
        local tools=$install_root/target/cmake-$hdf5_cmake
        if [ ! -x "$tools/bin/cmake" ]; then
            may_install "$hdf5_purpose" "cmake $hdf5_cmake from PyPI, in $tools; cargo then builds HDF5 from source" || return 1
            install_wheel "$tools" "cmake==$hdf5_cmake" "${hdf5_cmake_sha256[@]}" || return 1
        fi
        export PATH="$tools/bin:$PATH"
    fi
    cmake_is_new_enough || return 1
    CARGO_FEATURES=(--features finescale/static-hdf5)
}

if [ "${FINESCALE_STATIC_HDF5:-0}" = 1 ]; then
    hdf5_from_source || { echo "FINESCALE_STATIC_HDF5=1 needs cmake 3.26 or newer (pip install cmake)." >&2; exit 1; }
elif ! hdf5_is_there && ! { hdf5_by_apt && hdf5_is_there; } && ! hdf5_from_source; then
    echo "HDF5 is missing. Install it with 'apt install libhdf5-dev pkg-config' (Debian, Ubuntu)," >&2
    echo "'dnf install hdf5-devel pkgconf' (Fedora) or 'brew install hdf5 pkg-config' (macOS)," >&2
    echo "or install python3-venv or cmake 3.26 to have it built from source; then run this again." >&2
    exit 1
fi
