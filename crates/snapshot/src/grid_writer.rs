//! Writing grid files window by window, for volumes larger than memory.

use crate::attributes::{write_array, write_scalar, write_text};
use crate::grid_file::for_each_block;
use crate::partial::PartialFile;
use crate::{GridMeta, SnapshotError};
use finescale_field::{Grid, Region};
use ndarray::{ArrayView3, s};
use std::path::Path;

/// The attribute `format` of our grid files.
pub(crate) const FORMAT: &str = "finescale-grid";
/// The attribute `version` of our grid files.
pub(crate) const VERSION: u32 = 1;
/// Cells per axis of a chunk: 128 KiB, small beside a window and large beside a disk block.
const CHUNK_CELLS: usize = 32;
/// Chunks that stay in memory while neighbouring windows are written.
const CHUNK_CACHE_BYTES: usize = 64 << 20;
/// Hash slots of that cache: a prime, much larger than the number of chunks in it.
const CHUNK_CACHE_SLOTS: usize = 12_421;

/// A grid file under construction.
///
/// Every voxel must be written once; [`GridWriter::finish`] gives the file its name, and dropping the writer
/// before removes what was written.
#[derive(Debug)]
pub struct GridWriter {
    grid: Grid,
    // Before `partial`: the file is closed before it is removed.
    dataset: hdf5::Dataset,
    file: hdf5::File,
    partial: PartialFile,
}

impl GridWriter {
    /// Starts the grid file `path`.
    ///
    /// # Errors
    /// [`SnapshotError::Write`] if it cannot be made.
    pub fn create(path: &Path, grid: &Grid, meta: &GridMeta) -> Result<Self, SnapshotError> {
        let partial = PartialFile::new(path)?;
        let create = || -> hdf5::Result<(hdf5::File, hdf5::Dataset)> {
            let file = hdf5::File::create(partial.path())?;
            write_attributes(&file, grid, meta)?;
            let chunk = grid.cells().map(|n| n.min(CHUNK_CELLS));
            let dataset = file
                .new_dataset::<f32>()
                .chunk(chunk)
                .chunk_cache(CHUNK_CACHE_SLOTS, CHUNK_CACHE_BYTES, 1.0)
                .shape(grid.cells())
                .create("field")?;
            Ok((file, dataset))
        };
        let (file, dataset) = create().map_err(|error| SnapshotError::write(path, error))?;
        Ok(Self { grid: *grid, dataset, file, partial })
    }

    /// Writes the periodic window `region`.
    ///
    /// # Errors
    /// [`SnapshotError::Field`] if the window is larger than the grid or `values` has another shape,
    /// [`SnapshotError::Write`] if the disk is full.
    pub fn write(&mut self, region: &Region, values: ArrayView3<f32>) -> Result<(), SnapshotError> {
        let path = self.partial.target();
        region.check_fits(self.grid.cells()).map_err(SnapshotError::field(path))?;
        if values.dim() != region.shape.into() {
            let source =
                finescale_field::FieldError::Shape { expected: region.shape, found: values.dim().into() };
            return Err(SnapshotError::Field { path: path.into(), source });
        }
        for_each_block(region, self.grid.cells(), |[wx, wy, wz], [x, y, z]| {
            let block = values.slice(s![wx, wy, wz]).as_standard_layout().into_owned();
            let written = self.dataset.write_slice(&block, s![x, y, z]);
            written.map_err(|error| SnapshotError::write(path, error))
        })
    }

    /// Closes the file and gives it its name.
    ///
    /// # Errors
    /// [`SnapshotError::Write`] if the disk is full; nothing is left behind then.
    pub fn finish(self) -> Result<(), SnapshotError> {
        let Self { grid: _, dataset, file, partial } = self;
        drop(dataset);
        let closed = file.flush().and_then(|()| file.close());
        closed.map_err(|error| SnapshotError::write(partial.target(), error))?;
        partial.commit()
    }
}

fn write_attributes(file: &hdf5::File, grid: &Grid, meta: &GridMeta) -> hdf5::Result<()> {
    write_text(file, "format", FORMAT)?;
    write_scalar(file, "version", VERSION)?;
    let [x, y, z] = grid.box_size_mpc_h();
    if x == y && y == z {
        write_scalar(file, "box_size_mpc_h", x)?;
    } else {
        write_array(file, "box_size_mpc_h", &[x, y, z])?;
    }
    write_text(file, "quantity", &meta.quantity)?;
    write_scalar(file, "redshift", meta.redshift)?;
    write_scalar(file, "mean", meta.mean)?;
    write_text(file, "assignment", &meta.assignment.map_or("none".to_owned(), |scheme| scheme.to_string()))?;
    write_scalar(file, "periodic", meta.periodic)?;
    write_text(file, "provenance", &meta.provenance.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid_file::tests::example;
    use crate::read_grid;

    #[test]
    fn slab_by_slab_is_the_same_as_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grid.hdf5");
        let grid = example([5, 4, 3]);
        let mut writer = GridWriter::create(&path, grid.field.grid(), &grid.meta).unwrap();
        for (start, thickness) in [(3, 3), (1, 2)] {
            let slab = Region { start: [start, 0, -1], shape: [thickness, 4, 3] };
            writer.write(&slab, grid.field.extract(&slab).unwrap().view()).unwrap();
            assert!(!path.exists());
        }
        writer.finish().unwrap();
        assert_eq!(read_grid(&path).unwrap(), grid);
    }

    #[test]
    fn an_unfinished_file_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let grid = example([5, 4, 3]);
        let path = folder.path().join("grid.hdf5");
        drop(GridWriter::create(&path, grid.field.grid(), &grid.meta).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn values_must_have_the_shape_of_their_window() {
        let folder = tempfile::tempdir().unwrap();
        let grid = example([5, 4, 3]);
        let mut writer = GridWriter::create(&folder.path().join("g"), grid.field.grid(), &grid.meta).unwrap();
        let error = writer.write(&Region::cube([0; 3], 2), grid.field.values().view()).unwrap_err();
        assert!(matches!(error, SnapshotError::Field { .. }), "{error}");
    }
}
