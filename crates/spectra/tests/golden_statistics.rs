//! Statistics against numbers of Pylians and scipy, see scripts/golden_statistics.py.

use finescale_field::{Field3, Grid};
use finescale_spectra::{find_voids, log_density, minkowski, peak_counts, wasserstein};
use ndarray::Array3;
use serde::Deserialize;
use std::f64::consts::TAU;

/// Numbers are written with eight digits; Pylians keeps radii in f32.
const WRITTEN: f64 = 1e-6;
/// Logarithms in f32 against f64: far below the distance of any two shifted distributions.
const LOGARITHM: f64 = 1e-6;
const WAVES: [[i64; 3]; 16] = [
    [1, 2, 0],
    [2, -1, 1],
    [0, 1, 3],
    [3, 0, -2],
    [1, -3, 2],
    [-2, 2, 3],
    [4, 1, -1],
    [0, -4, 2],
    [3, 3, 1],
    [1, 0, -5],
    [5, 2, 0],
    [-1, 4, 4],
    [2, 5, -3],
    [-4, 3, 3],
    [6, -1, 2],
    [3, -2, 6],
];

#[derive(Deserialize)]
struct Golden {
    voids: Vec<GoldenVoids>,
    minkowski: GoldenMinkowski,
    peaks: GoldenPeaks,
    wasserstein: GoldenWasserstein,
}

#[derive(Deserialize)]
struct GoldenVoids {
    cells: usize,
    box_size_mpc_h: f64,
    threshold: f64,
    radii_mpc_h: Vec<f64>,
    centres: Vec<[usize; 3]>,
    radius_mpc_h: Vec<f64>,
    size_function_radius_mpc_h: Vec<f64>,
    size_function: Vec<f64>,
}

#[derive(Deserialize)]
struct GoldenMinkowski {
    cells: usize,
    box_size_mpc_h: f64,
    phase: usize,
    thresholds: Vec<f64>,
    volume: Vec<f64>,
    area: Vec<f64>,
    curvature: Vec<f64>,
    euler: Vec<f64>,
}

#[derive(Deserialize)]
struct GoldenPeaks {
    cells: usize,
    phase: usize,
    nu: Vec<f64>,
    counts: Vec<u64>,
}

#[derive(Deserialize)]
struct GoldenWasserstein {
    cells: usize,
    phases: [usize; 2],
    distance: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/statistics.json")).expect("the file of the script")
}

/// The field that the script computes by the same formula.
fn density(cells: usize, box_size_mpc_h: f64, phase: usize) -> Field3 {
    let value = |(i, j, k): (usize, usize, usize)| {
        let wave = |(number, [a, b, c]): (usize, &[i64; 3])| {
            let turns = (a * i as i64 + b * j as i64 + c * k as i64) as f64 / cells as f64;
            0.35 * (TAU * (turns + (number * number) as f64 * 0.37 + phase as f64 * 0.21)).cos()
        };
        (WAVES.iter().enumerate().map(wave).sum::<f64>() - 0.5).exp() as f32
    };
    let grid = Grid::cube(cells, box_size_mpc_h).expect("cells and a size");
    Field3::new(grid, Array3::from_shape_fn(grid.cells(), value)).expect("the grid's own shape")
}

fn assert_close(name: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= WRITTEN * expected.abs(), "{name}: {found} for {expected}");
    }
}

#[test]
fn voids_are_those_of_pylians() {
    for case in golden().voids {
        let field = density(case.cells, case.box_size_mpc_h, 0);
        let found = find_voids(&field, &case.radii_mpc_h, case.threshold).unwrap();
        let centres: Vec<_> = found.voids.iter().map(|void| void.centre).collect();
        assert_eq!(centres, case.centres);
        let radii: Vec<_> = found.voids.iter().map(|void| void.radius_mpc_h).collect();
        assert_close("radius", &radii, &case.radius_mpc_h);
        let sizes = found.size_function();
        assert_close("R", &sizes.radius_mpc_h, &case.size_function_radius_mpc_h);
        assert_close("dn/dR", &sizes.density_h_mpc4, &case.size_function);
    }
}

#[test]
fn minkowski_functionals_are_those_counted_on_whole_arrays() {
    let case = golden().minkowski;
    let field = density(case.cells, case.box_size_mpc_h, case.phase).map(|density| density - 1.0);
    let found = minkowski(&field, &case.thresholds).unwrap();
    assert_close("V0", &found.volume, &case.volume);
    assert_close("V1", &found.area_h_mpc, &case.area);
    assert_close("V2", &found.curvature_h_mpc2, &case.curvature);
    assert_close("V3", &found.euler_h_mpc3, &case.euler);
}

#[test]
fn peaks_are_those_of_scipy() {
    let case = golden().peaks;
    assert_eq!(peak_counts(&density(case.cells, 30.0, case.phase), &case.nu).unwrap().counts, case.counts);
}

#[test]
fn the_distance_of_distributions_is_that_of_scipy() {
    let case = golden().wasserstein;
    let [a, b] = case.phases.map(|phase| density(case.cells, 30.0, phase));
    let found = wasserstein(&a, &b).unwrap();
    assert!((found - case.distance).abs() < LOGARITHM, "{found} for {}", case.distance);
    assert!(log_density(&a).unwrap().as_slice().iter().all(|f| f.is_finite()));
}
