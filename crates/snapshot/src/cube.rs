//! Numpy cubes of others as densities 1 + delta.

use crate::npy::narrowed;
use crate::{NpyReader, SnapshotError};
use finescale_field::{Field3, FieldError, Grid, Region, WindowError, Windows, blocks};
use ndarray::Array3;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Voxels of the rows that are read at once.
const BLOCK_VOXELS: usize = 1 << 18;
/// Means of cubes that may hold 1 + delta: beyond, they are counts or masses.
const PLAUSIBLE_MEANS: std::ops::RangeInclusive<f64> = 0.2..=5.0;
/// What a delta may be below -1.
const ROUNDED: f64 = 1e-5;
/// Means of whole boxes of 1 + delta are as close to 1 as this.
const MEAN_TOLERANCE: f64 = 0.01;

/// What the values of a cube are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CubeValues {
    /// 1 + delta.
    #[default]
    Overdensity,
    /// delta.
    Delta,
    /// Counts or masses in a whole box, which are divided by their mean.
    OverOwnMean,
    /// Counts or masses, which are divided by this.
    Over(f64),
}

/// A numpy cube as a density 1 + delta, read window by window.
#[derive(Debug)]
pub struct CubeReader {
    path: PathBuf,
    values: NpyReader,
    unit: f64,
    added: f64,
    note: Option<String>,
}

impl CubeReader {
    /// Opens the cube, or cube `index` of a stack, and reads it once for its mean.
    ///
    /// # Errors
    /// As [`NpyReader::open_cube`]; [`SnapshotError::CubeValues`] if it holds no density: negative values, numbers that are none, or
    /// a mean that no 1 + delta has.
    pub fn open(
        path: &Path,
        box_size_mpc_h: [f64; 3],
        index: Option<usize>,
        holds: CubeValues,
    ) -> Result<Self, SnapshotError> {
        let values = NpyReader::open_cube(path, box_size_mpc_h, index)?;
        let added = if holds == CubeValues::Delta { 1.0 } else { 0.0 };
        let reader = Self { path: path.into(), values, unit: 1.0, added, note: None };
        let mean = reader.mean()?;
        if mean.is_nan() {
            return Err(reader.unfit("has voxels that are no numbers (NaN); find what made them"));
        }
        if !(mean.is_finite() && mean > 0.0) {
            return Err(reader.unfit(format!(
                "the mean is {mean:.3e}; a density with a positive mean is needed (of a cube that holds delta say so: --delta, or \
                 \"values\": \"delta\" in a configuration)"
            )));
        }
        let unit = match holds {
            CubeValues::OverOwnMean => mean,
            CubeValues::Over(unit) => unit,
            CubeValues::Overdensity | CubeValues::Delta => 1.0,
        };
        let note = reader.check_mean(holds, mean / unit)?;
        Ok(Self { unit, note, ..reader })
    }

    /// What counts or masses are divided by; none of a cube that holds neither.
    #[must_use]
    pub fn unit(&self, holds: CubeValues) -> Option<f64> {
        matches!(holds, CubeValues::OverOwnMean | CubeValues::Over(_)).then_some(self.unit)
    }

    /// What somebody should know of how its values are taken.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// All values, in memory.
    ///
    /// # Errors
    /// Those of reading, and [`SnapshotError::Field`] if there is no room.
    pub fn load(&self) -> Result<Field3, SnapshotError> {
        Field3::read_from(self).map_err(|error| self.read_error(error))
    }

    /// The mean, summed row by row as [`Field3::mean`] sums.
    fn mean(&self) -> Result<f64, SnapshotError> {
        let cells = self.grid().cells();
        let mut sum = 0.0;
        for rows in blocks(cells, [1, BLOCK_VOXELS.div_euclid(cells[2]).max(1), cells[2]]) {
            let rows = self.read(&rows).map_err(|error| self.read_error(error))?;
            if let Some(value) = rows.iter().find(|value| **value < 0.0) {
                if self.added > 0.0 {
                    return Err(self.unfit(format!(
                        "holds values below -1 ({}), which no delta has",
                        f64::from(*value) - self.added
                    )));
                }
                return Err(self.unfit(format!(
                    "holds negative values ({value}): this looks like delta, or a logarithm; store 1 + delta, or say that it holds \
                     delta (--delta, or \"values\": \"delta\" in a configuration)"
                )));
            }
            sum = rows.iter().fold(sum, |sum, &value| sum + f64::from(value));
        }
        Ok(sum / self.grid().voxels() as f64)
    }

    /// Refuses a cube that is no 1 + delta, and tells of one that may be none; `mean`: of its values as they are taken.
    fn check_mean(&self, holds: CubeValues, mean: f64) -> Result<Option<String>, SnapshotError> {
        let is_divided = self.is_divided(holds);
        if !PLAUSIBLE_MEANS.contains(&mean) {
            let mean = if (1e-3..1e6).contains(&mean) { format!("{mean:.4}") } else { format!("{mean:.3e}") };
            let (what, remedy) = match is_divided {
                false => (
                    "values",
                    "if they are counts or masses, say their mean in the whole universe with --mean",
                ),
                true => ("values over --mean", "give the mean of the whole universe, in the cube's units"),
            };
            return Err(self.unfit(format!(
                "the mean of the {what} is {mean}, and 1 + delta, a density in units of the cosmic mean, is needed; {remedy}"
            )));
        }
        let is_one = (mean - 1.0).abs() <= MEAN_TOLERANCE;
        let path = self.path.display();
        Ok((!is_one).then(|| match is_divided {
            false => format!(
                "{path}: is taken for 1 + delta as it is, with a mean of {mean:.4}; of counts or masses say their mean in the \
                 whole universe with --mean (\"values\": {{\"over\": MEAN}} in a configuration)"
            ),
            true => {
                format!("{path}: its mean over --mean is {mean:.4}: is it a part of a box, or 1 + delta already?")
            }
        }))
    }

    fn is_divided(&self, holds: CubeValues) -> bool {
        self.unit(holds).is_some()
    }

    fn unfit(&self, detail: impl Into<String>) -> SnapshotError {
        SnapshotError::CubeValues { path: self.path.clone(), detail: detail.into() }
    }

    fn read_error(&self, error: WindowError) -> SnapshotError {
        match error.downcast::<SnapshotError>() {
            Ok(error) => *error,
            Err(error) => match error.downcast::<FieldError>() {
                Ok(source) => SnapshotError::Field { path: self.path.clone(), source: *source },
                Err(error) => self.unfit(error.to_string()),
            },
        }
    }
}

impl Windows for CubeReader {
    fn grid(&self) -> &Grid {
        self.values.grid()
    }

    fn read(&self, region: &Region) -> Result<Array3<f32>, WindowError> {
        let density = |value: f32| {
            let density = f64::from(value) / self.unit + self.added;
            // A delta of -1 may have been rounded.
            if self.added > 0.0 && (-ROUNDED..0.0).contains(&density) { 0.0 } else { narrowed(density) }
        };
        Ok(self.values.read(region)?.mapv_into(density))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_npy;

    #[test]
    fn values_become_densities() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cube.npy");
        let opened = |values: [f32; 8], holds| {
            let values = Array3::from_shape_vec((2, 2, 2), values.to_vec()).unwrap();
            write_npy(&path, &Field3::new(Grid::cube(2, 4.0).unwrap(), values).unwrap()).unwrap();
            CubeReader::open(&path, [4.0; 3], None, holds)
        };
        let density = [0.5, 1.5, 1.0, 1.0, 0.0, 2.0, 1.0, 1.0];
        let counts = density.map(|value: f32| value * 8.0);
        let delta = density.map(|value| value - 1.0);
        for (values, holds) in [
            (density, CubeValues::Overdensity),
            (delta, CubeValues::Delta),
            (counts, CubeValues::OverOwnMean),
            (counts, CubeValues::Over(8.0)),
        ] {
            let reader = opened(values, holds).unwrap();
            assert_eq!((reader.load().unwrap().as_slice(), reader.note()), (&density[..], None), "{holds:?}");
        }
        for (values, holds, problem) in [
            (counts, CubeValues::Overdensity, "the mean of the values is 8.0000"),
            (density, CubeValues::Over(8.0), "the mean of the values over --mean is 0.1250"),
            (delta, CubeValues::Overdensity, "holds negative values"),
            ([f32::NAN; 8], CubeValues::Overdensity, "no numbers"),
            ([0.0; 8], CubeValues::OverOwnMean, "a positive mean is needed"),
        ] {
            let error = opened(values, holds).unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains("cube.npy"), "{error}");
        }
        // A delta that was rounded below -1.
        let mut rounded = delta;
        rounded[4] = -1.000_000_1;
        assert_eq!(opened(rounded, CubeValues::Delta).unwrap().load().unwrap().as_slice(), density);
        rounded[4] = -1.1;
        assert!(opened(rounded, CubeValues::Delta).unwrap_err().to_string().contains("below -1"));
        let part = opened(density.map(|value| value * 1.1), CubeValues::Overdensity).unwrap();
        assert!(part.note().unwrap().contains("with a mean of 1.1"));
    }
}
