//! A real GADGET-4 snapshot, gridded and measured by the binary, against a power spectrum that numpy measured.

use crate::binary::{fails, finescale, project};
use serde_json::Value;

/// Same estimator in another library's f32 and shell sums; a wrong unit, window or bin would show as percents.
const REL: f64 = 1e-3;

#[test]
fn the_power_spectrum_is_the_one_that_numpy_found() {
    let folder = tempfile::tempdir().unwrap();
    let (grid, spectrum) = (folder.path().join("grid.hdf5"), folder.path().join("spectrum.json"));
    finescale()
        .arg("grid")
        .arg(project("data/demo/gadget4_dm_64/snapdir_003"))
        .args(["--particles", "dm", "--cells", "128", "-o"])
        .arg(&grid)
        .assert()
        .success();
    finescale().arg("spectrum").arg(&grid).arg("-o").arg(&spectrum).assert().success();
    let spectrum: Value = serde_json::from_str(&std::fs::read_to_string(&spectrum).unwrap()).unwrap();
    let golden = std::fs::read_to_string(project("tests/data/gadget4_dm_64_pk128.json")).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let expected = [("k_h_mpc", "k_h_mpc"), ("power_mpc_h3", "power")];
    for (key, name) in expected {
        for (bin, (found, expected)) in column(&spectrum, key).iter().zip(column(&golden, name)).enumerate() {
            assert!((found / expected - 1.0).abs() < REL, "bin {bin}: {key} = {found}, not {expected}");
        }
    }
    let modes: f64 = column(&spectrum, "modes").iter().take(8).sum();
    let with_conjugates: f64 = column(&golden, "modes_with_conjugates").iter().take(8).sum();
    assert_eq!(2.0 * modes, with_conjugates, "k and -k are one mode");
}

#[test]
fn what_is_there_is_replaced_when_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let run = |line: &str| {
        let mut command = finescale();
        command.current_dir(folder.path()).args(line.split(' '));
        command
    };
    let snapshot = project("data/demo/gadget4_dm_64/snapdir_003");
    let mock = "mock --box-size 6.25 --cells 8 --particles-low 4 --particles-high 8 --steps 2 -o box";
    let grid = format!("grid {} --particles dm --cells 8 -o grid.hdf5", snapshot.display());
    for line in [&grid, "spectrum grid.hdf5 -o grid.csv", mock] {
        run(line).assert().success();
        fails(&mut run(line), &["is there already", "--overwrite"]);
        run(&format!("{line} --overwrite")).assert().success();
    }
    // No snapshots of another universe stay beside the grids of this one.
    run(&format!("{mock} --overwrite --snapshots")).assert().success();
    fails(&mut run(&format!("{mock} --overwrite --seed 2")), &["low_res: is there already", "--snapshots"]);
    // Fields that are gridded of a mock's particles are known for mock.
    run("grid box/low_res/snapdir_000 --particles dm --cells 8 -o low.hdf5").assert().success();
    let info = run("info low.hdf5 --json").output().unwrap().stdout;
    let info: Value = serde_json::from_slice(&info).unwrap();
    assert_eq!(info["meta"]["provenance"]["origin"], "mock");
}

fn column(json: &Value, key: &str) -> Vec<f64> {
    json[key].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}
