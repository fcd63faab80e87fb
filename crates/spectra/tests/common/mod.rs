//! Fields whose spectra are known.
#![allow(dead_code, reason = "each test file uses a part of this")]

use finescale_field::{Field3, Grid};
use finescale_seed::{KeyedStream, Purpose};
use finescale_spectra::{Complex32, Fft3, fft::frequency};
use ndarray::Array3;
use std::f64::consts::TAU;

pub(crate) fn stream(seed: u64) -> KeyedStream {
    KeyedStream::new(seed, Purpose::Points)
}

/// Uniform points in the box.
pub(crate) fn points(grid: &Grid, count: usize, seed: u64) -> Vec<[f64; 3]> {
    let uniform = |index: usize| stream(seed).uniform(0, index as u64);
    let point = |i: usize| std::array::from_fn(|a| grid.box_size_mpc_h()[a] * uniform(3 * i + a));
    (0..count).map(point).collect()
}

pub(crate) fn from_formula(grid: Grid, density: impl Fn(usize, usize, usize) -> f64) -> Field3 {
    let values = Array3::from_shape_fn(grid.cells(), |(i, j, k)| density(i, j, k) as f32);
    Field3::new(grid, values).expect("the grid's own shape")
}

/// White noise whose modes are multiplied by `amplitude` of their wave vectors in h/Mpc, in place of random
/// amplitudes when they are `fixed`.
fn coloured(grid: Grid, seed: u64, fixed: bool, power: impl Fn([f64; 3]) -> f64) -> Vec<f32> {
    let [nx, ny, nz] = grid.cells();
    let (half, voxels) = (nz / 2 + 1, grid.voxels());
    let mut values = vec![0f32; voxels];
    stream(seed).fill_normal(1, 0, &mut values);
    let fft = Fft3::new(grid.cells());
    let mut modes = fft.forward(&values);
    for (m, mode) in modes.iter_mut().enumerate() {
        let index = [m / (ny * half), m / half % ny, m % half];
        let n: [i64; 3] = std::array::from_fn(|a| frequency(index[a], [nx, ny, nz][a]));
        let k = std::array::from_fn(|a| n[a] as f64 * TAU / grid.box_size_mpc_h()[a]);
        // A mode of white noise has |F|² = N on average; P = V |F|² / N².
        let white = if fixed { f64::from(mode.norm()) } else { (voxels as f64).sqrt() };
        let target = if n == [0; 3] { 0.0 } else { (power(k) / grid.volume_mpc_h3()).sqrt() * voxels as f64 };
        *mode *= (target / white) as f32;
    }
    modes[0] = Complex32::new(0.0, 0.0);
    fft.inverse(&mut modes, &mut values);
    values
}

fn density(grid: Grid, contrast: Vec<f32>) -> Field3 {
    let values = Array3::from_shape_vec(grid.cells(), contrast).expect("one value per voxel");
    Field3::new(grid, values).expect("the grid's own shape").map(|delta| 1.0 + delta)
}

/// 1 + δ of a Gaussian δ of known power in (Mpc/h)³ by wave vector in h/Mpc.
pub(crate) fn gaussian(grid: Grid, seed: u64, power: impl Fn([f64; 3]) -> f64) -> Field3 {
    density(grid, coloured(grid, seed, false, power))
}

/// 1 + δ whose every mode has the known power, with random phases.
pub(crate) fn fixed_amplitudes(grid: Grid, seed: u64, power: impl Fn([f64; 3]) -> f64) -> Field3 {
    density(grid, coloured(grid, seed, true, power))
}

pub(crate) fn length(k: [f64; 3]) -> f64 {
    k.iter().map(|k| k * k).sum::<f64>().sqrt()
}
