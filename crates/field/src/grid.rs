//! A regular grid over a box.

use crate::FieldError;
use serde::{Deserialize, Serialize};

/// Cells and box size, the geometry of a field.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    cells: [usize; 3],
    box_size_mpc_h: [f64; 3],
}

impl Grid {
    /// A grid of `cells` over a box of `box_size_mpc_h` (comoving Mpc/h).
    ///
    /// # Errors
    /// [`FieldError::Grid`] if an axis has no cells or no positive finite size.
    pub fn new(cells: [usize; 3], box_size_mpc_h: [f64; 3]) -> Result<Self, FieldError> {
        let sound = cells.iter().all(|&n| n > 0) && box_size_mpc_h.iter().all(|l| l.is_finite() && *l > 0.0);
        if sound {
            Ok(Self { cells, box_size_mpc_h })
        } else {
            Err(FieldError::Grid { cells, box_size_mpc_h })
        }
    }

    /// A cube of `cells`^3 over `box_size_mpc_h`^3.
    ///
    /// # Errors
    /// As [`Grid::new`].
    pub fn cube(cells: usize, box_size_mpc_h: f64) -> Result<Self, FieldError> {
        Self::new([cells; 3], [box_size_mpc_h; 3])
    }

    /// Cells per axis.
    #[must_use]
    pub fn cells(&self) -> [usize; 3] {
        self.cells
    }

    /// Box size per axis in Mpc/h.
    #[must_use]
    pub fn box_size_mpc_h(&self) -> [f64; 3] {
        self.box_size_mpc_h
    }

    /// Size of a voxel per axis in Mpc/h.
    #[must_use]
    pub fn voxel_mpc_h(&self) -> [f64; 3] {
        std::array::from_fn(|a| self.box_size_mpc_h[a] / self.cells[a] as f64)
    }

    /// Number of voxels.
    #[must_use]
    pub fn voxels(&self) -> usize {
        self.cells.iter().product()
    }

    /// Volume of the box in (Mpc/h)^3.
    #[must_use]
    pub fn volume_mpc_h3(&self) -> f64 {
        self.box_size_mpc_h.iter().product()
    }
}
