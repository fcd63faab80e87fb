//! Power, multipoles and error bars of Gaussian fields that were made to order.

mod common;

use common::{fixed_amplitudes, from_formula, gaussian, length};
use finescale_field::{Boundary, Field3, Grid, Scheme};
use finescale_spectra::{
    Bands, FLOOR_DENSITY, LineOfSight, Modes, SpectraError, Spectrum, bootstrap_errors, fft::frequency,
    fundamental_h_mpc, nyquist_h_mpc, power_in_blocks, power_spectrum,
};
use std::f64::consts::TAU;

/// f32 fields there and back.
const FFT_REL: f64 = 1e-4;

fn uneven() -> Grid {
    Grid::new([36, 40, 48], [90.0, 100.0, 110.0]).expect("cells and sizes")
}

#[test]
fn a_gaussian_field_has_the_power_it_was_made_with() {
    let law = |k: f64| 40.0 * k.powf(-1.5); // (Mpc/h)^3
    let spectrum = power_spectrum(&gaussian(uneven(), 4, |k| law(length(k))), None).unwrap();
    let (mut chi2, mut bins) = (0.0, 0.0);
    for ((&k, &power), &modes) in spectrum.k_h_mpc.iter().zip(&spectrum.power).zip(&spectrum.modes) {
        // From 200 modes on, a shell is thin enough for the power at its mean k.
        if modes > 200 {
            chi2 += modes as f64 * (power / law(k) - 1.0).powi(2);
            bins += 1.0;
        }
    }
    let deviation = (chi2 - bins) / (2.0_f64 * bins).sqrt();
    assert!(bins > 15.0 && deviation.abs() < 3.5, "chi2 {chi2} of {bins} bins");
}

#[test]
fn a_lognormal_field_has_the_logarithm_it_was_made_of() {
    let gaussian = gaussian(uneven(), 4, |k| 4.0 * length(k).powf(-1.5));
    let lognormal = gaussian.map(|f| (f64::from(f) - 2.0).exp() as f32);
    assert!(lognormal.as_slice().iter().all(|&density| density > FLOOR_DENSITY));
    let (made_of, found) =
        (Modes::new(&gaussian, None).unwrap(), Modes::from_log_density(&lognormal).unwrap());
    for (expected, found) in made_of.power().power.iter().zip(found.power().power) {
        assert!((found / expected - 1.0).abs() < FFT_REL, "{found} {expected}");
    }
    // The density itself has another power.
    let (density, logarithm) = (Modes::new(&lognormal, None).unwrap().power(), made_of.power());
    assert!(density.ratio(&logarithm).iter().any(|ratio| (ratio - 1.0).abs() > 0.1));
}

#[test]
fn kaiser_multipoles() {
    // P(k, μ) = (1 + β μ²)² P: Kaiser 1987, MNRAS 227, 1; multipoles: Hamilton 1992, ApJ 385, L5.
    let (beta, power) = (1.0, 25.0);
    let expected = [
        (1.0 + 2.0 / 3.0 * beta + beta * beta / 5.0) * power,
        (4.0 / 3.0 * beta + 4.0 / 7.0 * beta * beta) * power,
        8.0 / 35.0 * beta * beta * power,
    ];
    /// Shells of a lattice are not smooth spheres: P_l against P_0. A wrong axis is 50 times more.
    const LATTICE: f64 = 0.01;
    let grid = Grid::new([40, 48, 44], [80.0, 90.0, 85.0]).unwrap();
    let bands = Bands::logarithmic(0.5, 1.5, 1).unwrap();
    for (axis, line_of_sight) in [LineOfSight::X, LineOfSight::Y, LineOfSight::Z].into_iter().enumerate() {
        let law = |k: [f64; 3]| (1.0 + beta * (k[axis] / length(k)).powi(2)).powi(2) * power;
        let modes = Modes::new(&fixed_amplitudes(grid, 9, law), None).unwrap();
        let banded = modes.multipoles_in(line_of_sight, &bands);
        for (l, found) in [banded.monopole, banded.quadrupole, banded.hexadecapole].into_iter().enumerate() {
            for found in found {
                let miss = (found - expected[l]) / expected[0];
                assert!(miss.abs() < LATTICE, "P_{} along {axis}: {found} for {}", 2 * l, expected[l]);
            }
        }
        // Shell by shell against the plain sum over all modes of the lattice.
        let found = modes.multipoles(line_of_sight);
        let plain = plain_multipoles(&grid, axis, law);
        assert_eq!(found.modes.len(), plain.len());
        for (bin, plain) in plain.iter().enumerate() {
            let three = [found.monopole[bin], found.quadrupole[bin], found.hexadecapole[bin]];
            for (found, plain) in three.iter().zip(plain) {
                assert!((found - plain).abs() < FFT_REL * expected[0], "bin {bin}: {found} for {plain}");
            }
        }
    }
}

/// Means over the shells of all modes, in the order of |k|.
fn plain_multipoles(grid: &Grid, axis: usize, power: impl Fn([f64; 3]) -> f64) -> Vec<[f64; 3]> {
    let [nx, ny, nz] = grid.cells();
    let fundamental = fundamental_h_mpc(grid);
    let mut shells: Vec<([f64; 3], f64)> = Vec::new();
    for m in 1..grid.voxels() {
        let index = [m / (ny * nz), m / nz % ny, m % nz];
        let k: [f64; 3] = std::array::from_fn(|a| {
            frequency(index[a], [nx, ny, nz][a]) as f64 * TAU / grid.box_size_mpc_h()[a]
        });
        // A pair is one mode; those that are their own pair count whole.
        let alone = (0..3).all(|a| index[a] == 0 || 2 * index[a] == grid.cells()[a]);
        let weight = if alone { 1.0 } else { 0.5 };
        let shell = (length(k) / fundamental + 1e-9) as usize;
        shells.resize(shells.len().max(shell + 1), ([0.0; 3], 0.0));
        let mu2 = (k[axis] / length(k)).powi(2);
        let legendre = [1.0, 2.5 * (3.0 * mu2 - 1.0), 1.125 * (35.0 * mu2 * mu2 - 30.0 * mu2 + 3.0)];
        for (sum, legendre) in shells[shell].0.iter_mut().zip(legendre) {
            *sum += weight * legendre * power(k);
        }
        shells[shell].1 += weight;
    }
    let filled = shells.into_iter().filter(|(_, modes)| *modes > 0.0);
    filled.map(|(sums, modes)| sums.map(|sum| sum / modes)).collect()
}

#[test]
fn the_monopole_is_the_power_spectrum_and_isotropy_has_no_quadrupole() {
    let modes = Modes::new(&fixed_amplitudes(uneven(), 2, |_| 3.0), None).unwrap();
    let (found, power) = (modes.multipoles(LineOfSight::Y), modes.power());
    assert_eq!((&found.monopole, &found.modes), (&power.power, &power.modes));
    for ((p2, &k), &modes) in found.quadrupole.iter().zip(&found.k_h_mpc).zip(&found.modes) {
        // Beyond Nyquist only the corners of the cube are left of a shell.
        if modes > 500 && k < nyquist_h_mpc(&uneven()) {
            assert!(p2.abs() < 0.1 * 3.0, "{k} h/Mpc: {p2}");
        }
    }
    let less = found.minus(&power);
    assert!(less.monopole.iter().all(|&p| p == 0.0) && less.quadrupole == found.quadrupole);
}

#[test]
fn a_density_keeps_its_units_and_counts_lose_theirs() {
    let field = gaussian(uneven(), 3, |_| 0.5).map(|v| v.max(0.0));
    let part = field.mean();
    let power = |modes: Result<Modes, SpectraError>| modes.unwrap().power().power;
    let ratios = |a: Vec<f64>, b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a / b).collect() };
    let close = |ratios: Vec<f64>, to: f64| ratios.iter().all(|ratio| (ratio / to - 1.0).abs() < FFT_REL);
    let whole = power(Modes::new(&field, None));
    // Ten per cent too much of everything is 21 % too much power, and none of the fluctuations of counts.
    assert!(close(ratios(power(Modes::new(&field.map(|v| 1.1 * v), None)), &whole), 1.21));
    let over_mean = power(Modes::over_mean(&field.map(|v| 1.1 * v), None));
    assert!(close(ratios(whole, &over_mean), part * part));
}

#[test]
fn a_part_of_a_box_has_its_power_and_no_jump_at_its_faces() {
    // A steep spectrum: what leaks from the largest waves is much of the small ones.
    let law = |k: [f64; 3]| 0.1 * length(k).powi(-3);
    let whole = gaussian(Grid::cube(64, 64.0).unwrap(), 5, law);
    let bands = Bands::logarithmic(1.0, 2.5, 2).unwrap();
    let expected = Modes::new(&whole, None).unwrap().power_in(&bands).power;
    // The mean over all octants.
    let of = |boundary| -> Vec<f64> {
        let octants = whole.blocks(2).unwrap();
        let power = octants.map(|part| Modes::within(&part, None, boundary).unwrap().power_in(&bands).power);
        let power: Vec<Vec<f64>> = power.collect();
        (0..2).map(|band| power.iter().map(|p| p[band]).sum::<f64>() / 8.0).collect()
    };
    let (sharp, soft) = (of(Boundary::Periodic), of(Boundary::Open));
    for band in 0..2 {
        let off = |power: &[f64]| (power[band] / expected[band] - 1.0).abs();
        assert!(off(&soft) < 0.1 && off(&sharp) > 2.0 * off(&soft), "{sharp:?} {soft:?} {expected:?}");
    }
}

#[test]
fn planes_give_the_bits_of_the_whole_field() {
    let field = gaussian(Grid::new([6, 5, 9], [10.0; 3]).unwrap(), 1, |_| 1.0);
    let by_plane = Modes::from_planes(*field.grid(), Some(Scheme::Tsc), Boundary::Open, |x, plane| {
        plane.copy_from_slice(&field.as_slice()[x * 45..(x + 1) * 45]);
        Ok::<_, SpectraError>(())
    });
    let whole = Modes::within(&field, Some(Scheme::Tsc), Boundary::Open).unwrap();
    assert_eq!(by_plane.unwrap().power(), whole.power());
    let empty = Modes::from_planes(*field.grid(), None, Boundary::Periodic, |_, _| Ok::<_, SpectraError>(()));
    assert!(matches!(empty, Err(SpectraError::NotADensity { .. })));
    let broken = Modes::from_planes(*field.grid(), None, Boundary::Periodic, |x, _| match x {
        3 => Err(SpectraError::Percentile { found: 3.0 }),
        _ => Ok(()),
    });
    assert_eq!(broken.unwrap_err(), SpectraError::Percentile { found: 3.0 });
}

/// Bootstrap errors of the blocks' mean power, band by band.
fn errors_of_means(blocks: &[Spectrum], resamples: usize, seed: u64) -> Vec<f64> {
    let mean = |drawn: &[usize], band: usize| {
        drawn.iter().map(|&block| blocks[block].power[band]).sum::<f64>() / drawn.len() as f64
    };
    let means = |drawn: &[usize]| (0..blocks[0].len()).map(|band| mean(drawn, band)).collect();
    bootstrap_errors(blocks.len(), resamples, seed, means).expect("blocks and resamples enough")
}

fn white() -> Field3 {
    gaussian(Grid::cube(48, 96.0).expect("cells and a size"), 6, |_| 5.0)
}

#[test]
fn errors_of_white_noise_are_those_of_its_modes() {
    let bands = Bands::logarithmic(0.5, 1.5, 2).unwrap();
    let blocks = power_in_blocks(&white(), None, 4, &bands).unwrap();
    assert_eq!(blocks.len(), 64);
    let found = errors_of_means(&blocks, 400, 3);
    for (band, (found, modes)) in found.iter().zip(&blocks[0].modes).enumerate() {
        // A mode's power has a relative scatter of 1.
        let expected = 5.0 / (64.0 * *modes as f64).sqrt();
        let ratio = found / expected;
        /// 64 blocks know a scatter to 1 / √126, 9 %.
        const FEW_BLOCKS: f64 = 0.3;
        assert!((ratio - 1.0).abs() < FEW_BLOCKS, "band {band}: {ratio}");
    }
}

#[test]
fn errors_depend_on_the_seed_only() {
    let bands = Bands::logarithmic(0.5, 1.5, 2).unwrap();
    let errors = |threads, seed| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| errors_of_means(&power_in_blocks(&white(), None, 3, &bands).unwrap(), 50, seed))
    };
    assert_eq!(errors(1, 7), errors(4, 7));
    assert_ne!(errors(1, 7), errors(1, 8));
}

#[test]
fn blocks_that_are_all_alike_have_no_error() {
    let tile = |i: usize| (i % 8) as f64;
    let field =
        from_formula(Grid::cube(16, 16.0).unwrap(), |i, j, k| 1.0 + 0.1 * tile(i) + 0.05 * tile(j) * tile(k));
    let bands = Bands::logarithmic(0.8, 3.0, 3).unwrap();
    let blocks = power_in_blocks(&field, None, 2, &bands).unwrap();
    for (error, power) in errors_of_means(&blocks, 20, 1).iter().zip(&blocks[0].power) {
        assert!(error / power < FFT_REL, "{error} of {power}");
    }
}

#[test]
fn blocks_that_do_not_fit_are_refused() {
    let bands = Bands::logarithmic(0.5, 1.5, 2).unwrap();
    for blocks in [0, 5] {
        let found = power_in_blocks(&white(), None, blocks, &bands);
        assert!(matches!(found, Err(SpectraError::SubVolumes { .. })));
    }
    let one = bootstrap_errors(1, 20, 1, |_| vec![]);
    assert_eq!(one, Err(SpectraError::Resamples { blocks: 1, resamples: 20 }));
    assert!(matches!(bootstrap_errors(8, 1, 1, |_| vec![]), Err(SpectraError::Resamples { .. })));
}
