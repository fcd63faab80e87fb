#!/usr/bin/env python3
"""What ranks cost: two ranks of one thread against one of one thread, and one rank under mpirun against no MPI, for generation, training
and gridding; and the memory of each rank.

    scripts/measure_ranks.py --binary target/release/finescale --rounds 5     # built with --features mpi, on a machine with nothing else to do

Each round runs all ways of one work one after another, so that they meet the same machine, each process on one core, where its threads that
read ahead are, too. Times are of whole commands, of training of its updates from the third on; efficiency is the median over rounds of one rank's
time, under mpirun, over twice that of two.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MPIRUN_AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}


def snapshot(options, folder):
    """A universe of two steps, for its particles; that its forces are no good is nothing to a gridding."""
    subprocess.run([str(word) for word in [options.binary, "mock", "--seed", "1", "--box-size", "50", "--cells", "64", "--particles-low", "32",
                    "--particles-high", options.particles, "--steps", "2", "--snapshots", "-o", folder / "mock", "--quiet"]], check=True)


def works(options, folder):
    """Commands by work, with outputs in `folder`: each makes the same, whoever shares it."""
    folder.mkdir()
    demo = ROOT / "data/demo"
    config = json.loads((ROOT / "configs/demo.json").read_text())
    config["data"].update(training=[str(demo)], validation=[], hold_out={"start": [0, 0, 0], "shape": [32, 32, 32]})
    config["training"].update(steps=options.updates, accumulate=4, validate_every_steps=1000, validation_patches=4, warm_up_steps=1)
    (folder / "config.json").write_text(json.dumps(config))
    condition = options.condition or demo / "condition.hdf5"
    return {
        "generation": ["upscale", "--model", options.model or demo / "model_4_steps.safetensors", "--condition", condition, "-o", folder / "sample.hdf5", "--overwrite"],
        "training": ["train", folder / "config.json", "--out", folder / "run"],
        "gridding": ["grid", folder.parent / "mock/high_res/snapdir_000", "--particles", "dm", "--cells", options.cells, "--scheme", "pcs",
                     "-o", folder / "grid.hdf5", "--overwrite"],
    }


def timed(commands, folders):
    """Seconds of commands that run at once, each with its folder, and the largest memory of one of their processes in MB."""
    for folder in folders:
        subprocess.run(["rm", "-rf", str(folder / "run")], check=True)
    begun = time.monotonic()
    memory = lambda folder: ["/usr/bin/time", "-f", "%M", "-o", folder / "memory"]
    runs = [subprocess.Popen([str(word) for word in [*memory(folder), *words]], stderr=subprocess.PIPE, text=True)
            for words, folder in zip(commands, folders)]
    for run in runs:
        _, errors = run.communicate()
        if run.returncode != 0:
            raise SystemExit(errors)
    took = time.monotonic() - begun
    if (folders[0] / "run").exists():
        took = 0
        for folder in folders[:len(runs)]:
            lines = [json.loads(line) for line in open(folder / "run/metrics.jsonl")]
            patches = json.loads((folder / "config.json").read_text())["training"]["batch_size"]
            took = max(took, sum(patches / line["samples_per_second"] for line in lines[2:] if "samples_per_second" in line))
    return took, max(float((folder / "memory").read_text().split()[-1]) / 1e3 for folder in folders[:len(runs)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/finescale", type=Path)
    parser.add_argument("--mpirun", default="mpirun --bind-to core")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--works", nargs="+", default=["generation", "training", "gridding"])
    parser.add_argument("--updates", type=int, default=12, help="of training")
    parser.add_argument("--particles", default="320", help="along a side, of gridding")
    parser.add_argument("--cells", default="256", help="along a side, of gridding")
    parser.add_argument("--condition", type=Path, help="grid of the generation [default: the demo's]")
    parser.add_argument("--model", type=Path, help="of the generation [default: the demo's of four steps]")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ |= MPIRUN_AS_ROOT
    options.binary = options.binary.resolve()
    mpirun = options.mpirun.split()
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    found = {"cpu": cpu}
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name, "one"), Path(name, "other")]
        [here, there] = [works(options, folder) for folder in folders]
        if "gridding" in options.works:
            snapshot(options, Path(name))
        for work in options.works:
            command, other = [[options.binary, *words[work], "--threads", "1", "--quiet"] for words in (here, there)]
            # The memory of mpirun's ranks is that of its largest child.
            ways = {"no MPI": [["taskset", "-c", "0", *command]], "1 rank": [[*mpirun, "-n", "1", *command]],
                    "2 ranks": [[*mpirun, "-n", "2", *command]],
                    "twice at once": [["taskset", "-c", "0", *command], ["taskset", "-c", "1", *other]]}
            seconds = {way: [] for way in ways}
            memory = {way: 0.0 for way in ways}
            for _ in range(options.rounds):
                for way, commands in ways.items():
                    took, megabytes = timed(commands, folders)
                    seconds[way].append(took)
                    memory[way] = max(memory[way], megabytes)
            pairs = list(zip(seconds["no MPI"], seconds["1 rank"], seconds["2 ranks"]))
            efficiency = statistics.median(one / (2 * two) for _, one, two in pairs)
            machine = statistics.median(one / both for one, both in zip(seconds["no MPI"], seconds["twice at once"]))
            overhead = statistics.median(one / none for none, one, _ in pairs) - 1
            medians = {way: statistics.median(all) for way, all in seconds.items()}
            found[work] = {"seconds": medians, "efficiency": efficiency, "of two that know nothing of each other": machine, "overhead": overhead, "megabytes": memory}
            times = ", ".join(f"{way} {median:.2f} s ({memory[way]:.0f} MB)" for way, median in medians.items())
            print(f"{work}: {times}; efficiency of two {efficiency:.3f} (of two that know nothing of each other {machine:.3f}), overhead of mpirun -n 1 {100 * overhead:+.1f} %", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
