//! Spectra against numbers of Pylians, see scripts/golden_pylians.py.

use finescale_field::{Field3, Grid};
use finescale_spectra::Modes;
use ndarray::Array3;
use serde::Deserialize;
use std::f64::consts::TAU;

/// Pylians sums f32 modes and rounds to f32 in places; a wrong rule on a plane of modes moves a bin by percents.
const PYLIANS_REL: f64 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
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

fn assert_close(name: &str, case: &Case, found: &[f64], expected: &[f64], scale: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for ((found, expected), scale) in found.iter().zip(expected).zip(scale) {
        let miss = (found - expected).abs() / scale;
        assert!(miss < PYLIANS_REL, "{name}, {}^3 {}: {found} for {expected}", case.cells, case.window);
    }
}

#[test]
fn spectra_are_those_of_pylians() {
    let golden: Golden = serde_json::from_str(include_str!("golden/pylians.json")).unwrap();
    assert_eq!(golden.cases.len(), 6);
    for case in &golden.cases {
        let grid = Grid::cube(case.cells, case.box_size_mpc_h).unwrap();
        let window = case.window.parse().ok();
        assert_eq!(window.is_none(), case.window == "none");
        let [first, second] = [0, 3].map(|phase| Modes::of(&density(grid, phase), window).unwrap());
        let power = first.power();
        assert_eq!(power.modes, case.modes);
        assert_close("k", case, &power.k_h_mpc, &case.k_h_mpc, &case.k_h_mpc);
        assert_close("P", case, &power.power, &case.power, &case.power);
        assert_close("second P", case, &second.power().power, &case.second_power, &case.second_power);
        // A cross power may cross zero: its errors scale with the power of the fields.
        let scale: Vec<f64> =
            case.power.iter().zip(&case.second_power).map(|(a, b)| (a * b).sqrt()).collect();
        assert_close("cross P", case, &first.cross(&second).unwrap().power, &case.cross_power, &scale);
    }
}
