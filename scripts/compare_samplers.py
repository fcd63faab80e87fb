#!/usr/bin/env python3
"""Compares ways to sample from one model, and prints the table of docs/src/samplers.md: network evaluations,
seconds, power, calibration, mass and seams of samples of mock boxes (64^3, periodic) that training never saw.

Boxes and samples are those of measure_samples.py, whose --out can be given as --boxes. What exists is reused.

    ./scripts/compare_samplers.py --model data/demo/model.safetensors --boxes runs/measurement --out runs/samplers
    ./scripts/compare_samplers.py ... --only DDPM-      # what the paper's way costs: an hour and more
"""
import argparse
import json
import math
import subprocess
from pathlib import Path

from measure_samples import compare, draw_samples, linked_box, mean, plus_minus, power_error, seeds

# Arguments of `finescale upscale`, by what they are.
FEW = {
    "default": "",
    "2M, 4 steps": "--steps 4",
    "2M, 7 steps": "--steps 7",
    "2M, 14 steps": "--steps 14",
    "2M from sigma 1.5": "--sigma-max 1.5",
    "SDE 2M": "--sampler sde_dpm_solver++2m",
    "DDIM": "--sampler ddim",
    "DDPM": "--sampler ddpm",
    "joint, no overlap": "--overlap 0",
    "colour": "--strategy colour",
    "raster": "--strategy raster",
    "raster, no margin": "--strategy raster --margin 0",
    "independent windows": "--strategy raster --overlap 0",
}
REFERENCE = {
    "DDPM-250, raster, stride 24": "--sampler ddpm --steps 250 --strategy raster --overlap 8 --margin 0",
    "DDPM-1000, joint, no overlap": "--sampler ddpm --steps 1000 --overlap 0",
}


def plan(finescale, model, condition, arguments):
    """Evaluations per voxel, as `upscale --dry-run` counts them."""
    command = [finescale, "upscale", "--model", model, "--condition", condition, "-o", "unused.hdf5", *arguments]
    out = subprocess.run([*map(str, command), "--dry-run", "--json"], check=True, capture_output=True, text=True)
    return json.loads(out.stdout.splitlines()[-1])["plan"]["evaluations_per_voxel"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--boxes", required=True, type=Path, help="where the mock pairs are, or are made")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--seeds", default="211-214", type=seeds)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--finescale", default="target/release/finescale")
    a = parser.parse_args()

    rows = {name: row for name, row in (FEW | REFERENCE).items() if a.only in name} if a.only else FEW
    print("| sampler | evaluations per voxel | seconds | mean \\|ln P/P_truth\\| | the same of ln(1 + delta) "
          "| P/P_truth, k ~ 0.3, 0.9, 3.4 | pair ratio, k <= 2 | mass | seams inside (truth) | gradient at faces |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        folders, seconds = [], []
        for seed in a.seeds:
            folder = linked_box(a.finescale, a.boxes, a.out / name.replace(" ", "_"), seed, 64)
            seconds += draw_samples(a.finescale, a.model, folder, seed, a.samples, row.split())
            folders.append(folder)
        report = compare(a.finescale, folders, folders[0].parent / "report")
        pooled = report["pooled"]
        ratio, pair = pooled["ratio"], pooled["pair_ratio"]
        quoted = ", ".join(plus_minus(ratio["value"][i], ratio["standard_error"][i]) for i in (1, 4, 7))
        off = max((p for p, k in zip(pair["value"], pooled["k_h_mpc"]) if p is not None and k <= 2),
                  key=lambda p: abs(math.log(p)), default=math.nan)
        off = f"{off:.3f}" if a.samples > 1 else "-"
        gradient = plus_minus(*(pooled["seam_gradient_ratio"][key][-1] for key in ("value", "standard_error")))
        evaluations = plan(a.finescale, a.model, folders[0] / "condition.hdf5", row.split())
        print(f"| {name} | {evaluations:.1f} | {mean(seconds) if seconds else math.nan:.0f} "
              f"| {power_error(ratio['value']):.3f} | {power_error(pooled['log_power_ratio']['value']):.3f} | {quoted} "
              f"| {off} | {pooled['mass_ratio']['value'][0]:.4f} "
              f"| {pooled['seamless']} ({pooled['truth_seamless']}) of {pooled['seams_tested']} | {gradient} |", flush=True)


if __name__ == "__main__":
    main()
