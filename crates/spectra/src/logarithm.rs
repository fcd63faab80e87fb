//! The logarithm of a density field.

use crate::{SpectraError, values::check_finite};
use finescale_field::Field3;

/// Densities below this count as this, so that empty voxels have a logarithm: about one of the reference's 849
/// gas cells per voxel.
pub const FLOOR_DENSITY: f32 = 1e-3;

/// f = ln(1 + δ), with 1 + δ not below [`FLOOR_DENSITY`].
///
/// # Errors
/// [`SpectraError::NotADensity`] if a value is not finite.
pub fn log_density(field: &Field3) -> Result<Field3, SpectraError> {
    check_finite(field)?;
    Ok(field.map(|value| f64::from(value.max(FLOOR_DENSITY)).ln() as f32))
}
