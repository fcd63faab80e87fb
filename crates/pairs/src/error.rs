//! Errors of this crate.

use finescale_field::{FieldError, Region, ScalarName, WindowError};
use finescale_snapshot::SnapshotError;
use std::path::{Path, PathBuf};

/// What can go wrong with training pairs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    /// Nothing to train on.
    #[error("no training pair: name at least one under data.training")]
    NoTraining,
    /// Training and validation must be different places.
    #[error("training and validation must not share a place: {why}")]
    Split {
        /// What they share.
        why: String,
    },
    /// A file that a configuration names.
    #[error(
        "{}: no such file; a pair is a folder with condition.hdf5 and truth.hdf5 (`finescale mock` makes one)",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A grid file that cannot be read; the source names it.
    #[error(transparent)]
    Read(#[from] SnapshotError),
    /// A window of a density of somebody's own that cannot be read.
    #[error("{}: a window of it cannot be read", path.display())]
    Window {
        /// The file, or what the pair is called.
        path: PathBuf,
        /// Why.
        source: WindowError,
    },
    /// A file that was written to after it was checked.
    #[error(
        "{}: has been changed since the training opened it; leave the files of pairs alone while a run goes on (a new file under \
         the same name does not disturb it)",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A numpy cube of which nothing is said.
    #[error(
        "{}: a numpy cube does not say its box; say it as \"cubes\": {{\"box_size_mpc_h\": 25, \"values\": \"over_own_mean\"}} \
         beside \"condition\" and \"truth\", or make a grid file of it with `finescale grid`",
        path.display()
    )]
    Cubes {
        /// The file.
        path: PathBuf,
    },
    /// Something is said of numpy cubes, and there is none.
    #[error("{}: \"cubes\" says what numpy cubes are, and this pair has none; leave it out, grid files say it themselves", path.display())]
    NoCubes {
        /// The condition.
        path: PathBuf,
    },
    /// A numpy array whose sides differ.
    #[error(
        "{}: has {cells:?} values, and the pair's \"box_size_mpc_h\" is the side of a cube; make a grid file with \
         `finescale grid --box-size X,Y,Z`",
        path.display()
    )]
    NotCubic {
        /// The file.
        path: PathBuf,
        /// Its values along each axis.
        cells: [usize; 3],
    },
    /// A field that is no density in units of its mean.
    #[error("{}: cannot be used for training", path.display())]
    Density {
        /// The file.
        path: PathBuf,
        /// What is wrong with the values.
        source: FieldError,
    },
    /// A field in other units.
    #[error(
        "{}: the mean is {mean}, but a density 1 + delta has a mean near 1: divide by the cosmic mean, or use \
         `finescale grid`",
        path.display()
    )]
    Mean {
        /// The file.
        path: PathBuf,
        /// Mean over the voxels.
        mean: f64,
    },
    /// A field whose name could not be part of a file's name, as those of a model are.
    #[error(
        "{}: its quantity is `{found}`; a name of at most 64 letters, digits, _ and - is needed",
        path.display()
    )]
    Quantity {
        /// The file.
        path: PathBuf,
        /// Its quantity.
        found: String,
    },
    /// Condition and truth that are not of the same place.
    #[error("{} and {} are no pair: {why}", condition.display(), truth.display())]
    NoPair {
        /// File of the condition.
        condition: PathBuf,
        /// File of the truth.
        truth: PathBuf,
        /// What differs.
        why: String,
    },
    /// A pair unlike the first one.
    #[error("{} and {} cannot be trained on together: {why}", path.display(), first.display())]
    Unlike {
        /// The file that differs.
        path: PathBuf,
        /// The file of the first training pair.
        first: PathBuf,
        /// What differs.
        why: String,
    },
    /// A number that the network is to be told.
    #[error(
        "{}: does not say its {scalar}, which data.scalars names: say it with `finescale grid --scalar \
         {scalar}=VALUE`, or leave it out of data.scalars",
        path.display()
    )]
    NoScalar {
        /// File of the condition.
        path: PathBuf,
        /// The number.
        scalar: ScalarName,
    },
    /// A normalizer that cannot be fitted or was given with impossible numbers.
    #[error("the {field} cannot be normalised")]
    Normalizer {
        /// `condition` or `truth`.
        field: &'static str,
        /// What is wrong.
        source: FieldError,
    },
    /// No place for a patch.
    #[error(
        "no {set} patch of {patch_cells}^3 voxels fits: {}; take smaller patches{}",
        list(cells),
        remedy(hold_out)
    )]
    NoRoom {
        /// `training` or `validation`.
        set: &'static str,
        /// Voxels per side of a patch.
        patch_cells: usize,
        /// Cells of each box.
        cells: Vec<[usize; 3]>,
        /// The held-out region, if there is one.
        hold_out: Option<Region>,
    },
}

impl PairError {
    /// What kept a density from being read.
    pub(crate) fn reading(path: &Path, error: WindowError) -> Self {
        let path = path.to_owned();
        let error = match error.downcast::<Self>() {
            Ok(error) => return *error,
            Err(error) => error,
        };
        let error = match error.downcast::<SnapshotError>() {
            Ok(error) => return Self::Read(*error),
            Err(error) => error,
        };
        match error.downcast::<FieldError>().map(|source| *source) {
            Ok(source @ FieldError::Density { .. }) => Self::Density { path, source },
            Ok(source) => Self::Read(SnapshotError::Field { path, source }),
            Err(source) => Self::Window { path, source },
        }
    }

    /// Whether the user's input is at fault rather than the machine.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Read(error) => error.is_input(),
            Self::Window { .. } => false,
            Self::NoTraining
            | Self::Changed { .. }
            | Self::Split { .. }
            | Self::Missing { .. }
            | Self::Cubes { .. }
            | Self::NoCubes { .. }
            | Self::NotCubic { .. }
            | Self::Density { .. }
            | Self::Mean { .. }
            | Self::Quantity { .. }
            | Self::NoPair { .. }
            | Self::Unlike { .. }
            | Self::NoScalar { .. }
            | Self::Normalizer { .. }
            | Self::NoRoom { .. } => true,
        }
    }
}

fn list(cells: &[[usize; 3]]) -> String {
    match cells {
        [] => "there is no such box (name some under data.validation, or set data.hold_out)".to_owned(),
        cells => format!("the boxes have {cells:?} cells"),
    }
}

fn remedy(hold_out: &Option<Region>) -> String {
    hold_out
        .map_or(String::new(), |r| format!(" or another hold_out than {:?} cells at {:?}", r.shape, r.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_at_fault_is_no_input_at_fault() {
        let memory = FieldError::Memory { what: "a grid".to_owned(), needed: 9, available: None };
        let full = std::io::ErrorKind::StorageFull.into();
        assert!(PairError::NoTraining.is_input());
        assert!(PairError::Read(SnapshotError::NotFound { path: "a".into() }).is_input());
        assert!(!PairError::Read(SnapshotError::Write { path: "a".into(), source: full }).is_input());
        assert!(!PairError::Read(SnapshotError::Field { path: "a".into(), source: memory }).is_input());
    }
}
