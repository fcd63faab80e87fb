#!/usr/bin/env bash
# Ranks under MPI: what ranks on threads pass in cargo test, on 1 to 4 processes; ranks that are lost; launchers of another
# MPI; a program without MPI. Of the MPI that scripts/mpi.sh finds, or that of MPICC. Exit code 3: there is none to be had.
# Usage: scripts/check_mpi.sh [--short]     --short: without messages of more than 2 GiB, which take 9 GB of memory, and speeds
set -euo pipefail
cd "$(dirname "$0")/.."
short=false
[ "${1-}" = --short ] && short=true
source scripts/mpi.sh || exit 3
command -v "$MPIRUN" > /dev/null || { echo "check_mpi.sh needs $MPIRUN" >&2; exit 3; }

target=${CARGO_TARGET_DIR:-$PWD/target}
step() {
    echo "== ${*//"$target/"/}"
    "$@"
}

# Whether a build without the feature knows of MPI at all.
tree=$(cargo tree --locked --package finescale-ranks --edges normal,build --prefix none)
if grep -i '^mpi' <<< "$tree"; then
    echo "a build without the feature mpi has it among its dependencies" >&2
    exit 1
fi
step cargo build --locked --package finescale-ranks --example under_mpi
without=$target/debug/examples/under_mpi
# Each MPI has a folder of its own: cargo does not see when another one comes.
export CARGO_TARGET_DIR=$target/mpi-$("$MPICC" -show | cksum | cut -d ' ' -f 1)
features=(--locked --package finescale-ranks --features mpi)
step cargo clippy "${features[@]}" --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" step cargo doc "${features[@]}" --no-deps --document-private-items
step cargo build "${features[@]}" --example under_mpi
program=$CARGO_TARGET_DIR/debug/examples/under_mpi

# As root, and with more ranks than cores: Open MPI 4, Open MPI 5.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
# Panics are planned here.
export RUST_BACKTRACE=0

# launch RANKS PROGRAM ARGUMENT...: a hang is exit code 124.
launch() { timeout 100 "$MPIRUN" -n "$@"; }

for ranks in 1 2 3 4; do
    # Messages whole, and in parts that end within a value.
    step launch "$ranks" "$program" checks 1073741824
    step launch "$ranks" "$program" checks 1001
done

# fails CODES WORDS COMMAND...: whether it ends with one of these exit codes (a pattern), and says these words.
fails() {
    local codes=$1 words=$2 code=0 said
    shift 2
    # Open MPI ends some lines with a zero.
    said=$("$@" 2>&1 | tr -d '\0') || code=$?
    # shellcheck disable=SC2254 # a pattern
    case $code in
        0 | 124) ;;
        $codes)
            if grep -q -- "$words" <<< "$said"; then
                echo "ended, as it must: ${*//"$target/"/} (exit code $code)"
                return
            fi
            ;;
    esac
    printf '%s\nexit code %s; expected: %s, and "%s" from: %s\n' "$said" "$code" "$codes" "$words" "$*" >&2
    exit 1
}

# A rank is lost while two wait for it. The launcher chooses the code of who is killed, and says who it was (Open MPI) or not.
fails 101 "rank 2 of 3 ends all ranks" launch 3 "$program" lost panic
fails 3 "rank 2 of 3 ends all ranks" launch 3 "$program" lost abort
fails "*" "rank 2 of 3 ends all ranks" launch 3 "$program" lost busy
fails "*" "" launch 3 "$program" lost exit
fails "*" "" launch 3 "$program" lost kill
fails "*" "rank 2 ended where this rank calls barrier" launch 3 "$program" lost return

# MPI that does not know of the launcher: one that sets the variable of another kind.
other=PMI_SIZE
"$MPICC" -show | grep -q mpich && other=OMPI_COMM_WORLD_SIZE
fails 2 "the launcher started 2 ranks, says $other, but MPI knows of 1" env $other=2 "$program" count
# A real one, where Debian has both.
for launcher in mpirun.openmpi mpirun.mpich; do
    command -v $launcher > /dev/null || continue
    [ "$(readlink -f "$(command -v $launcher)")" = "$(readlink -f "$MPIRUN")" ] ||
        fails "*" "MPI knows of 1\|unsupported PMI" timeout 100 $launcher -n 2 "$program" count
done

fails "*" "2 or more copies of this program were started" launch 2 "$without" count
step launch 1 "$without" count
fails 3 "" "$without" lost abort

if ! $short; then
    step launch 2 "$program" huge
    step launch 2 "$program" speed
fi
echo "feature mpi: all is well with $MPICC"
