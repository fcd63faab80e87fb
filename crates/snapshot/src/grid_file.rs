//! Our grid file: an HDF5 file with the dataset `/field` and attributes that say what it is.

use crate::{GridMeta, GridReader, GridWriter, SnapshotError, read_back};
use finescale_field::{FILE_BLOCK, Field3, blocks};
use std::path::Path;

/// A field and what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct GridFile {
    /// The values, in units of the cosmic mean.
    pub field: Field3,
    /// What they are.
    pub meta: GridMeta,
}

/// Reads the whole grid file `path`.
///
/// # Errors
/// [`SnapshotError::NotFound`], [`SnapshotError::NotHdf5`], [`SnapshotError::Truncated`],
/// [`SnapshotError::NotAGrid`], [`SnapshotError::Attribute`] and [`SnapshotError::Damaged`] name the file and what is
/// wrong with it.
pub fn read_grid(path: &Path) -> Result<GridFile, SnapshotError> {
    let reader = GridReader::open(path)?;
    let values = reader.read_all()?;
    let field = Field3::new(*reader.grid(), values).map_err(SnapshotError::field(path))?;
    Ok(GridFile { field, meta: reader.meta().clone() })
}

/// Writes a grid file; it appears under `path` when it is whole.
///
/// # Errors
/// [`SnapshotError::Write`] if the file cannot be made or the disk is full; nothing is left behind then.
pub fn write_grid(path: &Path, grid: &GridFile) -> Result<(), SnapshotError> {
    write_grids(&[(path, grid)])
}

/// Writes grid files that belong together; they appear when all are whole, and never beside an earlier one of the others.
///
/// # Errors
/// As [`write_grid`].
pub fn write_grids(grids: &[(&Path, &GridFile)]) -> Result<(), SnapshotError> {
    let drafts = grids.iter().map(|(path, grid)| {
        let mut writer = GridWriter::create(path, grid.field.grid(), &grid.meta)?;
        for block in blocks(grid.field.grid().cells(), FILE_BLOCK) {
            let values = grid.field.extract(&block).map_err(SnapshotError::field(path))?;
            writer.write(&block, values.view())?;
        }
        let closed = writer.close()?;
        let sum = read_back(closed.path(), path, (0, 1))?;
        closed.checked(sum)
    });
    let drafts = drafts.collect::<Result<_, _>>()?;
    finescale_durable::commit_together(drafts).map_err(|(path, error)| SnapshotError::write(&path)(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::example;
    use finescale_field::{Boundary, Centring, Region};
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/grid.hdf5");
        let mut grid = example([3, 40, 5]);
        write_grid(&path, &grid).unwrap();
        assert_eq!(read_grid(&path).unwrap(), grid);
        // Writing again replaces the file.
        grid.meta.assignment = None;
        grid.meta.boundary = Boundary::Open;
        grid.meta.tile_faces = None;
        grid.meta.earlier_tile_faces = Vec::new();
        grid.meta.centring = Centring::Corner;
        write_grid(&path, &grid).unwrap();
        assert_eq!(read_grid(&path).unwrap(), grid);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_window_larger_than_the_grid_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grid.hdf5");
        write_grid(&path, &example([3, 4, 5])).unwrap();
        let error = GridReader::open(&path).unwrap().read(&Region::cube([0; 3], 4)).unwrap_err();
        assert!(matches!(error, SnapshotError::Field { .. }), "{error}");
    }

    #[test]
    fn files_that_are_no_grids_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.hdf5");
        let file = hdf5::File::create(&path).unwrap();
        crate::attributes::write_text(&file, "format", "something else").unwrap();
        file.close().unwrap();
        let error = read_grid(&path).unwrap_err();
        assert!(matches!(error, SnapshotError::NotAGrid { .. }), "{error}");

        let path = folder.path().join("newer.hdf5");
        write_grid(&path, &example([3, 4, 5])).unwrap();
        let file = hdf5::File::open_rw(&path).unwrap();
        file.attr("version").unwrap().write_scalar(&3u32).unwrap();
        file.close().unwrap();
        let error = read_grid(&path).unwrap_err();
        assert!(error.to_string().contains("version 3"), "{error}");
    }

    #[test]
    fn a_path_that_cannot_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = write_grid(&file.join("grid.hdf5"), &example([3, 4, 5])).unwrap_err();
        assert!(matches!(error, SnapshotError::Write { .. }), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn windows_agree_with_the_field(
            start in prop::array::uniform3(-9i64..9), shape in (1usize..=3, 1usize..=4, 1usize..=5),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("grid.hdf5");
            let grid = example([3, 4, 5]);
            write_grid(&path, &grid).unwrap();
            let region = Region { start, shape: shape.into() };
            prop_assert_eq!(GridReader::open(&path).unwrap().read(&region).unwrap(), grid.field.extract(&region).unwrap());
        }
    }
}
