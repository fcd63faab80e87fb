#!/usr/bin/env python3
"""A model, on paper, of what generating a large box takes many ranks: a table for the docs.

    scripts/cost_of_ranks.py --cells 1024 --evaluation 0.19        # seconds of one evaluation on one rank, as measured

Evaluations, messages and memory are those that `upscale --dry-run --ranks R` counts for a box of so many cells; seconds of one
evaluation, of a byte sent and of a byte read or written are given. What one rank alone does is what rank 0 does: it reads the
condition three times (its values, its mean, its hash), asks the others for the sample block by block, in rounds in which all ranks send each
other a note, writes it and reads it back. The work folder is on a disk that all ranks share.
"""
import argparse
import itertools
import json
import subprocess
import tempfile
import zlib
from pathlib import Path

import h5py

DEMO = Path(__file__).resolve().parent.parent / "data/demo"
CHUNK = 32
BLOCK = 32 * 32 * 256  # voxels that rank 0 asks for at once
ROUNDS = 4  # of notes among all ranks, until it has them
WORK_BYTES = 90  # read and written of the work folder for a voxel and step, as measured on two ranks at 1024^3


def box(path, cells):
    """A box of the demo's voxels, every block of which is the same block of the demo's condition: its header is what counts."""
    with h5py.File(DEMO / "condition.hdf5") as demo, h5py.File(path, "w") as made:
        values = demo["field"][:CHUNK, :CHUNK, :CHUNK].astype("f4")
        block = zlib.compress((values / values.mean()).tobytes(), 1)
        for name, value in demo.attrs.items():
            made.attrs[name] = value * cells / demo["field"].shape[0] if name == "box_size_mpc_h" else value
        field = made.create_dataset("field", shape=(cells,) * 3, dtype="f4", chunks=(CHUNK,) * 3, compression="gzip", compression_opts=1)
        for place in itertools.product(range(0, cells, CHUNK), repeat=3):
            field.id.write_direct_chunk(place, block)


def plan(options, condition, ranks):
    command = [options.binary, "upscale", "--model", options.model, "--condition", condition, "-o", condition.with_name("sample.hdf5"),
               "--dry-run", "--ranks", str(ranks), "--json", "--quiet"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def time(seconds):
    return f"{seconds / 3600:.3g} h" if seconds > 1000 else f"{seconds:.3g} s"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default="target/release/finescale")
    parser.add_argument("--model", type=Path, default=DEMO / "model.safetensors")
    parser.add_argument("--cells", type=int, default=1024)
    parser.add_argument("--ranks", type=int, nargs="+", default=[4**power for power in range(7)])
    parser.add_argument("--evaluation", type=float, required=True, help="seconds of one evaluation on one rank")
    parser.add_argument("--gigabits", type=float, default=10, help="of the network, a second")
    parser.add_argument("--note", type=float, default=1e-6, help="seconds that a rank takes for a note of a round to another")
    parser.add_argument("--disk", type=float, default=1e9, help="bytes that one rank reads or writes in a second")
    parser.add_argument("--all-disks", type=float, default=5e10, help="bytes that all ranks together read or write in a second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        condition = Path(folder, "condition.hdf5")
        box(condition, options.cells)
        print("| ranks | evaluations of each | computing | sending | work folder | rank 0 alone | together | of ideal | more memory than one rank |")
        print("|---|---|---|---|---|---|---|---|---|")
        alone = None
        for ranks in options.ranks:
            found = plan(options, condition, ranks)
            here, cells = found["on_ranks"], options.cells**3
            computing = here["evaluations"] * options.evaluation
            sending = 8e-9 / options.gigabits * max(here["received_bytes"], here["sent_bytes"])
            folder = WORK_BYTES * cells * found["plan"]["steps"] / min(ranks * options.disk, options.all_disks)
            serial = 4 * cells * (3 + 1 + 1) / options.disk
            if ranks > 1:
                serial += 4 * cells * 8e-9 / options.gigabits + cells / BLOCK * ROUNDS * (ranks - 1) * options.note
            together = computing + sending + folder + serial
            alone = alone or together * ranks
            print(f"| {ranks} | {here['evaluations']} | {time(computing)} | {time(sending)} | {time(folder)} | {time(serial)} | {time(together)} "
                  f"| {alone / ranks / together:.2f} | {here['halo_bytes'] / 1e6:.0f} MB |")


if __name__ == "__main__":
    main()
