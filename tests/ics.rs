//! Initial conditions of matched runs by the binary, and how well they match.

use crate::binary::{fails, finescale, names, project};
use serde_json::Value;
use std::f64::consts::PI;
use std::path::Path;

/// Side of the box in Mpc/h, and particles of the runs along it: separations of the mock universes' low-resolution runs.
const BOX: f64 = 50.0;
const LOW: usize = 32;
const HIGH: usize = 64;
/// What the low-resolution run must share with the high-resolution one at z = 9, below half its Nyquist wavenumber.
const LEAST_CORRELATION: f64 = 0.999;

fn run(folder: &Path, line: &str) -> Value {
    let output = finescale().current_dir(folder).args(line.split(' ')).arg("--json").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}\n{stderr}");
    assert!(!stderr.contains("warning"), "{line}\n{stderr}");
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// The least correlation of two files' matter below `k_max_h_mpc`, and the ratio of powers that is farthest from 1. Two
/// interlaced meshes of the high-resolution run's separation, fourth order: aliases reach no mode that is looked at.
fn least_correlation(folder: &Path, low: &str, high: &str, k_max_h_mpc: f64) -> (f64, f64) {
    let line =
        format!("spectrum {low} --cross {high} --particles matter --cells {HIGH} --scheme pcs --interlaced");
    let spectrum = run(folder, &line);
    let column = |name: &str| -> Vec<f64> {
        spectrum[name].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let (k, r) = (column("k_h_mpc"), column("cross_correlation"));
    let (power, other) = (column("power_mpc_h3"), column("other_power_mpc_h3"));
    let shells = k.iter().filter(|k| **k < k_max_h_mpc).count();
    assert!(shells >= 7, "{k:?}");
    let ratio = (0..shells)
        .map(|i| power[i] / other[i])
        .fold(1f64, |worst, ratio| if (ratio - 1.0).abs() > (worst - 1.0).abs() { ratio } else { worst });
    let least = r[..shells].iter().fold(1f64, |least, r| least.min(*r));
    (least, ratio)
}

#[test]
fn low_resolution_has_the_phases_of_high_resolution() {
    // Modes beyond the coarse lattice move what is below by the second order only.
    const POWER_REL: f64 = 0.02;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let size = format!("--box-size {BOX} --particles {LOW} --particles-high {HIGH}");
    run(folder, &format!("ics --seed 11 {size} -o dark"));
    run(folder, &format!("ics --seed 11 {size} --gas -o gas"));
    run(folder, &format!("ics --from dark/high_res.hdf5 --particles {LOW} -o from_dark"));
    run(folder, &format!("ics --from gas/high_res.hdf5 --particles {LOW} -o from_gas"));
    run(folder, &format!("ics --seed 11 {size} --gas --format swift -o swift"));
    run(folder, &format!("ics --from swift/high_res.hdf5 --particles {LOW} --format swift -o from_swift"));
    let half_nyquist = 0.5 * PI * LOW as f64 / BOX;
    for (low, high) in [
        ("dark/low_res.hdf5", "dark/high_res.hdf5"),
        ("gas/low_res.hdf5", "gas/high_res.hdf5"),
        ("from_dark/low_res.hdf5", "dark/high_res.hdf5"),
        ("from_gas/low_res.hdf5", "gas/high_res.hdf5"),
        ("swift/low_res.hdf5", "swift/high_res.hdf5"),
        ("from_swift/low_res.hdf5", "swift/high_res.hdf5"),
    ] {
        let (least, ratio) = least_correlation(folder, low, high, half_nyquist);
        assert!(least > LEAST_CORRELATION, "{low}: r = {least}");
        assert!((ratio - 1.0).abs() < POWER_REL, "{low}: P/P = {ratio}");
    }
    // Another seed is another universe: the test can fail.
    run(folder, &format!("ics --seed 12 --box-size {BOX} --particles {LOW} -o other"));
    let (least, _) = least_correlation(folder, "other/low_res.hdf5", "dark/high_res.hdf5", half_nyquist);
    assert!(least < 0.9, "r = {least}");
}

#[test]
fn beside_each_file_are_the_values_to_run_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let size = "--box-size 25 --particles 8 --particles-high 12 --gas --redshift 49 --omega-m 0.3";
    let made = run(folder, &format!("ics --seed 3 {size} -o gadget"));
    assert_eq!(
        names(&folder.join("gadget")),
        ["high_res.hdf5", "high_res_param.txt", "low_res.hdf5", "low_res_param.txt"]
    );
    assert_eq!((&made["runs"][1]["gas"], &made["runs"][1]["particles"]), (&true.into(), &12.into()));
    let text = std::fs::read_to_string(folder.join("gadget/high_res_param.txt")).unwrap();
    for line in ["Omega0                        0.3", "TimeBegin                     0.0200000000"] {
        assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
    }
    let info = run(folder, "info gadget/high_res.hdf5");
    assert_eq!(info["redshift"], 49.0, "{info}");
    run(folder, &format!("ics --seed 3 {size} --format swift -o swift"));
    assert_eq!(
        names(&folder.join("swift")),
        ["high_res.hdf5", "high_res.yml", "low_res.hdf5", "low_res.yml"]
    );
    // What is there is replaced when that is wanted, and only what is ours.
    let again = format!("ics --seed 4 {size} -o gadget");
    let mut command = finescale();
    fails(
        command.current_dir(folder).args(again.split(' ')),
        &["low_res.hdf5: is there already", "--overwrite"],
    );
    run(folder, &format!("{again} --overwrite"));
    let theirs = project("data/demo/gadget4_dm_64/snapdir_003/snapshot_003.0.hdf5");
    std::fs::create_dir(folder.join("theirs")).unwrap();
    std::fs::copy(theirs, folder.join("theirs/low_res.hdf5")).unwrap();
    let mut command = finescale();
    let replacing = format!("ics --seed 4 {size} -o theirs --overwrite");
    fails(command.current_dir(folder).args(replacing.split(' ')), &["finescale ics did not write"]);
    assert_eq!(names(&folder.join("theirs")), ["low_res.hdf5"]);
}

#[test]
fn what_is_no_source_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let refused = |line: &str, texts: &[&str]| {
        let mut command = finescale();
        fails(command.current_dir(folder).args(line.split(' ')), texts);
        assert!(!folder.join("out").exists(), "{line}");
    };
    run(folder, "ics --seed 3 --box-size 25 --particles 8 -o early");
    refused("ics --from nowhere.hdf5 --particles 8 -o out", &["nowhere.hdf5", "no such file"]);
    refused(
        "ics --from early/low_res.hdf5 --particles 9 -o out",
        &["low_res.hdf5: has 8^3", "fewer --particles"],
    );
    refused("ics --from early/low_res.hdf5 --particles 8 -o early", &["early/low_res.hdf5"]);
    refused("ics --from early/low_res.hdf5 --seed 2 --particles 8 -o out", &["--seed"]);
    refused("ics --particles 8 -o out", &["--seed"]);
    refused("ics --seed 2 --particles 8 --gas -o out", &["--particles-high"]);
    refused("ics --seed 2 --particles 8 --box-size 0.5 -o out", &["box_size_mpc_h", "from 1 to 10000"]);
    // The demo's snapshot has lost its velocities.
    let late = project("data/demo/gadget4_dm_64/snapdir_003");
    let line = format!("ics --from {} --particles 32 -o out", late.display());
    refused(&line, &["snapshot_003.0.hdf5: no dataset PartType1/Velocities"]);
    // Mock snapshots hold no velocities.
    run(
        folder,
        "mock --seed 1 --box-size 12.5 --cells 8 --particles-low 4 --particles-high 8 --steps 1 --snapshots -o box",
    );
    refused("ics --from box/low_res/snapdir_000 --particles 4 -o out", &["PartType1/Velocities"]);
}
