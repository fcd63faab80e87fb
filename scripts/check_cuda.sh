#!/bin/sh
# Type-checks the feature `cuda` without a GPU and without NVIDIA's tools: scripts/cuda_stand_in/bin/nvcc answers
# for the compiler. It proves that our code compiles against candle's CUDA backend; it does not link and runs
# nothing. Usage: scripts/check_cuda.sh [package ...]   (default: finescale, the whole program)
set -eu
cd "$(dirname "$0")/.."
stand_in=$PWD/scripts/cuda_stand_in
export PATH="$stand_in/bin:$PATH" NVCC="$stand_in/bin/nvcc" CUDA_HOME="$stand_in"
export CUDA_COMPUTE_CAP=80 CUDARC_CUDA_VERSION=13000
# A target directory of its own: build caches do not tell the stand-in from the real compiler.
export CARGO_TARGET_DIR=target/cuda_stand_in
for package in "${@:-finescale}"; do
    cargo check --locked --package "$package" --features cuda --all-targets
done
echo "feature cuda: type-checked (not linked, not run)"
