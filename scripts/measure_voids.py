#!/usr/bin/env python3
"""How much of a mock's voids is its particles' lattice: the scatter of truths around gas that fills space.

Makes one universe twice with `finescale mock`, with and without --gas-particles, reads its gas particles, which lie in the order
of their lattice, interpolates them trilinearly between neighbours on the lattice (64 pieces each), and prints, for the
third of the voxels with the least gas, rms, mean and median of truth / interpolated - 1, as JSON. The interpolation is
right where streams have not crossed, as in voids; elsewhere it says nothing.
Usage: python scripts/measure_voids.py [--binary target/release/finescale] [--cells 64] [--particles 128] [--seed 3]
"""
import argparse
import itertools
import json
import subprocess
import tempfile
from pathlib import Path

import h5py
import numpy as np

MPC_H_PER_CELL = 100 / 128
PIECES = 4


def gas_of(folder):
    """Positions over the side of the box, (n, n, n, 3) in the order of the lattice."""
    files = sorted((folder / "high_res/snapdir_000").glob("*.hdf5"), key=lambda path: int(path.name.split(".")[-2]))
    parts = []
    for path in files:
        with h5py.File(path) as file:
            parts.append(file["PartType0/Coordinates"][:] / file["Header"].attrs["BoxSize"])
    positions = np.concatenate(parts)
    side = round(len(positions) ** (1 / 3))
    return positions.reshape(side, side, side, 3)


def cloud_in_cell(positions, cells):
    place = positions.reshape(-1, 3) % 1 * cells - 0.5
    first = np.floor(place).astype(int)
    t = place - first
    sums = np.zeros(cells**3)
    for corner in itertools.product((0, 1), repeat=3):
        x, y, z = ((first + corner) % cells).T
        share = np.where(corner, t, 1 - t).prod(axis=1)
        sums += np.bincount((x * cells + y) * cells + z, share, cells**3)
    return sums.reshape((cells,) * 3)


def interpolated(positions, cells):
    """1 + delta of the sheet of particles: Abel, Hahn & Kaehler 2012 (arXiv:1111.3944), with trilinear pieces."""
    side = len(positions)
    sites = np.stack(np.meshgrid(*[np.arange(side) / side] * 3, indexing="ij"), -1)
    moved = (positions - sites + 0.5) % 1 - 0.5
    sums = np.zeros((cells,) * 3)
    for piece in itertools.product(range(PIECES), repeat=3):
        offset = (np.array(piece) + 0.5) / PIECES
        step = 0
        for corner in itertools.product((0, 1), repeat=3):
            share = np.where(corner, offset, 1 - offset).prod()
            step = step + share * np.roll(moved, [-c for c in corner], (0, 1, 2))
        sums += cloud_in_cell(sites + offset / side + step, cells)
    return sums / sums.mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=Path(__file__).parent.parent / "target/release/finescale")
    parser.add_argument("--cells", type=int, default=64)
    parser.add_argument("--particles", type=int, default=128)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        truths = {}
        for name, more in [("particles", ["--snapshots", "--gas-particles"]), ("spread", [])]:
            subprocess.run([options.binary, "mock", "--box-size", str(MPC_H_PER_CELL * options.cells), "--cells",
                            str(options.cells), "--particles-low", str(options.particles // 4), "--particles-high",
                            str(options.particles), "--seed", str(options.seed), "--quiet", "-o", f"{folder}/{name}",
                            *more], check=True)
            with h5py.File(f"{folder}/{name}/truth.hdf5") as file:
                truths[name] = file["field"][:].astype(float)
        sheet = interpolated(gas_of(Path(folder) / "particles"), options.cells)
    emptiest = sheet <= np.quantile(sheet, 1 / 3)
    scatter = {name: (truth / sheet - 1)[emptiest] for name, truth in truths.items()}
    print(json.dumps({name: {"rms": float(np.sqrt((one**2).mean())), "mean": float(one.mean()),
                             "median": float(np.median(np.abs(one)))} for name, one in scatter.items()}))


if __name__ == "__main__":
    main()
