#!/usr/bin/env python3
"""Kills random ranks of `upscale`, goes on with another number of them, and compares the sample with that of one process, bit for bit.

    scripts/prove_ranks.py --binary target/release/finescale        # built with --features mpi; scripts/mpi.sh says where mpirun is

Each round starts 1 to 4 ranks of one thread with --resume, and sends SIGKILL to one of them some seconds later, or SIGUSR1 to all, as a
batch system does. After the last kill nobody disturbs it. Exit code 1 if a sample differs, or a run with a dead rank does not end soon.
"""
import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py

ROOT = Path(__file__).resolve().parent.parent
LONGEST_END_SECONDS = 20
MPIRUN_AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}


def digest(path):
    """SHA-256 of the values of a grid file."""
    with h5py.File(path) as file:
        return hashlib.sha256(file["field"][:].tobytes()).hexdigest()


def ranks_of(output):
    """The processes that write `output`."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"upscale" in words and str(output).encode() in words and b"mpirun" not in words[0]:
            found.append(int(process.name))
    return found


def disturbed(command, output, options, dice, kind):
    """One run of random ranks that is killed, or stopped; returns how many, and whether it was complete before that."""
    count = dice.randint(1, 4)
    run = subprocess.Popen([*options.mpirun.split(), "-n", str(count), *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        run.wait(dice.uniform(*options.seconds))
        return count, run.returncode == 0 and output.exists()
    except subprocess.TimeoutExpired:
        pass
    ranks = ranks_of(output)
    for rank in ranks if kind == signal.SIGUSR1 else dice.sample(ranks, min(1, len(ranks))):
        os.kill(rank, kind)
    begun = time.monotonic()
    text, _ = run.communicate(timeout=LONGEST_END_SECONDS if kind == signal.SIGKILL else None)
    took = time.monotonic() - begun
    print(f"    {count} ranks, {kind.name}: exit code {run.returncode} after {took:.1f} s")
    if kind == signal.SIGUSR1 and run.returncode != 0:
        sys.exit(text.decode())
    return count, False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/finescale", type=Path)
    parser.add_argument("--mpirun", default="mpirun --bind-to none")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seconds", type=float, nargs=2, default=[2.0, 8.0], help="from the start of a run to its kill")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.environ |= MPIRUN_AS_ROOT
    dice = random.Random(options.seed)
    demo = ROOT / "data/demo"
    inputs = ["--model", demo / "model.safetensors", "--condition", demo / "condition.hdf5", "--threads", "1", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        for strategy in ["joint", "colour"]:
            upscale = [str(word) for word in [options.binary.resolve(), "upscale", *inputs, "--strategy", strategy]]
            alone = Path(folder, f"{strategy}_alone.hdf5")
            subprocess.run([*upscale, "-o", alone], check=True)
            output = Path(folder, f"{strategy}.hdf5")
            command = [*upscale, "--resume", "-o", str(output)]
            print(f"{strategy}: alone {digest(alone)}")
            for kill in range(options.kills):
                kind = signal.SIGUSR1 if kill % 4 == 3 else signal.SIGKILL
                if disturbed(command, output, options, dice, kind)[1]:
                    print("    complete before the kill")
                    break
            subprocess.run([*options.mpirun.split(), "-n", str(dice.randint(1, 4)), *command], check=True)
            left = sorted(path.name for path in Path(folder).iterdir() if path not in (alone, output) and strategy in path.name)
            print(f"{strategy}: killed {digest(output)}, left behind: {left or 'nothing'}")
            if digest(output) != digest(alone) or left:
                sys.exit(1)


if __name__ == "__main__":
    main()
