//! Means over cubes of voxels.

use crate::SpectraError;
use finescale_field::{Field3, coarsen};
use std::borrow::Cow;

/// The means of blocks of `block`³ voxels; the field itself for 1.
///
/// # Errors
/// [`SpectraError::Blocks`] if a block does not divide the grid.
pub(crate) fn block_means(field: &Field3, block: usize) -> Result<Cow<'_, Field3>, SpectraError> {
    if block == 1 {
        return Ok(Cow::Borrowed(field));
    }
    let cells = field.grid().cells();
    let means = coarsen(field, [block; 3]).map_err(|_| SpectraError::Blocks { block, cells })?;
    Ok(Cow::Owned(means))
}
