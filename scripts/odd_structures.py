#!/usr/bin/env python3
"""Feeds finescale files that are well-formed and odd: attributes and datasets of every type and shape that HDF5 has,
links and storage that lead out of the file or round in circles, sizes that lie, chunks that unpack to something else
than they promise, names with control characters, pipes and devices in the place of files.

Each is read within limits of time and address space, and must end with exit code 0, 1 or 2. A refusal must name the
file or the key, and hold no control characters. Of files that cannot be right, `refused` says so; of files that are
right in an unusual way, `same` says that the field must be that of the sound one.

Needs numpy and h5py. Examples that fail are kept in --log, with the command in NAME.command.

    ./scripts/odd_structures.py --binary target/release/finescale
"""

import argparse
import collections
import json
import os
import shlex
import shutil
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np

from mutate_files import FINE, PROJECT, ForkServer, Limits, hdf5_of, message, outcome, spoken
from mutate_files import run as run_alone

DARK, GAS = 64, 16
BOX = 50_000.0
draw = np.random.default_rng(1)
POSITIONS = draw.random((DARK, 3)) * BOX
GAS_POSITIONS = draw.random((GAS, 3)) * BOX
GAS_MASSES = np.full(GAS, 0.5, "f4")

HEADER = {
    "NumPart_ThisFile": np.array([GAS, DARK, 0, 0, 0, 0], "i4"),
    "NumPart_Total": np.array([GAS, DARK, 0, 0, 0, 0], "u4"),
    "NumPart_Total_HighWord": np.zeros(6, "u4"),
    "MassTable": np.array([0, 0.05, 0, 0, 0, 0]),
    "NumFilesPerSnapshot": np.int32(1),
    "Time": np.float64(1.0),
    "Redshift": np.float64(0.0),
    "BoxSize": np.float64(BOX),
    "Omega0": np.float64(0.3089),
    "OmegaLambda": np.float64(0.6911),
    "HubbleParam": np.float64(0.6774),
    "UnitLength_in_cm": np.float64(3.085678e21),
    "UnitMass_in_g": np.float64(1.989e43),
}
CASES = []


def case(name, expected, change, commands=None, file="snap.hdf5", libver=None):
    """`change` gets the open file of a sound snapshot, or with `file=None` the folder, and makes it odd."""
    CASES.append((name, expected, change, commands or SNAPSHOT, file, libver))


SNAPSHOT = [
    "info snap.hdf5",
    "grid snap.hdf5 --particles dm --cells 4 -o out.npy --overwrite",
    "grid snap.hdf5 --particles gas --cells 4 -o gas.npy --overwrite",
    "spectrum snap.hdf5 --particles dm --cells 4",
]


def sound(f):
    header = f.create_group("Header")
    for key, value in HEADER.items():
        header.attrs[key] = value
    f["PartType1/Coordinates"] = POSITIONS
    f["PartType0/Coordinates"] = GAS_POSITIONS
    f["PartType0/Masses"] = GAS_MASSES


# ----------------------------------------------------------------------------------------------------------------------
# Attributes

COMPOUND = np.dtype([("a", "f8"), ("b", "i4")])
ODD_VALUES = {
    "fixed text": np.bytes_(b"many"),
    "text": "viele \u202e\x1b[31m",
    "empty text": "",
    "null": h5py.Empty("f8"),
    "no values": np.zeros(0),
    "compound": np.zeros((), COMPOUND),
    "opaque": np.void(b"\0" * 8),
    "array type": np.zeros((2,), np.dtype(("f8", (3,)))),
    "complex": np.complex128(1 + 2j),
    "many": np.ones(1_000_000, "i4"),
    "rank 6": np.ones((1, 2, 3, 1, 2, 3)),
    "nan": np.nan,
    "negative": -1.0,
    "infinite": np.inf,
    "huge": 1e308,
    "huge integer": np.uint64(2**64 - 1),
    "truth": np.bool_(True),
    "long double": np.longdouble(1),
    "half": np.float16(1),
    "list of texts": np.array([b"a", b"b"]),
}
NO_NUMBERS = {
    "fixed text",
    "text",
    "empty text",
    "null",
    "no values",
    "compound",
    "opaque",
    "many",
    "reference",
    "lists",
    "rank 6",
}


def set_attribute(group, name, value):
    del group.attrs[name]
    special = value if isinstance(value, str) else None
    if special == "reference":
        group.attrs[name] = group.ref
    elif special == "lists":
        lists = np.empty(1, object)
        lists[0] = np.arange(3, dtype="i4")
        group.attrs.create(name, lists, (1,), h5py.vlen_dtype("i4"))
    elif special == "enumeration":
        group.attrs.create(name, 1, dtype=h5py.enum_dtype({"one\n\x1b[31m": 1, "two": 2}, "i4"))
    elif special == "never written":
        h5py.h5a.create(group.id, name.encode(), h5py.h5t.IEEE_F64LE, h5py.h5s.create_simple((6,)))
    else:
        group.attrs[name] = value


def attribute_cases():
    needed = [
        "NumPart_ThisFile",
        "NumPart_Total",
        "MassTable",
        "NumFilesPerSnapshot",
        "Redshift",
        "BoxSize",
        "UnitLength_in_cm",
    ]
    for name in HEADER:
        for label, value in {
            **ODD_VALUES,
            **{n: n for n in ["reference", "lists", "enumeration", "never written"]},
        }.items():
            refused = name in needed and label in NO_NUMBERS and (name, label) != ("MassTable", "rank 6")

            def change(f, name=name, value=value):
                set_attribute(f["Header"], name, value)

            case(
                f"attribute {name} {label}",
                "refused" if refused else "any",
                change,
                libver="latest" if label == "many" else None,
            )
    for group in ["Units", "Parameters", "Config", "Cosmology"]:
        case(f"{group} is a dataset", "any", lambda f, g=group: f.__setitem__(g, np.zeros(3)))
        case(f"{group} is a type", "any", lambda f, g=group: f.__setitem__(g, np.dtype("f8")))
        case(f"{group} is a circle", "any", lambda f, g=group: f.__setitem__(g, h5py.SoftLink(f"/{g}")))
        case(f"{group} is elsewhere", "refused", lambda f, g=group: f.__setitem__(g, h5py.ExternalLink("o.hdf5", "/")))
    for name, value in [
        ("LONG_Z", "x\x1b[31m"),
        ("LONG_Z", 1e300),
        ("LONG_Z", 0.0),
        ("LONG_X_BITS", -2000),
        ("LONG_Y", np.nan),
        ("LONG_Y_BITS", 5000),
    ]:
        case(
            f"Config {name} {value!r}",
            "refused",
            lambda f, n=name, v=value: f.create_group("Config").attrs.__setitem__(n, v),
        )
    for name in ["CGSConversionFactor", "to_cgs", "h-scale-exponent", "a_scaling"]:
        for label in ["text", "nan", "huge", "compound", "null", "many"]:

            def change(f, name=name, label=label):
                f["PartType1/Coordinates"].attrs.update({"CGSConversionFactor": 3.085678e21})
                f["PartType1/Coordinates"].attrs[name] = ODD_VALUES[label]

            case(f"unit {name} {label}", "any", change, libver="latest" if label == "many" else None)
    case(
        "origin with control characters",
        "any",
        lambda f: f["Header"].attrs.update({"finescale_origin": "\x1b]0;x\x07\n"}),
    )
    case(
        "ten thousand attributes",
        "same",
        lambda f: [f["Header"].attrs.__setitem__(f"more {i}", i) for i in range(10_000)],
        libver="latest",
    )
    case("header is a dataset", "refused", lambda f: (f.__delitem__("Header"), f.__setitem__("Header", np.zeros(3))))
    case("header is a type", "refused", lambda f: (f.__delitem__("Header"), f.__setitem__("Header", np.dtype("f8"))))
    case("header is missing", "refused", lambda f: f.__delitem__("Header"))
    case(
        "header is a circle",
        "refused",
        lambda f: (f.__delitem__("Header"), f.__setitem__("Header", h5py.SoftLink("/Header"))),
    )
    case(
        "header elsewhere",
        "refused",
        lambda f: (f.move("Header", "H"), f.__setitem__("Header", h5py.ExternalLink("snap.hdf5", "/H"))),
    )
    case(
        "header by a soft link", "same", lambda f: (f.move("Header", "H"), f.__setitem__("Header", h5py.SoftLink("/H")))
    )
    case(
        "a million types of particles",
        "refused",
        lambda f: [
            f["Header"].attrs.__setitem__(n, np.ones(1_000_000, "i4")) for n in ["NumPart_ThisFile", "NumPart_Total"]
        ],
        libver="latest",
    )
    case(
        "particles promised",
        "refused dm",
        lambda f: [
            f["Header"].attrs.__setitem__(n, np.array([16, 2**62], "u8")) for n in ["NumPart_ThisFile", "NumPart_Total"]
        ],
    )
    case(
        "counts overflow",
        "refused",
        lambda f: [
            f["Header"].attrs.__setitem__(n, np.full(6, 2**64 - 1, "u8")) for n in ["NumPart_ThisFile", "NumPart_Total"]
        ],
    )


# ----------------------------------------------------------------------------------------------------------------------
# Datasets


def replaced(make, path="PartType1/Coordinates"):
    def change(f):
        del f[path]
        make(f, path)

    return change


def never_written(f, path, shape, **more):
    f.create_dataset(path, shape, "f8", **more)


def external(target, size=DARK * 24):
    def make(f, path):
        place = str(Path(f.filename).parent / target) if not target.startswith("/") else target
        if target == "pipe":
            os.mkfifo(place)
        f.create_dataset(path, (DARK, 3), "f8", external=[(target, 0, size)])

    return make


def virtual(source, name="PartType1/Coordinates", shape=(DARK, 3)):
    def make(f, path):
        layout = h5py.VirtualLayout((DARK, 3), "f8")
        layout[:] = h5py.VirtualSource(source, name, shape)
        f.create_virtual_dataset(path, layout)

    return make


def with_pipe(make):
    def both(f, path):
        os.mkfifo(Path(f.filename).parent / "pipe.hdf5")
        make(f, path)

    return both


def chain(length):
    def make(f, path):
        f["real"] = POSITIONS
        f["link0"] = h5py.SoftLink("/real")
        for i in range(length):
            f[f"link{i + 1}"] = h5py.SoftLink(f"/link{i}")
        f[path] = h5py.SoftLink(f"/link{length}")

    return make


def soft(target):
    return lambda f, path: f.__setitem__(path, h5py.SoftLink(target))


def outside(target, name="/x"):
    return lambda f, path: f.__setitem__(path, h5py.ExternalLink(target, name))


def stored(values, **more):
    return lambda f, path: f.create_dataset(path, data=values, **more)


def opaque(f, path):
    f.create_dataset(path, data=np.zeros((DARK, 3), "V8"))


def dataset_cases():
    places = [("PartType1/Coordinates", "dm", DARK, POSITIONS), ("PartType0/Masses", "gas", GAS, GAS_MASSES)]
    for path, label, n, right in places:
        rest = right.shape[1:]
        refused = {
            "a number": stored(1.0),
            "an empty space": lambda f, p: f.__setitem__(p, h5py.Empty("f8")),
            "no rows": stored(np.zeros((0, *rest))),
            "one axis more": stored(right[..., None]),
            "one column": stored(np.zeros((n, 1))),
            "other columns": stored(np.zeros((n, 4))),
            "fewer rows": stored(right[1:]),
            "more rows": stored(np.concatenate([right, right[:1]])),
            "thirty-two axes": stored(np.ones((1,) * 31)),
            "texts": stored(np.full((n, *rest), b"1.0", "S8")),
            "texts of any length": stored(np.full((n, *rest), "1.0", object), dtype=h5py.string_dtype()),
            "compounds": stored(np.zeros((n, *rest), COMPOUND)),
            "opaque": lambda f, p: stored(np.zeros((n, *rest), "V8"))(f, p),
            "references": stored(np.full((n, *rest), None), dtype=h5py.ref_dtype),
            "regions": stored(np.full((n, *rest), None), dtype=h5py.regionref_dtype),
            "lists": lambda f, p: f.create_dataset(p, (n, *rest), h5py.vlen_dtype("f8")),
            "array type": stored(np.zeros((n, *rest), np.dtype(("f8", (2,)))))
            if False
            else lambda f, p: f.create_dataset(p, (n, *rest), np.dtype(("f8", (2,)))),
            "complex": stored(np.ones((n, *rest), "c16")),
            "chunks never written": lambda f, p: never_written(f, p, right.shape, chunks=True),
            "chunks never written, filled": lambda f, p: never_written(f, p, right.shape, chunks=True, fillvalue=5.0),
            "some chunks written": lambda f, p: (
                never_written(f, p, right.shape, chunks=(4, *rest)),
                f[p].__setitem__(slice(0, 8), right[:8]),
            ),
            "never written": lambda f, p: never_written(f, p, right.shape),
            "promises": lambda f, p: never_written(f, p, (1 << 40, *rest), chunks=(1, *rest)),
            "promises in large chunks": lambda f, p: never_written(f, p, (1 << 40, *rest), chunks=(1 << 26, *rest)),
            "promises, may grow": lambda f, p: never_written(
                f, p, (1 << 62, *rest), chunks=(64, *rest), maxshape=(None, *rest)
            ),
            "a group": lambda f, p: f.create_group(p),
            "a type": lambda f, p: f.__setitem__(p, np.dtype("f8")),
            "soft link to itself": soft("/" + path),
            "soft link to nothing": soft("/nothing"),
            "soft link round": lambda f, p: (
                f.__setitem__(p, h5py.SoftLink("/b")),
                f.__setitem__("b", h5py.SoftLink("/" + p)),
            ),
            "thirty soft links": chain(30),
            "soft link through a dataset": soft("/PartType0/Coordinates/x"),
            "soft link with dots": soft("../.." + "/." * 1000),
            "soft link with control characters": soft("/\x1b[31m\n"),
            "long soft link": soft("/" + "x" * 60_000),
            "elsewhere, missing": outside("missing.hdf5"),
            "elsewhere, itself": outside("snap.hdf5", "/" + path),
            "elsewhere, a pipe": with_pipe(outside("pipe.hdf5")),
            "elsewhere, a device": outside("/dev/zero"),
            "elsewhere, control characters": outside("\x1b[31m\n.hdf5", "/\x1b[31m\n"),
            "external storage, device": external("/dev/zero"),
            "external storage, pipe": external("pipe"),
            "external storage, missing": external("missing.bin"),
            "external storage, terminal": external("/dev/tty"),
            "external storage, unlimited": external("/dev/zero", h5py.h5f.UNLIMITED),
            "virtual of itself": virtual(".", path),
            "virtual, missing": virtual("missing.hdf5"),
            "virtual, a pipe": with_pipe(virtual("pipe.hdf5")),
            "virtual, a device": virtual("/dev/zero"),
            "virtual, control characters": virtual("\x1b[31m\n.hdf5"),
            "virtual, up": virtual("../../x.hdf5"),
        }
        for name, make in refused.items():
            if "virtual" in name and label == "gas":
                continue
            case(f"{path} {name}", f"refused {label}", replaced(make, path))
        any_of = {
            "integers": stored(right.astype("i8")),
            "truth values": stored(right > 1),
            "half": stored((right / 1000).astype("f2")),
            "enumeration": stored(np.ones(right.shape, "i4"), dtype=h5py.enum_dtype({"a\x1b[31m": 1}, "i4")),
        }
        for name, make in any_of.items():
            case(f"{path} {name}", "any", replaced(make, path))
        same = {
            "big-endian": stored(right.astype(">f8")),
            "long double": stored(right.astype("f16")),
            "may grow": stored(right, maxshape=(None, *rest)),
            "one chunk": stored(right, chunks=right.shape),
            "tiny chunks": stored(right, chunks=(1,) * right.ndim),
            "gzip": stored(right, compression=9, shuffle=True, fletcher32=True),
            "five soft links": None,
        }
        for name, make in same.items():
            if make:
                case(f"{path} {name}", "same", replaced(make, path))
        case(
            f"{path} many attributes",
            "same",
            lambda f, p=path: [f[p].attrs.__setitem__(f"a{i}", i) for i in range(2000)],
            libver="latest",
        )
    case(
        "links in circles",
        "same",
        lambda f: (f.__setitem__("PartType1/again", f["PartType1"]), f.__setitem__("PartType1/up", f["/"])),
    )
    case(
        "a hundred thousand links",
        "same",
        lambda f: [f.__setitem__(f"PartType1/l{i}", f["Header"]) for i in range(100_000)],
        libver="latest",
    )
    case(
        "group by a soft link",
        "same",
        lambda f: (f.move("PartType1", "P"), f.__setitem__("PartType1", h5py.SoftLink("/P"))),
    )
    case(
        "group elsewhere",
        "refused dm",
        lambda f: (f.move("PartType1", "P"), f.__setitem__("PartType1", h5py.ExternalLink("snap.hdf5", "/P"))),
    )
    case(
        "group is a pipe",
        "refused dm",
        lambda f: (
            f.__delitem__("PartType1"),
            os.mkfifo(Path(f.filename).parent / "pipe.hdf5"),
            f.__setitem__("PartType1", h5py.ExternalLink("pipe.hdf5", "/P")),
        ),
    )
    case("group is missing", "refused dm", lambda f: f.__delitem__("PartType1"))
    case("many sources", "refused dm", replaced(lambda f, p: many_sources(f, p, 20_000)))
    case(
        "integer coordinates of 64 bits",
        "any",
        lambda f: (
            f.__delitem__("PartType1/Coordinates"),
            f.__setitem__("PartType1/IntCoordinates", np.ones((DARK, 3), "u8")),
        ),
    )
    for kind in ["i4", "u2", "f8", "S4"]:
        case(
            f"integer coordinates {kind}",
            "refused dm",
            lambda f, k=kind: (
                f.__delitem__("PartType1/Coordinates"),
                f.__setitem__("PartType1/IntCoordinates", np.ones((DARK, 3), k)),
            ),
        )
    case("nan", "refused dm", lambda f: f["PartType1/Coordinates"].__setitem__((3, 1), np.nan))
    case("far away", "refused dm", lambda f: f["PartType1/Coordinates"].__setitem__((3, 1), 1e30))
    case("mass of nothing", "refused gas", lambda f: f["PartType0/Masses"].__setitem__(3, np.nan))
    case("mass below nothing", "any", lambda f: f["PartType0/Masses"].__setitem__(3, -7.0))


def many_sources(f, path, count):
    layout = h5py.VirtualLayout((DARK, 3), "f8")
    for i in range(count):
        layout[i % DARK] = h5py.VirtualSource(f"missing_{i}.hdf5", "x", (1, 3))[0]
    f.create_virtual_dataset(path, layout)


# ----------------------------------------------------------------------------------------------------------------------
# Chunks that are not what they promise

WHOLE = POSITIONS.tobytes()


def chunk(filters, data, mask=0):
    """A dataset of one chunk with these filters (id, values), whose bytes are `data`."""

    def make(f, path):
        space = h5py.h5s.create_simple((DARK, 3))
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((DARK, 3))
        for number, values in filters:
            made.set_filter(number, h5py.h5z.FLAG_OPTIONAL, values)
        dataset = h5py.h5d.create(f.id, path.encode(), h5py.h5t.IEEE_F64LE, space, made)
        dataset.write_direct_chunk((0, 0), data, mask)

    return make


def blosc_header(size, blocks, packed, kind=8, flags=0x2, version=2):
    return struct.pack("<BBBBIII", version, 1, flags, kind, size, blocks, packed)


def filter_cases():
    lzf, blosc, gzip, shuffle, fletcher = 32000, 32001, 1, 2, 3
    full = len(WHOLE)
    raw_blosc = blosc_header(full, full, full + 16) + WHOLE
    for name, filters, data in [
        ("gzip short", [(gzip, (6,))], zlib.compress(WHOLE[:24])),
        ("gzip empty", [(gzip, (6,))], zlib.compress(b"")),
        ("gzip long", [(gzip, (6,))], zlib.compress(WHOLE * 50)),
        ("gzip bomb", [(gzip, (6,))], zlib.compress(bytes(1 << 30))),
        ("gzip cut", [(gzip, (6,))], zlib.compress(WHOLE)[:-200]),
        ("gzip garbage", [(gzip, (6,))], b"\xff" * 300),
        ("gzip thirty times", [(gzip, (6,))] * 30, zlib.compress(WHOLE)),
        ("gzip no bytes", [(gzip, (6,))], b""),
        ("shuffle short", [(shuffle, (8,))], WHOLE[:24]),
        ("shuffle wide", [(shuffle, (2**31,))], WHOLE),
        ("shuffle nothing", [(shuffle, (0,))], WHOLE),
        ("fletcher short", [(fletcher, ())], WHOLE[:3]),
        ("fletcher wrong", [(fletcher, ())], WHOLE + b"abcd"),
        ("unfiltered short", [], WHOLE[:24]),
        ("scale-offset garbage", [(6, (2, 0, DARK * 3, 0, 8, 0, 0, 0, 0, 0))], b"\xff" * 40),
        ("nbit garbage", [(5, (8, 0, DARK * 3, 1, 8, 0, 64, 0))], b"\xff" * 40),
        ("szip garbage", [(4, (141, 32, 64, 256))], b"\xff" * 40),
        ("lzf garbage", [(lzf, (4, 0x105, full))], b"\xff" * 300),
        ("lzf short", [(lzf, (4, 0x105, full))], b"\x17" + WHOLE[:24]),
        ("lzf no bytes", [(lzf, (4, 0x105, 0))], b""),
        ("lzf one byte", [(lzf, (4, 0x105, 1))], b"\x1f"),
        ("lzf no values", [(lzf, ())], b"\x1f" + WHOLE[:32]),
        ("blosc no values", [(blosc, ())], raw_blosc),
        ("blosc one value", [(blosc, (2,))], raw_blosc),
        ("blosc two values", [(blosc, (2, 2))], raw_blosc),
        ("blosc three values", [(blosc, (2, 2, 8))], raw_blosc),
        ("blosc type of nothing", [(blosc, (2, 2, 0, full))], raw_blosc),
        ("blosc odd packer", [(blosc, (2, 2, 8, full, 5, 1, 77))], raw_blosc),
        ("blosc short", [(blosc, (2, 2, 8, full))], blosc_header(24, 24, 40) + WHOLE[:24]),
        ("blosc lies large", [(blosc, (2, 2, 8, full))], blosc_header(2**31 - 64, 2**31 - 64, 2**31 - 40) + WHOLE),
        ("blosc header only", [(blosc, (2, 2, 8, full))], blosc_header(full, full, full + 16)),
        ("blosc half a header", [(blosc, (2, 2, 8, full))], raw_blosc[:9]),
        ("blosc no bytes", [(blosc, (2, 2, 8, full))], b""),
        ("blosc blocks of nothing", [(blosc, (2, 2, 8, full))], blosc_header(full, 0, full + 16, flags=0) + WHOLE),
        (
            "blosc blocks elsewhere",
            [(blosc, (2, 2, 8, full))],
            blosc_header(full, 64, 2**31 - 1, flags=0x21) + b"\xff\xff\xff\x7f" * 400,
        ),
        (
            "blosc blocks before",
            [(blosc, (2, 2, 8, full))],
            blosc_header(full, 64, full, flags=0x21) + b"\0\0\0\x80" * 400,
        ),
        ("unknown filter", [(999, (1, 2))], WHOLE),
        ("ours of a later version", [(32015, (3,))], WHOLE),
    ]:
        case(f"chunk {name}", "refused dm", replaced(chunk(filters, data)))
    case("chunk blosc right", "same", replaced(chunk([(blosc, (2, 2, 8, full))], raw_blosc)))
    for label, size in [("right", full), ("lies small", 1), ("lies large", 2**32 - 1)]:
        data = b"".join(b"\x1f" + WHOLE[i : i + 32] for i in range(0, full, 32))
        case(f"chunk lzf {label}", "same", replaced(chunk([(lzf, (4, 0x105, size))], data)))
    case("chunk filter masked", "same", replaced(chunk([(gzip, (6,))], WHOLE, 1)))
    case("chunk filter masked, short", "refused dm", replaced(chunk([(gzip, (6,))], WHOLE[:24], 1)))
    case(
        "chunk short, unlimited",
        "refused dm",
        replaced(chunk([(gzip, (6,)), (shuffle, (8,))], zlib.compress(WHOLE[:24]))),
    )


# ----------------------------------------------------------------------------------------------------------------------
# Sets of files, names, pipes


def whole_snapshot(path, **header):
    with h5py.File(path, "w") as f:
        sound(f)
        for name, value in header.items():
            f["Header"].attrs[name] = value


def folder_cases():
    def four_billion(folder):
        for index in [0, 3_999_999_999]:
            whole_snapshot(folder / f"snap.{index}.hdf5", NumFilesPerSnapshot=np.uint32(4_000_000_000))

    case(
        "four billion files",
        "refused",
        four_billion,
        ["info snap.0.hdf5", "grid . --particles dm --cells 4 -o out.npy"],
        None,
    )
    case(
        "many files, none there",
        "refused",
        lambda d: whole_snapshot(d / "snap.0.hdf5", NumFilesPerSnapshot=np.uint32(2**32 - 1)),
        ["info snap.0.hdf5"],
        None,
    )
    case(
        "files beyond 32 bits",
        "refused",
        lambda d: whole_snapshot(d / "snap.0.hdf5", NumFilesPerSnapshot=np.uint64(2**63)),
        ["info snap.0.hdf5"],
        None,
    )
    case(
        "index beyond all", "any", lambda d: whole_snapshot(d / f"snap.{2**70}.hdf5"), [f"info snap.{2**70}.hdf5"], None
    )
    odd = "snap\n\x1b[31m\x07\u202e.hdf5"
    case(
        "name with control characters", "any", lambda d: whole_snapshot(d / odd, BoxSize=np.nan), [("info", odd)], None
    )
    case(
        "name with control characters, spaces in a folder",
        "any",
        lambda d: ((d / "a\x1b[31m").mkdir(), whole_snapshot(d / "a\x1b[31m" / odd, BoxSize=np.nan)),
        [("info", "a\x1b[31m")],
        None,
    )
    pieces = [
        "info {}",
        "grid {} --particles dm --cells 4 -o out.npy",
        "spectrum {}",
        "compare --truth {} --sample {} -o report",
        "upscale --model {} --condition {} -o x.hdf5",
        "train {} --out x",
        "import {} --config {} --box-size 10 --cells 8 -o m",
        "train config.json --from {} --out x",
        "bench --config {}",
        "mock --config {} -o x",
    ]
    for name in ["x.hdf5", "x.npy", "x.json", "x.safetensors", "x.pth"]:
        commands = [piece.replace("{}", name) for piece in pieces]
        # A configuration may come through a pipe, for whose writer it waits.
        data = [line for line in commands if line.startswith(("info", "grid", "spectrum", "compare"))]
        case(f"pipe {name}", "refused", lambda d, n=name: os.mkfifo(d / n), data, None)
        case(f"device {name}", "refused", lambda d, n=name: (d / n).symlink_to("/dev/zero"), commands, None)
        case(f"folder {name}", "refused", lambda d, n=name: (d / n).mkdir(), commands, None)
        case(f"nothing in {name}", "refused", lambda d, n=name: (d / n).write_bytes(b""), commands, None)
        case(f"zeros in {name}", "refused", lambda d, n=name: sparse(d / n, 1 << 36), commands, None)
        case(f"circle {name}", "refused", lambda d, n=name: (d / n).symlink_to(n), commands, None)
    cube = ["spectrum x.npy --box-size 10", "spectrum x.npy", "info x.npy"]
    for label, shape in [
        ("no cells", (0, 4, 4)),
        ("a cell", (1, 1, 1)),
        ("a line", (64, 1, 1)),
        ("five axes", (1, 1, 2, 2, 2)),
        ("no axes", ()),
        ("stack of nothing", (0, 4, 4, 4)),
    ]:
        case(f"npy {label}", "any", lambda d, s=shape: np.save(d / "x.npy", np.ones(s, "f4")), cube, None)
    for label, array in [
        ("objects", np.array([[[None]]])),
        ("texts", np.full((2, 2, 2), "a")),
        ("complex", np.ones((4, 4, 4), "c8")),
        ("times", np.zeros((4, 4, 4), "M8[s]")),
        ("compounds", np.zeros((4, 4, 4), COMPOUND)),
        ("long double", np.ones((4, 4, 4), "f16")),
        ("opaque", np.zeros((4, 4, 4), "V4")),
    ]:
        case(f"npy {label}", "refused", lambda d, a=array: np.save(d / "x.npy", a, allow_pickle=True), cube[:1], None)
    case("npy nan", "refused", lambda d: np.save(d / "x.npy", np.full((4, 4, 4), np.nan)), cube[:1], None)
    case("npy infinite", "refused", lambda d: np.save(d / "x.npy", np.full((4, 4, 4), np.inf)), cube[:1], None)
    case("npy beyond f32", "refused", lambda d: np.save(d / "x.npy", np.full((4, 4, 4), 1e300)), cube[:1], None)
    case(
        "npy promises",
        "refused",
        lambda d: (d / "x.npy").write_bytes(npy_header("(65536, 65536, 65536)")),
        cube[:1],
        None,
    )
    case(
        "npy header of 4 GB",
        "refused",
        lambda d: (
            (d / "x.npy").write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 2)),
            os.truncate(d / "x.npy", 1 << 33),
        ),
        cube,
        None,
    )

    def beside(make):
        def both(folder):
            np.save(folder / "x.npy", np.ones((8, 8, 8), "f4") + np.eye(8, dtype="f4"))
            make(folder / "x.npy.json")

        return both

    for label, make in [
        ("pipe", os.mkfifo),
        ("device", lambda p: p.symlink_to("/dev/zero")),
        ("zeros", lambda p: sparse(p, 1 << 36)),
        ("folder", lambda p: p.mkdir()),
        ("circle", lambda p: p.symlink_to(p.name)),
        ("empty", lambda p: p.write_text("")),
        ("list", lambda p: p.write_text("[]")),
        ("deep", lambda p: p.write_text("[" * 100_000)),
        ("bytes", lambda p: p.write_bytes(b"\xff\xfe\0")),
        ("nonsense", lambda p: p.write_text('{"box_size_mpc_h": "\\u001b[31m"}')),
    ]:
        case(f"beside npy {label}", "any", beside(make), cube, None)

    def archive(make):
        def write(folder):
            with zipfile.ZipFile(folder / "x.pth", "w", zipfile.ZIP_DEFLATED) as z:
                make(z)
            shutil.copy(PROJECT / "configs/tng300.json", folder / "config.json")

        return write

    load = ["import x.pth --config config.json --box-size 10 --cells 8 -o m.safetensors", "info x.pth"]
    for label, make in [
        ("bomb", lambda z: z.writestr("archive/data.pkl", bytes(1 << 30))),
        ("many entries", lambda z: [z.writestr(f"archive/data/{i}", b"") for i in range(100_000)]),
        ("no pickle", lambda z: z.writestr("archive/version", "3")),
        ("upward names", lambda z: z.writestr("../../data.pkl", b"\x80\x02}.")),
        ("two pickles", lambda z: [z.writestr(f"{n}/data.pkl", b"\x80\x02}.") for n in "ab"]),
        (
            "names with control characters",
            lambda z: z.writestr("\x1b[31m\n/data.pkl", b"\x80\x02c\x1b[31m\n\x1b[31m\n."),
        ),
        ("foreign class", lambda z: z.writestr("archive/data.pkl", b"\x80\x02cos\nsystem\n(X\x02\0\0\0idtR.")),
        ("long text", lambda z: z.writestr("archive/data.pkl", b"\x80\x02X\xff\xff\xff\x7f")),
    ]:
        case(f"checkpoint {label}", "refused", archive(make), load, None)

    def safetensors(header, length=None):
        def write(folder):
            text = header if isinstance(header, bytes) else json.dumps(header).encode()
            (folder / "x.safetensors").write_bytes(struct.pack("<Q", len(text) if length is None else length) + text)

        return write

    for label, write in [
        ("header beyond all", safetensors(b"{}", 2**63)),
        ("header of 4 GB", safetensors(b"{}", 2**32)),
        ("no header", safetensors(b"")),
        ("deep", safetensors(b"[" * 200_000)),
        ("list", safetensors([])),
        (
            "tensor beyond all",
            safetensors({"w": {"dtype": "F32", "shape": [2**31, 2**31, 4], "data_offsets": [0, 2**64 - 1]}}),
        ),
        ("tensor backwards", safetensors({"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}})),
        ("metadata of another type", safetensors({"__metadata__": 3})),
        (
            "names with control characters",
            safetensors({"\x1b[31m\n": {"dtype": "\x1b[31m", "shape": [], "data_offsets": [0, 0]}}),
        ),
    ]:
        case(
            f"model {label}",
            "refused",
            write,
            ["info x.safetensors", "train config.json --from x.safetensors --out x"],
            None,
        )


def sparse(path, size):
    path.touch()
    os.truncate(path, size)


def npy_header(shape):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (117 - len(text)) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


# ----------------------------------------------------------------------------------------------------------------------
# Runs


def verdict(expected, command, code, text, folder, right):
    """What is wrong with how a command ended, or nothing."""
    result = outcome(code)
    if result not in FINE:
        return f"{result}: {message(text)}"
    names = ["snap", "x.", "config", "pipe"]
    said = spoken(text, next((name for name in names if name in text), "no such name"))
    if said and (code or said == "control characters"):
        return said
    word, _, species = expected.partition(" ")
    reads = not species or f"--particles {species}" in command
    if code == 0 and word == "refused" and reads and not command.startswith("info snap.hdf5"):
        return "accepted"
    if word == "same":
        if code:
            return f"refused: {text.strip()[:300]}"
        for name in ["out.npy", "gas.npy"]:
            if name in command and not np.array_equal(np.load(folder / name), right[name]):
                return f"another field in {name}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=PROJECT / "target/release/finescale")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--first", type=int, default=0, help="cases that an earlier run had")
    parser.add_argument("--timeout", type=int, default=20, help="seconds until a run counts as hanging")
    parser.add_argument("--memory", type=float, default=4.0, help="address space of a run in GiB")
    parser.add_argument("--log", type=Path, default=PROJECT / "target/odd_structures", help="where examples are kept")
    a = parser.parse_args()
    binary, log = str(a.binary.resolve()), a.log.resolve()
    shutil.rmtree(log, ignore_errors=True)
    log.mkdir(parents=True)
    for make in [attribute_cases, dataset_cases, filter_cases, folder_cases]:
        make()
    print(f"HDF5: {hdf5_of(binary)}; {len(CASES)} files", flush=True)
    limits, counts, rows, right = Limits(a.timeout, a.memory), collections.Counter(), [], {}
    library = ForkServer.library(log)
    if library:
        run = ForkServer(binary, library, limits.apply).run
    else:
        limits.apply()
        run = run_alone

    def limited(command, folder):
        said = folder.parent / "stderr"
        words = shlex.split(command) if isinstance(command, str) else list(command)
        whole = [binary, *words, "--json", "--threads", "1", "--quiet"]
        code, _ = run(whole, folder, said, a.timeout)
        return whole, code, said.read_text(errors="replace")

    everything = [("sound", "any", lambda f: None, SNAPSHOT, "snap.hdf5", None)] + [
        c for c in CASES[a.first :] if a.only in c[0]
    ]
    for number, (name, expected, change, commands, file, libver) in enumerate(everything):
        folder = log / f"{number:03} {name.replace('/', ' ').replace(chr(27), '')}"
        folder.mkdir()
        try:
            if file:
                with h5py.File(folder / file, "w", libver=libver) as f:
                    sound(f)
                    change(f)
            else:
                change(folder)
        except (OSError, ValueError, TypeError, RuntimeError, KeyError, NotImplementedError) as error:
            print(f"not made: {name}: {error}", file=sys.stderr)
            counts["not made"] += 1
            shutil.rmtree(folder)
            continue
        wrong = []
        for command in commands:
            whole, code, text = limited(command, folder)
            line = command if isinstance(command, str) else " ".join(command)
            counts[outcome(code)] += 1
            problem = verdict(expected, line, code, text, folder, right)
            if problem:
                wrong.append((line, problem))
                with open(log / f"{folder.name}.command", "a") as out:
                    out.write(
                        f"cd {shlex.quote(str(folder))} && {shlex.join(map(str, whole))}\n# {problem}\n# {text}\n"
                    )
        if name == "sound":
            right = {file: np.load(folder / file) for file in ["out.npy", "gas.npy"]}
        for line, problem in wrong:
            rows.append([name, line, problem])
            print(*rows[-1], sep=" | ", flush=True)
        if not wrong:
            shutil.rmtree(folder)
    print(f"{dict(counts)}; {len(rows)} wrong")
    return 1 if rows else 0


if __name__ == "__main__":
    sys.exit(main())
