//! A real GADGET-4 snapshot, gridded and measured by the binary, against a power spectrum that numpy measured.

use crate::binary::{finescale, project};
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

fn column(json: &Value, key: &str) -> Vec<f64> {
    json[key].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}
