//! A full disk, played by a limit on file sizes: an error that names the file, and nothing half-written.
#![cfg(unix)]

use crate::binary::{fails, finescale, names, project};
use assert_cmd::Command;
use std::path::Path;

/// Runs `finescale ARGUMENTS` where no file may grow beyond `kibibytes`.
fn on_a_full_disk(kibibytes: u32, arguments: &str) -> Command {
    let mut command = Command::new("bash");
    let binary = env!("CARGO_BIN_EXE_finescale");
    command.args(["-c", &format!("ulimit -f {kibibytes}; exec '{binary}' {arguments}")]);
    command
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

#[test]
fn gridding_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = quoted(&project("data/demo/gadget4_dm_64/snapdir_003"));
    for name in ["grid.hdf5", "grid.npy"] {
        let output = folder.path().join(name);
        for kibibytes in [1, 40, 120] {
            let arguments = format!("grid {snapshot} --particles dm --cells 32 -o {}", quoted(&output));
            fails(&mut on_a_full_disk(kibibytes, &arguments), &[name, "disk full"]);
            assert_eq!(names(folder.path()), Vec::<String>::new(), "{name} at {kibibytes} KiB");
        }
    }
}

#[test]
fn spectra_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("spectrum.json");
    let elsewhere = tempfile::tempdir().unwrap();
    let grid = elsewhere.path().join("grid.hdf5");
    let mut gridding = finescale();
    gridding.arg("grid").arg(project("data/demo/gadget4_dm_64/snapdir_003")).args(["--particles", "dm"]);
    gridding.args(["--cells", "32", "-o"]).arg(&grid).assert().success();
    let grid = quoted(&grid);
    let arguments = format!("spectrum {grid} -o {}", quoted(&output));
    fails(&mut on_a_full_disk(1, &arguments), &["spectrum.json"]);
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn universes_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let size = "--box-size 12.5 --cells 16 --particles-low 8 --particles-high 16 --steps 2";
    let arguments = format!("mock {size} -o {}", quoted(folder.path()));
    fails(&mut on_a_full_disk(8, &arguments), &["condition.hdf5"]);
    assert_eq!(names(folder.path()), Vec::<String>::new());
}
