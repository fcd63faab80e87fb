#!/usr/bin/env bash
# Makes sure that the HDF5 library can be built against. Source it: it sets CARGO_FEATURES for cargo, an array that
# is empty where the system has libhdf5-dev, and may extend PATH.
#
# In this order: the system's library; apt, when we are root; a static build from source (feature `static-hdf5`)
# with a cmake from PyPI, because Debian 12's is too old for it; a line that says what to install.

CARGO_FEATURES=()

hdf5_is_there() {
    # Where hdf5-metno-sys looks, in its order.
    [ -n "${HDF5_DIR:-}" ] || { command -v pkg-config > /dev/null && pkg-config --exists hdf5; } ||
        [ -e /usr/include/hdf5/serial/hdf5.h ] || [ -e /usr/include/hdf5.h ]
}

hdf5_by_apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || return 1
    echo "HDF5 is missing: installing libhdf5-dev and pkg-config with apt-get." >&2
    { apt-get install -y --no-install-recommends libhdf5-dev pkg-config ||
        { apt-get update && apt-get install -y --no-install-recommends libhdf5-dev pkg-config; }; } > /dev/null 2>&1
}

# The static build needs cmake 3.26 or newer.
cmake_is_new_enough() {
    local version
    version=$(cmake --version 2> /dev/null | sed -n '1s/^cmake version //p')
    [ -n "$version" ] && [ "$(printf '%s\n3.26\n' "$version" | sort -V | head -n 1)" = 3.26 ]
}

hdf5_from_source() {
    if ! cmake_is_new_enough; then
        local tools
        tools="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/target/cmake"
        if [ ! -x "$tools/bin/cmake" ]; then
            echo "HDF5 is missing: it will be built from source, with a cmake from PyPI in $tools." >&2
            mkdir -p "$(dirname "$tools")"
            { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet cmake; } > /dev/null 2>&1 ||
                { rm -rf "$tools"; return 1; }
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
