#!/usr/bin/env python3
"""How far the numbers that goals are judged by move with the steps of the sampler and the noise of its last one.

Of each mock box one sample, always of the same noise, with more and more steps; then, for each goal, the difference from the
finest row: mean over boxes of paired differences, ± their standard error, at the place where it is largest. What moves by more
than a third of its goal is the sampler's error, not the network's. Boxes and samples are reused, as in measure_samples.py.

    ./scripts/measure_convergence.py --model data/demo/model.safetensors --boxes runs/measurement --out runs/convergence
"""
import argparse
import json
import math
from pathlib import Path

from measure_samples import compare, draw_samples, linked_box, mean, seeds

# Arguments of `finescale upscale`, from coarse to fine.
ROWS = {
    "10 steps to 0.02": "--steps 10 --sigma-min 0.02",
    "20 steps to 0.02": "--steps 20 --sigma-min 0.02",
    "40 steps to 0.02": "--steps 40 --sigma-min 0.02",
    "80 steps to 0.02": "--steps 80 --sigma-min 0.02",
    "20 steps to 0.005": "--steps 20 --sigma-min 0.005",
    "40 steps to 0.005": "--steps 40 --sigma-min 0.005",
    "80 steps to 0.005": "--steps 80 --sigma-min 0.005",
}
# Key of a goal, key of its estimate in report.json, wavenumbers it is at, and up to which it is judged.
JUDGED = {
    "power_large_scales": ("ratio", "k_h_mpc", 1.0),
    "power_small_scales": ("ratio", "k_h_mpc", 4.0),
    "log_power": ("log_power_ratio", "k_h_mpc", 2.0),
    "bispectrum": ("bispectrum_ratio", "bispectrum_k_h_mpc", 2.0),
    "mass": ("mass_ratio", None, None),
    "percentile_99_9": ("percentile_99_9_ratio", None, None),
    "low_percentiles": ("low_percentile_ratio", None, None),
    "nearly_empty": ("nearly_empty_ratio", None, None),
    "environment_mass": ("environment_mass_ratio", None, None),
}


def differences(report, finest, key):
    """Mean and standard error of the paired differences where their mean is largest."""
    estimate, k, up_to = JUDGED[key]
    bins = range(len(finest["pooled"][estimate]["value"]))
    if k:
        bins = [bin for bin in bins if (report["pooled"][k][bin] or math.inf) <= up_to]
    found = []
    for bin in bins:
        pairs = [(mine[estimate]["value"][bin], its[estimate]["value"][bin])
                 for mine, its in zip(report["boxes"], finest["boxes"])]
        if any(value is None for pair in pairs for value in pair):
            continue
        moved = [mine - its for mine, its in pairs]
        centre = mean(moved)
        error = math.sqrt(sum((m - centre) ** 2 for m in moved) / (len(moved) - 1) / len(moved))
        found.append((centre, error))
    return max(found, key=lambda pair: abs(pair[0]), default=(math.nan, math.nan))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--boxes", required=True, type=Path, help="where the mock pairs are, or are made")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--seeds", default="211-214", type=seeds)
    parser.add_argument("--cells", type=int, default=64)
    parser.add_argument("--most-steps", type=int, default=80, help="leave out rows of more")
    parser.add_argument("--finescale", default="target/release/finescale")
    a = parser.parse_args()
    if len(a.seeds) < 3:
        parser.error("--seeds: three boxes are the least that have a scatter")

    rows = {name: row for name, row in ROWS.items() if int(name.split()[0]) <= a.most_steps}
    reports = {}
    for name, row in rows.items():
        folders = []
        for seed in a.seeds:
            folder = linked_box(a.finescale, a.boxes, a.out / name.replace(" ", "_"), seed, a.cells)
            draw_samples(a.finescale, a.model, folder, seed, 1, row.split())
            folders.append(folder)
        reports[name] = compare(a.finescale, folders, folders[0].parent / "report")
    finest = reports[list(rows)[-1]]
    wanted = {goal["key"]: goal["wanted"] for goal in finest["goals"]}
    print(f"Differences from {list(rows)[-1]}, {len(a.seeds)} boxes of {a.cells}^3; a third of the goal in the last row.\n")
    print("| | " + " | ".join(JUDGED) + " | mass |")
    print("|---" * (len(JUDGED) + 2) + "|")
    for name, report in reports.items():
        cells = ["{:+.4f} ± {:.4f}".format(*differences(report, finest, key)) for key in JUDGED]
        print(f"| {name} | " + " | ".join(cells) + f" | {report['pooled']['mass_ratio']['value'][0]:.4f} |")
    print("| a third of the goal | " + " | ".join(f"{wanted[key] / 3:.4f}" for key in JUDGED) + " | |")


if __name__ == "__main__":
    main()
