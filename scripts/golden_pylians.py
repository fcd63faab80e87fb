#!/usr/bin/env python3
"""Golden power spectra, multipoles and bispectra for crates/spectra from Pylians (pip install Pylians; tried with 0.12).

The fields are formulas that the Rust test repeats, so that the file holds spectra only; nothing is random.
Usage: python scripts/golden_pylians.py > crates/spectra/tests/golden/pylians.json
"""
import contextlib
import importlib.metadata
import json
import os
import sys

import numpy as np


def density(cells, phase):
    """1 + delta: an integer hash in [0, 1) for power at all scales, and two waves. Repeated in tests/pylians.rs."""
    i, j, k = np.meshgrid(*[np.arange(cells)] * 3, indexing="ij")
    hashed = ((i * 7919 + j * 10473 + k * 12997 + i * j * k * 31 + phase * 577) % 1009) / 1009.0
    turns = (2 * i + 3 * j) / cells + phase / 8
    return (0.5 + hashed + 0.25 * np.cos(2 * np.pi * turns) + 0.125 * np.sin(2 * np.pi * 5 * k / cells)).astype(np.float32)


def contrast(cells, phase):
    field = density(cells, phase)
    return (field / field.mean(dtype=np.float64) - 1.0).astype(np.float32)


def skewed(cells):
    """A field with a bispectrum: the square of the first one, in f32."""
    field = density(cells, 0)
    field = field * field
    return (field / field.mean(dtype=np.float64) - 1.0).astype(np.float32)


@contextlib.contextmanager
def silence():
    """Pylians prints its progress, which is not JSON."""
    kept, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    os.dup2(null, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)


def rounded(values):
    return [float(f"{v:.8g}") for v in values]


def multipoles(PKL):
    cases = []
    for cells, box_size, scheme in [(32, 100.0, "CIC"), (15, 40.0, "TSC")]:
        for axis in range(3):
            found = PKL.Pk(contrast(cells, 3), box_size, axis, scheme, 1, False)
            cases.append({
                "cells": cells, "box_size_mpc_h": box_size, "window": scheme.lower(), "line_of_sight": "xyz"[axis],
                "monopole": rounded(found.Pk[:, 0]), "quadrupole": rounded(found.Pk[:, 1]),
                "hexadecapole": rounded(found.Pk[:, 2]),
            })
    return cases


def bispectra(PKL):
    cells, box_size = 32, 100.0
    fundamental = 2 * np.pi / box_size
    shapes = [("angles", 3.3, 4.2, [0.3, 1.0, 1.7, 2.4, 2.9]), ("isosceles", 4.6, 4.6, [0.5, 1.5, 2.5]),
              ("squeezed", 1.4, 6.3, [np.arccos(-1.4 / (2 * 6.3))])]
    shapes += [("equilateral", k, k, [2 * np.pi / 3]) for k in (2.5, 5.5, 8.5)]
    cases = []
    for scheme in ["None", "CIC", "PCS"]:
        for shape, k1, k2, theta in shapes:
            found = PKL.Bk(skewed(cells), box_size, k1 * fundamental, k2 * fundamental, np.array(theta), scheme, 1)
            sides = [[found.k[0], found.k[1], k3] for k3 in found.k[2:]]
            powers = [[found.Pk[0], found.Pk[1], p3] for p3 in found.Pk[2:]]
            cases.append({
                "shape": shape, "cells": cells, "box_size_mpc_h": box_size, "window": scheme.lower(),
                "k_h_mpc": [[float(k) for k in side] for side in sides],
                "power": [rounded(power) for power in powers], "bispectrum": rounded(found.B),
                "reduced": rounded(found.Q), "triangles": rounded(found.triangles * float(cells) ** 6),
            })
    return cases


def main():
    with silence():
        import Pk_library as PKL

        cases = []
        for cells, box_size, schemes in [(32, 100.0, ["None", "NGP", "CIC", "TSC", "PCS"]), (15, 40.0, ["CIC"])]:
            for scheme in schemes:
                both = [contrast(cells, phase) for phase in (0, 3)]
                one = PKL.Pk(both[0].copy(), box_size, 0, scheme, 1, False)
                two = PKL.XPk([field.copy() for field in both], box_size, 0, [scheme, scheme], 1)
                assert np.allclose(two.Pk[:, 0, 0], one.Pk[:, 0])
                cases.append({
                    "cells": cells, "box_size_mpc_h": box_size, "window": scheme.lower(),
                    "k_h_mpc": rounded(one.k3D), "modes": [int(n) for n in one.Nmodes3D],
                    "power": rounded(one.Pk[:, 0]), "second_power": rounded(two.Pk[:, 0, 1]),
                    "cross_power": rounded(two.XPk[:, 0, 0]),
                })
        of_axes, of_triangles = multipoles(PKL), bispectra(PKL)
    made_by = {"script": "scripts/golden_pylians.py", "pylians": importlib.metadata.version("Pylians"),
               "numpy": np.__version__, "seed": "none: the fields are formulas", "phases": [0, 3]}
    lists = [("cases", cases), ("multipoles", of_axes), ("bispectra", of_triangles)]
    texts = [f' "{name}": [\n  ' + ",\n  ".join(json.dumps(case) for case in list) + "\n]" for name, list in lists]
    print('{"made_by": ' + json.dumps(made_by) + ",\n" + ",\n".join(texts) + "}")


if __name__ == "__main__":
    main()
