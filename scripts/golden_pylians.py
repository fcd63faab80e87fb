#!/usr/bin/env python3
"""Golden power spectra for crates/spectra from Pylians (pip install Pylians; tried with 0.12).

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
    made_by = {"script": "scripts/golden_pylians.py", "pylians": importlib.metadata.version("Pylians"),
               "numpy": np.__version__, "seed": "none: the fields are formulas", "phases": [0, 3]}
    lines = ",\n  ".join(json.dumps(case) for case in cases)
    print('{"made_by": ' + json.dumps(made_by) + ',\n "cases": [\n  ' + lines + "\n]}")


main()
