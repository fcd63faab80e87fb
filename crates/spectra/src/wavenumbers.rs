//! The wavenumbers that a grid resolves.

use finescale_field::Grid;
use std::f64::consts::{PI, TAU};

/// The smallest wavenumber of a box in h/Mpc: 2π over its longest side.
#[must_use]
pub fn fundamental_h_mpc(grid: &Grid) -> f64 {
    TAU / longest_mpc_h(grid)
}

/// The Nyquist wavenumber of a grid in h/Mpc, of its coarsest axis: π over the voxel size.
#[must_use]
pub fn nyquist_h_mpc(grid: &Grid) -> f64 {
    PI / grid.voxel_mpc_h().into_iter().fold(0.0, f64::max)
}

/// The longest side of the box in Mpc/h.
pub(crate) fn longest_mpc_h(grid: &Grid) -> f64 {
    grid.box_size_mpc_h().into_iter().fold(0.0, f64::max)
}
