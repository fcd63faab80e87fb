"""Copies a snapshot's files without what gridding does not need, packed losslessly.

Usage: shrink_snapshot.py SOURCE_FOLDER TARGET_FOLDER        (needs h5py)

Kept: all header groups as they are, Coordinates, Masses and Density bit for bit (shuffle + deflate + fletcher32, as AREPO
packs them). Left out: velocities, IDs and the thermodynamic fields.
"""

import pathlib
import sys

import h5py

KEPT = ("Coordinates", "Masses", "Density")


def shrink(source, target):
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        for name, group in old.items():
            if not name.startswith("PartType"):
                old.copy(group, new)
                continue
            copy = new.create_group(name)
            for field in KEPT:
                if field in group:
                    data = group[field]
                    made = copy.create_dataset(
                        field, data=data[...], chunks=data.shape, shuffle=True, compression=9, fletcher32=True
                    )
                    for key, value in data.attrs.items():
                        made.attrs[key] = value


if __name__ == "__main__":
    source, target = map(pathlib.Path, sys.argv[1:])
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.glob("*.hdf5")):
        shrink(file, target / file.name)
