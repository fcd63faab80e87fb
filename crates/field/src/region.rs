//! A window of a periodic grid.

use crate::{FieldError, Grid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A window that starts at any cell, also a negative one, and wraps around the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// First cell per axis, x first, before wrapping: below 0 and beyond the box are other ways to name a cell in it.
    #[schemars(extend("unit" = "cells"))]
    pub start: [i64; 3],
    /// Cells per axis, x first.
    #[schemars(extend("unit" = "cells"))]
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
        // Wrapped before it is added: any start is possible, also one at the end of i64.
        let start = self.start[axis].rem_euclid(cells[axis] as i64) as usize;
        (start + offset) % cells[axis]
    }

    /// Runs along `axis` that stay contiguous in the grid: (offset in the window, cell of the grid, length), in
    /// order. A window has one run, or two where it crosses the box's upper face.
    #[must_use]
    pub fn runs(&self, axis: usize, cells: [usize; 3]) -> Vec<(usize, usize, usize)> {
        let mut runs = Vec::with_capacity(2);
        let mut offset = 0;
        while offset < self.shape[axis] {
            let cell = self.wrapped(axis, offset, cells);
            let length = (cells[axis] - cell).min(self.shape[axis] - offset);
            runs.push((offset, cell, length));
            offset += length;
        }
        runs
    }

    /// The parts of the window that do not cross a face of the grid: the cells of each in the window and in the grid, by
    /// axis. A window has at most eight.
    #[must_use]
    pub fn parts(&self, cells: [usize; 3]) -> Vec<[[Range<usize>; 3]; 2]> {
        let [xs, ys, zs] = [0, 1, 2].map(|axis| self.runs(axis, cells));
        let mut parts = Vec::with_capacity(xs.len() * ys.len() * zs.len());
        for &(wx, gx, nx) in &xs {
            for &(wy, gy, ny) in &ys {
                for &(wz, gz, nz) in &zs {
                    parts.push([
                        [wx..wx + nx, wy..wy + ny, wz..wz + nz],
                        [gx..gx + nx, gy..gy + ny, gz..gz + nz],
                    ]);
                }
            }
        }
        parts
    }

    /// The first cell beyond the window per axis, before wrapping, if there is such a number.
    #[must_use]
    pub fn end_exclusive(&self) -> Option<[i64; 3]> {
        let end = |axis: usize| self.start[axis].checked_add_unsigned(self.shape[axis] as u64);
        Some([end(0)?, end(1)?, end(2)?])
    }

    /// Rows along z: for each (x, y) of the window and each run, calls
    /// `visit(offset in the window's flat array, index in the grid's flat array, length)`.
    pub fn for_each_run(&self, cells: [usize; 3], mut visit: impl FnMut(usize, usize, usize)) {
        let runs = self.runs(2, cells);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_start_wraps() {
        let region = Region { start: [i64::MAX, i64::MIN, -1], shape: [2, 2, 1] };
        assert_eq!(region.wrapped(0, 1, [10; 3]), 8); // 2^63 - 1 is 7 modulo 10.
        assert_eq!(region.wrapped(1, 1, [10; 3]), 3); // -2^63 is 2 modulo 10.
        assert_eq!(region.wrapped(2, 0, [10; 3]), 9);
    }

    #[test]
    fn parts_lie_on_one_side_of_every_face() {
        let region = Region { start: [-1, 2, 0], shape: [3, 2, 4] };
        let parts = region.parts([5, 4, 4]);
        assert_eq!(
            parts,
            [[[0..1, 0..2, 0..4], [4..5, 2..4, 0..4]], [[1..3, 0..2, 0..4], [0..2, 2..4, 0..4]]]
        );
        assert_eq!(Region::cube([-1; 3], 2).parts([4; 3]).len(), 8);
    }

    #[test]
    fn an_end_that_is_no_number_is_none() {
        let end = |start, shape| Region { start: [start; 3], shape: [shape; 3] }.end_exclusive();
        assert_eq!(end(-3, 5), Some([2; 3]));
        assert_eq!(end(i64::MAX, 1), None);
        assert_eq!(end(0, usize::MAX), None);
        assert_eq!(end(-1, 1 << 63), Some([i64::MAX; 3]));
    }
}
