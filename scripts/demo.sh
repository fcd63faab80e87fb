#!/usr/bin/env bash
# Builds finescale and runs its whole story on the data in data/demo; prints where the report is.
# Arguments go to `finescale demo`, for example --quick or --out DIR.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/hdf5.sh
cargo build --release --locked --package finescale "${CARGO_FEATURES[@]}"
exec "${CARGO_TARGET_DIR:-target}/release/finescale" demo "$@"
