//! What users hand in by mistake: each a clear error that names the file and says what to do, nothing written.

use crate::binary::{fails, finescale, names, project};
use std::path::{Path, PathBuf};

const SNAPSHOT: &str = "data/demo/gadget4_dm_64/snapdir_003";
const FILES: [&str; 2] = ["snapshot_003.0.hdf5", "snapshot_003.1.hdf5"];

/// A copy of the real snapshot that a test may spoil.
fn copied(folder: &Path) {
    for file in FILES {
        std::fs::copy(project(SNAPSHOT).join(file), folder.join(file)).unwrap();
    }
}

/// Grids `snapshot` and expects an error that holds `texts`.
fn gridding_fails(snapshot: &Path, particles: &str, texts: &[&str]) {
    let out = tempfile::tempdir().unwrap();
    let mut command = finescale();
    command.arg("grid").arg(snapshot).args(["--particles", particles, "--cells", "8", "-o"]);
    fails(command.arg(out.path().join("grid.hdf5")), texts);
    assert_eq!(names(out.path()), Vec::<String>::new());
}

/// The real snapshot on a few cells.
fn gridded(folder: &Path) -> PathBuf {
    let grid = folder.join("grid.hdf5");
    let mut command = finescale();
    command.arg("grid").arg(project(SNAPSHOT)).args(["--particles", "dm", "--cells", "8", "-o"]).arg(&grid);
    command.assert().success();
    grid
}

#[test]
fn a_path_that_leads_nowhere() {
    gridding_fails(Path::new("/nowhere/snapdir_001"), "dm", &["/nowhere/snapdir_001", "no such file"]);
}

#[test]
fn a_file_that_is_no_hdf5() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snap_000.hdf5");
    std::fs::write(&path, "GADGET format 1, perhaps").unwrap();
    gridding_fails(&path, "dm", &["snap_000.hdf5", "not an HDF5 file"]);
}

#[test]
fn a_truncated_file() {
    let folder = tempfile::tempdir().unwrap();
    copied(folder.path());
    let path = folder.path().join(FILES[1]);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    gridding_fails(folder.path(), "dm", &[FILES[1], "truncated", "again"]);
}

#[test]
fn a_missing_chunk() {
    let folder = tempfile::tempdir().unwrap();
    copied(folder.path());
    std::fs::remove_file(folder.path().join(FILES[0])).unwrap();
    gridding_fails(folder.path(), "dm", &[FILES[0], "missing", "2 files"]);
}

#[test]
fn particles_that_are_not_there() {
    gridding_fails(&project(SNAPSHOT), "gas", &["no gas", "PartType1 (262144)", "--particles"]);
}

#[test]
fn a_grid_where_a_snapshot_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let grid = gridded(folder.path());
    gridding_fails(&grid, "dm", &["grid.hdf5", "is a grid file already"]);
}

#[test]
fn a_numpy_cube_without_a_box() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cube.npy");
    std::fs::write(&path, "").unwrap();
    fails(finescale().arg("spectrum").arg(&path), &["cube.npy", "--box-size"]);
    fails(finescale().arg("spectrum").arg(&path).args(["--box-size", "100"]), &["cube.npy", ".npy array"]);
}

#[test]
fn a_configuration_with_an_unknown_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let text = std::fs::read_to_string(project("configs/demo.json")).unwrap();
    std::fs::write(&path, text.replacen("\"base_channels\"", "\"base_chanels\"", 1)).unwrap();
    fails(finescale().arg("train").arg(&path).arg("--dry-run"), &["config.json", "base_chanels"]);
    assert_eq!(names(folder.path()), ["config.json"]);
}

#[test]
fn a_file_that_is_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, "weights").unwrap();
    let mut command = finescale();
    command
        .arg("upscale")
        .arg("--model")
        .arg(&path)
        .arg("--condition")
        .arg(project("data/demo/condition.hdf5"));
    fails(command.arg("-o").arg(folder.path().join("out.hdf5")), &["model.safetensors", "not a complete"]);
    assert_eq!(names(folder.path()), ["model.safetensors"]);
}

#[test]
fn impossible_universes() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = finescale();
    command.arg("mock").arg("-o").arg(folder.path().join("box"));
    fails(command.arg("--box-size=-5"), &["box_size_mpc_h", "-5"]);
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn positions_that_are_not_finite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snap_000.hdf5");
    std::fs::copy(project("tests/data/nan_position.hdf5"), &path).unwrap();
    gridding_fails(&path, "gas", &["snap_000.hdf5", "PartType0/Coordinates[5]", "not a finite number"]);
}

#[test]
fn an_instruction_set_that_does_not_exist() {
    fails(
        finescale().arg("doctor").env("FINESCALE_SIMD", "avx9"),
        &["FINESCALE_SIMD=avx9", "avx2 or portable"],
    );
}
