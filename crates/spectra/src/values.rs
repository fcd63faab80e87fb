//! The values of a field: their mean, and whether they are numbers.

use crate::SpectraError;
use finescale_field::Field3;
use rayon::prelude::*;

/// Mean of the values: planes in parallel, then in the order of x.
pub(crate) fn mean(field: &Field3) -> f64 {
    let [nx, ny, nz] = field.grid().cells();
    let planes: Vec<f64> = field
        .as_slice()
        .par_chunks(ny * nz)
        .map(|plane| plane.iter().map(|&value| f64::from(value)).sum::<f64>())
        .collect();
    planes.iter().sum::<f64>() / (nx * ny * nz) as f64
}

pub(crate) fn check_finite(field: &Field3) -> Result<(), SpectraError> {
    match field.as_slice().iter().find(|value| !value.is_finite()) {
        Some(&value) => Err(SpectraError::NotADensity { mean: f64::from(value) }),
        None => Ok(()),
    }
}
