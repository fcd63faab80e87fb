//! Bispectra that are known beforehand.

mod common;

use common::{fixed_amplitudes, from_formula, gaussian, length};
use finescale_field::{Field3, Grid, Scheme};
use finescale_spectra::{
    Modes, SpectraError, TriangleBins, bispectrum, equilateral, fundamental_h_mpc, isosceles, power_spectrum,
    squeezed, triangles_by_angle,
};
use std::f64::consts::{PI, TAU};

/// f32 transforms.
const FFT_REL: f64 = 1e-5;

/// 1 + A (cos k1·x + cos k2·x + cos(k3·x + φ)) with k1 + k2 + k3 = 0; amplitudes smoothed by `window`.
fn three_waves(grid: Grid, n: [[i64; 3]; 2], amplitude: f64, phase: f64, window: Option<Scheme>) -> Field3 {
    let third = std::array::from_fn(|a| -n[0][a] - n[1][a]);
    let cells = grid.cells().map(|n| n as f64);
    from_formula(grid, |i, j, k| {
        let x = [i as f64, j as f64, k as f64];
        let wave = |n: [i64; 3], phase: f64| {
            let turns: f64 = (0..3).map(|a| n[a] as f64 * x[a] / cells[a]).sum();
            let smoothing: f64 = (0..3)
                .map(|a| PI * n[a] as f64 / cells[a])
                .map(|x| if x == 0.0 { 1.0 } else { x.sin() / x })
                .product();
            let order = window.map_or(0, |scheme| scheme.order() as i32);
            smoothing.powi(order) * amplitude * (TAU * turns + phase).cos()
        };
        1.0 + wave(n[0], 0.0) + wave(n[1], 0.0) + wave(third, phase)
    })
}

#[test]
fn three_waves_are_one_triangle() {
    // Modes of A/2 each: the triangle and its negative, V² · 2 (A/2)³ cos φ over all triples of the bin.
    let grid = Grid::new([24, 20, 30], [60.0, 50.0, 70.0]).unwrap();
    let (n, amplitude, phase) = ([[3, 0, 0], [0, 3, 1]], 0.3, 0.4);
    let side = |n: [i64; 3]| -> f64 {
        length(std::array::from_fn(|a| n[a] as f64 * TAU / grid.box_size_mpc_h()[a]))
    };
    let sides = [side(n[0]), side(n[1]), side([3, 3, 1])];
    let half_width = 0.3 * fundamental_h_mpc(&grid);
    assert!(
        (0..3).all(|a| (sides[a] - sides[(a + 1) % 3]).abs() > 2.0 * half_width),
        "no wave in two shells"
    );
    let bins = TriangleBins::new(&grid, &[sides], half_width).unwrap();
    for window in [None, Some(Scheme::Cic), Some(Scheme::Pcs)] {
        let modes = Modes::new(&three_waves(grid, n, amplitude, phase, window), window).unwrap();
        let found = bins.measure(&modes).unwrap();
        let sum = 2.0 * (amplitude / 2.0).powi(3) * phase.cos();
        let expected = grid.volume_mpc_h3().powi(2) * sum / found.triangles[0] as f64; // (Mpc/h)^6
        let ratio = found.bispectrum[0] / expected;
        assert!((ratio - 1.0).abs() < FFT_REL, "{window:?}: {ratio}");
        let [a, b, c] = found.power[0];
        let reduced = found.bispectrum[0] / (a * b + b * c + c * a);
        assert!((found.reduced[0] / reduced - 1.0).abs() < 1e-12);
    }
}

#[test]
fn shells_have_the_power_of_their_modes() {
    let grid = Grid::cube(32, 50.0).unwrap();
    let field = gaussian(grid, 5, |k| 10.0 / length(k));
    let k = fundamental_h_mpc(&grid);
    // A shell [4, 5) k_F is one of the power spectrum's; both of each pair weigh the same.
    let bins = TriangleBins::new(&grid, &equilateral(&[4.5 * k]), 0.5 * k).unwrap();
    let found = bins.measure(&Modes::new(&field, None).unwrap()).unwrap();
    let power = power_spectrum(&field, None).unwrap();
    for side in 0..3 {
        assert!((found.power[0][side] / power.power[3] - 1.0).abs() < FFT_REL);
    }
}

#[test]
fn a_squared_gaussian_field_has_the_local_bispectrum() {
    // δ = g + f (g² − ⟨g²⟩): B = 2 f (P1 P2 + P2 P3 + P3 P1) + O(f³), as Komatsu & Spergel 2001,
    // arXiv:astro-ph/0005036, have it for the potential. The part odd in g drops out of B[g] + B[−g].
    let grid = Grid::cube(48, 60.0).unwrap();
    let k = fundamental_h_mpc(&grid);
    let (f, cut) = (0.05, 12.0 * k);
    let mut shapes = triangles_by_angle(3.1 * k, 4.3 * k, &[0.4, 1.2, 2.0, 2.6]);
    shapes.extend(isosceles(4.0 * k, &[0.9, 2.0]));
    shapes.extend(squeezed(1.6 * k, &[6.4 * k, 7.4 * k]));
    shapes.extend(equilateral(&[3.0 * k, 5.2 * k, 7.0 * k]));
    // Thin shells: over a wide one the mean of products is not the product of means.
    let bins = TriangleBins::new(&grid, &shapes, 0.7 * k).unwrap();
    const BOXES: u64 = 48;
    let mut ratios = vec![Vec::new(); shapes.len()];
    for seed in 0..BOXES {
        // No waves beyond half of Nyquist: g² has no alias.
        let g = fixed_amplitudes(grid, seed, |k| if length(k) < cut { 2.0 / (1.0 + length(k)) } else { 0.0 });
        let squares: f64 = g.as_slice().iter().map(|&v| f64::from(v - 1.0).powi(2)).sum();
        let variance = squares / grid.voxels() as f64;
        let linear = bins.measure(&Modes::new(&g, None).unwrap()).unwrap();
        let [plus, minus] = [1.0, -1.0].map(|sign| {
            let field = g.map(|value| {
                let g = sign * f64::from(value - 1.0);
                (1.0 + g + f * (g * g - variance)) as f32
            });
            bins.measure(&Modes::new(&field, None).unwrap()).unwrap().bispectrum
        });
        for (bin, [a, b, c]) in linear.power.iter().enumerate() {
            ratios[bin].push((plus[bin] + minus[bin]) / (4.0 * f * (a * b + b * c + c * a)));
        }
    }
    let mut all = 0.0;
    for (shape, ratios) in shapes.iter().zip(&ratios) {
        let mean = ratios.iter().sum::<f64>() / BOXES as f64;
        let squares: f64 = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum();
        let error = (squares / (BOXES * (BOXES - 1)) as f64).sqrt();
        assert!((mean - 1.0).abs() < 3.5 * error, "{shape:?}: {mean} +- {error}");
        all += mean / shapes.len() as f64;
    }
    /// Boxes scatter by 3 % per shape.
    const SAMPLE: f64 = 0.03;
    assert!((all - 1.0).abs() < SAMPLE, "{all}");
}

#[test]
fn a_gaussian_field_has_none() {
    let grid = Grid::cube(36, 60.0).unwrap();
    let k = fundamental_h_mpc(&grid);
    let (mut chi2, mut bins) = (0.0, 0.0);
    for seed in 0..4 {
        let field = gaussian(grid, 100 + seed, |_| 3.0);
        let found = bispectrum(&field, None, &equilateral(&[3.0 * k, 5.5 * k, 8.0 * k])).unwrap();
        for (b, &count) in found.bispectrum.iter().zip(&found.triangles) {
            // var B = 6 V P³ / triples for equal shells, where a triangle comes in six orders.
            let variance = 6.0 * grid.volume_mpc_h3() * 27.0 / count as f64;
            chi2 += b * b / variance;
            bins += 1.0;
        }
    }
    let deviation = (chi2 - bins) / (2.0_f64 * bins).sqrt();
    assert!(deviation.abs() < 3.5, "chi2 {chi2} of {bins}");
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let field = gaussian(Grid::new([20, 24, 18], [30.0, 40.0, 27.0]).unwrap(), 1, |_| 1.0);
    let k = fundamental_h_mpc(field.grid());
    let with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| bispectrum(&field, None, &triangles_by_angle(2.0 * k, 3.0 * k, &[0.5, 1.5])).unwrap())
    };
    assert_eq!(with_threads(1), with_threads(4));
}

#[test]
fn a_cross_bispectrum_is_linear_in_each_field() {
    let grid = Grid::cube(32, 40.0).unwrap();
    let k = fundamental_h_mpc(&grid);
    let field = gaussian(grid, 7, |k| 1.0 / length(k));
    let skewed = field.map(|v| 1.0 + (v - 1.0) + 0.5 * (v - 1.0) * (v - 1.0));
    let twice = skewed.map(|v| 1.0 + 2.0 * (v - 1.0));
    let other = gaussian(grid, 8, |k| 1.0 / length(k));
    let [a, b, c] = [&skewed, &twice, &other].map(|field| Modes::new(field, None).unwrap());
    let bins = TriangleBins::new(&grid, &triangles_by_angle(3.0 * k, 4.0 * k, &[1.0, 2.0]), 0.8 * k).unwrap();
    let measure = |fields: [&Modes; 3]| bins.measure_cross(fields).unwrap().bispectrum;
    let own = bins.measure(&a).unwrap();
    for (bin, value) in own.bispectrum.iter().enumerate() {
        for (factor, fields) in
            [(2.0, [&a, &a, &b]), (2.0, [&b, &a, &a]), (4.0, [&a, &b, &b]), (8.0, [&b; 3])]
        {
            assert!((measure(fields)[bin] / value - factor).abs() < FFT_REL * factor);
        }
        assert!((measure([&c, &a, &a])[bin] / value - 1.0).abs() > 0.1);
    }
    let powers = bins.measure_cross([&a, &b, &c]).unwrap().power;
    assert!((powers[0][1] / bins.measure(&b).unwrap().power[0][1] - 1.0).abs() < FFT_REL);
}

#[test]
fn modes_of_another_grid_are_refused() {
    let grid = Grid::cube(24, 30.0).unwrap();
    let bins = TriangleBins::new(&grid, &equilateral(&[0.8]), 0.2).unwrap();
    let other = gaussian(Grid::cube(24, 31.0).unwrap(), 1, |_| 1.0);
    let found = bins.measure(&Modes::new(&other, None).unwrap());
    assert!(matches!(found, Err(SpectraError::Grids { .. })));
    assert!(matches!(bispectrum(&other, None, &equilateral(&[3.0])), Err(SpectraError::Triangle { .. })));
}
