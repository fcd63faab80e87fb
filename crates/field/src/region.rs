//! A window of a periodic grid.

use crate::{FieldError, Grid};
use serde::{Deserialize, Serialize};

/// A window that starts at any cell, also a negative one, and wraps around the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// First cell per axis, before wrapping.
    pub start: [i64; 3],
    /// Cells per axis.
    pub shape: [usize; 3],
}

impl Region {
    /// A cube of `cells`^3 at `start`.
    #[must_use]
    pub fn cube(start: [i64; 3], cells: usize) -> Self {
        Self { start, shape: [cells; 3] }
    }

    /// The whole of `grid`.
    #[must_use]
    pub fn whole(grid: &Grid) -> Self {
        Self { start: [0; 3], shape: grid.cells() }
    }

    /// Number of voxels.
    #[must_use]
    pub fn voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// Checks that no voxel of a grid of `cells` is covered twice.
    ///
    /// # Errors
    /// [`FieldError::RegionSize`] if the region is larger than the grid in an axis.
    pub fn check_fits(&self, cells: [usize; 3]) -> Result<(), FieldError> {
        let fits = (0..3).all(|a| self.shape[a] <= cells[a]);
        if fits { Ok(()) } else { Err(FieldError::RegionSize { shape: self.shape, cells }) }
    }

    /// The grid's cell under cell `offset` of the window along `axis`.
    #[must_use]
    pub fn wrapped(&self, axis: usize, offset: usize, cells: [usize; 3]) -> usize {
        (self.start[axis] + offset as i64).rem_euclid(cells[axis] as i64) as usize
    }

    /// Runs along z that stay contiguous in the grid: (offset in the window, cell of the grid, length), in
    /// order. A window has one run, or two where it crosses the box's upper face.
    #[must_use]
    pub fn runs_z(&self, cells: [usize; 3]) -> Vec<(usize, usize, usize)> {
        let mut runs = Vec::with_capacity(2);
        let mut offset = 0;
        while offset < self.shape[2] {
            let cell = self.wrapped(2, offset, cells);
            let length = (cells[2] - cell).min(self.shape[2] - offset);
            runs.push((offset, cell, length));
            offset += length;
        }
        runs
    }

    /// Rows along z: for each (x, y) of the window and each run, calls
    /// `visit(offset in the window's flat array, index in the grid's flat array, length)`.
    pub fn for_each_run(&self, cells: [usize; 3], mut visit: impl FnMut(usize, usize, usize)) {
        let runs = self.runs_z(cells);
        for i in 0..self.shape[0] {
            let x = self.wrapped(0, i, cells);
            for j in 0..self.shape[1] {
                let y = self.wrapped(1, j, cells);
                let (window_row, grid_row) =
                    ((i * self.shape[1] + j) * self.shape[2], (x * cells[1] + y) * cells[2]);
                for &(offset, z, length) in &runs {
                    visit(window_row + offset, grid_row + z, length);
                }
            }
        }
    }
}
