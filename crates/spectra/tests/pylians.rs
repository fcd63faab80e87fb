//! Spectra against numbers of Pylians, see scripts/golden_pylians.py.

use finescale_field::{Field3, Grid};
use finescale_spectra::{LineOfSight, Modes, TriangleBins, fundamental_h_mpc};
use ndarray::Array3;
use serde::Deserialize;
use std::f64::consts::TAU;

/// Pylians sums f32 modes and rounds to f32 in places; a wrong rule on a plane of modes moves a bin by
/// percents.
const PYLIANS_REL: f64 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    multipoles: Vec<MultipoleCase>,
    bispectra: Vec<BispectrumCase>,
}

#[derive(Deserialize)]
struct MultipoleCase {
    cells: usize,
    box_size_mpc_h: f64,
    window: String,
    line_of_sight: LineOfSight,
    monopole: Vec<f64>,
    quadrupole: Vec<f64>,
    hexadecapole: Vec<f64>,
}

#[derive(Deserialize)]
struct BispectrumCase {
    shape: String,
    cells: usize,
    box_size_mpc_h: f64,
    window: String,
    k_h_mpc: Vec<[f64; 3]>,
    power: Vec<[f64; 3]>,
    bispectrum: Vec<f64>,
    reduced: Vec<f64>,
    triangles: Vec<f64>,
}

#[derive(Deserialize)]
struct Case {
    cells: usize,
    box_size_mpc_h: f64,
    window: String,
    k_h_mpc: Vec<f64>,
    modes: Vec<u64>,
    power: Vec<f64>,
    second_power: Vec<f64>,
    cross_power: Vec<f64>,
}

/// The field that the script computes by the same formula.
fn density(grid: Grid, phase: usize) -> Field3 {
    let n = grid.cells()[0] as f64;
    let value = |(i, j, k): (usize, usize, usize)| {
        let hashed = (i * 7919 + j * 10473 + k * 12997 + i * j * k * 31 + phase * 577) % 1009;
        let turns = (2 * i + 3 * j) as f64 / n + phase as f64 / 8.0;
        let waves = 0.25 * (TAU * turns).cos() + 0.125 * (TAU * 5.0 * k as f64 / n).sin();
        (0.5 + hashed as f64 / 1009.0 + waves) as f32
    };
    Field3::new(grid, Array3::from_shape_fn(grid.cells(), value)).expect("the grid's own shape")
}

/// The field that the script calls skewed: the square of the first one, in f32.
fn skewed(grid: Grid) -> Field3 {
    density(grid, 0).map(|value| value * value)
}

/// The largest miss, relative to `scale`, must be within `tolerance`.
fn assert_close(name: &str, tolerance: f64, found: &[f64], expected: &[f64], scale: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for ((found, expected), scale) in found.iter().zip(expected).zip(scale) {
        let miss = (found - expected).abs() / scale;
        assert!(miss < tolerance, "{name}: {found} for {expected}, {miss}");
    }
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/pylians.json")).expect("the fields above")
}

#[test]
fn spectra_are_those_of_pylians() {
    let golden = golden();
    assert_eq!(golden.cases.len(), 6);
    for case in &golden.cases {
        let grid = Grid::cube(case.cells, case.box_size_mpc_h).unwrap();
        let window = case.window.parse().ok();
        assert_eq!(window.is_none(), case.window == "none");
        let [first, second] = [0, 3].map(|phase| Modes::over_mean(&density(grid, phase), window).unwrap());
        let power = first.power();
        assert_eq!(power.modes, case.modes);
        assert_close("k", PYLIANS_REL, &power.k_h_mpc, &case.k_h_mpc, &case.k_h_mpc);
        assert_close("P", PYLIANS_REL, &power.power, &case.power, &case.power);
        assert_close("second P", PYLIANS_REL, &second.power().power, &case.second_power, &case.second_power);
        // A cross power may cross zero: its errors scale with the power of the fields.
        let scale: Vec<f64> =
            case.power.iter().zip(&case.second_power).map(|(a, b)| (a * b).sqrt()).collect();
        assert_close("cross P", PYLIANS_REL, &first.cross(&second).unwrap().power, &case.cross_power, &scale);
    }
}

#[test]
fn multipoles_are_those_of_pylians() {
    let golden = golden();
    assert_eq!(golden.multipoles.len(), 6);
    for case in &golden.multipoles {
        let grid = Grid::cube(case.cells, case.box_size_mpc_h).unwrap();
        let modes = Modes::over_mean(&density(grid, 3), case.window.parse().ok()).unwrap();
        let found = modes.multipoles(case.line_of_sight);
        // P_2 and P_4 cross zero: their errors scale with the power.
        let scale = &case.monopole;
        assert_close("P0", PYLIANS_REL, &found.monopole, &case.monopole, scale);
        assert_close("P2", PYLIANS_REL, &found.quadrupole, &case.quadrupole, scale);
        assert_close("P4", PYLIANS_REL, &found.hexadecapole, &case.hexadecapole, scale);
    }
}

#[test]
fn bispectra_are_those_of_pylians() {
    /// Pylians multiplies and counts in f32; a shell that is wide by a mode too many moves B by percents.
    const BISPECTRUM_REL: f64 = 1e-3;
    let golden = golden();
    assert_eq!(golden.bispectra.len(), 18);
    for case in &golden.bispectra {
        let grid = Grid::cube(case.cells, case.box_size_mpc_h).unwrap();
        let modes = Modes::over_mean(&skewed(grid), case.window.parse().ok()).unwrap();
        let bins = TriangleBins::new(&grid, &case.k_h_mpc, fundamental_h_mpc(&grid)).unwrap();
        let found = bins.measure(&modes).unwrap();
        let name = |what: &str| format!("{what} of {} with {}", case.shape, case.window);
        let counts: Vec<f64> = found.triangles.iter().map(|&count| count as f64).collect();
        assert_close(&name("triangles"), PYLIANS_REL, &counts, &case.triangles, &case.triangles);
        let (flat, expected) = (found.power.as_flattened(), case.power.as_flattened());
        assert_close(&name("P"), PYLIANS_REL, flat, expected, expected);
        // B may cross zero: its errors scale with the powers, where Q is 1.
        let scale: Vec<f64> = case.power.iter().map(|[a, b, c]| 0.1 * (a * b + b * c + c * a)).collect();
        assert_close(&name("B"), BISPECTRUM_REL, &found.bispectrum, &case.bispectrum, &scale);
        assert_close(&name("Q"), BISPECTRUM_REL, &found.reduced, &case.reduced, &vec![0.1; scale.len()]);
    }
}
