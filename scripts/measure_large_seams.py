#!/usr/bin/env python3
"""Seams of a sample that is larger than memory, whose condition repeats itself: steps of ln(1 + delta) at faces of windows, and where
slabs of ranks meet, against steps between the same planes of the other repetitions.

    scripts/measure_large_seams.py sample.hdf5 --period 64 --ranks 2

A condition that repeats itself shows the network the same structure again and again, with other noise: what is at a face alone is the face's.
A ratio of 1 is no seam. Reads a slab of 32 planes at a time.
"""
import argparse
import json

import h5py
import numpy as np

EMPTY = 1e-3  # of the mean: what counts as the emptiest


def steps(field):
    """The mean |step| of ln(1 + delta) from the plane before to each plane, by axis."""
    cells = field.shape
    found = [np.zeros(n) for n in cells]
    before = np.log(np.maximum(field[cells[0] - 1], EMPTY))
    for start in range(0, cells[0], 32):
        slab = np.log(np.maximum(field[start:start + 32], EMPTY))
        found[0][start:start + len(slab)] = np.abs(np.diff(np.concatenate([before[None], slab]), axis=0)).mean((1, 2))
        before = slab[-1]
        for axis in (1, 2):
            others = tuple(a for a in range(3) if a != axis)
            found[axis] += np.abs(slab - np.roll(slab, 1, axis)).sum(others) / (field.size / cells[axis])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sample")
    parser.add_argument("--period", type=int, default=64, help="cells after which the condition repeats itself")
    parser.add_argument("--ranks", type=int, default=1, help="that made it")
    options = parser.parse_args()
    with h5py.File(options.sample) as file:
        of_axes = steps(file["field"])
        faces = json.loads(file.attrs["tile_faces"])
    ratios = []  # of each plane to the same of all repetitions
    for found in of_axes:
        repeated = found.reshape(-1, options.period)
        others = (repeated.sum(0) - repeated) / (len(repeated) - 1)
        ratios.append((repeated / others).ravel())
    scatter = np.concatenate(ratios).std()
    print(f"scatter of a plane: {scatter:.4f}")
    for axis, (name, ratio) in enumerate(zip("xyz", ratios)):
        at = np.zeros(len(ratio), bool)
        at[faces[axis]] = True
        print(f"{name}: {at.sum()} faces {ratio[at].mean():.4f} ± {ratio[at].std(ddof=1) / at.sum() ** 0.5:.4f}, largest {ratio[at].max():.4f}; "
              f"elsewhere {ratio[~at].mean():.4f}, largest {ratio[~at].max():.4f}")
    cells = len(ratios[0])
    for rank in range(options.ranks):
        plane = cells * rank // options.ranks
        print(f"where the slab of rank {rank} begins, x = {plane}: {ratios[0][plane]:.4f}")


if __name__ == "__main__":
    main()
