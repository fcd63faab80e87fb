#!/usr/bin/env bash
# The path to NVIDIA cards on a machine without one, on the card that scripts/cuda_stand_in makes: its own tests, our kernels against
# the plain compositions, mistakes planted into the kernels, and the whole program (doctor, training, generation) against the CPU.
# Usage: scripts/check_cuda.sh [--short]     --short: what continuous integration runs, every third mistake
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/hdf5.sh

command -v g++ >/dev/null || { echo "check_cuda.sh needs g++" >&2; exit 3; }
short=false
[ "${1-}" = --short ] && short=true
card=$PWD/target/cuda_stand_in/card
scripts/cuda_stand_in/build.sh "$card"
export FINESCALE_STAND_IN_CACHE=$PWD/target/cuda_stand_in/kernels
mkdir -p "$FINESCALE_STAND_IN_CACHE"

step() {
    echo "== $*"
    "$@"
}

# Whether a build without the feature knows of CUDA at all.
if cargo tree --locked --package finescale --edges normal --prefix none | grep -i cuda; then
    echo "a build without the feature cuda has it among its dependencies" >&2
    exit 1
fi

# The kernels' tests are compiled once, and run many times. The whole workspace, so that nothing else is compiled again.
features=(--workspace --locked --features "finescale/cuda ${CARGO_FEATURES[1]-}")
tests=$(cargo test "${features[@]}" --test kernels --no-run --message-format json |
    python3 -c 'import json, sys; print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable")][-1])')
kernels() { env "$@" LD_LIBRARY_PATH="$card" "$tests" --quiet; }
step kernels FINESCALE_STAND_IN_SEED=1 FINESCALE_STAND_IN_CARDS=2
if ! $short; then
    step scripts/cuda_stand_in/test/run.sh
    step kernels FINESCALE_STAND_IN_SEED=7 FINESCALE_STAND_IN_FLUSH=start FINESCALE_STAND_IN_CAPABILITY=90
    step kernels FINESCALE_STAND_IN_RACES=1
fi

# Mistakes must be caught: by the card (exit code 86), or because numbers are wrong (101).
missed=0 number=0
while IFS=$'\t' read -r name old new which; do
    [ -n "$name" ] || continue
    number=$((number + 1))
    $short && [ $((number % 3)) != 1 ] && continue
    code=0
    # The first failure ends the tests, of which the list may say which ones matter.
    log=$(env RUST_TEST_THREADS=1 FINESCALE_STAND_IN_REPLACE="$(printf %b "$old")" FINESCALE_STAND_IN_BY="$(printf %b "$new")" \
        LD_LIBRARY_PATH="$card" "$tests" --quiet $which 2>&1) || code=$?
    said=$(grep -m 1 -o 'cuda stand-in: .*\|off by .*\|compiling .*\|NVRTC_ERROR_INVALID.*' <<<"$log" | cut -c 1-110 || true)
    case $code in
        86 | 101) printf 'caught  %-34s %s\n' "$name" "$said" ;;
        *) printf 'MISSED  %s (exit code %s)\n' "$name" "$code"; missed=$((missed + 1)) ;;
    esac
    # A mistake that could not be planted proves nothing.
    if grep -q 'INVALID_INPUT' <<<"$log"; then
        echo "MISSED  $name: its line is no longer in the kernels"
        missed=$((missed + 1))
    fi
done <scripts/cuda_stand_in/mistakes.txt
[ "$missed" = 0 ] || exit 1

step env FINESCALE_STAND_IN_CARDS=2 LD_LIBRARY_PATH="$card" cargo test "${features[@]}" --test integration card::
echo "feature cuda: all is well on the card that stands in"
