#!/usr/bin/env python3
"""Measures a model on mock universes that its training never saw, and prints the tables of docs/src/results.md.

For each seed: a mock pair and samples of its condition (`finescale mock`, `upscale`); then one comparison of all boxes
(`finescale compare --box`), whose errors are those of the scatter between boxes. Samples are taken as they are: nothing
is renormalised. Each sample has a noise seed of its own, 1000 times the box's and its number. Boxes that exist in --out are
reused, and samples too if they are those of this model and these settings (`upscale --resume` compares), so that an
interrupted run continues.

    ./scripts/measure_samples.py --model data/demo/model.safetensors --out runs/measurement
    ./scripts/measure_samples.py --cells 128 --seeds 301-308 --samples 4 --model M --out runs/proof    # hours
"""
import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path


def run(command, made=None):
    """Runs `command` unless the file `made` exists already; returns the seconds it took, if it ran."""
    if made and made.exists():
        return None
    print("+", *command, file=sys.stderr, flush=True)
    started = time.monotonic()
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def seeds(text):
    """Numbers such as 211,212 or 211-214."""
    first, dash, last = text.partition("-")
    return list(range(int(first), int(last) + 1)) if dash else [int(word) for word in text.split(",")]


# Those of the universes that the shipped model was trained on.
SETTINGS = Path(__file__).resolve().parent.parent / "configs/mock_of_the_shipped_model.json"


def mock_box(finescale, folder, seed, cells, settings=SETTINGS):
    """A pair of `cells`^3 cells of 0.78 Mpc/h, as the training pairs: condition.hdf5 and truth.hdf5 in `folder`. With settings None
    the pair is what `finescale mock` makes today."""
    size = ["--cells", cells, "--box-size", cells / 1.28]
    particles = ["--particles-low", cells // 2, "--particles-high", cells * 2]
    folder.mkdir(parents=True, exist_ok=True)
    config = ["--config", settings] if settings else []
    run([finescale, "mock", *config, "--seed", seed, *size, *particles, "-o", folder], folder / "truth.hdf5")


def linked_box(finescale, boxes, out, seed, cells):
    """The folder of box `seed` in `out`, with links to its pair in `boxes`, which is made if it is not there."""
    pair, folder = boxes / f"box_{seed:04}", out / f"box_{seed:04}"
    mock_box(finescale, pair, seed, cells)
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("condition.hdf5", "truth.hdf5"):
        link = folder / file
        if link.is_symlink():
            link.unlink()
        link.symlink_to((pair / file).resolve())
    return folder


def draw_samples(finescale, model, folder, box, count, arguments=()):
    """Samples of the condition in `folder`, of box number `box`; returns the seconds of those that it drew."""
    seconds = []
    for seed in range(1000 * box + 1, 1000 * box + count + 1):
        made = folder / f"sample_{seed}.hdf5"
        command = [finescale, "upscale", "--model", model, "--condition", folder / "condition.hdf5", "--seed", seed]
        was_there = made.exists()
        took = run([*command, *arguments, "-o", made, "--resume"])  # refuses one of another model, or of other settings
        seconds += [] if was_there else [took]
    return seconds


def compare(finescale, folders, report):
    """The report of boxes, each a folder with condition, truth and samples."""
    boxes = [word for folder in folders for word in ("--box", folder)]
    run([finescale, "compare", *boxes, "-o", report, "--overwrite"])  # always: samples may have come since
    return json.loads((report / "report.json").read_text())


def check(report, boxes, cells, samples):
    """Stops if a report is not of so many boxes, cells and samples: others lie in the folders."""
    found = (report["pooled"]["boxes"], report["cells"], report["pooled"]["samples"])
    if found != (boxes, [cells] * 3, boxes * samples):
        sys.exit(f"{found[0]} boxes of {found[1]} cells with {found[2]} samples lie in the folders, and {boxes} of {cells}^3 "
                 f"with {samples} each were asked for: choose a new --out")


def mean(values):
    return sum(values) / len(values)


def power_error(ratios):
    """Mean |ln P/P_truth| over bands of mean ratios."""
    return mean([abs(math.log(ratio)) for ratio in ratios])


def judged(goals):
    """The goals, as rows of a table."""
    yield "| goal | wanted | found | where | outcome |"
    yield "|---|---|---|---|---|"
    for goal in goals:
        found = plus_minus(goal["found"], goal["standard_error"], 4)
        wanted = f"{goal['right']:g} ± {goal['wanted']:g}"
        note = f" ({goal['note']})" if goal["outcome"] == "not_measured" else ""
        yield f"| {goal['goal']} | {wanted} | {found} | {goal['at'] or ''} | {goal['outcome'].replace('_', ' ')}{note} |"


def plus_minus(value, error, digits=3):
    if value is None:
        return "not measured"
    return f"{value:.{digits}f}" + (f" ± {error:.{digits}f}" if error is not None else "")


def tables(report, boxes, cells, samples):
    """What a comparison found, by band and by goal, as lines of Markdown."""
    bands, pooled = report["bands"], report["pooled"]
    yield ("| k [h/Mpc] | P/P_truth | condition | P/P_truth of ln(1 + δ) | r(sample, truth) | r(sample, other sample) "
           "| P(SR1 × SR2)/P(SR × HR) |")
    yield "|---|---|---|---|---|---|---|"
    for band, k in enumerate(pooled["k_h_mpc"]):
        of = lambda name: (pooled[name]["value"][band], pooled[name]["standard_error"][band])
        several = samples > 1
        yield (
            f"| {k:.2f} | {plus_minus(*of('ratio'))} | {bands['condition_ratio'][band]:.3f} "
            f"| {plus_minus(*of('log_power_ratio'))} | {of('cross_correlation')[0]:.3f} "
            f"| {plus_minus(of('sample_agreement')[0], None) if several else '-'} "
            f"| {plus_minus(*of('pair_ratio')) if several else '-'} |"
        )
    yield (f"\n{boxes} boxes of {cells}^3, {samples} samples each; mean |ln ratio| of the mean power "
           f"{power_error(pooled['ratio']['value']):.3f}; the condition's are those of the first box.\n")
    yield from judged(report["goals"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--seeds", default="211-218", type=seeds, help="of the mock boxes")
    parser.add_argument("--samples", type=int, default=4, help="of each box")
    parser.add_argument("--cells", type=int, default=64, help="per side of a box, of 0.78 Mpc/h each")
    parser.add_argument("--today", action="store_true", help="boxes as `finescale mock` makes them, not as the shipped model's")
    parser.add_argument("--finescale", default="target/release/finescale")
    parser.add_argument("--upscale", default="", help="more arguments of `finescale upscale`")
    a = parser.parse_args()

    folders = [a.out / f"{'today' if a.today else 'box'}_{seed:04}" for seed in a.seeds]
    seconds = []
    for seed, folder in zip(a.seeds, folders):
        mock_box(a.finescale, folder, seed, a.cells, None if a.today else SETTINGS)
        seconds += draw_samples(a.finescale, a.model, folder, seed, a.samples, a.upscale.split())
    report = compare(a.finescale, folders, a.out / "report")

    check(report, len(folders), a.cells, a.samples)
    print("\n".join(tables(report, len(folders), a.cells, a.samples)))
    if seconds:
        print(f"\n- seconds per sample: {sorted(seconds)[len(seconds) // 2]:.1f} (median of {len(seconds)})")


if __name__ == "__main__":
    main()
