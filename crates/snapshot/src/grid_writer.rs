//! Writing grid files window by window, for volumes larger than memory.

use crate::attributes::{write_array, write_scalar, write_text};
use crate::digest::Digest;
use crate::error::io_error;
use crate::grid_meta::{FORMAT, VERSION};
use crate::open::CACHE_PREFERENCE;
use crate::{GridMeta, GridReader, SnapshotError, new_file};
use finescale_durable::Draft;
use finescale_field::{FILE_BLOCK, Grid, Region, WindowError, Windows, blocks};
use ndarray::{ArrayView3, s};
use serde_json::{Value, json};
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// The dataset of the values.
const DATASET: &str = "field";
/// Cells per axis of a chunk: 128 KiB, small beside a window and large beside a disk block.
const CHUNK_CELLS: usize = 32;
/// Chunks that stay in memory while neighbouring windows are written: those of some blocks.
const CHUNK_CACHE_BYTES: usize = 4 << 20;
/// Hash slots of that cache: a prime, much larger than the number of chunks in it.
const CHUNK_CACHE_SLOTS: usize = 3_203;

/// A grid file under construction.
///
/// Every voxel must be written once; [`GridWriter::finish`] reads the file back and gives it its name, and dropping the
/// writer before removes what was written.
#[derive(Debug)]
pub struct GridWriter {
    target: PathBuf,
    grid: Grid,
    meta: GridMeta,
    digest: Digest,
    // Before `draft`: the file is closed before it is removed.
    dataset: hdf5::Dataset,
    file: hdf5::File,
    draft: Draft,
}

impl GridWriter {
    /// Starts the grid file `path`.
    ///
    /// # Errors
    /// [`SnapshotError::Write`] if it cannot be made.
    pub fn create(path: &Path, grid: &Grid, meta: &GridMeta) -> Result<Self, SnapshotError> {
        // As it will be read again.
        let meta = meta.clone().with_entries_of_provenance();
        let (draft, file) = new_file::create(path).map_err(SnapshotError::write(path))?;
        let dataset = write_attributes(&file, grid, &meta).and_then(|()| new_dataset(&file, grid));
        let dataset = dataset.map_err(|error| SnapshotError::write(path)(io_error(&error)))?;
        let target = path.to_owned();
        Ok(Self { target, grid: *grid, meta, digest: Digest::default(), dataset, file, draft })
    }

    /// Writes the periodic window `region`.
    ///
    /// # Errors
    /// [`SnapshotError::Field`] if the window is larger than the grid or `values` has another shape,
    /// [`SnapshotError::Write`] if the disk is full.
    pub fn write(&mut self, region: &Region, values: ArrayView3<f32>) -> Result<(), SnapshotError> {
        let path = &self.target;
        region.check_fits(self.grid.cells()).map_err(SnapshotError::field(path))?;
        if values.dim() != region.shape.into() {
            let source =
                finescale_field::FieldError::Shape { expected: region.shape, found: values.dim().into() };
            return Err(SnapshotError::Field { path: path.into(), source });
        }
        for [[wx, wy, wz], [x, y, z]] in region.parts(self.grid.cells()) {
            let block = values.slice(s![wx, wy, wz]).as_standard_layout().into_owned();
            self.digest.add(self.grid.cells(), [x.start, y.start, z.start], block.view());
            let written = self.dataset.write_slice(&block, s![x, y, z]);
            written.map_err(|error| SnapshotError::write(path)(io_error(&error)))?;
        }
        Ok(())
    }

    /// Writes all values of `source`, a field on this file's grid, block by block.
    ///
    /// # Errors
    /// Those of `source` and of [`write`](Self::write).
    pub fn write_all(&mut self, source: &dyn Windows) -> Result<(), WindowError> {
        for block in blocks(self.grid.cells(), FILE_BLOCK) {
            self.write(&block, source.read(&block)?.view())?;
        }
        Ok(())
    }

    /// Closes the file, reads it back and gives it its name.
    ///
    /// # Errors
    /// [`SnapshotError::Write`] if the disk is full, or if a voxel was not written once; nothing is left behind then.
    pub fn finish(self) -> Result<(), SnapshotError> {
        let closed = self.close()?;
        let sum = read_back(closed.path(), &closed.target, (0, 1))?;
        closed.commit(sum)
    }

    /// Closes the file, which others may read back, too.
    ///
    /// # Errors
    /// [`SnapshotError::Write`] if the disk is full; nothing is left behind then.
    pub fn close(self) -> Result<ClosedGrid, SnapshotError> {
        let Self { target, grid, meta, digest, dataset, file, draft } = self;
        let described = digest.write(&file);
        // Chunks wait in the dataset's cache. They are flushed while it lives: closing it would, too, but errors in
        // closing are lost.
        let closed = described.and_then(|()| file.flush()).and_then(|()| {
            drop(dataset);
            file.close()
        });
        closed.map_err(|error| SnapshotError::write(&target)(io_error(&error)))?;
        check_description(draft.path(), &grid, &meta, digest).map_err(SnapshotError::write(&target))?;
        Ok(ClosedGrid { target, digest, draft })
    }
}

/// A grid file that is written, and gets its name when it has been read back; dropping it removes it.
#[derive(Debug)]
pub struct ClosedGrid {
    target: PathBuf,
    digest: Digest,
    draft: Draft,
}

impl ClosedGrid {
    /// Where it lies until then.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.draft.path()
    }

    /// Gives it its name, if `sum` is that of what was written: of all parts of the file what [`read_back`] found, modulo 2^64.
    ///
    /// # Errors
    /// [`SnapshotError::Write`]; nothing is left behind then.
    pub fn commit(self, sum: u64) -> Result<(), SnapshotError> {
        let target = self.target.clone();
        self.checked(sum)?.commit().map_err(SnapshotError::write(&target))
    }

    pub(crate) fn checked(self, sum: u64) -> Result<Draft, SnapshotError> {
        match sum == self.digest.number() {
            true => Ok(self.draft),
            false => Err(SnapshotError::write(&self.target)(unlike(&"its values"))),
        }
    }
}

/// Reads part `part` of `parts` of the file for `target` that lies at [`ClosedGrid::path`] until it has its name, and sums up its voxels.
///
/// # Errors
/// [`SnapshotError::Write`] of `target` if it cannot be read.
pub fn read_back(path: &Path, target: &Path, (part, parts): (usize, usize)) -> Result<u64, SnapshotError> {
    let sum = GridReader::open(path).and_then(|reader| reader.sum_of_part(part, parts));
    sum.map_err(|error| SnapshotError::write(target)(unlike(&error)))
}

fn new_dataset(file: &hdf5::File, grid: &Grid) -> hdf5::Result<hdf5::Dataset> {
    file.new_dataset::<f32>()
        .chunk(grid.cells().map(|n| n.min(CHUNK_CELLS)))
        .chunk_cache(CHUNK_CACHE_SLOTS, CHUNK_CACHE_BYTES, CACHE_PREFERENCE)
        .fletcher32()
        .shape(grid.cells())
        .create(DATASET)
}

/// Opens a closed draft as others will, and compares what it says of itself with what was written.
fn check_description(draft: &Path, grid: &Grid, meta: &GridMeta, digest: Digest) -> io::Result<()> {
    let reader = GridReader::open(draft).map_err(|error| unlike(&error))?;
    // Numbers are rounded when they are read from text.
    let through_text =
        |meta: &GridMeta| -> serde_json::Result<Value> { serde_json::from_str(&json!(meta).to_string()) };
    let is_alike = reader.grid() == grid
        && reader.digest() == Some(digest)
        && through_text(reader.meta())? == through_text(meta)?;
    if is_alike { Ok(()) } else { Err(unlike(&"its description")) }
}

fn unlike(detail: &dyn Display) -> io::Error {
    io::Error::other(format!("what was read back is not what was written; is the disk sound? ({detail})"))
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
    if let Some(unit) = &meta.unit {
        write_text(file, "unit", unit)?;
    }
    meta.mean.map_or(Ok(()), |mean| write_scalar(file, "mean", mean))?;
    if let Some(axis) = &meta.redshift_space {
        write_text(file, "redshift_space", axis)?;
    }
    if let Some(start) = &meta.start_mpc_h {
        write_array(file, "start_mpc_h", start)?;
    }
    if meta.is_spread {
        write_scalar(file, "spread", true)?;
    }
    write_text(file, "assignment", &meta.assignment.map_or("none".to_owned(), |scheme| scheme.to_string()))?;
    write_scalar(file, "periodic", meta.boundary.is_periodic())?;
    write_text(file, "centring", meta.centring.name())?;
    for (name, value) in meta.cosmology.parameters() {
        value.map_or(Ok(()), |value| write_scalar(file, name, value))?;
    }
    if let Some(faces) = &meta.tile_faces {
        write_text(file, "tile_faces", &json!(faces).to_string())?;
    }
    if !meta.earlier_tile_faces.is_empty() {
        write_text(file, "earlier_tile_faces", &json!(meta.earlier_tile_faces).to_string())?;
    }
    write_text(file, "provenance", &meta.provenance.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::example;
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
    fn each_voxel_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let grid = example([5, 4, 3]);
        let values = grid.field.values();
        let slab = |start: usize, end: usize| {
            let region = Region { start: [start as i64, 0, 0], shape: [end - start, 4, 3] };
            (region, values.slice(s![start..end, .., ..]).to_owned())
        };
        for slabs in [vec![slab(0, 3)], vec![slab(0, 3), slab(2, 5)], vec![slab(0, 5), slab(0, 5)]] {
            let path = folder.path().join("grid.hdf5");
            let mut writer = GridWriter::create(&path, grid.field.grid(), &grid.meta).unwrap();
            slabs.iter().for_each(|(region, values)| writer.write(region, values.view()).unwrap());
            let error = writer.finish().unwrap_err();
            assert!(error.to_string().contains("read back"), "{error}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn several_read_back_what_one_has_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grid.hdf5");
        let grid = example([65, 33, 3]);
        let written = || {
            let mut writer = GridWriter::create(&path, grid.field.grid(), &grid.meta).unwrap();
            writer.write_all(&grid.field).unwrap();
            writer
        };
        let of_parts = |closed: &ClosedGrid, parts: std::ops::Range<usize>| {
            let sums = parts.map(|part| read_back(closed.path(), &path, (part, 4)).unwrap());
            sums.fold(0, u64::wrapping_add)
        };
        // A part that nobody reads.
        let closed = written().close().unwrap();
        let sum = of_parts(&closed, 0..3);
        let error = closed.commit(sum).unwrap_err();
        assert!(error.to_string().contains("read back"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // A part that cannot be read.
        let closed = written().close().unwrap();
        std::fs::write(closed.path(), "no grid").unwrap();
        let error = read_back(closed.path(), &path, (1, 4)).unwrap_err();
        assert!(matches!(&error, SnapshotError::Write { path: at, .. } if *at == path), "{error}");
        drop(closed);
        let closed = written().close().unwrap();
        let sum = of_parts(&closed, 0..4);
        closed.commit(sum).unwrap();
        assert_eq!(read_grid(&path).unwrap(), grid);
    }

    #[test]
    fn damage_is_found_when_a_grid_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grid.hdf5");
        let grid = example([5, 4, 3]);
        crate::write_grid(&path, &grid).unwrap();
        let whole = std::fs::read(&path).unwrap();
        // The largest value lies once in the file, last in its only chunk.
        let largest = 216.0f32.to_le_bytes();
        let at = whole.windows(4).position(|four| four == largest).unwrap();
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&path, changed).unwrap();
        assert!(read_grid(&path).is_err());
        // A write that was lost leaves zeros, and HDF5's checksum of zeros is zero.
        let mut lost = whole;
        lost[at + 4 - 4 * 60..at + 8].fill(0);
        std::fs::write(&path, lost).unwrap();
        let reader = crate::GridReader::open(&path).unwrap();
        for error in [read_grid(&path).unwrap_err(), reader.check_values().unwrap_err()] {
            assert!(matches!(error, SnapshotError::Damaged { .. }), "{error}");
        }
    }

    #[test]
    fn damage_is_found_in_what_describes_the_values() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grid.hdf5");
        let mut grid = example([5, 4, 3]);
        grid.meta.redshift = 1.234_567_8;
        crate::write_grid(&path, &grid).unwrap();
        let mut changed = std::fs::read(&path).unwrap();
        let at = changed.windows(8).position(|eight| eight == grid.meta.redshift.to_le_bytes()).unwrap();
        changed[at] ^= 1;
        std::fs::write(&path, changed).unwrap();
        assert!(crate::GridReader::open(&path).is_err());
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
