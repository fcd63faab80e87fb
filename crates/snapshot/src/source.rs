//! What a path is, by its content.

use crate::chunk_files::any_file;
use crate::columns::OpenFile;
use crate::error::SnapshotError;
use crate::grid_reader::GridReader;
use crate::npy_header::is_npy;
use crate::path_kind::PathKind;
use crate::units::GivenUnits;
use std::path::Path;

/// What a path is, by what is in it and not by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A grid file of ours.
    Grid,
    /// A numpy cube, or a stack of them.
    Cube,
    /// A snapshot, of one file or a set of them.
    Snapshot,
    /// A catalogue of groups of particles.
    Catalogue,
}

impl Source {
    /// Looks at a file, at a folder of files, or at the name of a set without its index.
    ///
    /// # Errors
    /// [`SnapshotError::Unknown`] for HDF5 files that are none of these; [`SnapshotError::NotFound`],
    /// [`SnapshotError::NotHdf5`], [`SnapshotError::Truncated`], [`SnapshotError::AmbiguousFolder`].
    pub fn of(path: &Path) -> Result<Self, SnapshotError> {
        match PathKind::of(path)? {
            PathKind::Folder | PathKind::Nothing => return any_file(path).map(|_| Self::Snapshot),
            PathKind::File if is_npy(path)? => return Ok(Self::Cube),
            PathKind::File | PathKind::Other => {}
        }
        let is_named_npy = path.extension().is_some_and(|ending| ending == "npy");
        let no_grid = match GridReader::open(path) {
            Ok(_) => return Ok(Self::Grid),
            Err(SnapshotError::NotAGrid { detail, .. }) => detail,
            // Whoever reads cubes says what is wrong with it.
            Err(SnapshotError::NotHdf5 { .. }) if is_named_npy => return Ok(Self::Cube),
            // A binary file is no HDF5.
            Err(SnapshotError::NotHdf5 { .. }) => String::new(),
            Err(error) => return Err(error),
        };
        let file = OpenFile::open(path)?;
        if file.is_catalogue()? {
            return Ok(Self::Catalogue);
        }
        match file.header(GivenUnits::default()) {
            Err(SnapshotError::NotASnapshot { detail, .. }) => {
                Err(SnapshotError::Unknown { path: path.into(), no_grid, no_snapshot: detail })
            }
            // What is wrong with its header is told by whoever reads it.
            _ => Ok(Self::Snapshot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::{write_array, write_scalar};
    use crate::fixtures::example;
    use crate::{write_grid, write_npy};

    #[test]
    fn names_do_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let grid = example([2, 3, 4]);
        write_grid(&path("grid.npy"), &grid).unwrap();
        write_npy(&path("cube.hdf5"), &grid.field).unwrap();
        let with_header = |name: &str, attribute: &str| {
            let file = hdf5::File::create(path(name)).unwrap();
            let header = file.create_group("Header").unwrap();
            write_array(&header, attribute, &[1i32]).unwrap();
            write_scalar(&header, "Time", 1f64).unwrap();
            write_scalar(&header, "BoxSize", 1e5f64).unwrap();
            file.close().unwrap();
        };
        with_header("snapshot", "NumPart_ThisFile");
        with_header("groups.hdf5", "Ngroups_ThisFile");
        hdf5::File::create(path("other.hdf5")).unwrap().close().unwrap();
        std::fs::write(path("text.hdf5"), "some text that is long enough").unwrap();
        let of = |name: &str| Source::of(&path(name));
        assert_eq!(of("grid.npy").unwrap(), Source::Grid);
        assert_eq!(of("cube.hdf5").unwrap(), Source::Cube);
        assert_eq!(of("snapshot").unwrap(), Source::Snapshot);
        assert_eq!(of("groups.hdf5").unwrap(), Source::Catalogue);
        let error = of("other.hdf5").unwrap_err();
        assert!(error.to_string().contains("neither a finescale grid"), "{error}");
        assert!(matches!(of("text.hdf5"), Err(SnapshotError::NotHdf5 { .. })));
        assert!(matches!(of("none"), Err(SnapshotError::NotFound { .. })));
    }
}
