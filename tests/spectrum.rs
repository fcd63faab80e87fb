//! Power spectra of grids, cubes and particles by the binary.

use crate::binary::{fails, finescale, names, project};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// 64³ particles of one mass in 100 Mpc/h.
const SNAPSHOT: &str = "data/demo/gadget4_dm_64/snapdir_003";
const SHOT_NOISE_MPC_H3: f64 = 1e6 / 262_144.0;
/// Cells per side in most tests.
const CELLS: [&str; 2] = ["--cells", "32"];

/// The snapshot, and a folder for what is made of it.
struct Desk {
    folder: TempDir,
    snapshot: PathBuf,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), snapshot: project(SNAPSHOT) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Grids the snapshot on 32³ cells.
    fn grid(&self, name: &str, more: &[&str]) -> PathBuf {
        let mut command = finescale();
        command.arg("grid").arg(&self.snapshot).args(["--particles", "dm"]).args(CELLS).args(more);
        command.arg("-o").arg(self.path(name)).assert().success();
        // A cube as others write it says nothing of itself.
        drop(std::fs::remove_file(self.path(&format!("{name}.json"))));
        self.path(name)
    }

    /// The spectrum of `path`, and what was said on stderr.
    fn spectrum(&self, path: &Path, more: &[&str]) -> (Value, String) {
        let mut command = finescale();
        let output = command.arg("spectrum").arg(path).args(more).arg("--json").output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        (serde_json::from_slice(&output.stdout).unwrap(), stderr)
    }

    fn fails(&self, path: &Path, more: &[&str], texts: &[&str]) {
        let mut command = finescale();
        fails(command.current_dir(self.folder.path()).arg("spectrum").arg(path).args(more), texts);
    }
}

fn column(json: &Value, name: &str) -> Vec<f64> {
    let values = json[name].as_array().unwrap_or_else(|| panic!("no {name} in {json}"));
    values.iter().map(|value| value.as_f64().unwrap()).collect()
}

/// The values of a .npy file of ours, changed.
fn with_values(path: &Path, change: impl Fn(f32) -> f32) {
    let bytes = std::fs::read(path).unwrap();
    let header = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let (values, _) = bytes[header..].as_chunks();
    let values = values.iter().flat_map(|&four| change(f32::from_le_bytes(four)).to_le_bytes());
    let changed: Vec<u8> = bytes[..header].iter().copied().chain(values).collect();
    std::fs::write(path, changed).unwrap();
}

#[test]
fn a_snapshot_has_the_spectrum_of_its_grid() {
    let desk = Desk::new();
    let grid = desk.grid("grid.hdf5", &["--scheme", "tsc"]);
    let (of_grid, _) = desk.spectrum(&grid, &[]);
    let (of_particles, said) = desk.spectrum(&desk.snapshot, &[&CELLS[..], &["--scheme", "tsc"]].concat());
    assert_eq!(of_particles["power_mpc_h3"], of_grid["power_mpc_h3"]);
    assert!(said.contains("262144 dm particles on 32 x 32 x 32 cells (tsc)"), "{said}");
    assert_eq!(of_particles["fields"][0]["window"], "tsc");

    // Gridded on the cells of the grid that they are crossed with.
    let cross = ["--cross", desk.snapshot.to_str().unwrap(), "--scheme", "tsc"];
    let (crossed, _) = desk.spectrum(&grid, &cross);
    assert!(column(&crossed, "cross_correlation").iter().all(|r| (r - 1.0).abs() < 1e-9), "{crossed}");

    let (by_default, said) = desk.spectrum(&desk.snapshot, &[]);
    assert!(said.contains("on 64 x 64 x 64 cells (cic)"), "{said}");
    assert_eq!(by_default["fields"][0]["cells"], serde_json::json!([64, 64, 64]));
}

#[test]
fn the_window_of_a_numpy_cube_is_divided_out_when_it_is_said() {
    let desk = Desk::new();
    let (expected, _) = desk.spectrum(&desk.grid("grid.hdf5", &[]), &[]);
    let cube = desk.grid("cube.npy", &[]);
    let (as_it_is, said) = desk.spectrum(&cube, &["--box-size", "100"]);
    assert!(said.contains("cube.npy") && said.contains("--assignment"), "{said}");
    let (none, said) = desk.spectrum(&cube, &["--box-size", "100", "--assignment", "none"]);
    assert!(none["power_mpc_h3"] == as_it_is["power_mpc_h3"] && !said.contains("--assignment"), "{said}");
    let (corrected, _) = desk.spectrum(&cube, &["--box-size", "100", "--assignment", "cic"]);
    let [expected, corrected, as_it_is] =
        [expected, corrected, as_it_is].map(|json| column(&json, "power_mpc_h3"));
    for ((corrected, expected), as_it_is) in corrected.iter().zip(&expected).zip(&as_it_is) {
        /// A cube is divided by its mean once more, in f32.
        const ROUNDING: f64 = 1e-5;
        assert!((corrected / expected - 1.0).abs() < ROUNDING && as_it_is < corrected);
    }
    // At the Nyquist wavenumber of an axis, the window to the power of two is (2/pi)^4.
    assert!(as_it_is[15] < 0.5 * expected[15]);
}

#[test]
fn shot_noise_is_shown_or_subtracted_when_asked() {
    let desk = Desk::new();
    let (plain, said) = desk.spectrum(&desk.snapshot, &CELLS);
    assert!(said.contains("shot noise 3.8147 (Mpc/h)^3, in the power"), "{said}");
    assert!(plain.get("shot_noise_mpc_h3").is_none());
    let level = plain["fields"][0]["shot_noise_mpc_h3"].as_f64().unwrap();
    assert!((level / SHOT_NOISE_MPC_H3 - 1.0).abs() < 1e-6, "{level}");

    let (shown, _) = desk.spectrum(&desk.snapshot, &[&CELLS[..], &["--shot-noise", "show"]].concat());
    assert_eq!(shown["power_mpc_h3"], plain["power_mpc_h3"]);
    let (less, said) = desk.spectrum(&desk.snapshot, &[&CELLS[..], &["--shot-noise", "subtract"]].concat());
    assert!(said.contains("subtracted from the power"), "{said}");
    let [plain, noise, less] =
        [column(&plain, "power_mpc_h3"), column(&shown, "shot_noise_mpc_h3"), column(&less, "power_mpc_h3")];
    assert!((noise[0] / level - 1.0).abs() < 0.05, "far below Nyquist hardly any aliases: {}", noise[0]);
    for ((plain, noise), less) in plain.iter().zip(&noise).zip(&less) {
        assert_eq!(*less, plain - noise);
    }

    // A grid of counts knows its noise, a grid of masses does not.
    let counts = desk.grid("counts.hdf5", &["--weight", "count"]);
    let (of_counts, _) = desk.spectrum(&counts, &["--shot-noise", "show"]);
    for (found, expected) in column(&of_counts, "shot_noise_mpc_h3").iter().zip(&noise) {
        assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
    }
    let masses = desk.grid("masses.hdf5", &[]);
    desk.fails(&masses, &["--shot-noise", "subtract"], &["masses.hdf5", "shot noise", "snapshot itself"]);
}

#[test]
fn interlacing_takes_power_from_aliases_only() {
    let desk = Desk::new();
    let power = |more: &[&str]| {
        column(&desk.spectrum(&desk.snapshot, &[&CELLS[..], more].concat()).0, "power_mpc_h3")
    };
    let (single, interlaced) = (power(&[]), power(&["--interlaced"]));
    assert!((interlaced[0] / single[0] - 1.0).abs() < 1e-3, "{} {}", interlaced[0], single[0]);
    assert!(interlaced[14] < 0.99 * single[14], "{} {}", interlaced[14], single[14]);
}

#[test]
fn multipoles_are_about_the_line_of_sight() {
    let desk = Desk::new();
    let along = |axis: &str| {
        let more = ["--multipoles", "--line-of-sight", axis, "--shot-noise", "subtract"];
        desk.spectrum(&desk.snapshot, &[&CELLS[..], &more].concat()).0
    };
    let [x, y, z] = ["x", "y", "z"].map(along);
    assert!(x["power_mpc_h3"] == y["power_mpc_h3"] && x["quadrupole_mpc_h3"] != y["quadrupole_mpc_h3"]);
    let [power, x, y, z] = [
        column(&x, "power_mpc_h3"),
        column(&x, "quadrupole_mpc_h3"),
        column(&y, "quadrupole_mpc_h3"),
        column(&z, "quadrupole_mpc_h3"),
    ];
    for bin in 0..power.len() {
        // The second Legendre polynomials of the three axes sum to zero.
        assert!((x[bin] + y[bin] + z[bin]).abs() < 1e-9 * power[0], "bin {bin}");
    }
    desk.fails(&desk.snapshot, &["--line-of-sight", "x"], &["--multipoles"]);
}

#[test]
fn columns_have_the_same_names_in_csv_and_json_and_other_endings_are_refused() {
    let desk = Desk::new();
    let grid = desk.grid("grid.hdf5", &[]);
    let cross = ["--cross", grid.to_str().unwrap(), "--multipoles", "-o"];
    let csv = desk.path("spectrum.csv");
    let (json, _) = desk.spectrum(&grid, &[&cross[..], &[csv.to_str().unwrap()]].concat());
    let table = std::fs::read_to_string(csv).unwrap();
    let mut lines = table.lines();
    let names_of_columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!(
        names_of_columns,
        [
            "k_h_mpc",
            "modes",
            "power_mpc_h3",
            "quadrupole_mpc_h3",
            "hexadecapole_mpc_h3",
            "other_power_mpc_h3",
            "cross_power_mpc_h3",
            "cross_correlation"
        ]
    );
    let first: Vec<f64> = lines.next().unwrap().split(',').map(|cell| cell.parse().unwrap()).collect();
    for (name, cell) in names_of_columns.iter().zip(first) {
        let expected = column(&json, name)[0];
        assert!((cell - expected).abs() <= 1e-5 * expected.abs(), "{name}: {cell} for {expected}");
    }
    for name in ["spectrum.png", "spectrum.txt", "spectrum"] {
        desk.fails(&grid, &["-o", name], &[name, ".json", ".csv"]);
    }
    assert_eq!(names(desk.folder.path()), ["grid.hdf5", "spectrum.csv"]);
}

#[test]
fn delta_is_not_taken_for_a_density() {
    let desk = Desk::new();
    let cube = desk.grid("delta.npy", &[]);
    let box_size = ["--box-size", "100"];
    for shift in [1.0, 0.999] {
        with_values(&cube, |density| density - shift);
        desk.fails(&cube, &box_size, &["delta.npy", "1 + delta"]);
    }
    with_values(&cube, |delta| delta + 1.5);
    desk.fails(&cube, &box_size, &["delta.npy", "holds negative values", "store 1 + delta"]);
}

#[test]
fn options_of_other_inputs_and_boxes_in_kpc_are_told() {
    let desk = Desk::new();
    let (grid, cube) = (desk.grid("grid.hdf5", &[]), desk.grid("cube.npy", &[]));
    desk.fails(&grid, &["--interlaced", "--cells", "8"], &["--cells, --interlaced", "snapshots only"]);
    desk.fails(&grid, &["--box-size", "100"], &["--box-size", ".npy"]);
    desk.fails(&desk.snapshot, &["--assignment", "cic"], &["--assignment", ".npy"]);
    desk.fails(&desk.snapshot, &["--particles", "gas"], &["no gas", "--particles"]);
    desk.fails(&grid, &["--cross", "typo.npy"], &["typo.npy: no such file"]);
    let (_, said) = desk.spectrum(&cube, &["--box-size", "100000"]);
    assert!(said.contains("warning: ") && said.contains("kpc/h"), "{said}");
    let (_, said) = desk.spectrum(&cube, &["--box-size", "100", "--assignment", "cic"]);
    assert!(!said.contains("warning: "), "{said}");
}

/// Memory, in GiB, for the planes of grids of 64³ cells, and not for their Fourier modes.
const LITTLE: [&str; 2] = ["--memory", "0.0007"];

/// What was measured, without how it was asked for.
fn measured(mut json: Value) -> Value {
    json.as_object_mut().unwrap().remove("provenance");
    json
}

#[test]
fn out_of_core_has_the_bits_of_in_memory() {
    let desk = Desk::new();
    let a = desk.grid("a.hdf5", &["--weight", "count"]);
    let b = desk.grid("b.npy", &["--scheme", "tsc"]);
    let with_cross = |path: &Path, more: &[&str]| {
        let all =
            ["--cross", b.to_str().unwrap(), "--box-size", "100", "--multipoles", "--line-of-sight", "x"];
        desk.spectrum(path, &[&all[..], more].concat())
    };
    let (whole, said) = with_cross(&a, &["--memory", "1"]);
    assert!(!said.contains("out of core") && !said.contains("file without a name"), "{said}");
    // The planes of two fields of 32³ cells have room in it.
    let (in_file, said) = with_cross(&a, &["--memory", "0.0002"]);
    let files =
        ["the Fourier modes of [32, 32, 32] and [32, 32, 32] take 279 kB", "files without a name in ."];
    assert!(files.iter().all(|text| said.contains(text)), "{said}");
    assert_eq!(measured(in_file), measured(whole));

    let mut fine = finescale();
    let grid = fine.arg("grid").arg(&desk.snapshot).args([
        "--particles",
        "dm",
        "--cells",
        "64",
        "--weight",
        "count",
    ]);
    grid.arg("-o").arg(desk.path("fine.hdf5")).assert().success();
    let fine = desk.path("fine.hdf5");
    let noise = ["--shot-noise", "subtract"];
    let (whole, _) = desk.spectrum(&fine, &noise);
    let (in_file, said) = desk.spectrum(&fine, &[&noise[..], &LITTLE].concat());
    assert!(said.contains("the Fourier modes of [64, 64, 64] take 1.08 MB"), "{said}");
    assert_eq!(measured(in_file), measured(whole));

    // The file lies beside the output, and goes with the process.
    let mut names = names(desk.folder.path());
    let output = desk.path("fine.csv");
    let (_, said) = desk.spectrum(&fine, &[&LITTLE[..], &["-o", output.to_str().unwrap()]].concat());
    assert!(said.contains(&format!("files without a name in {}", desk.folder.path().display())), "{said}");
    names.push("fine.csv".to_owned());
    names.sort();
    assert_eq!(crate::binary::names(desk.folder.path()), names);
}

#[test]
fn memory_that_is_not_enough_or_of_no_use_is_refused() {
    let desk = Desk::new();
    let grid = desk.grid("grid.hdf5", &[]);
    desk.fails(&grid, &["--memory", "0.0000001"], &["--memory", "at least"]);
    desk.fails(&grid, &["--memory", "0"], &["a positive number is needed"]);
    let snapshot = ["--memory", "is a snapshot", "finescale grid --memory"];
    desk.fails(&desk.snapshot, &["--memory", "1"], &snapshot);
    let cross = ["--cross", desk.snapshot.to_str().unwrap(), "--memory", "1"];
    desk.fails(&grid, &cross, &snapshot);
}
