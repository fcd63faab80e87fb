//! Peaks and Minkowski functionals of Gaussian fields against their expectations in closed form.

mod support;

use finescale_field::{Field3, Grid};
use finescale_spectra::{find_voids, local_maxima, minkowski, peak_counts, scattering, wasserstein};
use std::f64::consts::PI;
use support::gaussian;

const SEEDS: u64 = 12;
/// 48³ voxels of 1.5 Mpc/h, smoothed by two of them.
const RADIUS_MPC_H: f64 = 3.0;

fn fields() -> Vec<Field3> {
    let grid = Grid::cube(48, 72.0).expect("cells and a size");
    (0..SEEDS).map(|seed| gaussian(grid, RADIUS_MPC_H, seed)).collect()
}

#[test]
fn minkowski_functionals_of_gaussian_fields_are_the_closed_forms() {
    // Tomita 1986, as Schmalzing & Buchert 1997 have it: λ² = ⟨k²⟩ / 6π.
    let lambda = (1.5 / (RADIUS_MPC_H * RADIUS_MPC_H) / (6.0 * PI)).sqrt();
    let nu = [-2.0, -1.0, 0.0, 0.7, 1.0, 2.0];
    let found: Vec<_> = fields().iter().map(|field| minkowski(field, &nu).unwrap()).collect();
    let mean = |values: fn(&finescale_spectra::Minkowski) -> &Vec<f64>, i: usize| {
        found.iter().map(|f| values(f)[i]).sum::<f64>() / SEEDS as f64
    };
    let normal = 1.0 / (2.0 * PI).sqrt();
    let above = [0.977_250, 0.841_345, 0.5, 0.241_964, 0.158_655, 0.022_750];
    for (i, &u) in nu.iter().enumerate() {
        let bell = normal * (-0.5 * u * u).exp();
        let expected = [
            above[i],
            2.0 / 3.0 * lambda * bell,
            2.0 / 3.0 * lambda * lambda * u * bell,
            lambda.powi(3) * (u * u - 1.0) * bell,
        ];
        let values = [
            mean(|f| &f.volume, i),
            mean(|f| &f.area_h_mpc, i),
            mean(|f| &f.curvature_h_mpc2, i),
            mean(|f| &f.euler_h_mpc3, i),
        ];
        // Tolerances: the scatter of twelve boxes and, from V1 on, what the lattice loses: 2 %, 4 %, 5 % of the
        // largest value.
        let largest =
            [1.0, 2.0 / 3.0 * lambda * normal, 2.0 / 3.0 * lambda.powi(2) * 0.242, lambda.powi(3) * normal];
        for order in 0..4 {
            let miss = (values[order] - expected[order]) / largest[order];
            assert!(miss.abs() < [0.015, 0.04, 0.08, 0.11][order], "V{order}({u}): off by {miss}");
        }
    }
}

#[test]
fn peaks_of_gaussian_fields_are_as_many_as_expected() {
    // Bardeen, Bond, Kaiser & Szalay 1986, ApJ 304, 15, n_pk(-∞) = 0.016 R*^−3: n = (29 − 6 √6) / (5^(3/2) 2
    // (2π)²) R*^−3, R* = √3 σ1 / σ2.
    let scale = (3.0f64 * 1.5 / 3.75).sqrt() * RADIUS_MPC_H;
    let per_volume = (29.0 - 6.0 * 6f64.sqrt()) / (5f64.powf(1.5) * 2.0 * (2.0 * PI).powi(2)) / scale.powi(3);
    let expected = per_volume * 72f64.powi(3) * SEEDS as f64;
    let found: usize = fields().iter().map(|field| local_maxima(field).len()).sum();
    let ratio = found as f64 / expected;
    assert!((ratio - 1.0).abs() < 4.0 / expected.sqrt(), "{found} peaks for {expected}");
}

#[test]
fn peaks_are_counted_in_the_logarithm_in_units_of_its_deviation() {
    // The logarithm of a lognormal field is Gaussian whatever its amplitude.
    let field = &fields()[0];
    let [weak, strong] =
        [0.1f32, 2.0].map(|a| peak_counts(&field.map(|g| (a * g).exp()), &[0.0, 1.0, 2.5]).unwrap());
    assert_eq!(weak, strong);
    assert!(weak.counts[0] > weak.counts[1] && weak.counts[1] > weak.counts[2], "{weak:?}");
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let fields = fields();
    let [a, b] = [&fields[0], &fields[1]].map(|field| field.map(f32::exp));
    let with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let voids = find_voids(&a, &[12.0, 8.0, 6.0], -0.3).unwrap();
            assert!(!voids.voids.is_empty());
            (
                peak_counts(&a, &[0.0, 1.0, 2.5]).unwrap(),
                minkowski(&a, &[0.5, 2.0]).unwrap(),
                voids,
                scattering(&a, 3).unwrap(),
                wasserstein(&a, &b).unwrap(),
            )
        })
    };
    assert_eq!(with_threads(1), with_threads(4));
}

#[test]
fn gaussian_fields_vary_evenly_and_lognormal_ones_in_few_places() {
    let fields = fields();
    let mean = |values: &dyn Fn(&Field3) -> f64| fields.iter().map(values).sum::<f64>() / SEEDS as f64;
    // ⟨|g|⟩ = √(2/π) σ.
    for scale in 0..2 {
        let sparsity = mean(&|g| scattering(g, 2).unwrap().sparsity[scale]);
        assert!((sparsity - (2.0 / PI).sqrt()).abs() < 0.01, "{sparsity} at scale {scale}");
    }
    let [even, clumped] =
        [0.1f32, 1.5].map(|a| mean(&|g| scattering(&g.map(|g| (a * g).exp()), 2).unwrap().sparsity[0]));
    assert!(clumped < 0.8 * even, "{clumped} against {even}");
}
