//! Whose noise a sample has.

use crate::binary::finescale;
use finescale_snapshot::read_grid;
use finescale_spectra::{Bands, Modes, correlation_of, fundamental_h_mpc, nyquist_h_mpc};
use std::path::Path;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/demo/model.safetensors");

/// r of ln(1 + δ) of two files by band, and how many modes each band has.
fn agreement(first: &Path, second: &Path) -> Vec<(f64, u64)> {
    let [first, second] = [first, second].map(|path| read_grid(path).unwrap().field);
    let grid = *first.grid();
    let bands = Bands::logarithmic(fundamental_h_mpc(&grid), nyquist_h_mpc(&grid), 6).unwrap();
    let [first, second] = [&first, &second].map(|field| Modes::from_log_density(field).unwrap());
    let cross = first.cross_in(&second, &bands).unwrap();
    let r = correlation_of(&cross, &first.power_in(&bands), &second.power_in(&bands));
    r.into_iter().zip(cross.modes).filter(|(_, modes)| *modes > 0).collect()
}

#[test]
fn universes_that_are_sampled_with_one_seed_share_no_noise() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        finescale().current_dir(folder.path()).args(arguments).args(["--threads", "2"]).assert().success();
    };
    for seed in ["71", "72"] {
        let sizes = ["--cells", "32", "--box-size", "25", "--particles-low", "16", "--particles-high", "64"];
        run(&[&["mock", "--seed", seed, "-o", seed], &sizes[..]].concat());
        let condition = format!("{seed}/condition.hdf5");
        let sample = ["upscale", "--model", MODEL, "--condition", &condition, "--seed", "1", "--steps", "6"];
        run(&[&sample[..], &["-o", &format!("{seed}/own.hdf5")]].concat());
        run(&[&sample[..], &["--shared-noise", "-o", &format!("{seed}/shared.hdf5")]].concat());
    }
    let of =
        |name: &str| agreement(&folder.path().join("71").join(name), &folder.path().join("72").join(name));
    // Independent fields correlate by 1/√modes.
    for (r, modes) in of("own.hdf5") {
        assert!(r.abs() < 5.0 / (modes as f64).sqrt(), "{r} of {modes} modes");
    }
    // With the noise of one, their smallest scales are much the same.
    let (r, modes) = *of("shared.hdf5").last().unwrap();
    assert!(r > 0.5, "{r} of {modes} modes");
}
