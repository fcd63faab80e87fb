#!/usr/bin/env python3
"""Golden numbers for the statistics of crates/spectra that are not spectra: voids, Minkowski functionals, peaks, W1.

Voids are those of Pylians (pip install Pylians; tried with 0.12). Its Minkowski functionals are not in that package:
here they are counted on whole arrays, by the definition that Pylians' MFs_library has. Peaks and distances come from scipy.
The fields are formulas that the Rust test repeats; nothing is random.
Usage: python scripts/golden_statistics.py > crates/spectra/tests/golden/statistics.json
"""
import importlib.metadata
import json

import numpy as np
import scipy
from golden_pylians import silence
from scipy.ndimage import maximum_filter
from scipy.stats import wasserstein_distance

WAVES = [(1, 2, 0), (2, -1, 1), (0, 1, 3), (3, 0, -2), (1, -3, 2), (-2, 2, 3), (4, 1, -1), (0, -4, 2), (3, 3, 1),
         (1, 0, -5), (5, 2, 0), (-1, 4, 4), (2, 5, -3), (-4, 3, 3), (6, -1, 2), (3, -2, 6)]


def density(cells, phase):
    """1 + delta = exp(waves - 1/2), about lognormal. Repeated in tests/golden_statistics.rs."""
    i, j, k = np.meshgrid(*[np.arange(cells)] * 3, indexing="ij")
    waves = np.zeros((cells,) * 3)
    for number, (a, b, c) in enumerate(WAVES):
        turns = (a * i + b * j + c * k) / cells + (number * number * 0.37 + phase * 0.21)
        waves += 0.35 * np.cos(2 * np.pi * turns)
    return np.exp(waves - 0.5).astype(np.float32)


def voids(cells, box_size, threshold, radii):
    import void_library

    delta = (density(cells, 0) - 1).astype(np.float32)
    found = void_library.void_finder(delta, box_size, threshold, np.array(radii, dtype=np.float32), 1, 1)
    centres = np.rint(found.void_pos / (box_size / cells)).astype(int)
    return {"cells": cells, "box_size_mpc_h": box_size, "threshold": threshold, "radii_mpc_h": radii,
            "centres": centres.tolist(), "radius_mpc_h": rounded(found.void_radius),
            "size_function_radius_mpc_h": rounded(found.Rbins), "size_function": rounded(found.void_vsf)}


def smooth(field, radius_cells):
    """Gaussian of that radius in voxels."""
    k = 2 * np.pi * np.fft.fftfreq(field.shape[0])
    square = k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[None, None, :] ** 2
    return np.fft.ifftn(np.fft.fftn(field.astype(np.float64)) * np.exp(-0.5 * square * radius_cells**2)).real


def minkowski(field, voxel, thresholds):
    """Crofton's formula: Schmalzing & Buchert 1997, astro-ph/9702130; cubes, faces, edges, vertices that touch the set."""
    def touching(axes):
        largest = field
        for axis in axes:
            largest = np.maximum(largest, np.roll(largest, -1, axis))
        return largest

    rows = []
    for t in thresholds:
        n = [sum(np.count_nonzero(touching(axes) > t) for axes in group)
             for group in ([()], [(0,), (1,), (2,)], [(0, 1), (1, 2), (0, 2)], [(0, 1, 2)])]
        n3, n2, n1, n0 = n
        rows.append([n3, (n2 - 3 * n3) * 2 / 9 / voxel, (3 * n3 - 2 * n2 + n1) * 2 / 9 / voxel**2, (n0 - n1 + n2 - n3) / voxel**3])
    return (np.array(rows) / field.size).T


def peaks(field, nu):
    log_density = smooth(np.log(np.maximum(field, 1e-3)), 1.0)
    is_peak = log_density == maximum_filter(log_density, size=3, mode="wrap")
    height = (log_density[is_peak] - log_density.mean()) / log_density.std()
    return [int(np.count_nonzero(height >= least)) for least in nu]


def rounded(values):
    return [float(f"{v:.8g}") for v in values]


def main():
    with silence():
        found = [voids(48, 100.0, -0.3, [20.3, 17.3, 14.9, 12.1, 10.1, 8.7, 7.3, 6.1]),
                 voids(45, 60.0, -0.5, [12.3, 10.3, 8.1, 6.7, 5.3, 4.1])]
    thresholds = [-0.9, -0.6, -0.3, 0.0, 0.4, 1.0, 2.0, 4.0]
    cells, box_size = 30, 45.0
    functionals = minkowski(density(cells, 2) - np.float32(1), box_size / cells, thresholds)
    nu = [-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 9.0]
    both = [np.log(density(cells, phase).astype(np.float64)).ravel() for phase in (0, 3)]
    made_by = {"script": "scripts/golden_statistics.py", "pylians": importlib.metadata.version("Pylians"),
               "numpy": np.__version__, "scipy": scipy.__version__, "seed": "none: the fields are formulas"}
    golden = {
        "voids": found,
        "minkowski": {"cells": cells, "box_size_mpc_h": box_size, "phase": 2, "thresholds": thresholds,
                      "volume": rounded(functionals[0]), "area": rounded(functionals[1]),
                      "curvature": rounded(functionals[2]), "euler": rounded(functionals[3])},
        "peaks": {"cells": cells, "phase": 1, "nu": nu, "counts": peaks(density(cells, 1), nu)},
        "wasserstein": {"cells": cells, "phases": [0, 3], "distance": wasserstein_distance(*both)},
    }
    lines = ",\n ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in golden.items())
    print('{"made_by": ' + json.dumps(made_by) + ",\n " + lines + "\n}")


main()
