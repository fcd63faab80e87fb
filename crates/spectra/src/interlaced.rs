//! Interlacing: two meshes half a voxel apart, whose nearest aliases cancel.

use crate::fft::{Complex32, frequency};
use crate::modes::Sampling;
use crate::{Modes, SpectraError};
use finescale_field::{Depositor, FieldError, Grid, Scheme};
use rayon::prelude::*;
use std::f64::consts::PI;

/// Particles shifted at once.
const CHUNK: usize = 1 << 20;

/// Gathers particles on two meshes, the second one for particles moved by half a voxel along each axis.
///
/// Memory: two [`Depositor`]s, 16 bytes per voxel, until [`Self::finish`].
///
/// # Source
/// Sefusatti et al. 2016, arXiv:1512.07295, sec. 3.1.
pub struct InterlacedDepositor {
    grid: Grid,
    scheme: Scheme,
    mesh: Depositor,
    half_a_voxel_on: Depositor,
}

impl InterlacedDepositor {
    /// Empty meshes that will take particles by `scheme`.
    ///
    /// # Errors
    /// [`FieldError::Memory`] if there is no room for them.
    pub fn new(grid: Grid, scheme: Scheme) -> Result<Self, FieldError> {
        let (mesh, half_a_voxel_on) = (Depositor::new(grid, scheme)?, Depositor::new(grid, scheme)?);
        Ok(Self { grid, scheme, mesh, half_a_voxel_on })
    }

    /// Adds particles, as [`Depositor::add`]; they may come in any number of pieces.
    ///
    /// # Errors
    /// Those of [`Depositor::add`].
    pub fn add<T: Into<f64> + Copy + Sync>(
        &mut self,
        positions_mpc_h: &[[T; 3]],
        weights: Option<&[f32]>,
    ) -> Result<(), FieldError> {
        self.mesh.add(positions_mpc_h, weights)?;
        let half = self.grid.voxel_mpc_h().map(|voxel| 0.5 * voxel);
        for (c, positions) in positions_mpc_h.chunks(CHUNK).enumerate() {
            let moved: Vec<[f64; 3]> =
                positions.par_iter().map(|p| std::array::from_fn(|a| p[a].into() + half[a])).collect();
            let weights = weights.map(|w| &w[c * CHUNK..c * CHUNK + positions.len()]);
            self.half_a_voxel_on.add(&moved, weights)?;
        }
        Ok(())
    }

    /// Modes (δ_k + δ'_k e^(i k·H/2)) / 2 of δ and of δ', made half a voxel H on, divided by the window: images
    /// an odd number of sampling frequencies away cancel.
    ///
    /// # Errors
    /// [`SpectraError::NotADensity`] without mass.
    pub fn finish(self) -> Result<Modes, SpectraError> {
        let mut modes = Modes::over_mean(&self.mesh.finish(), Some(self.scheme))?;
        let moved = Modes::over_mean(&self.half_a_voxel_on.finish(), Some(self.scheme))?;
        let [_, ny, nz] = self.grid.cells();
        let half_turns: [Vec<f64>; 3] =
            self.grid.cells().map(|n| (0..n).map(|i| PI * frequency(i, n) as f64 / n as f64).collect());
        let along_z: Vec<Complex32> = half_turns[2][..nz / 2 + 1].iter().map(|&angle| unit(angle)).collect();
        let rows = modes.spectrum.par_chunks_mut(nz / 2 + 1).zip(moved.spectrum.par_chunks(nz / 2 + 1));
        rows.enumerate().for_each(|(row, (mine, its))| {
            let of_row = 0.5 * unit(half_turns[0][row / ny] + half_turns[1][row % ny]);
            for ((mine, its), along_z) in mine.iter_mut().zip(its).zip(&along_z) {
                *mine = 0.5 * *mine + of_row * along_z * its;
            }
        });
        modes.sampling = Sampling::Interlaced;
        Ok(modes)
    }
}

/// e^(i angle).
fn unit(angle: f64) -> Complex32 {
    Complex32::new(angle.cos() as f32, angle.sin() as f32)
}
