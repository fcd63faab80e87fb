//! Checks of regions and of what networks answer.

use crate::sums::LARGEST;
use crate::{Boundary, OutpaintError};
use finescale_field::{Region, position};

/// Checks that a region is a part of a box, covered once.
pub(crate) fn check_inside(
    region: &Region,
    cells: [usize; 3],
    boundary: Boundary,
) -> Result<(), OutpaintError> {
    let Region { start, shape } = *region;
    let is_inside = region.end_exclusive().is_some_and(|end| {
        (0..3).all(|axis| match boundary {
            Boundary::Periodic => shape[axis] <= cells[axis],
            Boundary::Open => start[axis] >= 0 && end[axis] <= cells[axis] as i64,
        })
    });
    if is_inside { Ok(()) } else { Err(OutpaintError::Region { start, shape, cells }) }
}

/// The first voxel of a window that is no number in any field, or one too large to add up, as an error.
pub(crate) fn check_finite(
    window: usize,
    region: &Region,
    values: &[f32],
    cells: [usize; 3],
) -> Result<(), OutpaintError> {
    match values.iter().position(|value| value.is_nan() || value.abs() >= LARGEST) {
        None => Ok(()),
        Some(index) => {
            let at = position(index % region.voxels(), region.shape);
            let voxel = [0, 1, 2].map(|axis| region.wrapped(axis, at[axis], cells));
            Err(OutpaintError::NotFinite { window, voxel })
        }
    }
}
