#!/usr/bin/env python3
"""Measures the memory of `upscale` for volumes of several sizes, against what --dry-run said.

A network of a few channels, trained for two updates on a small mock box, upscales conditions of smooth random numbers in
two steps: the memory is that of a real generation but for the network, the result means nothing. A table goes to stdout.

    ./scripts/measure_memory.py --cells 128,256,512,1024 --out runs/memory     # 1024: 40 GB of disk, about an hour
    --strategy raster|colour|wavefront   --extend   --binary PATH   --threads N
    --ranks 1,2,4       # a table of what the largest rank takes; of one built with --features mpi
"""
import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np

VOXEL_MPC_H = 0.78125
CONFIG = {
    "network": {"base_channels": 2, "channel_multipliers": [1, 1], "residual_blocks": 1, "head_channels": 2,
                "norm_groups": 2, "condition_channels": 3, "baseline": True, "known_channels": True,
                "prediction": {"edm": {"sigma_data": 0.34}}},
    "training": {"seed": 1, "steps": 2, "batch_size": 2, "patch_cells": 32, "unknown_share": 0.5, "learning_rate": 1e-3, "decay": {"cosine": {"floor": 0.02}},
                 "warm_up_steps": 1, "weight_decay": 0.01, "gradient_clip_norm": 1.0, "ema_decay": 0.9,
                 "validate_every_steps": 2, "validation_patches": 2, "save_every_minutes": 5.0},
    "diffusion": {"training_levels": {"log_normal": {"mean": -0.7, "deviation": 1.5}}},
    "generation": {"strategy": "joint", "overlap_cells": 6, "sampling": {
        "sampler": "dpm_solver++2m", "levels": {"log_uniform": {"steps": 2, "sigma_min": 0.02, "sigma_max": 12.0}}}},
}


def run(command, **more):
    """Runs a command; its output, seconds and peak resident memory in bytes."""
    command = [str(word) for word in command]
    print("+", *command, file=sys.stderr, flush=True)
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **more)
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(command)}: exit code {child.returncode}")
    return output, time.monotonic() - started, 1024 * usage.ru_maxrss


def model(binary, folder):
    """A tiny network's model file."""
    path = folder / "run/model.safetensors"
    if path.exists():
        return path
    box = folder / "box"
    box.exists() or run([binary, "mock", "--seed", 1, "--cells", 64, "--box-size", 64 * VOXEL_MPC_H, "--particles-low", 32,
         "--particles-high", 64, "-o", box])
    config = {"data": {"training": [str(box)], "condition_mean_count": 0.125, "truth_mean_count": 1.0,
                       "surroundings_smoothing_cells": 4, "baseline_smoothing_cells": 0.8}, **CONFIG}
    (folder / "config.json").write_text(json.dumps(config))
    run([binary, "train", folder / "config.json", "--out", folder / "run"])
    return path


def condition(path, cells, quantity="dm"):
    """A grid file of a smooth random density of mean 1. Made by another process: the peak memory of a child is at least
    that of its parent when it was begun."""
    if not path.exists():
        maker = multiprocessing.Process(target=write_condition, args=(path, cells, quantity))
        maker.start()
        maker.join()
        if maker.exitcode:
            sys.exit(f"{path}: could not be made")
    return path


def write_condition(path, cells, quantity):
    random = np.random.default_rng(1)
    coarse = np.exp(random.normal(0, 1, (16, 16, 16)))
    coarse /= coarse.mean()
    part = path.with_suffix(".part")
    with h5py.File(part, "w", libver=("v110", "v110")) as file:
        chunk = (min(32, cells),) * 3
        field = file.create_dataset("field", (cells,) * 3, "f4", chunks=chunk, fletcher32=True)
        for start in range(0, cells, 32):
            planes = coarse[(np.arange(start, min(start + 32, cells)) * 16) // cells]
            rows = planes.repeat(cells // 16, axis=1).repeat(cells // 16, axis=2)
            field[start:start + 32] = rows * random.uniform(0.5, 1.5, rows.shape).astype("f4")
        file.attrs.update({"format": "finescale-grid", "version": np.uint32(1), "quantity": quantity, "redshift": 0.0,
                           "box_size_mpc_h": cells * VOXEL_MPC_H, "mean": 0.125, "assignment": "cic",
                           "periodic": True, "provenance": "{}"})
    part.rename(path)


def of_ranks(arguments, trained, mpirun):
    """A table of the memory of the largest of some ranks, for generation, spectra and gridding."""
    ranks = [int(count) for count in arguments.ranks.split(",")]
    snapshot = Path(__file__).resolve().parent.parent / "data/demo/gadget4_dm_64/snapdir_003"
    print(f"| cells | what | {' | '.join(f'{count} ranks' for count in ranks)} | minutes |")
    print("|---|---|" + "---|" * (len(ranks) + 1), flush=True)
    for cells in map(int, arguments.cells.split(",")):
        grid = condition(arguments.out / f"condition_{cells}.hdf5", cells)
        result = arguments.out / f"result_{cells}.hdf5"
        works = {
            "upscale": ["upscale", "--model", trained, "--condition", grid, "-o", result, "--overwrite"],
            "spectrum": ["spectrum", grid, "--multipoles"],
            "grid": ["grid", snapshot, "--particles", "dm", "--cells", cells, "-o", result, "--overwrite"],
        }
        for what, words in works.items():
            shutil.rmtree(f"{result}.work", ignore_errors=True)
            found = []
            for count in ranks:
                command = [*mpirun, "-n", count, arguments.binary.resolve(), "--quiet", "--threads", 1, *words]
                _, seconds, peak = run(command)
                found.append((f"{peak / 1e6:.0f} MB", f"{seconds / 60:.1f}"))
            result.unlink(missing_ok=True)
            memory, minutes = zip(*found)
            print(f"| {cells}^3 | {what} | {' | '.join(memory)} | {', '.join(minutes)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="128,256,512")
    parser.add_argument("--out", type=Path, default=Path("runs/memory"))
    parser.add_argument("--binary", type=Path, default=Path("target/release/finescale"))
    parser.add_argument("--strategy", default="joint")
    parser.add_argument("--extend", action="store_true", help="go on from a region of an eighth of the volume")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--ranks", help="numbers of ranks, such as 1,2,4")
    parser.add_argument("--mpirun", default="mpirun --bind-to none")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    binary = arguments.binary.resolve()
    trained = model(binary, arguments.out)
    if arguments.ranks:
        os.environ |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}
        return of_ranks(arguments, trained, arguments.mpirun.split())
    print("| cells | evaluations | memory | --dry-run said | ratio | disk it said | minutes |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for cells in map(int, arguments.cells.split(",")):
        result = arguments.out / f"sample_{cells}.hdf5"
        shutil.rmtree(f"{result}.work", ignore_errors=True)  # of a measurement that was stopped
        command = [binary, "--quiet", "--json", "--threads", arguments.threads, "upscale", "--model", trained,
                   "--condition", condition(arguments.out / f"condition_{cells}.hdf5", cells), "-o", result,
                   "--strategy", arguments.strategy, "--overwrite"]
        if arguments.extend:
            command += ["--extend", condition(arguments.out / f"given_{cells}.hdf5", cells // 2, "gas")]
        said = json.loads(run(command + ["--dry-run"])[0].splitlines()[-1])
        _, seconds, peak = run(command)
        result.unlink()
        memory, disk = said["memory_bytes"], said.get("disk_bytes", 0)
        print(f"| {cells}^3 | {said['plan']['evaluations']} | {peak / 1e6:.0f} MB | {memory / 1e6:.0f} MB | "
              f"{peak / memory:.3f} | {disk / 1e9:.2f} GB | {seconds / 60:.1f} |", flush=True)


if __name__ == "__main__":
    main()
