#!/usr/bin/env python3
"""Trains a small network in several ways, one change at a time, samples each on mock boxes that training never saw, and
prints a table: the validation loss in each way's own units, power, calibration and densest voxels of the samples.

A network of a ninth of the demo's size on the demo's boxes (`finescale mock --seed 1 --boxes 10 -o runs/boxes` and
`--seed 101 --boxes 2`); boxes to sample are those of measure_samples.py. What exists in --out is reused.

    ./scripts/ablate.py --boxes runs/measurement --out runs/ablation --repeat 2
"""
import argparse
import json
import math
from pathlib import Path

from measure_samples import compare, draw_samples, linked_box, mean, plus_minus, power_error, run, seeds

# A change of the base configuration: keys with dots, and their values.
NO_BASELINE = {"data.baseline_smoothing_cells": None, "network.baseline": False, "network.condition_channels": 1}
CHANGES = {
    "base: EDM, baseline, volume and mass": {},
    "v-prediction (EDM with sigma_data 1)": {"network.prediction": {"edm": {"sigma_data": 1.0}}},
    "epsilon": {"network.prediction": "epsilon"},
    "no baseline": {**NO_BASELINE, "network.prediction": {"edm": {"sigma_data": 0.5}}},
    "the reference's sigmoids, no baseline": {
        **NO_BASELINE, "network.prediction": {"edm": {"sigma_data": 0.5}}, "data.normalization": "reference",
        "data.condition_mean_count": None, "data.truth_mean_count": None,
    },
    "all voxels weigh the same": {"diffusion.loss_weight": "volume"},
    "log1p of 8 (1 + delta)": {"data.truth_mean_count": 8.0},
    "log1p of (1 + delta) / 4": {"data.truth_mean_count": 0.25},
    "less noise in training": {"diffusion.training_levels": {"log_normal": {"mean": -1.4, "deviation": 1.4}}},
    "masks: a tenth without known voxels": {"training.unknown_share": 0.1},
    "no channels of known voxels": {"network.known_channels": False},
    "surroundings of 8 cells": {"data.surroundings_smoothing_cells": 8.0, "network.condition_channels": 3},
}


def configuration(base, change, steps, seed):
    config = json.loads(base.read_text())
    small = {"network.base_channels": 8, "network.norm_groups": 4}
    short = {"seed": seed, "steps": steps, "learning_rate": 2e-3, "warm_up_steps": 50, "ema_decay": 0.99,
             "validate_every_steps": steps, "validation_patches": 64}
    for key, value in {**small, **{f"training.{k}": v for k, v in short.items()}, **change}.items():
        section, name = key.split(".")
        config[section][name] = value
    return config


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/demo.json", type=Path)
    parser.add_argument("--boxes", required=True, type=Path, help="where the mock pairs to sample are, or are made")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--seeds", default="211-214", type=seeds)
    parser.add_argument("--steps", type=int, default=600, help="updates of each training")
    parser.add_argument("--repeat", type=int, default=1, help="trainings of each way, with other seeds")
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--finescale", default="target/release/finescale")
    a = parser.parse_args()

    print("| one change | validation loss | mean \\|ln P/P_truth\\| | P/P_truth, k ~ 0.3, 0.9, 3.4 | r(sample, truth), k ~ 3.4 "
          "| worst pair ratio, k <= 2 | mass | densest 0.1 % |")
    print("|---|---|---|---|---|---|---|---|")
    for name, change in CHANGES.items():
        if a.only not in name:
            continue
        rows = []
        for seed in range(1, a.repeat + 1):
            out = a.out / f"{name.split(':')[0].replace(' ', '_').replace('/', 'over')}_{seed}"
            out.mkdir(parents=True, exist_ok=True)
            (out / "config.json").write_text(json.dumps(configuration(a.config, change, a.steps, seed)))
            done = out / "run" / "done"
            if run([a.finescale, "train", out / "config.json", "--out", out / "run"], done) is not None:
                done.touch()
            lines = [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text().splitlines()]
            loss = [line["validation_loss"] for line in lines if "validation_loss" in line][-1]
            folders = []
            for box in a.seeds:
                folder = linked_box(a.finescale, a.boxes, out, box, 64)
                draw_samples(a.finescale, out / "run" / "model.safetensors", folder, box, a.samples)
                folders.append(folder)
            rows.append((loss, compare(a.finescale, folders, out / "report")["pooled"]))
        of = lambda key, i: mean([pooled[key]["value"][i] for _, pooled in rows])
        ratios = ", ".join(f"{of('ratio', i):.3f}" for i in (1, 4, 7))
        errors = [power_error(pooled["ratio"]["value"]) for _, pooled in rows]
        spread = (max(errors) - min(errors)) / 2 if len(errors) > 1 else None
        low = [i for i, k in enumerate(rows[0][1]["k_h_mpc"]) if k <= 2]
        pair = max((of("pair_ratio", i) for i in low), key=lambda p: abs(math.log(p)))
        print(f"| {name} | {mean([loss for loss, _ in rows]):.3f} | {plus_minus(mean(errors), spread)} | {ratios} "
              f"| {of('cross_correlation', 7):.3f} | {pair:.3f} | {of('mass_ratio', 0):.4f} "
              f"| {of('percentile_99_9_ratio', 0):.3f} |", flush=True)


if __name__ == "__main__":
    main()
