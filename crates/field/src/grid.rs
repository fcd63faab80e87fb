//! A regular grid over a box.

use crate::FieldError;
use serde::{Deserialize, Serialize};

/// Most voxels of a grid: f64 values of more have no address.
const MOST_VOXELS: usize = 1 << 59;
/// Box sizes in Mpc/h beyond which a number is a mistake: from a few parsecs to thousands of universes. Volumes, their
/// inverses and squares of wavenumbers are then far from the ends of f64.
const BOX_SIZES_MPC_H: std::ops::RangeInclusive<f64> = 1e-6..=1e9;
/// Numbers of cells around a wish of which one is looked for that fits.
const MOST_TRIED: usize = 4096;
/// Most that one side of a box may be longer than another. The shells of a power spectrum, whose width is that of the
/// longest side, grow in number with it.
const MOST_STRETCH: f64 = 1e3;

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
    /// [`FieldError::Grid`] if an axis has no cells, there are more voxels than addresses, or a size is not between
    /// 1e-6 and 1e9 Mpc/h; [`FieldError::Stretched`] if one side is more than 1000 times another.
    pub fn new(cells: [usize; 3], box_size_mpc_h: [f64; 3]) -> Result<Self, FieldError> {
        let voxels = cells.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        let addressed = voxels.is_some_and(|voxels| (1..=MOST_VOXELS).contains(&voxels));
        if !addressed || !box_size_mpc_h.iter().all(|size| BOX_SIZES_MPC_H.contains(size)) {
            return Err(FieldError::Grid { cells, box_size_mpc_h });
        }
        let longest = box_size_mpc_h.into_iter().fold(0.0, f64::max);
        let shortest = box_size_mpc_h.into_iter().fold(f64::INFINITY, f64::min);
        if longest > MOST_STRETCH * shortest {
            return Err(FieldError::Stretched { box_size_mpc_h });
        }
        Ok(Self { cells, box_size_mpc_h })
    }

    /// A cube of `cells`^3 over `box_size_mpc_h`^3.
    ///
    /// # Errors
    /// As [`Grid::new`].
    pub fn cube(cells: usize, box_size_mpc_h: f64) -> Result<Self, FieldError> {
        Self::new([cells; 3], [box_size_mpc_h; 3])
    }

    /// The grid of a box with `cells` along its longest side, and voxels that are cubes.
    ///
    /// # Errors
    /// [`FieldError::Sides`] if the other sides are no whole number of voxels, and as [`Grid::new`].
    pub fn with_cubic_voxels(box_size_mpc_h: [f64; 3], cells: usize) -> Result<Self, FieldError> {
        let Some(found) = cubic(box_size_mpc_h, cells) else {
            let near = (1..=cells.min(MOST_TRIED)).flat_map(|step| [cells + step, cells - step]);
            let fitting = near.filter(|&near| near > 0).find(|&near| cubic(box_size_mpc_h, near).is_some());
            return Err(FieldError::Sides { box_size_mpc_h, cells, fitting });
        };
        Self::new(found, box_size_mpc_h)
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

    /// The grid of a part of `shape` cells: the same voxels.
    ///
    /// # Errors
    /// As [`Grid::new`].
    pub fn part(&self, shape: [usize; 3]) -> Result<Self, FieldError> {
        let voxel = self.voxel_mpc_h();
        Self::new(shape, std::array::from_fn(|a| shape[a] as f64 * voxel[a]))
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

/// Where number `flat` lies among `cells`, counted with z fastest.
///
/// # Panics
/// If an axis has no cells.
#[must_use]
pub fn position(flat: usize, [_, ny, nz]: [usize; 3]) -> [usize; 3] {
    [flat / (ny * nz), flat / nz % ny, flat % nz]
}

/// Cells along each side of a box with so many along the longest, if they are whole numbers.
fn cubic(box_size_mpc_h: [f64; 3], cells: usize) -> Option<[usize; 3]> {
    let voxel = box_size_mpc_h.into_iter().fold(0.0, f64::max) / cells as f64;
    let wanted = box_size_mpc_h.map(|side| side / voxel);
    let whole = wanted.map(f64::round);
    let fits = (0..3).all(|axis| (wanted[axis] - whole[axis]).abs() <= 1e-4 && whole[axis] >= 1.0);
    fits.then(|| whole.map(|cells| cells as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_that_no_machine_and_no_universe_holds_are_refused() {
        let sound = |cells, size| Grid::new(cells, size).is_ok();
        assert!(sound([100_000; 3], [1e4; 3]) && sound([1, 1, 4096], [1.0, 1.0, 1e3]));
        for cells in [[0, 1, 1], [usize::MAX; 3], [1 << 32, 1 << 32, 1], [1 << 20, 1 << 20, 1 << 20]] {
            assert!(matches!(Grid::new(cells, [1.0; 3]), Err(FieldError::Grid { .. })), "{cells:?}");
        }
        for size in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e308, 1e-300] {
            assert!(matches!(Grid::cube(4, size), Err(FieldError::Grid { .. })), "{size}");
        }
        let error = Grid::new([4; 3], [1.0, 9e-4, 1.0]).unwrap_err();
        assert!(matches!(error, FieldError::Stretched { .. }), "{error}");
    }

    #[test]
    fn a_number_of_cells_that_fits_is_named() {
        let error = Grid::with_cubic_voxels([100.0, 100.0, 75.0], 30).unwrap_err().to_string();
        assert!(error.ends_with("choose another number of cells, such as 32"), "{error}");
    }
}
