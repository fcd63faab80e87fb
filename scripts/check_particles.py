#!/usr/bin/env python3
"""Compares what finescale reads of snapshots, particle by particle, with h5py and with illustris_python.

Builds nothing: first `cargo build --release -p finescale-snapshot --example particles`; pip install h5py illustris_python.
A snapshot of IllustrisTNG's layout is written: several files, some without gas, dark matter's mass in the header's table.
Positions, velocities and masses must be those of the files times their units, to the last bit of the number that holds them.
"""
import subprocess
import tempfile
from pathlib import Path

import h5py
import illustris_python
import numpy as np

SCALE_FACTOR, FILES = 0.5, 7
PROGRAM = Path(__file__).parent.parent / "target/release/examples/particles"


def write(base):
    draw = np.random.default_rng(5)
    folder = base / "snapdir_004"
    folder.mkdir()
    counts = [(draw.integers(0, 3000), draw.integers(1, 4000)) for _ in range(FILES)]
    counts[0], counts[3] = (0, 10), (0, 500)
    totals = np.sum(counts, axis=0)
    for index, (gas, dark) in enumerate(counts):
        with h5py.File(folder / f"snap_004.{index}.hdf5", "w") as file:
            file.create_group("Header").attrs.update(
                BoxSize=75000.0, Time=SCALE_FACTOR, Redshift=1 / SCALE_FACTOR - 1, HubbleParam=0.6774, Omega0=0.3089,
                OmegaLambda=0.6911, NumFilesPerSnapshot=FILES, MassTable=np.array([0, 0.0123, 0, 0, 0, 0]),
                NumPart_ThisFile=np.array([gas, dark, 0, 0, 0, 0], np.int32),
                NumPart_Total=np.array([*totals, 0, 0, 0, 0], np.uint32),
                NumPart_Total_HighWord=np.zeros(6, np.uint32), UnitLength_in_cm=3.085678e21, UnitMass_in_g=1.989e43,
                UnitVelocity_in_cm_per_s=1e5)
            for name, count in (("PartType0", gas), ("PartType1", dark)):
                if count:
                    group = file.create_group(name)
                    group["Coordinates"] = draw.uniform(0, 75000, (count, 3))
                    group["Velocities"] = draw.normal(0, 200, (count, 3)).astype(np.float32)
                    if name == "PartType0":
                        group["Masses"] = draw.uniform(0, 1, count).astype(np.float32)


def main():
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        write(base)
        for particles, kind in (("gas", 0), ("dm", 1)):
            output = base / particles
            subprocess.run([PROGRAM, base / "snapdir_004", particles, output], check=True)
            ours = np.fromfile(output).reshape(-1, 7)
            theirs = illustris_python.snapshot.loadSubset(str(base), 4, kind, ["Coordinates", "Velocities"])
            by_hand = []
            for index in range(FILES):
                with h5py.File(base / f"snapdir_004/snap_004.{index}.hdf5") as file:
                    if f"PartType{kind}" in file:
                        group = file[f"PartType{kind}"]
                        mass = group["Masses"][:] if kind == 0 else np.full(len(group["Coordinates"]), 0.0123)
                        by_hand.append(np.column_stack([group["Coordinates"][:], group["Velocities"][:], mass]))
            by_hand = np.concatenate(by_hand)
            assert np.array_equal(by_hand[:, :3], theirs["Coordinates"]), "h5py and illustris_python differ"
            assert np.array_equal(ours[:, :3], by_hand[:, :3] * 1e-3), "positions differ"
            velocities = (by_hand[:, 3:6] * np.sqrt(SCALE_FACTOR)).astype(np.float32)
            assert np.array_equal(ours[:, 3:6].astype(np.float32), velocities), "velocities differ"
            assert np.array_equal(ours[:, 6].astype(np.float32), by_hand[:, 6].astype(np.float32)), "masses differ"
            print(f"{particles}: {len(ours)} particles agree in position, velocity and mass")


if __name__ == "__main__":
    main()
