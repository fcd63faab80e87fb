#!/usr/bin/env python3
"""Feeds finescale files that are broken in many thousand ways: grids, snapshots, models, configurations, run and work
folders, numpy cubes, checkpoints of the reference, tables.

Each mutant is made of a sound file by some changes (bits, bytes, numbers that become extreme, blocks that are cut,
doubled or moved; in JSON, also inside of other files: extreme numbers, other types, deep nesting, long texts), and read
by a command that reads it whole, within limits of time and address space. Exit codes 0, 1 and 2 are fine: the file was
good enough, or refused, with words that name it. A panic (101), an abort, a segmentation fault and a hang are not. They
are counted by what they say and, with gdb, by where they happen, and of each some examples are kept, with the command,
which runs in the example's folder.

    ./scripts/mutate_files.py --count 100000            # some twenty minutes on two cores
    ./scripts/mutate_files.py --only snapshot --seed 7 --binary target/release/finescale
    ./scripts/mutate_files.py --only odd --cases FOLDER   # besides, whatever lies in FOLDER/NAME: files of other codes

A long run can be taken in pieces: --first 100000 goes on where --count 100000 ended. The counts are also in
LOG/counts.json; --jobs 1 leaves the other cores alone.
"""
import argparse
import collections
import contextlib
import copy
import functools
import io
import itertools
import json
import math
import multiprocessing
import os
import random
import re
import resource
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
BATCH = 50  # mutants that a worker makes at a time
GDB_RUNS = 6  # for each message of each kind of file: where it happens
MUTANT = "mutant"  # the name, without ending, of what is broken, in the folder of a worker

# ----------------------------------------------------------------------------------------------------------------------
# Changes of bytes

INTERESTING = [0, 1, 2, 7, 8, 16, 127, 128, 255, 256, 1 << 12, 1 << 15, (1 << 16) - 1, 1 << 16, 1 << 20, (1 << 31) - 1,
               1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


def flip_bit(draw, data):
    at = draw.randrange(len(data))
    data[at] ^= 1 << draw.randrange(8)


def set_byte(draw, data):
    data[draw.randrange(len(data))] = draw.choice([0, 0xFF, 0x7F, 0x80, 1, draw.randrange(256)])


def change_integer(draw, data):
    """An integer of 1, 2, 4 or 8 bytes becomes a near one, or an extreme one."""
    width = draw.choice([1, 2, 4, 8])
    if len(data) < width:
        return
    at = draw.randrange(len(data) - width + 1)
    at -= at % width if draw.random() < 0.7 else 0
    old = int.from_bytes(data[at:at + width], "little")
    near = [old + 1, old - 1, 2 * old, old // 2, old + draw.randrange(-64, 65), -old, old << 8]
    new = draw.choice(near) if draw.random() < 0.5 else draw.choice(INTERESTING)
    data[at:at + width] = (new % (1 << 8 * width)).to_bytes(width, "little")


def change_float(draw, data):
    width, form = draw.choice([(4, "<f"), (8, "<d")])
    if len(data) >= width:
        at = draw.randrange(len(data) - width + 1)
        at -= at % 4
        value = draw.choice([math.nan, math.inf, -math.inf, -0.0, -1.0, 0.0, 1e-38, 1e38, 3e38, -1e30])
        data[at:at + width] = struct.pack(form, value)


def fill_block(draw, data):
    at, length = block(draw, data)
    data[at:at + length] = bytes([draw.choice([0, 0xFF, 0x41])]) * length


def remove_block(draw, data):
    at, length = block(draw, data)
    del data[at:at + length]


def double_block(draw, data):
    at, length = block(draw, data)
    data[at:at] = data[at:at + length]


def copy_block(draw, data):
    """A block over another one: a structure that points at itself, or at another kind."""
    at, length = block(draw, data)
    to = draw.randrange(len(data) - length + 1)
    data[to:to + length] = data[at:at + length]


def cut(draw, data):
    del data[draw.randrange(len(data)):]


def append(draw, data):
    data += bytes(draw.randrange(256) for _ in range(draw.randrange(1, 64)))


def block(draw, data):
    length = min(len(data), draw.choice([1, 2, 4, 8, 8, 16, 64, 512]))
    return draw.randrange(len(data) - length + 1), length


BYTE_CHANGES = [flip_bit] * 4 + [set_byte] * 4 + [change_integer] * 8 + [change_float, fill_block, remove_block,
                double_block, copy_block, copy_block, cut, append]


def change_bytes(draw, data, first=0, end=None):
    """A few changes of bytes `first` to `end`."""
    part = bytearray(data[first:end])
    for _ in range(draw.choice([1, 1, 1, 2, 3, 5])):
        if part:
            draw.choice(BYTE_CHANGES)(draw, part)
    return bytes(data[:first]) + bytes(part) + (b"" if end is None else bytes(data[end:]))


# ----------------------------------------------------------------------------------------------------------------------
# Changes of JSON

NUMBERS = [0, -1, 1, 2, 3, 5, 7, 255, 65536, 10**6, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64,
           10**12, 10**18, 10**30, -2**63, 0.5, -0.5, 1e-300, 1e-30, 1e18, 1e30, 1e300, 1.7e308, -1e300, 1e-7]
WORDS = ["", "a", "x" * 70000, "../../x", "/dev/zero", "\u0000", "\x1b[31m", "é\u202e", "nan", "cpu", "linear"]


class Raw:
    """Text that stands in JSON as it is."""

    def __init__(self, text):
        self.text = text


RAW = [Raw("1e999"), Raw("-1e999"), Raw("NaN"), Raw("1" * 400), Raw("[" * 5000), Raw("[" * 200 + "]" * 200),
       Raw('{"a":' * 5000), Raw("0." + "0" * 300 + "1"), Raw("-0"), Raw("\"\\ud800\""), Raw("")]


def places(value, path=()):
    """Paths of all values inside of `value`."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def change_json_value(draw, value):
    """Another value in place of `value`."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and draw.random() < 0.75:
        near = [value + 1, value - 1, value * 2, value / 2, -value, value * 1000, value * 1e6, value + 0.5, int(value)]
        return draw.choice(near) if draw.random() < 0.4 else draw.choice(NUMBERS)
    if isinstance(value, list) and value and draw.random() < 0.6:
        item = draw.choice(value)
        return draw.choice([[], value * 2, value[:-1], value[::-1], [item] * draw.choice([3, 40, 5000])])
    if isinstance(value, str) and draw.random() < 0.5:
        return value + draw.choice(WORDS)
    others = [None, True, False, [], {}, [value], {"a": value}, [[value]], 3, -1, 0.5, *WORDS]
    return draw.choice(RAW) if draw.random() < 0.25 else draw.choice(others)


def change_json(draw, value):
    """Some changes of a JSON value; the result may hold `Raw`."""
    value = copy.deepcopy(value)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        path = draw.choice(list(places(value)))
        if not path:
            if draw.random() < 0.1:
                return change_json_value(draw, value)
            continue
        parent = functools.reduce(lambda inside, key: inside[key], path[:-1], value)
        what = draw.random()
        if what < 0.1:
            del parent[path[-1]]
        elif what < 0.15 and isinstance(parent, dict):
            parent[draw.choice(WORDS[:4])] = parent.pop(path[-1])
        else:
            parent[path[-1]] = change_json_value(draw, parent[path[-1]])
    return value


def to_text(value):
    raws = {}

    def default(raw):
        key = f"@raw{len(raws)}@"
        raws[f'"{key}"'] = raw.text
        return key

    text = json.dumps(value, default=default)
    for key, raw in raws.items():
        text = text.replace(key, raw)
    return text


def change_json_text(draw, data):
    """JSON with changed values, or with changed bytes."""
    if draw.random() < 0.25:
        return change_bytes(draw, data)
    return to_text(change_json(draw, json.loads(data))).encode("utf-8", "surrogatepass")


# ----------------------------------------------------------------------------------------------------------------------
# Changes by format


def change_safetensors(draw, data):
    """The header's JSON, the JSON in its metadata, or bytes, mostly of the header."""
    length = int.from_bytes(data[:8], "little")
    what = draw.random()
    if what < 0.2:
        return change_bytes(draw, data, 0, 8 + length)
    if what < 0.3:
        return change_bytes(draw, data)
    header = json.loads(data[8:8 + length])
    metadata = header["__metadata__"]
    if what < 0.75:
        texts = [key for key, text in metadata.items() if text.startswith(("{", "["))]
        key = draw.choice(texts) if texts and draw.random() < 0.9 else draw.choice(list(metadata))
        old = metadata[key]
        metadata[key] = to_text(change_json(draw, json.loads(old))) if old.startswith(("{", "[")) else str(
            draw.choice(NUMBERS + WORDS))
    else:
        header = change_json(draw, header)
    text = to_text(header).encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + data[8 + length:]


def change_journal_lines(draw, data):
    """Lines of a journal or log: cut, doubled, swapped; or bytes."""
    lines = data.splitlines(keepends=True)
    if draw.random() < 0.4 or not lines:
        return change_bytes(draw, data)
    at = draw.randrange(len(lines))
    what = draw.randrange(4)
    if what == 0:
        del lines[at]
    elif what == 1:
        lines.insert(at, draw.choice(lines))
    elif what == 2:
        draw.shuffle(lines)
    else:
        lines[at] = change_json_text(draw, lines[at]) + b"\n" if lines[at].startswith(b"{") else lines[at][:-9] + b"\n"
    return b"".join(lines)


def change_npy(draw, data):
    """The header, a text of a Python dictionary, or bytes."""
    if draw.random() < 0.5:
        return change_bytes(draw, data, 0, draw.choice([128, None]))
    shape = ", ".join(str(draw.choice([8, 8, *NUMBERS])) for _ in range(draw.choice([3, 3, 3, 1, 2, 4, 30])))
    kind = draw.choice(["<f4", "<f4", "<f8", ">f4", "<i4", "|O", "<f2", "<f" + "9" * 30, "(" * 9000, "'"])
    order = draw.choice(["False", "False", "True", "None", "1"])
    header = f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': ({shape}), }}".encode()
    header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    length = len(header) if draw.random() < 0.8 else draw.choice(INTERESTING)
    return data[:8] + (length % 65536).to_bytes(2, "little") + header + data[128:]


def change_table(draw, data):
    lines = data.decode().splitlines()
    for _ in range(draw.choice([1, 2, 4])):
        at = draw.randrange(len(lines))
        words = lines[at].split() or [""]
        words[draw.randrange(len(words))] = str(draw.choice([*NUMBERS, "nan", "inf", *WORDS]))
        lines[at] = draw.choice([" ", "\t", ",", ""]).join(words)
    text = "\n".join(lines).encode("utf-8", "surrogatepass")
    return change_bytes(draw, text) if draw.random() < 0.4 else text


def change_checkpoint(draw, data):
    """The pickle inside of the archive, with the archive's checksums right; or the archive's bytes."""
    if draw.random() < 0.25 or not zipfile.is_zipfile(io.BytesIO(data)):
        near_end = max(0, len(data) - 4096) if draw.random() < 0.5 else 0
        return change_bytes(draw, data, near_end)
    archive = zipfile.ZipFile(io.BytesIO(data))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as changed:
        for entry in archive.infolist():
            content = archive.read(entry)
            if entry.filename.endswith("data.pkl"):
                content = change_pickle(draw, content)
            changed.writestr(entry.filename, content)
    return out.getvalue()


def change_pickle(draw, content):
    what = draw.random()
    if what < 0.1:
        opcode = draw.choice([b"\x85", b"(", b"]", b"}", b"\x86", b"t", b"l"])
        return content[:2] + opcode * draw.choice([100, 10000, 300000]) + content[2:]
    if what < 0.15:
        # A tuple of twice the one before, again and again.
        doubling = b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(40))
        return b"\x80\x02)q\x00" + doubling + b"."
    return change_bytes(draw, content)


# ----------------------------------------------------------------------------------------------------------------------
# Kinds of files, and how they are read


class Kind:
    """A kind of file: what is changed in a copy of its seed, and commands that read it, each with its share."""

    def __init__(self, name, share, seed, files, commands):
        self.name, self.share, self.seed, self.files, self.commands = name, share, seed, files, commands

    def mutate(self, draw, seeds, folder):
        """Puts a mutant into `folder`, and returns its path and the changed file."""
        return self.mutate_copy(draw, seeds / self.seed, folder)

    def mutate_copy(self, draw, source, folder):
        target = folder / (MUTANT + ("" if source.is_dir() else source.suffix))
        remove(target)
        if source.is_dir():
            shutil.copytree(source, target, ignore_dangling_symlinks=True)
        name, change = draw.choice(self.files)
        names = sorted(path for path in source.glob(name) if path.is_file()) if source.is_dir() else [source]
        chosen = draw.choice(names)
        changed = target / chosen.relative_to(source) if source.is_dir() else target
        changed.write_bytes(change(draw, content_of(chosen)))
        return target, changed

    def command(self, draw):
        """A command that reads the mutant, for a folder beside the seeds."""
        words = draw.choices([words for words, _ in self.commands], [share for _, share in self.commands])[0]
        return words.split()

    def command_for(self, draw, target):
        return [target.name if word == "{}" else word for word in self.command(draw)]


class OddKind(Kind):
    """One of many seeds, files of other codes that share little: all that lie in the folder `cases`, or in the folders
    of those, and have the suffix. A folder of a set in pieces, or of a file with sources, is one seed."""

    def __init__(self, name, share, suffix, change, commands, folders="*"):
        super().__init__(name, share, "cases", [("*", change)], commands)
        self.suffix, self.folders = suffix, folders

    def mutate(self, draw, seeds, folder):
        return self.mutate_copy(draw, draw.choice(odd_seeds(seeds / self.seed, self.folders, self.suffix)), folder)


@functools.lru_cache(maxsize=16)
def odd_seeds(cases, folders, suffix):
    found = {path for path in cases.glob(f"{folders}/**/*{suffix}") if path.is_file() and path.stat().st_size}
    sets = {path.parent for path in found if re.search(r"\.\d+\.hdf5$", path.name) or list(path.parent.glob("*.data"))}
    return sorted(sets | {path for path in found if path.parent not in sets})


@functools.lru_cache(maxsize=64)
def content_of(path):
    return path.read_bytes()


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


WORK = "upscale --model ../seeds/run/model.safetensors --condition ../seeds/condition.hdf5 -o out.hdf5 --resume"
GRID = [("info mutant.hdf5", 30), ("spectrum mutant.hdf5", 45),
        ("upscale --model ../seeds/run/model.safetensors --condition mutant.hdf5 -o x.hdf5 --dry-run", 10),
        ("compare --truth mutant.hdf5 --sample ../seeds/grid.hdf5 --overwrite -o report", 2),
        ("spectrum ../seeds/grid.hdf5 --cross mutant.hdf5", 8),
        ("train ../seeds/of_mutant.json --out x --dry-run", 5)]
SNAPSHOT = [("info mutant", 25), ("grid mutant --particles dm --cells 8 -o x.npy --overwrite", 40),
            ("grid mutant --particles gas --cells 8 --weight count -o x.hdf5 --overwrite", 35)]
KINDS = [
    # HDF5's older format, in which most snapshots come, has no checksums: changes reach deeper there than in our own.
    Kind("grid", 13, "grid.hdf5", [("", change_bytes)], GRID),
    Kind("old grid", 13, "hdf5_1_8/grid.hdf5", [("", change_bytes)], GRID),
    Kind("snapshot", 13, "snapshot", [("*.hdf5", change_bytes)], SNAPSHOT),
    Kind("old snapshot", 13, "hdf5_1_8/snapshot", [("*.hdf5", change_bytes)], SNAPSHOT),
    Kind("model", 14, "run/model.safetensors", [("", change_safetensors)], [
        ("info mutant.safetensors", 40), ("train ../seeds/config.json --from mutant.safetensors --out x", 15),
        ("upscale --model mutant.safetensors --condition ../seeds/condition.hdf5 --region 0:4 -o x.hdf5 --dry-run", 30),
        ("upscale --model mutant.safetensors --condition ../seeds/condition.hdf5 --region 0:4 -o x.hdf5", 15)]),
    Kind("configuration", 9, "config.json", [("", change_json_text)], [
        ("train mutant.json --out x --dry-run", 80), ("bench --config mutant.json --repeat 1", 20)]),
    Kind("mock settings", 4, "mock.json", [("", change_json_text)], [("mock --config mutant.json --dry-run -o x --overwrite", 1)]),
    Kind("run folder", 7, "run", [("state.safetensors", change_safetensors), ("state.safetensors", change_safetensors),
                                  ("metrics.jsonl", change_journal_lines), ("config.json", change_json_text)], [
        ("train ../seeds/config.json --out mutant --resume", 85), ("info mutant", 15)]),
    Kind("work folder", 6, "work", [("generation.json", change_json_text), ("journal", change_journal_lines),
                                    ("*.f32", change_bytes)], [
        (WORK, 1)]),
    Kind("npy", 6, "cube.npy", [("", change_npy)], [
        ("spectrum mutant.npy --box-size 10", 80),
        ("upscale --model ../seeds/run/model.safetensors --condition mutant.npy --box-size 6.25 -o x.hdf5 --dry-run",
         20)]),
    Kind("beside npy", 2, "beside", [("*.json", change_json_text)], [
        ("spectrum mutant/cube.npy --box-size 6.25", 40), ("info mutant/cube.npy", 20), ("spectrum mutant/cube.npy", 20),
        ("upscale --model ../seeds/run/model.safetensors --condition mutant/cube.npy -o x.hdf5 --dry-run", 20)]),
    Kind("checkpoint", 1.5, "checkpoint.pth", [("", change_checkpoint)], [
        ("import mutant.pth --config ../seeds/reference.json --box-size 12.5 --cells 16 -o x.safetensors --overwrite", 1)]),
    Kind("table", 0.5, "table.txt", [("", change_table)], [
        ("compare --truth ../seeds/grid.hdf5 --sample ../seeds/grid.hdf5 --truth-spectrum mutant.txt --overwrite -o report", 1)]),
    # With --cases only.
    OddKind("odd snapshot", 26, ".hdf5", change_bytes, [
        ("info {}", 25), ("grid {} --particles dm --cells 8 -o x.npy --overwrite", 45),
        ("grid {} --particles gas --cells 8 --weight count -o x.hdf5 --overwrite", 20),
        ("grid {} --particles matter --cells 8 -o x.hdf5 --overwrite", 10)], "[!23]*"),
    OddKind("odd grid", 6, ".hdf5", change_bytes, [(command.replace("mutant.hdf5", "{}"), share) for command, share in GRID],
            "30_*"),
    OddKind("odd npy", 6, ".npy", change_npy, [("spectrum {} --box-size 10", 80), ("info {}", 20)]),
    OddKind("odd checkpoint", 2, ".pth", change_checkpoint, [
        ("import {} --config ../seeds/reference.json --box-size 12.5 --cells 16 -o x.safetensors --overwrite", 1)]),
]

MOCK = "mock --box-size 6.25 --cells 8 --particles-low 4 --particles-high 8 --steps 2 --snapshots --seed 1".split()


def make_seeds(binary, seeds):
    """The sound files that mutants are made of."""
    from prove_durability import network_config, reference_config

    def finescale(*words):
        done = subprocess.run([binary, *words, "--threads", "1", "--quiet"], cwd=seeds, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"making seeds: finescale {shlex.join(words)} failed\n{done.stderr}")
        return done.stdout

    seeds.mkdir(parents=True)
    for seed, name in [("1", "box"), ("2", "other")]:
        finescale(*MOCK[:-1], seed, "-o", name)
    shutil.copy(seeds / "box/truth.hdf5", seeds / "grid.hdf5")
    shutil.copy(seeds / "box/condition.hdf5", seeds / "condition.hdf5")
    shutil.copytree(seeds / "box/high_res/snapdir_000", seeds / "snapshot")
    finescale("grid", "snapshot", "--particles", "gas", "--cells", "8", "-o", "cube.npy")
    (seeds / "beside").mkdir()
    for name in ["cube.npy", "cube.npy.json"]:
        shutil.copy(seeds / name, seeds / "beside")
    config = network_config(training={"steps": 4})
    config["data"] = {"training": ["../seeds/box"], "validation": ["../seeds/other"]}
    config["network"].update(base_channels=4, head_channels=4, norm_groups=2)
    (seeds / "config.json").write_text(json.dumps(config))
    config["data"] = {"training": [{"condition": "mutant.hdf5", "truth": "../seeds/box/truth.hdf5"}]}
    (seeds / "of_mutant.json").write_text(json.dumps(config))
    finescale("train", "config.json", "--out", "run")
    for path in (seeds / "run").glob("events*"):
        path.unlink()
    settings = json.loads(finescale(*MOCK, "-o", "never", "--dry-run", "--json").splitlines()[-1])["config"]
    (seeds / "mock.json").write_text(json.dumps(settings))
    (seeds / "reference.json").write_text(json.dumps(reference_config()))
    (seeds / "table.txt").write_text("# k in h/Mpc, P in (Mpc/h)^3\n0.1 1e4\n0.5 2e3\n1 1e2\n10 1\n100 1e-2\n")
    shutil.copytree(PROJECT / "tests/data/hdf5_1_8", seeds / "hdf5_1_8")
    checkpoint = PROJECT / "tests/golden/palette_small.pth"
    if checkpoint.exists():
        shutil.copy(checkpoint, seeds / "checkpoint.pth")
    half_finished_work(binary, seeds)


def lines_of(path):
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def half_finished_work(binary, seeds):
    """The work folder of a generation that was killed on its way."""
    words = [binary, *WORK.split(), "--threads", "1", "--quiet"]
    work = seeds / "out.hdf5.work"
    for lines in [20, 10, 5, 3, 2, 1]:
        child = subprocess.Popen(words, cwd=seeds)
        while child.poll() is None and lines_of(work / "journal") < lines:
            time.sleep(0.0002)
        child.kill()
        child.wait()
        if (work / "generation.json").exists():
            work.rename(seeds / "work")
            for path in seeds.glob("*out.hdf5*"):
                path.unlink()
            return
        (seeds / "out.hdf5").unlink(missing_ok=True)
    print("no work folder: the generation always ended before it was killed", file=sys.stderr)


# ----------------------------------------------------------------------------------------------------------------------
# Runs


class Limits:
    def __init__(self, seconds, gigabytes):
        self.seconds, self.bytes = seconds, int(gigabytes * (1 << 30))

    def apply(self):
        """For this process and all that it starts."""
        resource.setrlimit(resource.RLIMIT_AS, (self.bytes, self.bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 29, 1 << 29))


def run(command, folder, said, seconds):
    """The exit code, or None after `seconds`; then also where the process is. What it says goes to the file `said`."""
    with open(said, "wb") as stderr:
        child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                                 env={**os.environ, "RUST_BACKTRACE": "1"})
    descriptor = os.pidfd_open(child.pid)
    try:
        if ready(descriptor, seconds):
            return child.wait(), []
        return None, frames_of(["-p", str(child.pid)], folder, stack="thread apply all bt 40")
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        os.close(descriptor)


def ready(descriptor, seconds):
    """Whether there is something to read within `seconds`."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    # One by one: all of a machine may be suspended for a while.
    return any(poll.poll(1000) for _ in range(seconds))


class ForkServer:
    """Runs a program that is loaded once, by `fork_server.c`."""

    IN, OUT = 198, 199

    def __init__(self, binary, library, limit=None):
        (theirs_in, self.to), (self.back, theirs_out) = os.pipe(), os.pipe()
        os.dup2(theirs_in, self.IN)
        os.dup2(theirs_out, self.OUT)
        self.server = subprocess.Popen([binary], pass_fds=(self.IN, self.OUT), stdin=subprocess.DEVNULL,
                                       preexec_fn=limit,
                                       env={**os.environ, "RUST_BACKTRACE": "1", "LD_PRELOAD": str(library)})
        for descriptor in (theirs_in, theirs_out, self.IN, self.OUT):
            os.close(descriptor)

    @staticmethod
    def library(folder):
        """The library that is to be preloaded; none without a C compiler."""
        compiler = shutil.which("cc")
        if not compiler:
            return None
        target = folder / "fork_server.so"
        source = Path(__file__).with_name("fork_server.c")
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", target, source, "-ldl"], check=True)
        return target

    def run(self, command, folder, said, seconds):
        """As `run`."""
        words = b"\0".join(os.fsencode(word) for word in [folder, said, *command[1:]]) + b"\0"
        os.write(self.to, struct.pack("<I", len(words)) + words)
        child = self.answer()
        if child < 0:
            sys.exit("the fork server cannot fork")
        frames, over = [], ready(self.back, seconds)
        if not over:
            frames = frames_of(["-p", str(child)], folder, stack="thread apply all bt 40")
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(self.answer())
        return (code if over else None), frames

    def answer(self):
        said = os.read(self.back, 4)
        if len(said) < 4:
            sys.exit(f"the fork server ended with {self.server.wait()}")
        return struct.unpack("<i", said)[0]


def frames_of(arguments, folder, before=(), stack="bt 40"):
    """Names of functions on the stack of a process or of a command that dies, innermost first; none without gdb."""
    if not shutil.which("gdb"):
        return []
    commands = ["set debuginfod enabled off", *before, stack]
    words = ["gdb", "-batch", "-nx", *itertools.chain.from_iterable(["-ex", command] for command in commands)]
    try:
        done = subprocess.run([*words, *arguments], cwd=folder, capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, errors="replace")
    except subprocess.TimeoutExpired:
        return []
    frames = re.findall(r"^#\d+\s+(?:0x[0-9a-f]+ in )?(.+?) (?:\(|from|at).*?(?:from (\S+))?$", done.stdout, re.M)
    return [(name, library) for name, library in frames]


BORING = re.compile(r"^<?(__|raise|abort|\?\?|(std|core|alloc|rayon_core)(::|\[)|rust_|_start|main$|clone|start_thread|"
                    r"malloc|calloc|realloc|memcpy|_int_|free|pthread|gsignal|syscall|poll|epoll|read$|recv|nanosleep|clock_|"
                    r"do_futex|ctrlc|signal_hook)")


def where(frames):
    """The innermost functions that say something."""
    names = [re.sub(r"::h[0-9a-f]{16}$", "", name) for name, _ in frames]
    telling = [name for name in names if not BORING.match(name)][:3]
    inside = "inside libhdf5: " if any(is_hdf5(*frame) for frame in frames) else ""
    return inside + " < ".join(telling) if telling else ""


def is_hdf5(name, library):
    return bool(re.match(r"H5[A-Z]{1,2}_", name)) or "libhdf5" in (library or "")


def outcome(code):
    """What an exit code means."""
    if code is None:
        return "hang"
    if code in (0, 1, 2):
        return f"exit {code}"
    if code == 101:
        return "panic"
    if code < 0:
        return signal.Signals(-code).name
    return f"exit {code}"


def spoken(text, name):
    """What is wrong with the words of a refusal, if anything: they must name the file, the option or the key, and
    leave the terminal alone."""
    if any(not character.isprintable() for character in text.replace("\n", "")):
        return "control characters"
    return None if name in text or "../seeds/" in text or re.search(r"`[a-z_.]+`| setting [a-z]|--[a-z]", text) else "names no file"


FINE = ("exit 0", "exit 1", "exit 2")


def message(text):
    """The line that tells a panic or an abort apart from others, without its numbers."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if "panicked at" in line:
            place = re.search(r"panicked at (.*?):?$", line)
            return f"{place.group(1)}: {numberless(lines[number + 1] if number + 1 < len(lines) else '')}"
    last_words = "overflowed its stack|memory allocation|fatal runtime|terminate"
    telling = [line for line in lines if re.search(last_words, line)]
    return numberless(telling[0] if telling else lines[0] if lines else "")


def numberless(text):
    return re.sub(r"\d{3,}", "N", text)[:140]


class Worker:
    """Makes and runs mutants in a folder of its own."""

    def __init__(self, binary, seeds, work, log, seed, limits, only, library):
        self.binary, self.seeds, self.work, self.log, self.seed, self.limits = binary, seeds, work, log, seed, limits
        self.library, self.run = library, run
        wanted = [kind for kind in KINDS if any(word in kind.name for word in only.split(","))]
        self.kinds = [kind for kind in wanted if (seeds / kind.seed).exists()]
        self.folder = None
        self.seen = collections.Counter()

    def batch(self, first):
        """Mutants `first` and the following: of each kind and outcome how many, and of each bad one what it is."""
        if self.folder is None:
            self.limits.apply()
            self.folder = self.work / f"{os.getpid()}"
            self.folder.mkdir()
            self.run = ForkServer(self.binary, self.library).run if self.library else run
        counts, bad = collections.Counter(), []
        for number in range(first, first + BATCH):
            kind, result, signature = self.mutant(number)
            counts[kind, result] += 1
            if signature:
                bad.append((kind, *signature))
        return counts, bad

    def mutant(self, number):
        draw = random.Random(f"{self.seed}/{number}")
        kind = draw.choices(self.kinds, [kind.share for kind in self.kinds])[0]
        target, changed = kind.mutate(draw, self.seeds, self.folder)
        if kind.name == "work folder":
            remove(self.folder / "out.hdf5.work")
            target = target.rename(self.folder / "out.hdf5.work")
        command = [self.binary, *kind.command_for(draw, target), "--json", "--threads", "1", "--quiet"]
        said = self.folder / "stderr"
        code, frames = self.run(command, self.folder, said, self.limits.seconds)
        result = outcome(code)
        if code in (1, 2):
            name = MUTANT if MUTANT in str(command) else target.name
            result = spoken(said.read_text(errors="replace"), name) or result
        signature = None
        if result not in FINE:
            signature = self.signature(kind, number, result, command, target, frames, said)
        for leaf in self.folder.iterdir():
            remove(leaf)
        return kind.name, result, signature

    def signature(self, kind, number, result, command, target, frames, said):
        """What sets this failure apart, and where an example is."""
        text = message(said.read_text(errors="replace"))
        key = (kind.name, result, text)
        self.seen[key] += 1
        if result == "panic":
            frames = [(name, "") for name in re.findall(r"^\s+\d+: (.+)$", said.read_text(errors="replace"), re.M)]
        elif result != "hang" and self.seen[key] <= GDB_RUNS:
            frames = frames_of(["--args", *command], self.folder, ["run"])
        place = where(frames) if frames else ""
        example = self.log / f"{re.sub(r'[^a-z]+', '_', kind.name)}_{number}"
        if self.seen[key] <= GDB_RUNS:
            example.mkdir(parents=True)
            inside = example / target.name
            if target.is_dir():
                shutil.copytree(target, inside)
            else:
                shutil.copy(target, inside)
            (example / "command").write_text(shlex.join(map(str, command)) + "\n")
            shutil.copy(said, example / "stderr")
        return result, text, place, command[1], str(example)


def table(head, rows):
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"
                     for row in [head, ["---"] * len(head), *rows])


def hdf5_of(binary):
    """Which HDF5 the program uses."""
    linked = subprocess.run(["ldd", binary], capture_output=True, text=True).stdout
    shared = re.search(r"libhdf5\S* => (\S+)", linked)
    if shared:
        return f"the system's, {os.path.realpath(shared.group(1))}"
    version = re.search(rb"HDF5 (?:library )?[Vv]ersion:?\s+(\d[0-9.]+)", Path(binary).read_bytes())
    return "static, " + (version.group(1).decode() if version else "version unknown")


def print_results(counts, bad):
    outcomes = sorted({result for _, result in counts}, key=lambda result: (result not in FINE, result))
    rows = []
    for kind in [kind.name for kind in KINDS]:
        numbers = [counts[kind, result] for result in outcomes]
        if sum(numbers):
            rows.append([kind, sum(numbers), *numbers])
    rows.append(["all", *(sum(column) for column in list(zip(*rows))[1:])])
    print(table(["file", "mutants", *outcomes], rows))
    groups = collections.defaultdict(list)
    for kind, result, text, place, command, example in bad:
        groups[kind, result, text].append((place, command, example))
    if groups:
        print()
        rows = []
        for (kind, result, text), members in sorted(groups.items(), key=lambda item: (item[0][0], -len(item[1]))):
            places_seen = collections.Counter(place for place, _, _ in members if place)
            commands = ", ".join(sorted({command for _, command, _ in members}))
            kept = next((example for _, _, example in members if Path(example).exists()), "")
            rows.append([kind, result, len(members), commands, text,
                         "; ".join(place for place, _ in places_seen.most_common(3)), kept])
        print(table(["file", "outcome", "mutants", "command", "message", "where", "example"], rows))
    inside = collections.Counter(kind for kind, _, _, place, _, _ in bad if place.startswith("inside libhdf5"))
    if inside:
        print(f"inside libhdf5, of those looked at with gdb: {dict(inside)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=PROJECT / "target/release/finescale")
    parser.add_argument("--count", type=int, default=2000, help="mutants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count(), help="mutants at once")
    parser.add_argument("--seeds", type=Path, help="sound files of an earlier run (LOG/seeds): the same mutants again")
    parser.add_argument("--first", type=int, default=0, help="mutants of this seed that an earlier run made")
    parser.add_argument("--cases", type=Path, help="a folder of folders of files of other codes, which are broken too")
    parser.add_argument("--only", default="", help="kinds of files whose name contains this, or one of these: A,B")
    parser.add_argument("--timeout", type=int, default=20, help="seconds until a run counts as hanging")
    parser.add_argument("--memory", type=float, default=4.0, help="address space of a run in GiB")
    parser.add_argument("--log", type=Path, default=PROJECT / "target/mutate_files", help="where examples are kept")
    a = parser.parse_args()
    binary, log = str(a.binary.resolve()), a.log.resolve()
    if a.seeds and a.seeds.resolve().is_relative_to(log):
        sys.exit(f"{log}: is emptied first; take --seeds from another folder, or name another --log")
    shutil.rmtree(log, ignore_errors=True)
    log.mkdir(parents=True)
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{version}, HDF5: {hdf5_of(binary)}; seed {a.seed}, {a.count} mutants", flush=True)
    memory = Path("/dev/shm")
    started = time.monotonic()
    place = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="mutate_files.", dir=place) as work:
        work = Path(work)
        if a.seeds:
            shutil.copytree(a.seeds, work / "seeds")
        else:
            make_seeds(binary, work / "seeds")
        if a.cases:
            shutil.copytree(a.cases, work / "seeds/cases", ignore_dangling_symlinks=True, dirs_exist_ok=True)
        shutil.copytree(work / "seeds", log / "seeds")
        worker = Worker(binary, work / "seeds", work, log, a.seed, Limits(a.timeout, a.memory), a.only,
                        ForkServer.library(work))
        counts, bad = collections.Counter(), []
        with multiprocessing.Pool(a.jobs) as pool:
            firsts = range(a.first, a.first + a.count, BATCH)
            for done, (some, more) in enumerate(pool.imap_unordered(functools.partial(at_work, worker), firsts), 1):
                counts.update(some)
                bad += more
                if done % max(1, len(firsts) // 20) == 0:
                    minutes = (time.monotonic() - started) / 60
                    print(f"{BATCH * done} mutants, {len(bad)} bad, {minutes:.1f} min", file=sys.stderr, flush=True)
    (log / "counts.json").write_text(json.dumps({
        "binary": version, "hdf5": hdf5_of(binary), "seed": a.seed, "first": a.first,
        "counts": [[kind, result, number] for (kind, result), number in sorted(counts.items())], "bad": bad}))
    print_results(counts, bad)
    print(f"{time.monotonic() - started:.0f} s; " + (f"examples in {log}" if bad else "none bad"))
    return 1 if bad else 0


WORKERS = {}


def at_work(worker, first):
    """One worker per process, which keeps its folder and its counts."""
    return WORKERS.setdefault("mine", worker).batch(first)


if __name__ == "__main__":
    sys.exit(main())
