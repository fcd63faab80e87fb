#!/usr/bin/env bash
# What NVIDIA's own compiler makes of the kernels, without a card: registers, spills and shared memory of each, for sm_80, sm_90 and
# sm_120. The compiler comes from PyPI into target/ (70 MB), unless NVCC names one.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=target/nvcc
if [ -z "${NVCC-}" ]; then
    [ -x "$folder/bin/pip" ] || python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --no-deps nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 \
        nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
    NVCC=$(echo "$PWD/$folder"/lib/python3*/site-packages/nvidia/cu13/bin/nvcc)
fi
kernels=crates/layers3d/src/cuda/kernels
# The files in the order of program.rs.
for file in $(grep -o 'kernels/[a-z_]*\.cu' crates/layers3d/src/cuda/program.rs); do
    cat "$kernels/${file#kernels/}"
done >target/finescale.cu
for architecture in 80 90 120; do
    for volumes in "" -DFINESCALE_BF16; do
        echo "sm_$architecture $volumes"
        PATH="$(dirname "$NVCC"):$PATH" "$NVCC" -arch="sm_$architecture" -std=c++17 $volumes --ptxas-options=-v -cubin \
            -o target/finescale.cubin target/finescale.cu 2>&1 | awk '
                /error|warning/ { print; failed = 1 }
                /Compiling entry/ { split($0, part, "\047"); name = part[2] }
                /bytes stack/ { spills = $5 + $9; stack = $1 }
                /Used/ { match($0, /Used [0-9]+/); printf "  %-26s %4d registers, %3d bytes of stack, %3d bytes spilled\n", name,
                         substr($0, RSTART + 5, RLENGTH - 5), stack, spills }
                END { exit failed }'
    done
done
