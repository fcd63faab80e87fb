//! A low-resolution and a high-resolution density of the same place.

use crate::{GridFile, GridMeta, PairError, PairFiles};
use finescale_field::{Field3, Grid, Scalar, check_density};
use std::path::{Path, PathBuf};

/// Relative difference of lengths that is taken for rounding: headers may hold f32.
const SAME_LENGTH: f64 = 1e-5;
/// Difference of redshifts that is taken for rounding: snapshots at z = 0 say 2e-16, and output times are met roughly.
const SAME_REDSHIFT: f64 = 0.01;
/// Means that a density 1 + delta may have; a small part of a universe is not average.
const MEANS: std::ops::RangeInclusive<f64> = 0.2..=5.0;

/// A condition and its truth, densities 1 + delta on the same grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Where they come from: names them in errors.
    pub files: PairFiles,
    /// Low resolution.
    pub condition: GridFile,
    /// High resolution.
    pub truth: GridFile,
}

impl Pair {
    /// A pair that was made in memory: periodic, at redshift 0.
    #[must_use]
    pub fn new(condition: Field3, truth: Field3) -> Self {
        let file = |field: Field3, quantity: &str| GridFile {
            meta: GridMeta {
                quantity: quantity.to_owned(),
                redshift: 0.0,
                mean: field.mean(),
                assignment: None,
                periodic: true,
                provenance: serde_json::Value::Null,
            },
            field,
        };
        let files = PairFiles::Folder(PathBuf::from("in memory"));
        Self { files, condition: file(condition, "condition"), truth: file(truth, "truth") }
    }

    pub(crate) fn grid(&self) -> &Grid {
        self.truth.field.grid()
    }

    pub(crate) fn periodic(&self) -> bool {
        self.condition.meta.periodic && self.truth.meta.periodic
    }

    /// The values of `scalars`, as the condition's file says them.
    ///
    /// # Errors
    /// [`PairError::NoScalar`] names the file and the first that it does not say.
    pub(crate) fn values(&self, scalars: &[Scalar]) -> Result<Vec<f64>, PairError> {
        let value = |scalar: &Scalar| {
            let missing = || PairError::NoScalar { path: self.files.condition(), scalar: scalar.name };
            self.condition.meta.scalar(scalar.name).ok_or_else(missing)
        };
        scalars.iter().map(value).collect()
    }

    /// Checks that both are densities of the same place and time.
    ///
    /// # Errors
    /// [`PairError::NoPair`], [`PairError::Density`] or [`PairError::Mean`]; they name the files.
    pub(crate) fn check(&self) -> Result<(), PairError> {
        let (condition, truth) = (&self.condition, &self.truth);
        let [a, b] = [condition, truth].map(|file| *file.field.grid());
        let same_size = (0..3).all(|axis| same_length(a.box_size_mpc_h()[axis], b.box_size_mpc_h()[axis]));
        let [za, zb] = [condition, truth].map(|file| file.meta.redshift);
        let why = if a.cells() != b.cells() {
            format!("their grids have {:?} and {:?} cells", a.cells(), b.cells())
        } else if !same_size {
            format!("their boxes are {:?} and {:?} Mpc/h", a.box_size_mpc_h(), b.box_size_mpc_h())
        } else if (za - zb).abs() > SAME_REDSHIFT {
            format!("their redshifts are {za} and {zb}")
        } else {
            check_values(&self.files.condition(), &condition.field)?;
            return check_values(&self.files.truth(), &truth.field);
        };
        Err(PairError::NoPair { condition: self.files.condition(), truth: self.files.truth(), why })
    }

    /// Checks that a network can learn from this pair and `first` at once: the same voxels, quantities and scheme.
    ///
    /// # Errors
    /// [`PairError::Unlike`] names both files and what differs.
    pub(crate) fn check_like(&self, first: &Self) -> Result<(), PairError> {
        let [here, there] = [self, first].map(|pair| pair.grid().voxel_mpc_h());
        if !(0..3).all(|axis| same_length(here[axis], there[axis])) {
            let why = format!("their voxels are {here:?} and {there:?} Mpc/h");
            return Err(PairError::Unlike { path: self.files.truth(), first: first.files.truth(), why });
        }
        for (path, here, first, there) in [
            (self.files.condition(), &self.condition.meta, first.files.condition(), &first.condition.meta),
            (self.files.truth(), &self.truth.meta, first.files.truth(), &first.truth.meta),
        ] {
            let why = if here.quantity != there.quantity {
                format!("their quantities are `{}` and `{}`", here.quantity, there.quantity)
            } else if here.assignment != there.assignment {
                format!("their mass assignments are {:?} and {:?}", here.assignment, there.assignment)
            } else {
                continue;
            };
            return Err(PairError::Unlike { path, first, why });
        }
        Ok(())
    }
}

fn check_values(path: &Path, field: &Field3) -> Result<(), PairError> {
    check_density(field).map_err(|source| PairError::Density { path: path.to_owned(), source })?;
    let mean = field.mean();
    if MEANS.contains(&mean) { Ok(()) } else { Err(PairError::Mean { path: path.to_owned(), mean }) }
}

fn same_length(a: f64, b: f64) -> bool {
    (a - b).abs() <= SAME_LENGTH * a.abs().max(b.abs())
}
