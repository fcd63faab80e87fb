#!/usr/bin/env bash
# Everything that must hold before a change goes in: format, lints, all tests and doctests, documentation, and what
# comes in from outside.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/hdf5.sh

# Each step, with the minutes since the start: what takes long is seen.
step() {
    printf '== %d:%02d %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*"
    "$@"
}

step cargo fmt --all --check
step cargo clippy --workspace --all-targets --locked "${CARGO_FEATURES[@]}" -- -D warnings
step cargo test --workspace --locked "${CARGO_FEATURES[@]}"
# What users read first; the tests have built it.
for example in power_of_a_snapshot train_a_toy upscale_a_cube; do
    step "${CARGO_TARGET_DIR:-target}/debug/examples/$example"
done
# The kernels again, as CPUs with less than this one run them.
for simd in avx2 portable; do
    FINESCALE_SIMD=$simd step cargo test --workspace --locked "${CARGO_FEATURES[@]}" --test kernels
done
RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps --document-private-items --locked "${CARGO_FEATURES[@]}"
step ./scripts/check_supply.sh
# Writes that fail, kills and full disks, a fixed sample, without signals, which are judged by the clock; exit code 3
# says that there is no strace here.
step ./scripts/prove_durability.sh --short --no-signals --binary "${CARGO_TARGET_DIR:-target}/debug/finescale" || [ $? = 3 ]
# The commands that README and book show, and their links.
step python3 ./scripts/check_book.py --binary "${CARGO_TARGET_DIR:-target}/debug/finescale"
# NVIDIA cards, without one. Exit code 3 says that there is no g++ here.
step ./scripts/check_cuda.sh --short || [ $? = 3 ]
# Processes under MPI. Exit code 3 says that there is none to be had.
step ./scripts/check_mpi.sh --short || [ $? = 3 ]
printf '== %d:%02d all is well\n' $((SECONDS / 60)) $((SECONDS % 60))
