#!/usr/bin/env bash
# Makes sure that the HDF5 library can be built against. Source it: it sets CARGO_FEATURES for cargo, an array that
# is empty where the system has libhdf5-dev, and may extend PATH.
#
# In this order: the system's library; apt, when we are root; a static build from source (feature `static-hdf5`)
# with a cmake from PyPI, because Debian 12's is too old for it; a line that says what to install.
#
# It says what it is about to install, and asks where a person sits at the terminal. FINESCALE_INSTALL=yes or =no
# answers in advance; without a terminal, or with CI=true, it goes on by itself. FINESCALE_STATIC_HDF5=1 takes the
# static build in any case.

CARGO_FEATURES=()
hdf5_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# What apt and pip print.
hdf5_log=$hdf5_root/target/hdf5.log

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

# hdf5_may_install WHAT: true if WHAT may be installed.
hdf5_may_install() {
    echo "To build with HDF5, this is to be installed: $1." >&2
    case ${FINESCALE_INSTALL:-} in
        yes) return 0 ;;
        no) echo "Left out: FINESCALE_INSTALL=no." >&2 && return 1 ;;
        "") ;;
        *) echo "FINESCALE_INSTALL=$FINESCALE_INSTALL: say yes or no; not installed." >&2 && return 1 ;;
    esac
    if [ "${CI:-}" = true ] || ! [ -t 0 ] || ! [ -t 2 ]; then
        echo "Nobody to ask here, so it goes on (FINESCALE_INSTALL=no would not)." >&2
        return 0
    fi
    local answer
    read -r -p "Install it? [y/N] " answer || return 1
    case $answer in [yY]*) return 0 ;; esac
    echo "Left out." >&2
    return 1
}

# hdf5_logged COMMAND...: runs it with its output in the log, which is named if it fails.
hdf5_logged() {
    mkdir -p "$(dirname "$hdf5_log")" && printf '\n$ %s\n' "$*" >> "$hdf5_log" || return 1
    "$@" < /dev/null >> "$hdf5_log" 2>&1 && return 0
    echo "Failed: $* (what it printed is at the end of $hdf5_log)" >&2
    return 1
}

# What apt would install now, as lines of NAME=VERSION; nothing if it does not know the packages.
hdf5_apt_plan() {
    { LC_ALL=C apt-get install --simulate --no-install-recommends libhdf5-dev pkg-config 2> /dev/null || true; } |
        sed -n 's/^Inst \([^ ]*\) [^(]*(\([^ ]*\) .*/\1=\2/p'
}

# The plan's packages that we name ourselves; the others are what they need.
hdf5_apt_names() {
    grep -E '^(libhdf5-dev|pkg-config)=' <<< "$1" | tr '\n' ' '
}

# Installs the plan, in the very versions that were announced.
hdf5_apt_install() {
    local names
    names=$(hdf5_apt_names "$1")
    # shellcheck disable=SC2086 # a list
    hdf5_logged env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $names
}

hdf5_by_apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || return 1
    local plan
    plan=$(hdf5_apt_plan)
    # Fresh containers have no package lists.
    [ -n "$plan" ] || { hdf5_logged apt-get update && plan=$(hdf5_apt_plan) && [ -n "$plan" ]; } || return 1
    hdf5_may_install "$(hdf5_apt_names "$plan")by apt-get, with what they need (packages: $(grep -c = <<< "$plan"))" ||
        return 1
    hdf5_apt_install "$plan" && return 0
    # Old lists name files that the server no longer has.
    hdf5_logged apt-get update && plan=$(hdf5_apt_plan) && [ -n "$plan" ] || return 1
    echo "Once more with new package lists: $(hdf5_apt_names "$plan")" >&2
    hdf5_apt_install "$plan"
}

# The static build needs cmake 3.26 or newer.
cmake_is_new_enough() {
    local version
    version=$(cmake --version 2> /dev/null | sed -n '1s/^cmake version //p')
    [ -n "$version" ] && [ "$(printf '%s\n3.26\n' "$version" | sort -V | head -n 1)" = 3.26 ]
}

# Installs cmake from PyPI in the given folder: this version, these files, or nothing.
hdf5_cmake_from_pypi() {
    local wheels
    wheels=$(printf ' --hash=sha256:%s' "${hdf5_cmake_sha256[@]}")
    mkdir -p "$(dirname "$1")" && hdf5_logged python3 -m venv "$1" &&
        echo "cmake==$hdf5_cmake$wheels" > "$1/requirements.txt" &&
        hdf5_logged "$1/bin/pip" install --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
            --requirement "$1/requirements.txt" && return 0
    rm -rf "$1"
    return 1
}

hdf5_from_source() {
    if ! cmake_is_new_enough; then
        local tools=$hdf5_root/target/cmake-$hdf5_cmake
        if [ ! -x "$tools/bin/cmake" ]; then
            hdf5_may_install "cmake $hdf5_cmake from PyPI, in $tools; cargo then builds HDF5 from source" || return 1
            hdf5_cmake_from_pypi "$tools" || return 1
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
