#!/usr/bin/env python3
"""Judges a model on the frozen boxes, once a release, and appends what it found to docs/src/frozen_boxes.md.

The boxes are mock universes 601 to 616 of 128^3 cells (100 Mpc/h), four samples of each, of noise seeds 601001 to 601004 and so
on. No setting, no training and no goal is chosen by them: for that there are others (docs/src/results.md). A version that was
judged is judged again only for a reason, which is written beside the numbers. Boxes and samples that exist in --out are
reused, so an interrupted run continues; it takes hours.

    ./scripts/judge_frozen.py --model data/demo/model.safetensors --out runs/frozen
    ./scripts/judge_frozen.py --model M --out runs/frozen --again "the mock's gas has changed"
"""
import argparse
import datetime
import hashlib
import json
import subprocess
import sys
from pathlib import Path

from measure_samples import compare, draw_samples, mock_box, tables

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/src/frozen_boxes.md"
SEEDS = range(601, 617)
CELLS, SAMPLES = 128, 4


def cpu():
    """The name of this machine's processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--again", default="", help="why a version is judged once more")
    parser.add_argument("--finescale", default="target/release/finescale")
    a = parser.parse_args()

    # The model's lineage names the program's version and commit.
    info = subprocess.run([a.finescale, "--json", "info", a.model], check=True, capture_output=True, text=True)
    version = subprocess.run([a.finescale, "--version"], check=True, capture_output=True, text=True).stdout.split()[1]
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], check=True, capture_output=True,
                            text=True).stdout.strip()
    heading = f"## {version}, {a.model.name}"
    page = PAGE.read_text()
    if heading in page and not a.again:
        sys.exit(f"{PAGE}: has a section {heading!r} already; say --again WHY to judge it once more")

    folders = [a.out / f"box_{seed:04}" for seed in SEEDS]
    for seed, folder in zip(SEEDS, folders):
        mock_box(a.finescale, folder, seed, CELLS)
        draw_samples(a.finescale, a.model, folder, seed, SAMPLES)
    report = compare(a.finescale, folders, a.out / "report")

    sha256 = hashlib.sha256(a.model.read_bytes()).hexdigest()
    step = json.loads(info.stdout.splitlines()[-1])["description"]["step"]
    lines = [heading, ""]
    if a.again:
        lines += [f"Once more: {a.again}.", ""]
    lines += [f"{datetime.date.today()}, commit {commit}, model {sha256[:16]} ({step} updates), {cpu()}.", ""]
    lines += tables(report, len(folders), CELLS, SAMPLES)
    PAGE.write_text(page.rstrip() + "\n\n" + "\n".join(lines) + "\n")
    print(f"{PAGE}: {heading}")


if __name__ == "__main__":
    main()
