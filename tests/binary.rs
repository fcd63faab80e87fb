//! The command line itself: help, usage errors, and what all tests of the binary share.

use assert_cmd::Command;
use std::path::{Path, PathBuf};

/// The binary, quiet enough for a test.
pub(crate) fn finescale() -> Command {
    Command::new(env!("CARGO_BIN_EXE_finescale"))
}

/// A file of the project.
pub(crate) fn project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

/// Names of all that lies in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a failing run must be: exit code 1 or 2, one error that holds `texts`, no panic.
pub(crate) fn fails(command: &mut Command, texts: &[&str]) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{:?}\n{stderr}", output.status);
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(!stderr.contains("HDF5-DIAG"), "HDF5 talks on its own:\n{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    for text in texts {
        assert!(stderr.contains(text), "no {text:?} in\n{stderr}");
    }
}

#[test]
fn every_command_has_help() {
    for command in [
        "demo", "grid", "train", "upscale", "compare", "spectrum", "import", "mock", "ics", "bench",
        "doctor", "info",
    ] {
        let output = finescale().args([command, "--help"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command}");
        for option in ["--threads", "--device", "--quiet", "--log", "--json"] {
            assert!(text.contains(option), "{command} {option}");
        }
    }
}

#[test]
fn usage_errors_have_exit_code_2() {
    for arguments in [
        &["paint"][..],
        &["grid"],
        &["grid", "x", "--particles", "neutrinos", "--cells", "8", "-o", "y"],
        &["upscale", "--model", "m", "--condition", "c", "-o", "o", "--strategy", "spiral"],
        &["info", "x", "--device", "abacus"],
        &["info", "x", "--threads", "0"],
    ] {
        let output = finescale().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn the_doctor_finds_this_machine_sound() {
    let output = finescale().args(["doctor", "--json", "--threads", "2"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["threads"], 2);
    assert!(last["layers"].as_array().unwrap().iter().all(|layer| layer["right"] == true), "{last}");
}

#[test]
fn a_grid_in_the_format_of_hdf5_1_8_is_read_and_its_values_checked() {
    let grid = project("tests/data/hdf5_1_8/grid.hdf5");
    let folder = tempfile::tempdir().unwrap();
    let spectrum =
        |path: &std::path::Path| finescale().arg("spectrum").arg(path).arg("--quiet").output().unwrap();
    assert!(spectrum(&grid).status.success());
    let mut bytes = std::fs::read(grid).unwrap();
    let last = bytes.len() - 5;
    bytes[last] ^= 1;
    let damaged = folder.path().join("damaged.hdf5");
    std::fs::write(&damaged, bytes).unwrap();
    let output = spectrum(&damaged);
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("damaged.hdf5"));
}

#[test]
fn info_tells_what_a_numpy_cube_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cube.npy");
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 2), }";
    let values = [0.5f32, 1.0, 2.5, 0.0];
    let mut bytes = [b"\x93NUMPY\x01\x00".as_slice(), &118u16.to_le_bytes()].concat();
    bytes.extend(format!("{header:<117}\n").bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    std::fs::write(&path, bytes).unwrap();
    let output = finescale().arg("info").arg(&path).arg("--json").output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["cells"], serde_json::json!([1, 2, 2]));
    assert_eq!(
        (&found["mean"], &found["lowest"], &found["highest"]),
        (&1.0.into(), &0.0.into(), &2.5.into())
    );
    assert!(found["box_size_mpc_h"].is_null() && found["meta"].is_null());
}

#[test]
fn info_tells_what_a_snapshot_holds() {
    let output =
        finescale().arg("info").arg(project("tests/data/arepo_gas_32/snapdir_001")).arg("--json").output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let info: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(info["kind"], "snapshot");
    assert_eq!(info["particles_by_type"][0], 32_845);
    assert_eq!(info["box_size_mpc_h"], serde_json::json!([100.0, 100.0, 100.0]));
}
