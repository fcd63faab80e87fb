#!/usr/bin/env python3
"""Times P(k) and the bispectrum of crates/spectra against Pylians (pip install Pylians) on the same cores.

Builds nothing: first `cargo build --release -p finescale-spectra --example time_spectra`. The two codes take turns
on one field in memory; medians, their ratio, and the largest difference of the values are printed as JSON.
Usage: python scripts/measure_pylians.py power|bispectrum [--cells 256] [--repeat 5] [--threads 2] [--sides K1 K2]
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import Pk_library as PKL
from golden_pylians import silence

BOX_SIZE = 500.0
THETA = np.linspace(0.1, 3.0, 10)


def lumpy(cells):
    """1 + delta: the exponential of smooth noise, so that there is a bispectrum."""
    modes = np.fft.rfftn(np.random.default_rng(7).standard_normal((cells,) * 3, dtype=np.float32))
    n = np.fft.fftfreq(cells, 1 / cells).astype(np.float32)
    k2 = n[:, None, None] ** 2 + n[None, :, None] ** 2 + n[None, None, : cells // 2 + 1] ** 2
    modes /= 1 + k2 / (0.2 * cells) ** 2
    noise = np.fft.irfftn(modes, s=(cells,) * 3, axes=(0, 1, 2))
    density = np.exp(noise / noise.std())
    return (density / density.mean()).astype(np.float32)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("statistic", choices=["power", "bispectrum"])
    parser.add_argument("--cells", type=int, default=256)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sides", type=float, nargs=2, default=[0.15, 0.2], help="k1 and k2 over Nyquist")
    options = parser.parse_args()

    density = lumpy(options.cells)
    delta = density - np.float32(1)
    k1, k2 = (side * np.pi * options.cells / BOX_SIZE for side in options.sides)

    def pylians():
        start = time.perf_counter()
        if options.statistic == "power":
            values = PKL.Pk(delta, BOX_SIZE, 2, "CIC", options.threads, False).Pk[:, 0]
        else:
            values = PKL.Bk(delta, BOX_SIZE, k1, k2, THETA, "CIC", options.threads).B
        return time.perf_counter() - start, values

    ours_path = Path(__file__).parent.parent / "target/release/examples/time_spectra"
    with tempfile.NamedTemporaryFile() as file:
        density.tofile(file.name)
        command = [ours_path, file.name, str(options.cells), *map(str, [BOX_SIZE, k1, k2, *THETA])]
        ours = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                env={**os.environ, "RAYON_NUM_THREADS": str(options.threads)})
        seconds = {"ours": [], "pylians": []}
        for _ in range(options.repeat):
            ours.stdin.write(options.statistic + "\n")
            ours.stdin.flush()
            answer = json.loads(ours.stdout.readline())
            with silence():
                time_of_pylians, expected = pylians()
            seconds["ours"].append(answer["seconds"])
            seconds["pylians"].append(time_of_pylians)
        ours.stdin.close()
        ours.wait()
    median = {name: statistics.median(times) for name, times in seconds.items()}
    found = np.array(answer["values"])
    print(json.dumps({
        "statistic": options.statistic, "cells": options.cells, "threads": options.threads,
        "k_h_mpc": [k1, k2] if options.statistic == "bispectrum" else None,
        "seconds": seconds, "median_seconds": median, "ratio": median["pylians"] / median["ours"],
        "largest_relative_difference": float(np.max(np.abs(found / expected - 1))),
    }))


if __name__ == "__main__":
    main()
