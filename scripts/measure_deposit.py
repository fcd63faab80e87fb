#!/usr/bin/env python3
"""Times mass assignment against Pylians' MAS_library (pip install Pylians) on the same cores.

Builds nothing: first `cargo build --release -p finescale-field --example time_deposit`. The two codes take turns on the
same clustered particles in memory; medians, their ratio, and the largest difference of the sums over their mean are printed
as JSON, beside the time of the deposit that spreads each particle over a cube of one and a half voxels.
Usage: python scripts/measure_deposit.py [--particles 10000000] [--cells 256] [--scheme CIC] [--repeat 5]
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import MAS_library as MASL
import numpy as np

BOX_SIZE = 128.0
STEP = 2.0**-16  # of positions: half a voxel of any power of two is a whole number of them
REPEAT = 3  # of each turn, after one that is not timed: memory is then at hand for both


def clustered(count):
    """Half of the particles evenly, half in lumps, in the order of a snapshot: lump after lump."""
    draw = np.random.default_rng(3)
    even = draw.uniform(0, BOX_SIZE, (count // 2, 3))
    centres = draw.uniform(0, BOX_SIZE, (1000, 3))
    lumps = np.repeat(centres, -(-(count - count // 2) // 1000), axis=0)[: count - count // 2]
    lumps = (lumps + draw.normal(0, 1.0, lumps.shape)) % BOX_SIZE
    positions = np.floor(np.concatenate([even, lumps]) / STEP) * STEP % BOX_SIZE
    return np.ascontiguousarray(positions.astype(np.float32))


def pylians(positions, cells, scheme):
    sums = np.zeros((cells,) * 3, dtype=np.float32)
    MASL.MA(positions, sums, BOX_SIZE, scheme, verbose=False)
    return sums


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--particles", type=int, default=10_000_000)
    parser.add_argument("--cells", type=int, default=256)
    parser.add_argument("--scheme", default="CIC", choices=["NGP", "CIC", "TSC", "PCS"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-spread", action="store_true", help="leave out the deposit of volumes")
    options = parser.parse_args()
    positions = clustered(options.particles)
    program = Path(__file__).parent.parent / "target/release/examples/time_deposit"

    with tempfile.TemporaryDirectory() as folder:
        file, sums = Path(folder) / "positions", Path(folder) / "sums"
        positions.tofile(file)
        environment = {**os.environ, "RAYON_NUM_THREADS": str(options.threads)}

        def ours(*more):
            command = [program, file, str(options.cells), str(BOX_SIZE), options.scheme.lower(), *map(str, more)]
            return float(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)

        times = {"pylians": [], "finescale": [], "spread": []}
        for _ in range(options.repeat):
            pylians(positions, options.cells, options.scheme)
            began = time.perf_counter()
            for _ in range(REPEAT):
                pylians(positions, options.cells, options.scheme)
            times["pylians"].append((time.perf_counter() - began) / REPEAT)
            times["finescale"].append(ours(sums))
            if not options.no_spread:
                times["spread"].append(ours("", 1.5 * BOX_SIZE / options.cells))
        # Pylians has the centres of its voxels half a voxel lower: it puts particles where ours are half a voxel higher.
        found = np.fromfile(sums, np.float32).reshape((options.cells,) * 3)
        mean = options.particles / options.cells**3
        half = np.float32(0.5 * BOX_SIZE / options.cells)
        moved = np.ascontiguousarray((positions - half) % np.float32(BOX_SIZE))
        shifted = pylians(moved, options.cells, options.scheme)
        difference = np.abs(found - shifted)

    medians = {name: round(statistics.median(values), 3) for name, values in times.items() if values}
    print(json.dumps({
        "scheme": options.scheme, "particles": options.particles, "cells": options.cells, "seconds": medians,
        "ratio": round(medians["pylians"] / medians["finescale"], 2),
        "largest_difference_over_highest": float(difference.max() / shifted.max()),
        "largest_difference_over_mean": float(difference.max() / mean),
    }))


if __name__ == "__main__":
    main()
