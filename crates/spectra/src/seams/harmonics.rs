//! Waves that repeat with the tiles.

use super::SeamScore;
use crate::fft::{Fft3, frequency};
use crate::fundamental_h_mpc;
use crate::smoothing::squared_wavenumbers;
use finescale_field::{Field3, TileFaces};
use rayon::prelude::*;
use std::f64::consts::TAU;

/// Harmonics reach this fraction of the Nyquist wavenumber: beyond, mass assignment is not isotropic.
const OF_NYQUIST: f64 = 0.5;
/// Standard normal quantile of 97.5 %.
const QUANTILE: f64 = 1.959_964;

/// Mean over harmonics of power along the axis over isotropic power; `means`: of f, by axis and plane.
pub(super) fn score(f: &Field3, means: &[Vec<f64>; 3], faces: &TileFaces) -> Option<SeamScore> {
    let cells = f.grid().cells();
    let harmonics = |axis: usize| -> Vec<usize> {
        let Some(period) = faces.period(axis, cells[axis]) else { return Vec::new() };
        let tiles = cells[axis] / period;
        let last = (OF_NYQUIST * cells[axis] as f64 / 2.0) as usize;
        (1..=last / tiles).map(|harmonic| harmonic * tiles).collect()
    };
    let harmonics: [Vec<usize>; 3] = std::array::from_fn(harmonics);
    let axes_with_any = harmonics.iter().filter(|modes| !modes.is_empty()).count();
    if axes_with_any == 0 {
        return None;
    }
    let isotropic = isotropic_power(f);
    let of_axis = |axis: usize| {
        let k_h_mpc = TAU / f.grid().box_size_mpc_h()[axis];
        let ratio = |&mode: &usize| {
            power_of_wave(&means[axis], mode)
                / isotropic[shell(mode as f64 * k_h_mpc / fundamental_h_mpc(f.grid()))]
        };
        let modes = &harmonics[axis];
        (!modes.is_empty()).then(|| modes.iter().map(ratio).sum::<f64>() / modes.len() as f64)
    };
    let axes: [Option<f64>; 3] = std::array::from_fn(of_axis);
    Some(SeamScore {
        at_faces: axes.iter().flatten().sum::<f64>() / axes_with_any as f64,
        axes,
        expected: range_of_mean(&harmonics.map(|modes| modes.len()), axes_with_any),
    })
}

/// The middle 95 % of the mean over axes of means of exponential variables: a gamma distribution of that mean
/// and variance, by the cube root that is about normal.
///
/// # Source
/// Wilson & Hilferty 1931, PNAS 17, 684.
fn range_of_mean(harmonics: &[usize; 3], axes: usize) -> [f64; 2] {
    let of_axes: f64 = harmonics.iter().filter(|&&count| count > 0).map(|&count| 1.0 / count as f64).sum();
    let variance = of_axes / (axes * axes) as f64;
    [-QUANTILE, QUANTILE].map(|z| (1.0 - variance / 9.0 + z * (variance / 9.0).sqrt()).powi(3).max(0.0))
}

/// |f_k|² of the wave of `mode` periods along the axis whose plane means are given, f_k = (1/N) Σ f e^(−ik·x).
fn power_of_wave(means: &[f64], mode: usize) -> f64 {
    let n = means.len();
    let (mut re, mut im) = (0.0, 0.0);
    for (x, mean) in means.iter().enumerate() {
        let (sin, cos) = (TAU * (x * mode % n) as f64 / n as f64).sin_cos();
        re += mean * cos;
        im -= mean * sin;
    }
    (re * re + im * im) / (n * n) as f64
}

/// Shells of one fundamental, centred on its multiples.
fn shell(n: f64) -> usize {
    n.round() as usize
}

/// Mean |f_k|² by [`shell`], without the waves along an axis.
fn isotropic_power(f: &Field3) -> Vec<f64> {
    let [nx, ny, nz] = f.grid().cells();
    let half = nz / 2 + 1;
    let spectrum = Fft3::new([nx, ny, nz]).forward(f.as_slice());
    let squares = squared_wavenumbers(f.grid());
    let fundamental = fundamental_h_mpc(f.grid());
    let largest = squares.iter().flatten().copied().fold(0.0, f64::max) * 3.0;
    let shells = shell(largest.sqrt() / fundamental) + 1;
    let of_plane = |x: usize| {
        let mut sums = vec![(0.0, 0.0); shells];
        for y in 0..ny {
            for z in 0..half {
                if [x, y, z].iter().filter(|&&index| index == 0).count() >= 2 {
                    continue;
                }
                let k2 = squares[0][x] + squares[1][y] + squares[2][z];
                let mode = spectrum[(x * ny + y) * half + z];
                let sum = &mut sums[shell(k2.sqrt() / fundamental)];
                // A mode with k_z in the half-space stands for its partner, too.
                let weight = if frequency(z, nz) == 0 || 2 * z == nz { 1.0 } else { 2.0 };
                sum.0 += weight * f64::from(mode.norm_sqr());
                sum.1 += weight;
            }
        }
        sums
    };
    let planes: Vec<Vec<(f64, f64)>> = (0..nx).into_par_iter().map(of_plane).collect();
    let voxels = f.grid().voxels() as f64;
    let mut total = vec![(0.0, 0.0); shells];
    for plane in &planes {
        total.iter_mut().zip(plane).for_each(|(total, sum)| *total = (total.0 + sum.0, total.1 + sum.1));
    }
    total.into_iter().map(|(power, modes)| power / modes / (voxels * voxels)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Grid;
    use ndarray::Array3;

    #[test]
    fn a_wave_along_an_axis_has_a_quarter_of_its_amplitude_squared() {
        let means: Vec<f64> =
            (0..12).map(|x| 3.0 + 0.4 * (TAU * 3.0 * x as f64 / 12.0 + 1.0).cos()).collect();
        assert!((power_of_wave(&means, 3) - 0.04).abs() < 1e-15);
        assert!(power_of_wave(&means, 4) < 1e-28);
    }

    #[test]
    fn isotropic_power_is_the_mean_over_the_shell_without_the_axes() {
        // One wave (1, 2, 2) of 3 fundamentals in a box that is not a cube; and one along y that does not
        // count.
        let grid = Grid::new([12, 12, 24], [20.0, 20.0, 40.0]).unwrap();
        let value = |(i, j, k): (usize, usize, usize)| {
            let turns = (i as f64 + 2.0 * j as f64 + 2.0 * k as f64 / 2.0) / 12.0;
            (0.2 * (TAU * turns).cos() + 5.0 * (TAU * 3.0 * j as f64 / 12.0).cos()) as f32
        };
        let f = Field3::new(grid, Array3::from_shape_fn(grid.cells(), value)).unwrap();
        let found = isotropic_power(&f);
        // In fundamentals of 40 Mpc/h: (2, 4, 2), |n| = √24, in the shell of 5; modes counted one by one.
        let mut modes = 0.0;
        for (x, y, z) in (0..11 * 11 * 23).map(|m| (m / 253 - 5, m / 23 % 11 - 5, m % 23 - 11)) {
            let n = f64::from(4 * x * x + 4 * y * y + z * z).sqrt();
            let zeros = [x, y, z].iter().filter(|&&n: &&i32| n == 0).count();
            modes += f64::from(u8::from(zeros < 2 && n.round() == 5.0));
        }
        assert!((found[5] / (2.0 * 0.01 / modes) - 1.0).abs() < 1e-5, "{} of {modes} modes", found[5]);
        assert!(found.iter().enumerate().all(|(shell, &power)| shell == 5 || power.is_nan() || power < 1e-9));
    }

    #[test]
    fn the_range_is_that_of_a_gamma_distribution() {
        // Six exponentials: χ² of 12 degrees of freedom over 12, 4.404 and 23.337 in tables.
        let [low, high] = range_of_mean(&[2, 2, 2], 3);
        assert!((low * 12.0 - 4.404).abs() < 0.03 && (high * 12.0 - 23.337).abs() < 0.03, "{low} {high}");
        assert_eq!(range_of_mean(&[6, 0, 0], 1), [low, high]);
    }
}
