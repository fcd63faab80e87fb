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

BOX_SIZE = 100.0


def clustered(count):
    """Half of the particles evenly, half in lumps, in the order of a snapshot: lump after lump."""
    draw = np.random.default_rng(3)
    even = draw.uniform(0, BOX_SIZE, (count // 2, 3))
    centres = draw.uniform(0, BOX_SIZE, (1000, 3))
    lumps = np.repeat(centres, -(-(count - count // 2) // 1000), axis=0)[: count - count // 2]
    lumps = (lumps + draw.normal(0, 1.0, lumps.shape)) % BOX_SIZE
    positions = np.concatenate([even, lumps]).astype(np.float32)
    positions[positions >= BOX_SIZE] = 0
    return np.ascontiguousarray(positions)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--particles", type=int, default=10_000_000)
    parser.add_argument("--cells", type=int, default=256)
    parser.add_argument("--scheme", default="CIC", choices=["NGP", "CIC", "TSC", "PCS"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
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
            theirs = np.zeros((options.cells,) * 3, dtype=np.float32)
            began = time.perf_counter()
            MASL.MA(positions, theirs, BOX_SIZE, options.scheme, verbose=False)
            times["pylians"].append(time.perf_counter() - began)
            times["finescale"].append(ours(sums))
            times["spread"].append(ours("", 1.5 * BOX_SIZE / options.cells))
        # Pylians has the centres of its voxels half a voxel lower: it puts particles where ours are half a voxel higher.
        found = np.fromfile(sums, np.float32).reshape(theirs.shape)
        mean = options.particles / options.cells**3
        half = np.float32(0.5 * BOX_SIZE / options.cells)
        moved = np.ascontiguousarray((positions - half) % np.float32(BOX_SIZE))
        shifted = np.zeros_like(theirs)
        MASL.MA(moved, shifted, BOX_SIZE, options.scheme, verbose=False)
        difference = np.abs(found - shifted)

    medians = {name: round(statistics.median(values), 3) for name, values in times.items()}
    print(json.dumps({
        "scheme": options.scheme, "particles": options.particles, "cells": options.cells, "seconds": medians,
        "ratio": round(medians["pylians"] / medians["finescale"], 2),
        "largest_difference_over_highest": float(difference.max() / shifted.max()),
        "largest_difference_over_mean": float(difference.max() / mean),
    }))


if __name__ == "__main__":
    main()
