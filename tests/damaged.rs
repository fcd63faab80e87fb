//! Damaged and hostile files that once were read wrongly, or ended the program, each of a kind that `scripts/mutate_files.py` or
//! `scripts/odd_structures.py` found.

use crate::binary::{fails, finescale, names, project};

/// Snapshots that must be refused, with what the error says beside their name.
const DAMAGED: [(&str, &str); 5] = [
    // An attribute behind one that cannot be read: the box has LONG_Z = 2. Which of them is named depends on the library.
    ("attribute_hidden.hdf5", "LONG_"),
    // A group whose header cannot be read, which holds LONG_Z = 2.
    ("group_hidden.hdf5", "Config"),
    // Filters with values that their code believes.
    ("blosc_two_values.hdf5", "blosc"),
    ("blosc_odd_compressor.hdf5", "blosc"),
    // A frame that is right in itself, and unpacks to less than a chunk.
    ("zstd_short_chunk.hdf5", "Coordinates"),
];

#[test]
fn damaged_snapshots_are_refused_by_name() {
    for (name, text) in DAMAGED {
        let snapshot = project("tests/data/damaged").join(name);
        let out = tempfile::tempdir().unwrap();
        let mut command = finescale();
        command.arg("grid").arg(snapshot).args(["--particles", "dm", "--cells", "4", "-o"]);
        fails(command.arg(out.path().join("grid.hdf5")), &[name, text]);
        assert_eq!(names(out.path()), Vec::<String>::new());
    }
    assert_eq!(names(&project("tests/data/damaged")).len(), DAMAGED.len() + 1);
}

#[test]
fn where_libhdf5_crashes_the_file_is_named() {
    // A segmentation fault in H5HG_read of 1.10.8; other versions refuse it.
    let grid = project("tests/data/damaged/texts_crash_libhdf5_1_10.hdf5");
    fails(finescale().arg("info").arg(grid), &["texts_crash_libhdf5_1_10.hdf5"]);
}

#[test]
fn what_cannot_be_looked_at_is_not_missing() {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("snap_001.0.hdf5");
    std::os::unix::fs::symlink(&ring, &ring).unwrap();
    for path in [&ring, &folder.path().join("snap_001")] {
        let mut command = finescale();
        command.arg("grid").arg(path).args(["--particles", "dm", "--cells", "4", "-o"]);
        fails(command.arg(folder.path().join("grid.hdf5")), &["snap_001.0.hdf5", "looking at it failed"]);
    }
}

#[test]
fn a_description_beside_a_cube_that_is_no_object() {
    let folder = tempfile::tempdir().unwrap();
    let cube = folder.path().join("cube.npy");
    let mut command = finescale();
    command.args(["spectrum", "--box-size", "10"]).arg(&cube);
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4, 4), }\n";
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    let values: Vec<u8> = (1..=64u8).flat_map(|value| f32::from(value).to_le_bytes()).collect();
    std::fs::write(&cube, [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &values].concat()).unwrap();
    for text in ["[]", "3", "\"text\"", "true", "null", "{}", ""] {
        std::fs::write(folder.path().join("cube.npy.json"), text).unwrap();
        fails(&mut command, &["cube.npy.json", "damaged"]);
    }
}
