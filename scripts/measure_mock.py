#!/usr/bin/env python3
"""Holds mock universes to IllustrisTNG: power of the dark matter, gas over dark matter, and their correlation, of the mean spectra of
boxes with errors by the jackknife, beside TNG300-1's (Foreman et al. 2019, arXiv:1910.03597; all baryons, of which the mock has only gas).

Spectra are of the snapshots' particles, interlaced on twice as many cells, so that neither aliases nor a window matter below the grids'
Nyquist frequency. Boxes are small: their power scatters and is mostly too low, and with less power gas differs less from dark matter.

    scripts/measure_mock.py --binary target/release/finescale --boxes 8 --redshift 0
    scripts/measure_mock.py --config mock.json --json runs/mock.json
"""
import argparse
import csv
import json
import math
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

TABLE = Path(__file__).resolve().parent.parent / "crates/judge/data/tng300_spectra.csv"
SPECTRA = ["k_h_mpc", "power_mpc_h3", "other_power_mpc_h3", "cross_power_mpc_h3"]


def published(redshift):
    """Rows of TNG300-1 at a redshift of the table: k, P_b, P_dm, P_bdm, P_dmo."""
    lines = [line for line in open(TABLE) if not line.startswith("#")]
    rows = [row for row in csv.DictReader(lines) if float(row["redshift"]) == redshift]
    if not rows:
        raise SystemExit(f"{TABLE} has no redshift {redshift}")
    names = ["k_h_mpc", "p_b", "p_dm", "p_bdm", "p_dmo"]
    return [tuple(float(row[name]) for name in names) for row in rows]


def between(rows, k, value):
    """What `value` makes of a row, at k: ln against ln k."""
    for low, high in zip(rows, rows[1:]):
        if low[0] <= k <= high[0]:
            share = math.log(k / low[0]) / math.log(high[0] / low[0])
            return math.exp((1 - share) * math.log(value(low)) + share * math.log(value(high)))
    return math.nan


# Of the mean spectra of boxes, so that a rare cluster counts as it does in one large box.
def power_of_dark_matter(spectra):
    return spectra["other_power_mpc_h3"]


def gas_over_dark_matter(spectra):
    return spectra["power_mpc_h3"] / spectra["other_power_mpc_h3"]


def correlation(spectra):
    return spectra["cross_power_mpc_h3"] / np.sqrt(spectra["power_mpc_h3"] * spectra["other_power_mpc_h3"])


def mean_of(boxes):
    """The mean spectra of some boxes."""
    return {name: np.mean([box[name] for box in boxes], axis=0) for name in SPECTRA}


def with_error(boxes, k, of):
    """One of these at k, of the mean spectra of all boxes, with its error by leaving out one box at a time."""
    value = at(mean_of(boxes), k, of)
    if len(boxes) == 1:
        return value, math.nan
    left = [at(mean_of(boxes[:i] + boxes[i + 1:]), k, of) for i in range(len(boxes))]
    return value, math.sqrt((len(boxes) - 1) * np.var(left))


def at(box, k, of):
    """One of these at k: ln against ln k, over neighbouring shells."""
    rows = list(zip(box["k_h_mpc"], of(box)))
    return between(rows, k, lambda row: row[1])


def mock(options, *arguments):
    """`finescale mock` with the settings of the file, and those of the command line."""
    command = [options.binary, "mock", "--config", options.config] if options.config else [options.binary, "mock"]
    for name in ["redshift", "box_size", "cells", "particles_low", "particles_high", "steps"]:
        value = getattr(options, name)
        command += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
    return subprocess.run([*command, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def measured(options, settings, seed):
    """The spectra of one box: those kept of it, or of a box that is made now and not kept."""
    kept = Path(options.keep or "none", f"{seed}.json")
    if options.keep and kept.exists():
        return json.load(open(kept))
    with tempfile.TemporaryDirectory() as folder:
        mock(options, "--seed", str(seed), "--snapshots", "--quiet", "-o", folder)
        snapshot = next(Path(folder, "high_res").glob("snapdir_*"))
        out = Path(folder, "spectrum.json")
        subprocess.run([options.binary, "spectrum", snapshot, "--particles", "gas", "--cross", snapshot, "--cross-particles", "dm",
                        "--cells", str(2 * settings["cells"]), "--scheme", "pcs", "--interlaced", "--quiet", "-o", out], check=True)
        if options.keep:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(out, kept)
        return json.load(open(out))


def check_kept(folder, settings):
    """Stops if spectra of other universes are kept there."""
    folder.mkdir(parents=True, exist_ok=True)
    said = folder / "settings.json"
    if said.exists() and json.load(open(said)) != settings:
        raise SystemExit(f"{folder} keeps spectra of other settings ({said}): choose another --keep")
    json.dump(settings, open(said, "w"), indent=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/finescale")
    parser.add_argument("--config", help="settings of `finescale mock` as JSON")
    parser.add_argument("--boxes", type=int, default=8)
    parser.add_argument("--seed", type=int, default=801, help="of the first box")
    parser.add_argument("--redshift", type=float, help="and other settings of universes: of the file, or else those of `finescale mock`")
    parser.add_argument("--box-size", type=float)
    parser.add_argument("--cells", type=int)
    parser.add_argument("--particles-low", type=int)
    parser.add_argument("--particles-high", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--keep", metavar="FOLDER", help="where the spectra of each box are kept, to go on from; for one redshift and one configuration")
    parser.add_argument("--json", help="where all numbers go, too")
    options = parser.parse_args()
    settings = json.loads(mock(options, "--seed", "1", "--dry-run", "-o", "none"))
    rows = published(settings["redshift"])
    if options.keep:
        check_kept(Path(options.keep), settings)
    boxes = [measured(options, settings, seed) for seed in range(options.seed, options.seed + options.boxes)]
    limit = math.pi * settings["cells"] / settings["box_size_mpc_h"]
    lines = []
    for k in [0.25, 0.46, 0.71, 1.01, 1.43, 2.02, 2.81, 3.63]:
        if k > limit:
            break
        (dm, dm_error), ratio, r = (with_error(boxes, k, one) for one in (power_of_dark_matter, gas_over_dark_matter, correlation))
        # Of the dark matter the mean power, over that of the run without baryons.
        expected = [between(rows, k, lambda row: row[4]), between(rows, k, lambda row: row[1] / row[2]),
                    between(rows, k, lambda row: row[3] / math.sqrt(row[1] * row[2]))]
        lines.append({"k_h_mpc": k, "dm_over_tng_dmo": [dm / expected[0], dm_error / expected[0]], "gas_over_dm": ratio,
                      "tng_b_over_dm": expected[1], "r": r, "tng_r": expected[2]})
    print(f"{len(boxes)} boxes of {settings['box_size_mpc_h']:g} Mpc/h at z = {settings['redshift']:g}; errors of the mean, by leaving "
          "out one (too small for few boxes of which one has a rare cluster)")
    print("| k [h/Mpc] | P_dm over TNG300-1-Dark's | P_gas/P_dm | TNG300-1's P_b/P_dm | r(gas, dm) | TNG300-1's r(b, dm) |")
    print("|---|---|---|---|---|---|")
    for line in lines:
        (dm, dm_error), (ratio, ratio_error), (r, r_error) = (line[name] for name in ("dm_over_tng_dmo", "gas_over_dm", "r"))
        print(f"| {line['k_h_mpc']:.2f} | {dm:.3f} ± {dm_error:.3f} | {ratio:.3f} ± {ratio_error:.3f} | {line['tng_b_over_dm']:.3f} "
              f"| {r:.4f} ± {r_error:.4f} | {line['tng_r']:.4f} |")
    if options.json:
        json.dump({"settings": settings, "boxes": len(boxes), "lines": lines}, open(options.json, "w"), indent=1)


if __name__ == "__main__":
    main()
