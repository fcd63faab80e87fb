//! Particles on interlaced meshes, and their shot noise.

mod common;

use common::points;
use finescale_field::{Depositor, FieldError, Grid, Scheme};
use finescale_spectra::{InterlacedDepositor, Modes, ShotNoise, SpectraError, nyquist_h_mpc};
use std::f64::consts::TAU;

/// Particles in a row across the box, along x, whose weights are a wave of `waves` wavelengths.
fn wave(grid: &Grid, waves: f64, amplitude: f64) -> (Vec<[f64; 3]>, Vec<f32>) {
    const PER_VOXEL: usize = 512;
    let [nx, ny, nz] = grid.cells();
    let voxel = grid.voxel_mpc_h();
    let mut positions = Vec::new();
    let mut weights = Vec::new();
    for (i, j, k) in
        (0..nx * PER_VOXEL).flat_map(|i| (0..ny).flat_map(move |j| (0..nz).map(move |k| (i, j, k))))
    {
        let x = (i as f64 + 0.5) / PER_VOXEL as f64;
        positions.push([x * voxel[0], (j as f64 + 0.5) * voxel[1], (k as f64 + 0.5) * voxel[2]]);
        weights.push((1.0 + amplitude * (TAU * waves * x / nx as f64).cos()) as f32);
    }
    (positions, weights)
}

fn interlaced(grid: Grid, scheme: Scheme, positions: &[[f64; 3]], weights: Option<&[f32]>) -> Modes {
    let mut depositor = InterlacedDepositor::new(grid, scheme).expect("a test is small");
    depositor.add(positions, weights).expect("finite particles");
    depositor.finish().expect("particles with mass")
}

fn single(grid: Grid, scheme: Scheme, positions: &[[f64; 3]], weights: Option<&[f32]>) -> Modes {
    let mut depositor = Depositor::new(grid, scheme).expect("a test is small");
    depositor.add(positions, weights).expect("finite particles");
    Modes::over_mean(&depositor.finish(), Some(scheme)).expect("particles with mass")
}

/// Power times modes, summed: V A²/4 for a wave of amplitude A.
fn total(modes: &Modes) -> f64 {
    let power = modes.power();
    power.power.iter().zip(&power.modes).map(|(p, &m)| p * m as f64).sum()
}

/// A row of 512 particles per voxel is nearly a wave.
const GRAINY: f64 = 0.01;

#[test]
fn a_wave_below_nyquist_keeps_its_power_and_its_place() {
    let grid = Grid::new([12, 3, 2], [24.0, 6.0, 5.0]).unwrap();
    let expected = grid.volume_mpc_h3() * 0.25 / 4.0;
    for scheme in Scheme::ALL {
        let (positions, weights) = wave(&grid, 4.0, 0.5);
        let once = single(grid, scheme, &positions, Some(&weights));
        let twice = interlaced(grid, scheme, &positions, Some(&weights));
        assert!((total(&twice) / expected - 1.0).abs() < GRAINY, "{scheme}");
        // The phase is that of the mesh that did not move.
        let cross = once.cross(&twice).unwrap();
        let sum: f64 = cross.power.iter().zip(&cross.modes).map(|(p, &m)| p * m as f64).sum();
        assert!((sum / expected - 1.0).abs() < GRAINY, "{scheme}: {sum} for {expected}");
    }
}

#[test]
fn a_wave_above_nyquist_leaves_no_alias() {
    let grid = Grid::new([12, 3, 2], [24.0, 6.0, 5.0]).unwrap();
    // 9 waves on 12 cells look like 3 waves.
    let (positions, weights) = wave(&grid, 9.0, 0.5);
    for scheme in Scheme::ALL {
        let unit = grid.volume_mpc_h3() * 0.25 / 4.0;
        let aliased = total(&single(grid, scheme, &positions, Some(&weights))) / unit;
        // W(9)/W(3) to the power of two.
        let expected = (1.0_f64 / 3.0).powi(2 * scheme.order() as i32);
        assert!((aliased / expected - 1.0).abs() < GRAINY, "{scheme}: {aliased} for {expected}");
        let left = total(&interlaced(grid, scheme, &positions, Some(&weights))) / unit;
        assert!(left < 1e-3 * expected, "{scheme}: {left}");
    }
}

#[test]
fn poisson_points_have_their_shot_noise_and_nothing_else() {
    let grid = Grid::new([24, 32, 30], [60.0, 80.0, 75.0]).unwrap();
    let positions = points(&grid, 60_000, 11);
    let weights: Vec<f32> = (0..positions.len()).map(|i| 0.5 + (i % 4) as f32).collect();
    for weights in [None, Some(&weights[..])] {
        let mut poisson = ShotNoise::default();
        poisson.add(positions.len(), weights);
        let level = poisson.power_mpc_h3(&grid);
        for scheme in Scheme::ALL {
            for modes in
                [single(grid, scheme, &positions, weights), interlaced(grid, scheme, &positions, weights)]
            {
                let (power, noise) = (modes.power(), modes.shot_noise(level, scheme));
                let (mut chi2, mut bins) = (0.0, 0.0);
                for (b, &k) in power.k_h_mpc.iter().enumerate() {
                    // Modes beyond Nyquist are hardly resolved: their noise differs much within a shell.
                    if k < nyquist_h_mpc(&grid) {
                        chi2 += power.modes[b] as f64 * (power.power[b] / noise.power[b] - 1.0).powi(2);
                        bins += 1.0;
                    }
                }
                let deviation = (chi2 - bins) / (2.0_f64 * bins).sqrt();
                assert!(bins > 10.0 && deviation.abs() < 3.5, "{scheme}: chi2 {chi2} of {bins} bins");
                let rest = power.minus(&noise);
                assert_eq!(rest.modes, power.modes);
                assert_eq!(rest.power[3], power.power[3] - noise.power[3]);
            }
        }
    }
}

#[test]
fn pieces_give_the_same_bits() {
    let grid = Grid::cube(8, 10.0).unwrap();
    let positions = points(&grid, 500, 3);
    let weights: Vec<f32> = (0..500).map(|i| 1.0 + (i % 3) as f32).collect();
    let mut pieces = InterlacedDepositor::new(grid, Scheme::Tsc).unwrap();
    pieces.add(&positions[..123], Some(&weights[..123])).unwrap();
    pieces.add(&positions[123..], Some(&weights[123..])).unwrap();
    let whole = interlaced(grid, Scheme::Tsc, &positions, Some(&weights));
    assert_eq!(pieces.finish().unwrap().power(), whole.power());
}

#[test]
fn particles_that_are_none_are_refused() {
    let grid = Grid::cube(8, 10.0).unwrap();
    let mut depositor = InterlacedDepositor::new(grid, Scheme::Cic).unwrap();
    let bad = depositor.add(&[[1.0, 2.0, 3.0], [f64::NAN, 0.0, 0.0]], None);
    assert_eq!(bad, Err(FieldError::NotFinite { index: 1 }));
    let empty = InterlacedDepositor::new(grid, Scheme::Cic).unwrap().finish();
    assert!(matches!(empty, Err(SpectraError::NotADensity { .. })));
}
