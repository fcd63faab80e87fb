#!/usr/bin/env python3
"""Judges a model on the frozen boxes, once a release, and appends what it found to docs/src/frozen_boxes.md.

The boxes are mock universes 601 to 616 of 128^3 cells (100 Mpc/h), two samples of each, of noise seeds 601001, 601002 and so
on. No setting, no training and no goal is chosen by them: for that there are others (docs/src/results.md). A version that was
judged is judged again only for a reason, which is written beside the numbers. --out belongs to one program and one model: what
exists there is reused, so an interrupted run continues; it takes hours.

    ./scripts/judge_frozen.py --model data/demo/model.safetensors --out runs/frozen
    ./scripts/judge_frozen.py --model M --out runs/frozen_again --again "the mock's gas has changed"
"""
import argparse
import datetime
import hashlib
import json
import subprocess
import sys
from pathlib import Path

from measure_samples import check, compare, draw_samples, mock_box, tables

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/src/frozen_boxes.md"
SEEDS = range(601, 617)
CELLS, SAMPLES = 128, 2


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

    says = lambda path: json.loads(subprocess.run([a.finescale, "--json", "info", path], check=True, capture_output=True,
                                                  text=True).stdout.splitlines()[-1])
    sha256 = lambda path: hashlib.sha256(Path(path).read_bytes()).hexdigest()
    version = subprocess.run([a.finescale, "--version"], check=True, capture_output=True, text=True).stdout.split()[1]
    model = sha256(a.model)
    heading = f"## {version}, {a.model.name}"
    if heading in PAGE.read_text() and not a.again:
        sys.exit(f"{PAGE}: has a section {heading!r} already; say --again WHY to judge it once more")
    # What lies in a folder was made by one program and one model.
    a.out.mkdir(parents=True, exist_ok=True)
    made_by = {"program": sha256(a.finescale), "model": model}
    note = a.out / "made_by.json"
    if not note.exists() and any(a.out.iterdir()) or note.exists() and json.loads(note.read_text()) != made_by:
        sys.exit(f"{a.out}: holds what another program or model made; choose a new --out")
    note.write_text(json.dumps(made_by))

    folders = [a.out / f"box_{seed:04}" for seed in SEEDS]
    for seed, folder in zip(SEEDS, folders):
        mock_box(a.finescale, folder, seed, CELLS)
        draw_samples(a.finescale, a.model, folder, seed, SAMPLES)
    report = compare(a.finescale, folders, a.out / "report")

    check(report, len(folders), CELLS, SAMPLES)
    samples = [says(sample)["meta"]["provenance"] for folder in folders for sample in folder.glob("sample_*.hdf5")]
    drawn_by = {(sample["model"]["sha256"], sample["commit"]) for sample in samples}
    if len(drawn_by) != 1 or drawn_by.pop()[0] != model or sha256(a.model) != model:
        sys.exit(f"{a.model}: changed while its samples were drawn; choose a new --out")

    lines = [heading, ""]
    if a.again:
        lines += [f"Once more: {a.again}.", ""]
    lines += [f"{datetime.date.today()}, commit {samples[0]['commit'][:12]}, model {model[:16]} "
              f"({samples[0]['model']['step']} updates), {cpu()}.", ""]
    lines += tables(report, len(folders), CELLS, SAMPLES)
    PAGE.write_text(PAGE.read_text().rstrip() + "\n\n" + "\n".join(lines) + "\n")
    print(f"{PAGE}: {heading}")


if __name__ == "__main__":
    main()
