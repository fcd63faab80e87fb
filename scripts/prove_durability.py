#!/usr/bin/env python3
"""Proves that finescale loses nothing: every write, sync, rename and removal of every command fails once, and every one
of them is the moment of a kill. Run it by prove_durability.sh, which builds the program and finds strace.

Each command runs undisturbed first, under strace. Then, for each system call that touched its folder, it runs again
with that one call failing with EIO, again with ENOSPC, and again with a SIGKILL there, and what it leaves is judged:

- right file: exit code 0, and all outputs are those of the undisturbed run, to the bit (but for clock times);
- error, resumes: an error that names a file, nothing wrong under a final name, and the same command again (with
  --resume where there is one) gives the outputs of the undisturbed run, and does not do again what was kept;
- SILENT: exit code 0 and wrong outputs;
- LOST: anything else, such as a panic, a hang, old files beside new ones, a torn model, or a folder that is gone on with
  from before its last durable piece or state;
- elsewhere: threads took turns in another way, and the call was not met; no injection.

A power cut is judged from the undisturbed run: what gets its final name must have been synced, and its folder after it.
Then disks that fill up for a moment (a small tmpfs; needs root), and SIGINT and SIGTERM in the middle.

    ./scripts/prove_durability.sh                       # everything: about an hour on two cores
    ./scripts/prove_durability.sh --short               # a fixed sample: about three minutes
    ./scripts/prove_durability.sh --only train --no-signals --binary target/release/finescale
"""
import argparse
import collections
import dataclasses
import hashlib
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SEEDS = "../../seeds"  # as a run sees them from its folder
CREATING = re.compile(r"O_CREAT|O_TRUNC|O_TMPFILE")
DESCRIPTOR_CALLS = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate", "fallocate", "fsync",
                    "fdatasync", "copy_file_range", "sendfile")
NAME_CALLS = ("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat",
              "rmdir", "mkdir", "mkdirat", "openat", "statx", "newfstatat")
LOOKS = ("statx", "newfstatat")
WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate", "fallocate", "copy_file_range", "sendfile")
REMOVALS = ("unlink", "unlinkat", "rmdir")
MOST_OF_SAMPLE = 30  # disturbed runs of one case, besides removals
ERRORS = ("EIO", "ENOSPC")
KILL = "SIGKILL"
TIMEOUT_S = 120
TRIES = 3  # a call that was missed, because threads took turns in another way
FEW_PIECES = 4
KEPT_FOLDERS = 12  # of bad cases, for each command
SIGNAL_LIMIT_S = 1.0

# ----------------------------------------------------------------------------------------------------------------------
# What is run


@dataclasses.dataclass
class Case:
    """A command, and how it is asked for again after a failure: the first of `again` that succeeds counts."""
    name: str
    arguments: list
    again: list = None
    start: str = None  # a folder of the seeds that the command goes on from
    evolving: bool = False  # files under final names are replaced by later versions of themselves
    together: tuple = ()  # files of which none may be old while another one is new

    def __post_init__(self):
        self.again = self.again or [self.arguments]

    def output(self):
        """What the command was told to write."""
        return next(path for option, path in itertools.pairwise(self.arguments) if option in ("-o", "--out"))


def network_config(**changes):
    """Six updates of a network with some thousand weights on patches of 4^3, each second one validated."""
    config = {
        "data": {"training": [f"{SEEDS}/boxes/box_0001"], "validation": [f"{SEEDS}/boxes/box_0002"]},
        "network": {
            "base_channels": 8, "channel_multipliers": [1, 2], "residual_blocks": 1, "head_channels": 8,
            "norm_groups": 4, "dropout": 0.1, "known_channels": True, "prediction": {"edm": {"sigma_data": 0.5}},
        },
        "diffusion": {"training_levels": {"log_normal": {"mean": -1.2, "deviation": 1.2}}},
        "training": {
            "seed": 1, "steps": 6, "batch_size": 2, "patch_cells": 4, "unknown_share": 0.1, "learning_rate": 1e-3,
            "warm_up_steps": 2, "decay": "constant", "weight_decay": 0.0, "gradient_clip_norm": 1.0, "ema_decay": 0.9,
            "validate_every_steps": 2, "validation_patches": 2, "spectrum": {"every_steps": 4, "cells": 4},
            "save_every_minutes": 5.0,
        },
        "generation": {
            "overlap_cells": 1,
            "sampling": {"levels": {"log_uniform": {"steps": 2, "sigma_min": 0.1, "sigma_max": 40.0}}},
        },
    }
    for section, values in changes.items():
        config[section] = {**config[section], **values}
    return config


def two_field_config():
    pair = {"condition": f"{SEEDS}/boxes/box_0001/condition.hdf5",
            "truth": [f"{SEEDS}/boxes/box_0001/truth.hdf5", f"{SEEDS}/dm.hdf5"]}
    network = {"fields": 2, "condition_channels": 3, "baseline": True}
    config = network_config(network=network, training={"spectrum": None})
    config["data"] = {"training": [pair], "baseline_smoothing_cells": 0.8}
    return config


def reference_config():
    config = json.loads((PROJECT / "configs/tng300.json").read_text())
    config["network"].update(base_channels=32, channel_multipliers=[1, 2])
    config["training"]["patch_cells"] = 8
    config["generation"]["overlap_cells"] = 3
    return config


MOCK = "mock --box-size 26.5625 --cells 34 --particles-low 8 --particles-high 16 --steps 2 --snapshots --seed 1".split()


TOGETHER = {"mock": ("box/condition.hdf5", "box/truth.hdf5"), "npy": ("out.npy", "out.npy.json")}


def make_seeds(binary, folder):
    """Universes, grids, models and a half-finished run, as inputs of all cases."""
    here = folder / "runs" / "making"
    here.mkdir(parents=True)
    seeds = folder / "seeds"
    seeds.mkdir()

    def finescale(*arguments):
        words = [binary, *arguments, "--threads", "1", "--quiet"]
        done = subprocess.run(words, cwd=here, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"making inputs: finescale {shlex.join(arguments)} failed\n{done.stderr}")

    def grid(particles, cells, name, species="high_res"):
        snapshot = f"{SEEDS}/boxes/box_0001/{species}/snapdir_000"
        finescale("grid", snapshot, "--particles", particles, "--cells", str(cells), "-o", f"{SEEDS}/{name}")

    finescale(*MOCK, "--boxes", "2", "-o", f"{SEEDS}/boxes")
    grid("dm", 34, "dm.hdf5")
    grid("gas", 16, "truth16.hdf5")
    grid("dm", 16, "sample16_0.hdf5")
    grid("dm", 16, "sample16_1.hdf5", "low_res")
    configs = {"config": network_config(), "half": network_config(training={"steps": 2}), "two": two_field_config(),
               "reference": reference_config()}
    for name, config in configs.items():
        (seeds / f"{name}.json").write_text(json.dumps(config, indent=1))
    (seeds / "published.txt").write_text("# k P\n0.1 1e4\n1 1e2\n100 1e-2\n")
    finescale("train", f"{SEEDS}/config.json", "--out", f"{SEEDS}/run")
    finescale("train", f"{SEEDS}/two.json", "--out", f"{SEEDS}/two")
    finescale("train", f"{SEEDS}/half.json", "--out", f"{SEEDS}/half/run")
    for name in TOGETHER["mock"]:
        older = seeds / "older_box" / name
        older.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(seeds / "boxes/box_0002" / Path(name).name, older)
    (seeds / "older_npy").mkdir()
    finescale("upscale", "--model", f"{SEEDS}/run/model.safetensors", "--condition", f"{SEEDS}/boxes/box_0002/condition.hdf5",
              "--region", "0,0,0:34,4,4", "--seed", "9", "-o", f"{SEEDS}/older_npy/out.npy")
    shutil.rmtree(here)


def cases(binary):
    """All cases, as this program's options allow."""
    snapshot = f"{SEEDS}/boxes/box_0001/high_res/snapdir_000"

    def once_more(arguments):
        """The same command again; where the program refuses to replace what is there, then with --overwrite."""
        text = subprocess.run([binary, arguments[0], "--help"], capture_output=True, text=True).stdout
        can_replace = "--overwrite" in text and "--overwrite" not in arguments
        return [arguments, [*arguments, "--overwrite"]] if can_replace else [arguments]

    def plain(name, *arguments):
        return Case(name, list(arguments), once_more(list(arguments)))

    def upscale(name, *more, model="run", resume=True):
        arguments = ["upscale", "--model", f"{SEEDS}/{model}/model.safetensors", "--condition",
                     f"{SEEDS}/boxes/box_0002/condition.hdf5", "--region", "0,0,0:34,4,4", *more]
        again = [*arguments, "--resume"]
        return Case(name, again if resume else arguments, [again])

    gridding = ["grid", snapshot, "--particles", "gas", "--cells", "34", "-o"]
    yield plain("grid to hdf5", *gridding, "out.hdf5")
    yield plain("grid to npy", *gridding, "out.npy")
    yield plain("mock", *[word for word in MOCK if word != "--snapshots"], "-o", "box")
    yield plain("mock --snapshots", *MOCK, "-o", "box")
    over = [*[word for word in MOCK if word != "--snapshots"], "-o", "box"]
    over += ["--overwrite"] if len(once_more(over)) > 1 else []
    yield dataclasses.replace(plain("mock, over another", *over), start="older_box", together=TOGETHER["mock"])
    for strategy in ["joint", "raster", "wavefront", "colour"]:
        yield upscale(f"upscale, {strategy}", "--strategy", strategy, "-o", "out.hdf5")
    yield upscale("upscale, begun without --resume", "--strategy", "raster", "-o", "out.hdf5", resume=False)
    yield upscale("upscale to npy", "--strategy", "colour", "-o", "out.npy")
    if "--overwrite" in subprocess.run([binary, "upscale", "--help"], capture_output=True, text=True).stdout:
        over = upscale("upscale to npy, over another", "--strategy", "raster", "-o", "out.npy", "--overwrite", resume=False)
        yield dataclasses.replace(over, start="older_npy", together=TOGETHER["npy"])
    yield upscale("upscale, two fields", "--strategy", "raster", "-o", "out.hdf5", model="two")
    train = ["train", f"{SEEDS}/config.json", "--out", "run"]
    resumed = [*train, "--resume"]
    yield Case("train", train, [resumed, train], evolving=True)
    yield Case("train --resume", resumed, start="half", evolving=True)
    fields = ["--truth", f"{SEEDS}/truth16.hdf5", "--sample", f"{SEEDS}/sample16_0.hdf5", f"{SEEDS}/sample16_1.hdf5",
              "--truth-spectrum", f"{SEEDS}/published.txt"]
    yield plain("compare", "compare", *fields, "-o", "report", "--overwrite")
    yield plain("spectrum to json", "spectrum", f"{SEEDS}/truth16.hdf5", "-o", "out.json")
    yield plain("spectrum to csv", "spectrum", f"{SEEDS}/truth16.hdf5", "-o", "out.csv")
    checkpoint = PROJECT / "tests/golden/palette_small.pth"
    if checkpoint.exists():
        yield plain("import", "import", str(checkpoint), "--config", f"{SEEDS}/reference.json", "--box-size", "12.5",
                    "--cells", "16", "-o", "out.safetensors")


# ----------------------------------------------------------------------------------------------------------------------
# System calls


@dataclasses.dataclass(frozen=True)
class Call:
    """A system call: number `number` of this `name` in its thread."""
    thread: int
    name: str
    number: int
    paths: tuple  # relative to the folder of the run, "." for the folder itself

    def __str__(self):
        return f"{self.name} {self.number} ({', '.join(self.paths)})"

    def kind(self):
        """What stays the same from run to run: names of temporary files do not."""
        return self.name, tuple(steady(path) for path in self.paths)


LINE = re.compile(r"^(?:(\d+)\s+)?(\w+)\((.*)$")
NEW_THREAD = re.compile(r"^(?:\d+\s+)?(?:clone3?\(|<\.\.\. clone3? resumed>).* = (\d+)$")
DESCRIPTOR = re.compile(r"^\d+<(/[^>]*)>")
NAMED = re.compile(r'(?:(?:AT_FDCWD|\d+)<(/[^>]*)>, )?"((?:[^"\\]|\\.)*)"')


def steady(path):
    """The path without what is drawn anew for each temporary file."""
    path = re.sub(r"\.[0-9A-Za-z_-]{4,}\.(partial|new|tmp)\b", r".*.\1", path)
    path = re.sub(r"#\d+( \(deleted\))?$", "#unnamed", path)
    return re.sub(r"events\.out\.tfevents\.[^/]*", "events.out.tfevents.*", path)


def paths_of(name, rest, folder):
    """The paths that a call names, absolute."""
    if name in DESCRIPTOR_CALLS:
        found = DESCRIPTOR.match(rest)
        return [found.group(1)] if found else []
    named = [os.path.join(base or folder, path) for base, path in NAMED.findall(rest)]
    return [os.path.normpath(path) for path in named]


def below(folder, paths):
    """Those of `paths` in `folder`, relative to it."""
    inside = [path for path in paths if path == folder or path.startswith(folder + "/")]
    return tuple(os.path.relpath(path, folder) for path in inside)


def calls_in(text, folder):
    """The calls in a trace that change what is in `folder`, in order."""
    threads, numbers, calls = {}, collections.Counter(), []
    for line in text.splitlines():
        made = NEW_THREAD.match(line)
        if made:
            threads.setdefault(made.group(1), len(threads) + 1)
        found = LINE.match(line)
        if not found or found.group(2) not in DESCRIPTOR_CALLS + NAME_CALLS:
            continue
        process, name, rest = found.groups()
        if not threads:
            threads[process] = 0
        thread = threads.setdefault(process, len(threads))
        numbers[thread, name] += 1
        inside = below(folder, paths_of(name, rest, folder))
        if inside and (name != "openat" or CREATING.search(rest)):
            calls.append(Call(thread, name, numbers[thread, name], inside))
    return calls


def hits_in(text, folder, name, kill):
    """What a run's one injection hit in `folder`: of each hit, its paths. A kill hits the last call."""
    hits = []
    for line in text.splitlines():
        found = LINE.match(line)
        if found and found.group(2) == name and (kill or "(INJECTED)" in line):
            hits.append(below(folder, paths_of(name, found.group(3), folder)))
    return hits[-1:] if kill else hits


def not_durable(calls):
    """What a power cut may take although the command said that it is done: names that came before their data were
    synced, names whose folder was not synced (before the work that they rest on went, or at all), and data written in
    place that were not synced."""
    dirty, new_names, problems = set(), {}, []
    for call in calls:
        path = call.paths[0]
        if call.name in WRITES:
            dirty.add(path)
        elif call.name in ("fsync", "fdatasync"):
            dirty.discard(path)
            new_names.pop(path, None)
        elif call.name in ("mkdir", "mkdirat"):
            new_names.setdefault(folder_of(path), []).append(path)
        elif call.name.startswith(("rename", "link")) and len(call.paths) == 2:
            target = call.paths[1]
            if path in dirty:
                problems.append(f"{steady(target)}: renamed before its data were synced")
                dirty.discard(path)
            new_names.setdefault(folder_of(target), []).append(target)
        elif call.name in REMOVALS:
            if ".work" in path:
                rest = [name for names in new_names.values() for name in names if ".work" not in name]
                problems += [f"{steady(name)}: its folder was not synced before the work folder went" for name in rest]
            dirty.discard(path)
            new_names = {folder: [name for name in names if name != path] for folder, names in new_names.items()}
    for names in new_names.values():
        problems += [f"{steady(name)}: its folder was not synced after it got its name" for name in names]
    # A file without a name does not survive its process, whatever was synced.
    passing = ("lock", "#unnamed")
    in_place = sorted(path for path in dirty if not is_events(path) and not steady(path).endswith(passing))
    problems += [f"{steady(path)}: its last bytes were not synced" for path in in_place]
    return list(dict.fromkeys(problems))


def folder_of(path):
    return os.path.dirname(path) or "."


# ----------------------------------------------------------------------------------------------------------------------
# Runs


@dataclasses.dataclass
class Ended:
    """How a run ended."""
    code: int  # negative: the signal; None: it hung
    stderr: str
    trace: str = ""


class Runner:
    """Runs the program in folders of its own."""

    def __init__(self, binary, work):
        self.binary, self.work = str(binary), Path(work)
        self.numbers = itertools.count()
        self.environment = {**os.environ, "RUST_BACKTRACE": "0", "LC_ALL": "C"}

    def folder(self, start=None):
        """A new folder, with a copy of what the case starts from."""
        folder = self.work / "runs" / f"{next(self.numbers):07}"
        if start:
            shutil.copytree(self.work / "seeds" / start, folder)
        else:
            folder.mkdir(parents=True)
        return folder

    def command(self, arguments, trace=None, calls=None, inject=None, quiet=True):
        strace = []
        if trace:
            traced = ",".join(calls or [*DESCRIPTOR_CALLS, *NAME_CALLS, "clone", "clone3"])
            strace = ["strace", "-f", "-y", "-s", "0", "-o", str(trace), "-e", f"trace={traced}"]
            strace += ["-e", f"inject={inject}"] if inject else []
            # With a filter in the kernel strace is faster, but cannot send signals.
            strace += [] if inject and ":signal=" in inject else ["--seccomp-bpf"]
        return [*strace, self.binary, *arguments, "--threads", "1", *(["--quiet"] if quiet else [])]

    def run(self, folder, arguments, calls=None, inject=None, traced=False, quiet=True):
        trace = folder.with_suffix(".trace") if traced or inject else None
        command = self.command(arguments, trace, calls, inject, quiet)
        child = subprocess.Popen(command, cwd=folder, env=self.environment, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        stderr, code = patiently(child)
        text = trace.read_text(errors="replace") if trace and trace.exists() else ""
        if trace:
            trace.unlink(missing_ok=True)
        return Ended(code, stderr.decode(errors="replace"), text)


def patiently(child):
    """What a process said, and its exit code, or None if it hangs. Seconds are counted one by one: all of a machine may
    be suspended for a while."""
    for _ in range(TIMEOUT_S):
        try:
            _, stderr = child.communicate(timeout=1)
            return stderr, child.returncode
        except subprocess.TimeoutExpired:
            pass
    os.killpg(child.pid, signal.SIGKILL)
    return child.communicate()[1], None


def files_below(folder):
    """Bytes of each file, by its path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def is_events(name):
    return "events.out.tfevents." in name


class Reference:
    """What undisturbed runs leave. Bytes in which they differ among themselves are clock times and do not count."""

    def __init__(self, runner, case):
        self.runner, self.case = runner, case
        self.files, self.masks, self.lock = None, {}, threading.Lock()
        self.pieces = 0  # lines of the journal
        self.evaluations = {}  # after so many pieces, where these are few and unlike
        self.start = files_below(runner.work / "seeds" / case.start) if case.start else {}

    def add(self, files):
        files = {name: content for name, content in files.items() if not is_events(name)}
        if self.files is None:
            self.files = files
            return
        if set(files) != set(self.files):
            sys.exit(f"{self.case.name}: two undisturbed runs leave {sorted(set(files) ^ set(self.files))}")
        for name, content in files.items():
            ours = self.files[name]
            if len(ours) == len(content) and ours != content and not name.endswith(".jsonl"):
                different = [i for i, (a, b) in enumerate(zip(ours, content)) if a != b]
                # A time has four bytes, and the lowest, which comes first, changes most often.
                self.masks.setdefault(name, set()).update(i + byte for i in different for byte in range(4))

    def same(self, name, content, command):
        """Whether a file is that of the undisturbed run; `command` is the command line that made it."""
        ours = self.files[name]
        if ours == content:
            return True
        if name.endswith(".jsonl"):
            return log_lines(ours) == log_lines(content)
        if self.same_but_for_times(name, content):
            return True
        if name.endswith(".hdf5"):
            return self.same_meaning(name, content)
        # The command line is written down, and that of a resumption is another one.
        words, again = (" ".join(words).encode() for words in (self.case.arguments, command))
        return content.replace(again, words).replace(b" --quiet", b"") == ours.replace(b" --quiet", b"")

    def same_but_for_times(self, name, content):
        ours, mask = self.files[name], self.masks.get(name)
        if mask is None or len(ours) != len(content):
            return False
        return all(a == b or i in mask for i, (a, b) in enumerate(zip(ours, content)))

    def same_meaning(self, name, content):
        """The same field or particles and the same description, as the program reads them. Times, and what is said of
        the command line, do not matter."""
        with self.lock:
            return meaning(self.runner, self.files[name]) == meaning(self.runner, content)

    def wrong_in(self, files, command):
        """Names of outputs that are missing or wrong."""
        return [name for name in self.files
                if name not in files or not self.same(name, files[name], command)]

    def odd_in(self, files, command):
        """Names of outputs that are there and neither those of the undisturbed run nor those of before."""
        there = [name for name in self.files if name in files and files[name] != self.start.get(name)]
        return [name for name in there if not self.same(name, files[name], command)]

    def left_over(self, files):
        return sorted({steady(name) for name in files if name not in self.files and not is_events(name)})


def journal_lines(files):
    """Finished pieces of the work folders that count."""
    lines = [content.count(b"\n") for name, content in files.items() if name.endswith(".work/journal")
             and name.replace("journal", "generation.json") in files]
    return sum(lines)


def step_of(state):
    """The update of a training's state."""
    length = int.from_bytes(state[:8], "little")
    return int(json.loads(state[8:8 + length])["__metadata__"]["step"])


def is_torn(tensors):
    """Whether a file of tensors is not whole, by its own checksum of them."""
    try:
        start = 8 + int.from_bytes(tensors[:8], "little")
        header = json.loads(tensors[8:start])
        expected = header.pop("__metadata__").get("data_sha256")
        end = max(entry["data_offsets"][1] for entry in header.values())
        whole = len(tensors) == start + end
        return not whole or expected not in (None, hashlib.sha256(tensors[start:]).hexdigest())
    except (ValueError, KeyError):
        return True


GOES_ON = re.compile(r"goes on after (\d+) of (\d+) evaluations")
DONE = re.compile(r"(\d+) of them done")


def work_done_again(case, reference, before, said):
    """What a resumed run did again although it was kept, in words; `before` are the files that it began with."""
    pieces = journal_lines(before)
    if pieces:
        found = GOES_ON.search(said)
        done, all_of = (int(found[1]), int(found[2])) if found else (0, 1)
        if done < reference.evaluations.get(pieces, all_of * pieces / reference.pieces):
            return f"goes on after {done} of {all_of} evaluations, where {pieces} of {reference.pieces} pieces were kept"
    if case.evolving and "run/state.safetensors" in before:
        step, done = step_of(before["run/state.safetensors"]), DONE.search(said)
        if not done or int(done[1]) < step:
            return f"goes on after {done[1] if done else 'no'} updates, where {step} were kept"
    return ""


def log_lines(content):
    """A training's log without what depends on the clock."""
    lines = []
    for line in content.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            return None
        value.pop("samples_per_second", None)
        lines.append(value)
    return lines


def without_command(value):
    if isinstance(value, dict):
        return {key: without_command(item) for key, item in value.items() if key not in ("command", "file", "files")}
    return value


def meaning(runner, content):
    """What the program reads from an HDF5 file: the power of a grid to all digits (each voxel is in it), or the
    particles of a snapshot on a grid."""
    folder = runner.folder()
    try:
        (folder / "a.hdf5").write_bytes(content)

        def json_of(*arguments):
            done = subprocess.run([runner.binary, *arguments, "--json", "--quiet", "--threads", "1"], cwd=folder,
                                  capture_output=True, text=True, timeout=TIMEOUT_S)
            return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"error": done.stderr}

        info = json_of("info", "a.hdf5")
        if info.get("kind") != "snapshot":
            return without_command(info), without_command(json_of("spectrum", "a.hdf5", "-o", "a.json"))
        grids = []
        for species in ["gas", "dm"]:
            # One file of a set stands for itself only in its bytes.
            cube = folder / f"{species}.npy"
            json_of("grid", "a.hdf5", "--particles", species, "--cells", "32", "-o", cube.name)
            grids.append(cube.read_bytes() if cube.exists() else None)
        return (without_command(info), grids) if any(grids) else (content,)
    except (ValueError, IndexError):
        return (content,)
    finally:
        shutil.rmtree(folder)


# ----------------------------------------------------------------------------------------------------------------------
# Judgement


RIGHT, RESUMES, SILENT, LOST, ELSEWHERE = "right file", "error, resumes", "SILENT", "LOST", "elsewhere"


@dataclasses.dataclass
class Verdict:
    kind: str
    why: str = ""
    stays: tuple = ()
    notes: tuple = ()


def judge(runner, case, reference, folder, ended, killed, touched=()):
    """What a disturbed run left in `folder`, and whether asking again gives the right outputs. The failing call
    `touched` these paths."""
    files, notes = files_below(folder), []
    if ended.code is None:
        return Verdict(LOST, "hangs")
    if ended.code == 0:
        wrong = reference.wrong_in(files, case.arguments)
        if [name for name in wrong if name.endswith("metrics.jsonl") and "metrics.jsonl" in ended.stderr]:
            # A line of a log that could not be written, and was said to be lost.
            notes.append("a line of metrics.jsonl is missing, with a warning")
            wrong = [name for name in wrong if not name.endswith("metrics.jsonl")]
        kind = SILENT if wrong else RIGHT
        return Verdict(kind, f"exit code 0, but wrong: {', '.join(wrong)}" if wrong else "",
                       tuple(reference.left_over(files)), tuple(notes))
    problem = problem_of(case, reference, files, ended, killed, touched)
    if problem:
        return Verdict(LOST, problem)

    complete = not reference.wrong_in(files, case.arguments)
    before, said = identities(folder, reference), ""
    for again in case.again:
        kept = files
        ended = runner.run(folder, again, quiet=False)
        files = files_below(folder)
        if ended.code == 0:
            wrong = reference.wrong_in(files, again)
            if wrong:
                return Verdict(LOST, f"asked again, exit code 0, but wrong or missing: {', '.join(wrong)}")
            twice = "" if complete or "--resume" not in again else work_done_again(case, reference, kept, ended.stderr)
            if twice:
                return Verdict(LOST, f"asked again: {twice}")
            if complete and "--resume" in again and not case.evolving and identities(folder, reference) != before:
                notes.append("the result was complete, and --resume made it again")
            return Verdict(RESUMES, stays=tuple(reference.left_over(files)), notes=tuple(notes))
        if ended.code not in (1, 2):
            return Verdict(LOST, f"asked again: exit code {ended.code}: {last_line(ended.stderr)}")
        said = last_line(ended.stderr)
    if complete and "--resume" not in case.again[-1] and not reference.wrong_in(files, case.arguments):
        return Verdict(RESUMES, stays=tuple(reference.left_over(files)), notes=(f"complete already; again: {said}",))
    return Verdict(LOST, f"asked again: {said}")


def identities(folder, reference):
    """What changes when an output is written anew."""
    return [(folder / name).stat().st_ino for name in reference.files if (folder / name).exists()]


def problem_of(case, reference, files, ended, killed, touched):
    """Why the failed run itself is wrong, whatever comes after it."""
    if not killed:
        if ended.code not in (1, 2, 130, 143, 75):
            return f"exit code {ended.code}: {last_line(ended.stderr)}"
        # What lies beside the seeds is touched by its path from the folder.
        named = [*reference.files, *files, *touched, case.output(), *(a for a in case.arguments if SEEDS in a)]
        names = {part for name in named for part in Path(steady(name)).parts} - {"..", "seeds"}
        if not any(name in ended.stderr for name in names):
            return f"the message names no file: {last_line(ended.stderr)}"
    if case.evolving:
        odd = [name for name, content in files.items()
               if name.endswith(".safetensors") and not Path(name).name.startswith(".") and is_torn(content)]
    else:
        odd = reference.odd_in(files, case.arguments)
    if odd:
        return f"wrong under a final name: {', '.join(odd)}"
    there = [name for name in case.together if name in files]
    old = [name for name in there if files[name] == reference.start.get(name)]
    return f"old beside new: {', '.join(old)}" if old and len(old) < len(there) else ""


def last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "(nothing said)"


@dataclasses.dataclass
class Row:
    """A line of the table."""
    name: str
    calls: int = 0
    injections: int = 0
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    not_durable: list = dataclasses.field(default_factory=list)
    stays: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    notes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    bad: list = dataclasses.field(default_factory=list)
    first: dict = dataclasses.field(default_factory=dict)  # where what stays, and each note, was seen first

    def is_bad(self):
        return bool(self.counts[SILENT] or self.counts[LOST] or self.not_durable)


class Prover:
    """Disturbs one case after another."""

    def __init__(self, runner, on_disk, log, jobs, short):
        self.runner, self.on_disk, self.log, self.jobs, self.short = runner, on_disk, log, jobs, short
        self.lock = threading.Lock()

    def prove(self, case):
        row = Row(case.name)
        reference, calls = undisturbed(self.runner, case)
        row.calls, row.not_durable = len(calls), not_durable(calls)
        self.disturb_all(self.runner, case, reference, row, thinned(sample(calls)) if self.short else everything(calls))
        if [call for call in calls if call.name in REMOVALS and ".work" in call.paths[0]]:
            # In which order the files of a folder are found, and go, is the file system's choice.
            reference, calls = undisturbed(self.on_disk, case)
            removals = [call for call in calls if call.name in REMOVALS]
            self.disturb_all(self.on_disk, case, reference, row, everything(removals))
        return row

    def disturb_all(self, runner, case, reference, row, disturbances):
        with ThreadPoolExecutor(self.jobs) as pool:
            futures = [pool.submit(self.disturb, runner, case, reference, row, *item) for item in disturbances]
            for done, future in enumerate(futures):
                future.result()
                if done % 200 == 199:
                    progress(f"{case.name}: {done + 1} of {len(futures)}")

    def disturb(self, runner, case, reference, row, call, how):
        what = "signal" if how == KILL else "error"
        inject = f"{call.name}:{what}={how}:when={call.number}"
        for attempt in range(TRIES):
            folder = runner.folder(case.start)
            ended = runner.run(folder, case.arguments, calls=[call.name], inject=inject)
            hits = hits_in(ended.trace, os.path.realpath(folder), call.name, how == KILL)
            hit = any((call.name, tuple(map(steady, paths))) == call.kind() for paths in hits)
            if hit and (how != KILL or ended.code == -signal.SIGKILL):
                break
            if attempt + 1 < TRIES:
                shutil.rmtree(folder)
        else:
            # Another call of ours is as good a disturbance, but not the one that was asked for.
            if not any(hits) or (how == KILL and ended.code != -signal.SIGKILL):
                self.count(row, Verdict(ELSEWHERE))
                shutil.rmtree(folder)
                return
        verdict = judge(runner, case, reference, folder, ended, how == KILL, call.paths)
        self.count(row, verdict, f"{call}: {how}")
        if verdict.kind in (SILENT, LOST):
            self.keep(case, row, folder, f"{call}: {how}: {verdict.why}", inject, ended, call)
        shutil.rmtree(folder, ignore_errors=True)

    def count(self, row, verdict, where=""):
        with self.lock:
            for text in (*verdict.stays, *verdict.notes):
                row.first.setdefault(text, where)
            row.counts[verdict.kind] += 1
            row.injections += verdict.kind != ELSEWHERE
            row.stays.update(verdict.stays)
            row.notes.update(verdict.notes)

    def keep(self, case, row, folder, text, inject, ended, call):
        """Writes down a bad case: what was done, what was said, what was left."""
        with self.lock:
            row.bad.append(text)
            number = len(row.bad)
        if number > KEPT_FOLDERS:
            return
        place = self.log / re.sub(r"\W+", "_", case.name) / f"{number:03}"
        place.mkdir(parents=True, exist_ok=True)
        command = self.runner.command(case.arguments, "trace", [call.name], inject)
        again = [self.runner.command(arguments) for arguments in case.again]
        lines = [text, "", "in a folder beside `seeds` (kept in the log folder), two levels up:", shlex.join(command),
                 "then:", *map(shlex.join, again), "", ended.stderr]
        (place / "what.txt").write_text("\n".join(lines))
        (place / "trace").write_text(ended.trace)
        shutil.copytree(folder, place / "left", dirs_exist_ok=True)


def undisturbed(runner, case):
    """The outputs of undisturbed runs at different seconds, and the calls of one."""
    reference, traces = Reference(runner, case), []
    for traced in [True, True, False]:
        folder = runner.folder(case.start)
        ended = runner.run(folder, case.arguments, traced=traced)
        if ended.code != 0:
            sys.exit(f"{case.name} fails undisturbed (exit code {ended.code}): {ended.stderr}")
        reference.add(files_below(folder))
        if traced:
            traces.append(calls_in(ended.trace, os.path.realpath(folder)))
            appended = [call for call in traces[0] if call.name in WRITES and call.paths[0].endswith(".work/journal")]
            reference.pieces = len([call for call in appended if call.name != "ftruncate"])
        shutil.rmtree(folder)
        time.sleep(1.01 - time.time() % 1)  # HDF5 writes down seconds
    if 0 < reference.pieces <= FEW_PIECES:
        reference.evaluations = {pieces: evaluations_after(runner, case, traces[0], pieces)
                                 for pieces in range(1, reference.pieces)}
    if [call.kind() for call in traces[0]] != [call.kind() for call in traces[1]]:
        progress(f"{case.name}: two undisturbed runs make different calls; some injections may be missed")
    return reference, traces[0]


def evaluations_after(runner, case, calls, pieces):
    """Where a run goes on that was killed when so many pieces were durable, and nothing of the next one."""
    lines = [call for call in calls if call.name in WRITES and call.paths[0].endswith(".work/journal")
             and call.name != "ftruncate"]
    folder, call = runner.folder(case.start), lines[pieces]
    runner.run(folder, case.arguments, calls=[call.name], inject=f"{call.name}:signal={KILL}:when={call.number}")
    kept = journal_lines(files_below(folder))
    found = GOES_ON.search(runner.run(folder, case.again[0], quiet=False).stderr)
    shutil.rmtree(folder)
    if kept != pieces or not found:
        sys.exit(f"{case.name}: of {pieces} pieces {kept} were kept, and it went on after {found and found[1]} evaluations")
    return int(found[1])


def hows(call):
    """How a call can fail. Nothing runs out of space by removing or by syncing what is written."""
    if call.name in LOOKS:
        return [ERRORS[0]]
    return [ERRORS[0], KILL] if call.name in REMOVALS else [*ERRORS, KILL]


def everything(calls):
    return ((call, how) for call in calls for how in hows(call))


def sample(calls):
    """A fixed part: EIO at every write of small HDF5 files, a kill at every removal; else of each kind of call its
    first, its last and two in between, failing in turns."""
    kinds, siblings = collections.defaultdict(list), collections.defaultdict(set)
    for call in calls:
        path = Path(steady(call.paths[-1]))
        siblings[path.parent, path.suffix].add(path)
    for call in calls:
        path = Path(steady(call.paths[-1]))
        # Of the many figures and tables of a report one stands for all.
        alike = len(siblings[path.parent, path.suffix]) > 8
        kinds[call.name, path.parent if alike else path, path.suffix].append(call)
    turn = itertools.count()
    for same in kinds.values():
        removals = same[0].name in REMOVALS
        if removals or same[0].name == "pwrite64" and len(same) <= 16:
            yield from ((call, KILL if removals else ERRORS[0]) for call in same)
            yield same[-1], ERRORS[0] if removals else KILL
            continue
        chosen = {0, len(same) - 1} if same[0].name in LOOKS else {0, len(same) // 3, 2 * len(same) // 3, len(same) - 1}
        for at in sorted(chosen):
            ways = hows(same[at])
            yield same[at], ways[next(turn) % len(ways)]


# Commands that write by the same code as others; left out of a sample.
LIKE_OTHERS = {"upscale, wavefront", "upscale, colour", "upscale, two fields", "upscale to npy, over another"}


def thinned(chosen):
    """All ways to fail at removals; of the others, some from the first to the last."""
    removals, others = [], []
    for call, way in chosen:
        (removals if call.name in REMOVALS else others).append((call, way))
    step = max(1, len(others) / MOST_OF_SAMPLE)
    return removals + [others[int(at * step)] for at in range(min(len(others), MOST_OF_SAMPLE))]


# ----------------------------------------------------------------------------------------------------------------------
# Disks that are full for a moment


FRACTIONS = (0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 0.97)
PAGE = 4096
DELAY_US = 4000  # for whoever makes room: each write is held up for so long


def full_disks(a, runner):
    """Calls this script again with mounts of its own, and returns the rows."""
    words = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid() != 0 or subprocess.run([*words, "true"], capture_output=True).returncode:
        print("disks that fill up: skipped, a tmpfs of its own needs root and `unshare`", flush=True)
        return []
    command = [*words, sys.executable, __file__, "--binary", runner.binary, "--log", str(a.log), "--work",
               str(runner.work), "--only", a.only, "--inside-namespace"] + (["--short"] if a.short else [])
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit("disks that fill up: failed")
    rows = []
    for name, counts, bad in json.loads(done.stdout.splitlines()[-1]):
        row = Row(name, injections=sum(counts.values()), bad=bad)
        row.counts.update(counts)
        rows.append(row)
    return rows


def inside_namespace(a):
    """Runs commands on a tmpfs that is too small: until they end, or until somebody makes room at the first ENOSPC."""
    runner = Runner(a.binary, a.work)
    disk = Path(a.work) / "runs" / "disk"
    disk.mkdir()
    rows = []
    wanted = ("grid to hdf5", "grid to npy", "mock --snapshots", "upscale, joint", "upscale, raster", "train",
              "compare", "spectrum to json")
    for case in cases(a.binary):
        if case.name not in wanted or a.only not in case.name or (a.short and case.name not in wanted[:5]):
            continue
        reference, _ = undisturbed(runner, case)
        need = least_size(runner, disk, case)
        for transient in [True, False]:
            counts, bad = collections.Counter(), []
            for fraction in FRACTIONS[1::2] if a.short else FRACTIONS:
                verdict = on_small_disk(runner, disk, case, reference, need, fraction, transient)
                counts[verdict.kind] += 1
                if verdict.kind in (SILENT, LOST):
                    bad.append(f"{fraction:.0%} of {need} bytes free: {verdict.why}")
            name = f"{case.name}, disk full " + ("for a moment" if transient else "till it ends")
            progress(f"{name}: {dict(counts)}")
            rows.append((name, counts, bad))
    print(json.dumps(rows))


def mounted(disk, size):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=True)


def unmounted(disk):
    subprocess.run(["umount", str(disk)], check=True)


def least_size(runner, disk, case):
    """The least size of a disk, in bytes, on which the command succeeds."""
    low, high = PAGE, 1 << 26
    while high - low > 4 * PAGE:
        size = (low + high) // 2 // PAGE * PAGE
        mounted(disk, size)
        ended = runner.run(disk, case.arguments)
        unmounted(disk)
        low, high = (low, size) if ended.code == 0 else (size, high)
    return high


def on_small_disk(runner, disk, case, reference, need, fraction, transient):
    size = 2 * need + 64 * PAGE
    mounted(disk, size)
    try:
        free = max(PAGE, int(need * fraction) // PAGE * PAGE)
        other = disk / ".of_somebody_else"
        other.write_bytes(bytes(size - free))
        ended = with_room_made(runner, disk, case, other) if transient else runner.run(disk, case.arguments)
        other.unlink(missing_ok=True)
        return judge(runner, case, reference, disk, ended, killed=False)
    finally:
        unmounted(disk)


def with_room_made(runner, disk, case, other):
    """Runs the command, and removes the other file when the first write finds no space."""
    trace, done = disk.with_suffix(".trace"), threading.Event()
    trace.write_text("")

    def watch():
        with open(trace, errors="replace") as lines:
            while not done.is_set():
                if "ENOSPC" in lines.readline():
                    other.unlink(missing_ok=True)
                    return
                time.sleep(0.0002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        inject = f"{','.join(WRITES)}:delay_exit={DELAY_US}"
        return runner.run(disk, case.arguments, calls=WRITES, inject=inject)
    finally:
        done.set()
        watcher.join()


# ----------------------------------------------------------------------------------------------------------------------
# Signals


def long_commands():
    """Commands that take seconds, by name."""
    demo = PROJECT / "data/demo"
    config = json.loads((PROJECT / "configs/demo.json").read_text())
    config["data"].update(training=[str(demo)], validation=[])
    yield "grid", ["grid", str(demo / "gadget4_dm_64/snapdir_003"), "--particles", "dm", "--cells", "512", "--scheme",
                   "pcs", "-o", "grid.hdf5"], None
    universe = "mock --box-size 100 --cells 96 --particles-low 32 --particles-high 96 --steps 40 -o box"
    yield "mock", universe.split(), None
    for strategy in ["joint", "raster", "wavefront", "colour"]:
        yield f"upscale, {strategy}", ["upscale", "--model", str(demo / "model.safetensors"), "--condition",
                                      str(demo / "condition.hdf5"), "--strategy", strategy, "-o", "out.hdf5"], None
    yield "train", ["train", "config.json", "--out", "run"], config
    yield "compare", ["compare", "--truth", f"{SEEDS}/medium.hdf5", "--condition", f"{SEEDS}/medium.hdf5", "--sample",
                      f"{SEEDS}/medium.hdf5", "-o", "report"], None
    yield "spectrum", ["spectrum", f"{SEEDS}/large.hdf5", "--cross", f"{SEEDS}/large.hdf5", "-o", "out.json"], None


def signals(runner, only, short):
    """Rows of command, signal, seconds until it ended, exit code, whether that is well."""
    snapshot = str(PROJECT / "data/demo/gadget4_dm_64/snapdir_003")
    for name, cells in [("medium", "128"), ("large", "384")]:
        grid = ["grid", snapshot, "--particles", "dm", "--cells", cells, "-o", f"{SEEDS}/{name}.hdf5"]
        runner.run(runner.folder(), grid)
    rows = []
    for name, arguments, config in long_commands():
        if only not in name:
            continue
        when = middle(runner, arguments, config)
        for number in [signal.SIGTERM] if short else [signal.SIGINT, signal.SIGTERM]:
            rows.append((name, number.name, when, *interrupted(runner, arguments, config, number, when)))
            progress(f"{rows[-1]}")
    return rows


def begun(runner, arguments, config):
    folder = runner.folder()
    if config:
        (folder / "config.json").write_text(json.dumps(config))
    words = [word for word in runner.command(arguments) if word != "--quiet"]
    child = subprocess.Popen(words, cwd=folder, env=runner.environment, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=open(folder.with_suffix(".stderr"), "wb"))
    return folder, child


def middle(runner, arguments, config):
    """Seconds after which the command is in the middle of its work, with most of it to come."""
    folder, child = begun(runner, arguments, config)
    started = time.monotonic()
    try:
        if child.wait(timeout=8):
            sys.exit(f"finescale {shlex.join(arguments)} fails: {folder.with_suffix('.stderr').read_text()}")
        return (time.monotonic() - started) / 3
    except subprocess.TimeoutExpired:
        return 4.0
    finally:
        child.kill()
        child.wait()
        shutil.rmtree(folder, ignore_errors=True)


def interrupted(runner, arguments, config, number, when):
    folder, child = begun(runner, arguments, config)
    time.sleep(when)
    said = folder.with_suffix(".stderr")
    before = said.stat().st_size
    child.send_signal(number)
    sent = time.monotonic()
    try:
        code = child.wait(timeout=60)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        code = None
    seconds = time.monotonic() - sent
    text = said.read_bytes()[before:].decode(errors="replace")
    said.unlink()
    shutil.rmtree(folder)
    tells = bool(re.search(r"\d\s*(s|min|h|seconds?|minutes?|hours?)\b", " ".join(
        line for line in text.splitlines() if re.search("stop|interrupt|Ctrl-C|signal", line))))
    well = code is not None and (seconds <= SIGNAL_LIMIT_S or tells)
    return round(seconds, 2), code, "well" if well else "SLOW", last_line(text.replace("\r", "\n"))


# ----------------------------------------------------------------------------------------------------------------------
# The whole


def progress(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def table(head, rows):
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [head, ["---"] * len(head), *rows])


def print_row(row):
    counts = row.counts
    return [row.name, row.calls, row.injections, counts[RIGHT], counts[RESUMES], counts[SILENT], counts[LOST],
            counts[ELSEWHERE], len(row.not_durable)]


def print_details(rows):
    for row in rows:
        for problem in row.not_durable[:6]:
            print(f"{row.name}: power cut: {problem}")
        for name, count in row.stays.most_common(6):
            print(f"{row.name}: stays after success: {name} ({count} times, first by {row.first.get(name)})")
        for note, count in row.notes.most_common(6):
            print(f"{row.name}: {note} ({count} times, first by {row.first.get(note)})")
        for text in row.bad[:6]:
            print(f"{row.name}: {text}")
        if len(row.bad) > 6:
            print(f"{row.name}: ... and {len(row.bad) - 6} more")


def prove(a, work):
    runner = Runner(a.binary, work)
    version = subprocess.run([a.binary, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{version}, {a.binary}", flush=True)
    make_seeds(runner.binary, runner.work)
    disk = a.log / "disk"
    (disk / "runs").mkdir(parents=True)
    (disk / "seeds").symlink_to(runner.work / "seeds")
    rows, prover = [], Prover(runner, Runner(a.binary, disk), a.log, a.jobs, a.short)
    for case in cases(a.binary):
        if a.short and not a.only and case.name in LIKE_OTHERS:
            continue
        if a.only in case.name and not a.no_injections:
            started = time.monotonic()
            rows.append(prover.prove(case))
            progress(f"{case.name}: {rows[-1].injections} injections in {time.monotonic() - started:.0f} s, "
                     f"{dict(rows[-1].counts)}")
    rows += [] if a.no_disks else full_disks(a, runner)
    print(table(["command", "calls", "injections", RIGHT, RESUMES, SILENT, LOST, ELSEWHERE, "not durable"],
                map(print_row, rows)))
    print_details(rows)
    interrupts = [] if a.no_signals else signals(runner, a.only, a.short)
    if interrupts:
        print(table(["command", "signal", "sent after s", "ended within s", "exit code", "", "last words"],
                    [[*row[:2], f"{row[2]:.1f}", *row[3:]] for row in interrupts]))
    bad = [row.name for row in rows if row.is_bad()] + [row[0] for row in interrupts if row[5] != "well"]
    if bad:
        shutil.rmtree(disk)
        shutil.copytree(runner.work / "seeds", a.log / "seeds", dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("medium.hdf5", "large.hdf5"))
        print(f"NOT PROVEN: {', '.join(dict.fromkeys(bad))}; details in {a.log}")
    else:
        print(f"proven: {sum(row.injections for row in rows)} disturbances, none silent, none lost")
    return 1 if bad else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=PROJECT / "target/release/finescale")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count(), help="runs at once")
    parser.add_argument("--short", action="store_true", help="a fixed sample of calls, for every change")
    parser.add_argument("--only", default="", help="commands whose name contains this")
    parser.add_argument("--no-injections", action="store_true")
    parser.add_argument("--no-disks", action="store_true", help="no disks that fill up")
    parser.add_argument("--no-signals", action="store_true")
    log = PROJECT / "target/prove_durability"
    parser.add_argument("--log", type=Path, default=log, help="where bad cases are kept")
    parser.add_argument("--work", type=Path, help="where the runs go [default: a folder in memory]")
    parser.add_argument("--inside-namespace", action="store_true", help=argparse.SUPPRESS)
    a = parser.parse_args()
    a.binary, a.log = a.binary.resolve(), a.log.resolve()
    if a.inside_namespace:
        inside_namespace(a)
        return 0
    shutil.rmtree(a.log, ignore_errors=True)
    a.log.mkdir(parents=True)
    memory = Path("/dev/shm")
    place = a.work or (memory if os.access(memory, os.W_OK) else None)
    with tempfile.TemporaryDirectory(prefix="prove_durability.", dir=place) as work:
        return prove(a, Path(work).resolve())


if __name__ == "__main__":
    sys.exit(main())
