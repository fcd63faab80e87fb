#!/usr/bin/env python3
"""Measures a model on mock universes that its training never saw, and prints the table of README.md.

For each seed: a mock pair, samples of its condition, and their comparison with its truth (`finescale mock`,
`upscale`, `compare`); then means over boxes and samples in the report's logarithmic bands. Samples are taken as
they are: nothing is renormalised. What exists in --out is reused, so an interrupted run continues.

    ./scripts/measure_samples.py --model data/demo/model.safetensors --out runs/measurement
"""
import argparse
import json
import math
import subprocess
import sys
from pathlib import Path


def run(command, made):
    """Runs `command` unless the file `made` exists already."""
    if not made.exists():
        print("+", *command, file=sys.stderr, flush=True)
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)


def mean(values):
    return sum(values) / len(values)


def standard_error(values):
    centre = mean(values)
    return math.sqrt(sum((v - centre) ** 2 for v in values) / (len(values) - 1) / len(values))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--seeds", default="211,212,213,214", help="of the mock boxes")
    parser.add_argument("--samples", type=int, default=2, help="of each box")
    parser.add_argument("--cells", type=int, default=64, help="per side of a box, of 0.78 Mpc/h each")
    parser.add_argument("--finescale", default="target/release/finescale")
    parser.add_argument("--upscale", default="", help="more arguments of `finescale upscale`")
    a = parser.parse_args()

    size = ["--cells", a.cells, "--box-size", a.cells / 1.28]
    particles = ["--particles-low", a.cells // 2, "--particles-high", a.cells * 2]
    reports = []
    for seed in a.seeds.split(","):
        box = a.out / f"box_{seed}"
        box.mkdir(parents=True, exist_ok=True)
        condition, truth = box / "condition.hdf5", box / "truth.hdf5"
        run([a.finescale, "mock", "--seed", seed, *size, *particles, "-o", box], truth)
        samples = []
        for sample in range(1, a.samples + 1):
            samples.append(box / f"sample_{sample}.hdf5")
            upscale = [a.finescale, "upscale", "--model", a.model, "--condition", condition, "--seed", sample]
            run([*upscale, *a.upscale.split(), "-o", samples[-1]], samples[-1])
        fields = [word for sample in samples for word in ("--sample", sample)]
        report = box / "report" / "report.json"
        run([a.finescale, "compare", "--truth", truth, "--condition", condition, *fields, "-o", report.parent], report)
        reports.append(json.loads(report.read_text()))

    print("| k [h/Mpc] | P/P_truth | condition | r(sample, truth) | r(condition, truth)^2 | r(sample, sample) |")
    print("|---|---|---|---|---|---|")
    logs = {"sample": [], "condition": []}
    for band in range(len(reports[0]["bands"]["k_h_mpc"])):
        of = lambda name: [r["bands"][name][band] for r in reports]
        k, ratio, condition = mean(of("k_h_mpc")), of("sample_ratio"), of("condition_ratio")
        agreement = f"{mean(of('sample_agreement')):.3f}" if a.samples > 1 else "-"
        print(
            f"| {k:.2f} | {mean(ratio):.3f} ± {standard_error(ratio):.3f} | {mean(condition):.3f} "
            f"| {mean(of('sample_cross_correlation')):.3f} | {mean([r * r for r in of('condition_cross_correlation')]):.3f} "
            f"| {agreement} |"
        )
        logs["sample"].append(abs(math.log(mean(ratio))))
        logs["condition"].append(abs(math.log(mean(condition))))
    print(f"\n- mean |ln ratio|: samples {mean(logs['sample']):.3f}, condition {mean(logs['condition']):.3f}")
    for name, key in [("99.9th percentile", "percentile_99_9"), ("mean density", "mean_density")]:
        ratios = [s[key] / r["truth"][key] for r in reports for s in r["samples"]]
        print(f"- {name}, sample / truth: {mean(ratios):.4f} ± {standard_error(ratios):.4f}")


if __name__ == "__main__":
    main()
