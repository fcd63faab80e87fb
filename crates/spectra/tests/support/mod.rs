//! Fields with known statistics for the tests of this folder.

use finescale_field::{Field3, Grid};
use finescale_seed::{KeyedStream, Purpose};
use finescale_spectra::{Kernel, Smoother};
use ndarray::Array3;
use std::f64::consts::PI;

/// White noise of unit variance.
pub(crate) fn white(grid: Grid, seed: u64) -> Field3 {
    let mut values = vec![0f32; grid.voxels()];
    KeyedStream::new(seed, Purpose::Points).fill_normal(0, 0, &mut values);
    let values = Array3::from_shape_vec(grid.cells(), values).expect("one value per voxel");
    Field3::new(grid, values).expect("the grid's own shape")
}

/// A Gaussian field of unit variance with correlation ξ(r) = exp(−r² / 4R²), R in Mpc/h and some voxels: white
/// noise smoothed by a Gaussian, whose variance is that of a voxel times ∫ W² = (4π R²)^(−3/2). So ⟨k²⟩ = 3 /
/// 2R² and ⟨k⁴⟩ = 15 / 4R⁴.
pub(crate) fn gaussian(grid: Grid, radius_mpc_h: f64, seed: u64) -> Field3 {
    let voxel_mpc_h3 = grid.volume_mpc_h3() / grid.voxels() as f64;
    let deviation = (voxel_mpc_h3 / (4.0 * PI * radius_mpc_h * radius_mpc_h).powf(1.5)).sqrt();
    let smoother = Smoother::new(&white(grid, seed)).expect("finite values");
    let smoothed = smoother.smooth(Kernel::Gaussian, radius_mpc_h).expect("a radius");
    smoothed.map(|value| (f64::from(value) / deviation) as f32)
}
