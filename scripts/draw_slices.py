#!/usr/bin/env python3
"""Draws slices through grid files side by side, all in one scale of colours: the mean of some planes of log10(1 + delta).

    ./scripts/draw_slices.py -o slices.png --columns 2 "dark matter=condition.hdf5" "a sample=sample.hdf5"

With --truth and --sample, a panel of P/P_truth follows (`finescale spectrum`). Needs h5py and matplotlib.
"""
import argparse
import json
import subprocess
from pathlib import Path

import h5py
import matplotlib
import numpy

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def planes(path, thickness_mpc_h):
    """Mean density over the first planes along x, and the sides of the box."""
    with h5py.File(path) as file:
        size = numpy.broadcast_to(file.attrs["box_size_mpc_h"], 3)
        field = file["field"]
        count = max(1, round(thickness_mpc_h / size[0] * field.shape[0]))
        return field[:count].mean(axis=0), size


def power(finescale, path):
    command = [finescale, "spectrum", path, "--json"]
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    spectrum = json.loads(out.stdout.splitlines()[-1])
    return numpy.array(spectrum["k_h_mpc"]), numpy.array(spectrum["power_mpc_h3"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("panels", nargs="+", metavar="TITLE=GRID")
    parser.add_argument("-o", "--out", required=True, type=Path)
    parser.add_argument("--columns", type=int, default=3)
    parser.add_argument("--thickness", type=float, default=3.0, help="of a slice, in Mpc/h")
    parser.add_argument("--truth", help="grid whose power others are compared with")
    parser.add_argument("--sample", action="append", default=[], metavar="TITLE=GRID")
    parser.add_argument("--finescale", default="target/release/finescale")
    a = parser.parse_args()

    count = len(a.panels) + (1 if a.truth else 0)
    rows = -(-count // a.columns)
    figure, axes = plt.subplots(
        rows, a.columns, figsize=(3.4 * a.columns, 3.5 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[count:]:
        axis.set_axis_off()
    for axis, panel in zip(axes.flat, a.panels):
        title, path = panel.split("=", 1)
        field, size = planes(path, a.thickness)
        axis.imshow(
            numpy.log10(field.T + 1e-2), origin="lower", extent=(0, size[1], 0, size[2]), vmin=-1.2, vmax=1.6,
            cmap="magma", interpolation="nearest")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("y [Mpc/h]", fontsize=8)
        axis.tick_params(labelsize=7)
    if a.truth:
        axis = axes.flat[len(a.panels)]
        k, truth = power(a.finescale, a.truth)
        with h5py.File(a.truth) as file:
            nyquist = numpy.pi * file["field"].shape[0] / planes(a.truth, 0)[1][0]
        axis.axhspan(0.94, 1.06, color="0.93")
        axis.axhline(1, color="0.6", linewidth=0.8)
        for sample in a.sample:
            title, path = sample.split("=", 1)
            axis.semilogx(k, power(a.finescale, path)[1] / truth, label=title, linewidth=1.2)
        axis.set(xlim=(k[0], nyquist), ylim=(0.8, 1.3))
        axis.set_xlabel("k [h/Mpc]", fontsize=8)
        axis.set_title("P / P_truth", fontsize=10)
        axis.legend(fontsize=8, frameon=False)
        axis.tick_params(labelsize=7)
    figure.savefig(a.out, dpi=110)


if __name__ == "__main__":
    main()
