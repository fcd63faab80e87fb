"""P(k) of data/demo/gadget4_dm_64 in numpy, the golden numbers of tests/gadget4.rs.

Usage: measure_gadget4.py        (needs numpy and h5py; writes tests/data/gadget4_dm_64_pk128.json)

128^3 cells, CIC, window divided out, no shot noise subtracted; shells floor(|k| / k_F) as Pylians bins. Binned by
round(|k| / k_F) instead, it must give tests/data/gadget4_dm_64_pk128_rounded.txt, which came with the snapshot.
"""

import json
import pathlib
import sys

import h5py
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
CELLS = 128


def positions():
    parts = []
    for file in sorted((ROOT / "data/demo/gadget4_dm_64/snapdir_003").glob("*.hdf5")):
        with h5py.File(file) as snapshot:
            box = snapshot["Header"].attrs["BoxSize"] / 1e3
            parts.append(snapshot["PartType1/Coordinates"][...].astype(np.float64) / 1e3)
    return np.concatenate(parts), box


def cloud_in_cell(points, box):
    # Voxel i is centred at i + 1/2.
    scaled = points / box * CELLS - 0.5
    base = np.floor(scaled).astype(int)
    part = scaled - base
    density = np.zeros((CELLS,) * 3)
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(np.array(corner) == 1, part, 1 - part), axis=1)
        np.add.at(density, tuple(((base + corner) % CELLS).T), weight)
    return density / density.mean() - 1


def spectrum(delta, box, shell):
    number = np.fft.fftfreq(CELLS, 1 / CELLS)
    window = np.sinc(number / CELLS) ** 2
    modes = np.fft.fftn(delta) / CELLS**3
    modes /= window[:, None, None] * window[None, :, None] * window[None, None, :]
    k = np.sqrt(number[:, None, None] ** 2 + number[None, :, None] ** 2 + number[None, None, :] ** 2)
    index = shell(k).astype(int).ravel()
    count = np.bincount(index)
    mean = lambda values: np.bincount(index, values.ravel())[1:] / count[1:]
    return 2 * np.pi / box * mean(k), box**3 * mean(np.abs(modes) ** 2), count[1:]


def main():
    points, box = positions()
    delta = cloud_in_cell(points, box)
    k, power, count = spectrum(delta, box, np.round)
    given = np.loadtxt(ROOT / "tests/data/gadget4_dm_64_pk128_rounded.txt")
    bins = len(given)
    worst = [np.abs(found[:bins] / expected - 1).max() for found, expected in ((k, given[:, 0]), (power, given[:, 1]))]
    print(f"rounded shells: k within {worst[0]:.1e}, P within {worst[1]:.1e} of the given ones", file=sys.stderr)
    assert max(worst) < 1e-3
    k, power, count = spectrum(delta, box, np.floor)
    bins = CELLS // 2
    golden = {
        "script": "scripts/measure_gadget4.py",
        "numpy": np.__version__,
        "k_h_mpc": k[:bins].tolist(),
        "power": power[:bins].tolist(),
        "modes_with_conjugates": count[:bins].tolist(),
    }
    (ROOT / "tests/data/gadget4_dm_64_pk128.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
