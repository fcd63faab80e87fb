//! Columns of numbers of the particles in one file, whatever its format.

use crate::SnapshotError;
use crate::gadget::{BlockColumn, GadgetFile, is_gadget};
use crate::header::{self, FileHeader};
use crate::native::{self, Kind};
use crate::objects;
use crate::open::{open, open_with_cache};
use crate::path_kind::is_file;
use crate::reading::Reading;
use crate::units::GivenUnits;
use crate::zstd::while_chunks_have;
use finescale_field::{check_memory, shown};
use ndarray::s;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One open file of a snapshot.
pub(crate) struct OpenFile {
    path: PathBuf,
    content: Content,
}

enum Content {
    Hdf5(hdf5::File),
    Gadget(Box<GadgetFile>),
}

/// Numbers of some property of the particles of one type, `columns` to each.
pub(crate) struct Column {
    path: PathBuf,
    /// As the file names it: `PartType0/Masses`.
    name: String,
    values: Values,
    rows: usize,
    columns: usize,
}

enum Values {
    Dataset { dataset: hdf5::Dataset, is_f32: bool },
    Block(BlockColumn),
}

/// The name of the group of a type of particles.
pub(crate) fn group_of(kind: usize) -> String {
    format!("PartType{kind}")
}

impl OpenFile {
    /// Opens a file in HDF5 or in GADGET's binary formats.
    pub(crate) fn open(path: &Path) -> Result<Self, SnapshotError> {
        let _reading = Reading::of(path);
        let content = match is_file(path)? && is_gadget(path)? {
            true => Content::Gadget(Box::new(GadgetFile::open(path)?)),
            false => Content::Hdf5(open(path)?),
        };
        Ok(Self { path: path.into(), content })
    }

    /// The same to read datasets of this type of particles: with room for one HDF5 chunk of them. A filtered dataset is
    /// often one single chunk, which each slab would unpack anew.
    pub(crate) fn open_to_read(path: &Path, kind: usize) -> Result<Self, SnapshotError> {
        let _reading = Reading::of(path);
        let first = Self::open(path)?;
        let Content::Hdf5(file) = &first.content else { return Ok(first) };
        let mut bytes = 0;
        for name in POSITIONS {
            if let Some(dataset) = objects::dataset(path, file, &format!("{}/{name}", group_of(kind)))? {
                bytes = bytes.max(chunk_bytes(&dataset));
            }
        }
        check_memory("unpacking a chunk of Coordinates", bytes as u128)
            .map_err(SnapshotError::field(path))?;
        let content = Content::Hdf5(open_with_cache(path, bytes)?);
        Ok(Self { content, ..first })
    }

    /// What the file says of itself and of its snapshot.
    pub(crate) fn header(&self, given: GivenUnits) -> Result<FileHeader, SnapshotError> {
        let _reading = Reading::of(&self.path);
        match &self.content {
            Content::Hdf5(file) => FileHeader::read(&self.path, file, given),
            Content::Gadget(file) => file.header(given),
        }
    }

    /// Whether it is a catalogue of groups, and no snapshot.
    pub(crate) fn is_catalogue(&self) -> Result<bool, SnapshotError> {
        let _reading = Reading::of(&self.path);
        match &self.content {
            Content::Hdf5(file) => header::is_catalogue(&self.path, file),
            Content::Gadget(_) => Ok(false),
        }
    }

    /// The first of some names that particles of type `kind` have, if they have any.
    pub(crate) fn column(&self, kind: usize, names: &[&str]) -> Result<Option<Column>, SnapshotError> {
        for name in names {
            let named = format!("{}/{name}", group_of(kind));
            let (values, shape) = match &self.content {
                Content::Hdf5(file) => {
                    let Some(dataset) = objects::dataset(&self.path, file, &named)? else { continue };
                    let shape = dataset.shape();
                    (self.dataset(dataset, &named)?, shape)
                }
                Content::Gadget(file) => {
                    let Some(block) = file.column(kind, name)? else { continue };
                    let shape = block.shape().to_vec();
                    (Values::Block(block), shape)
                }
            };
            let (rows, columns) = match shape[..] {
                [rows] => (rows, 1),
                [rows, columns] => (rows, columns),
                _ => {
                    let (path, dataset) = (self.path.clone(), shown(&named));
                    let detail = format!("has shape {shape:?}, and one row for each particle is needed");
                    return Err(SnapshotError::Dataset { path, dataset, detail });
                }
            };
            let (path, name) = (self.path.clone(), shown(&named));
            return Ok(Some(Column { path, name, values, rows, columns }));
        }
        Ok(None)
    }

    /// The same of a column that must be there.
    pub(crate) fn needed(&self, kind: usize, names: &[&str]) -> Result<Column, SnapshotError> {
        let missing = || SnapshotError::MissingDataset {
            path: self.path.clone(),
            dataset: shown(&format!("{}/{}", group_of(kind), names[0])),
        };
        self.column(kind, names)?.ok_or_else(missing)
    }

    fn dataset(&self, dataset: hdf5::Dataset, name: &str) -> Result<Values, SnapshotError> {
        let kind =
            dataset.dtype().map_err(|error| SnapshotError::hdf5(&self.path, "reading a type", &error))?;
        let is_number = matches!(native::kind(&kind), Kind::Float | Kind::Integer { .. });
        if !is_number {
            let (path, dataset) = (self.path.clone(), shown(name));
            return Err(SnapshotError::Dataset { path, dataset, detail: "holds no numbers".to_owned() });
        }
        let is_f32 = native::kind(&kind) == Kind::Float && kind.size() == 4;
        Ok(Values::Dataset { dataset, is_f32 })
    }
}

/// How codes name positions: GADGET-4 can store them as integers.
pub(crate) const POSITIONS: [&str; 2] = ["Coordinates", "IntCoordinates"];

impl Column {
    /// Its group and name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Numbers for each particle.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// An error about what it holds.
    pub(crate) fn unfit(&self, detail: String) -> SnapshotError {
        SnapshotError::Dataset { path: self.path.clone(), dataset: self.name.clone(), detail }
    }

    /// Particles, if each has this many numbers, and the file's header promises as many of them.
    pub(crate) fn rows(&self, expected: u64, columns: usize) -> Result<usize, SnapshotError> {
        if self.rows as u64 == expected && self.columns == columns {
            return Ok(self.rows);
        }
        let found = if self.columns == 1 { vec![self.rows] } else { vec![self.rows, self.columns] };
        if self.rows as u64 == expected {
            return Err(
                self.unfit(format!("has shape {found:?}, and {columns} for each particle are needed"))
            );
        }
        let (path, dataset) = (self.path.clone(), self.name.clone());
        Err(SnapshotError::ChunkCount { path, dataset, expected, found })
    }

    /// Bits of unsigned integers, of which all together make the side of the box.
    pub(crate) fn bits(&self) -> Result<usize, SnapshotError> {
        let found = match &self.values {
            Values::Dataset { dataset, .. } => dataset
                .dtype()
                .map(|kind| (native::kind(&kind), kind.size()))
                .map_err(|error| self.failed(&error))?,
            Values::Block(_) => (Kind::Other, 0),
        };
        match found {
            (Kind::Integer { signed: false }, bytes @ (4 | 8)) => Ok(8 * bytes),
            (kind, bytes) => Err(self.unfit(format!(
                "holds {kind:?} of {bytes} bytes, and unsigned integers of 32 or 64 bits over a cube are needed"
            ))),
        }
    }

    /// The numbers of some rows, row by row, in the file's units.
    pub(crate) fn read(&self, rows: Range<usize>) -> Result<Vec<f64>, SnapshotError> {
        match &self.values {
            Values::Dataset { dataset, is_f32 } => {
                while_chunks_have(chunk_bytes(dataset), || self.read_dataset(dataset, *is_f32, rows))
            }
            Values::Block(block) => {
                let io = |source| SnapshotError::Io { path: self.path.clone(), doing: "reading", source };
                block.read(rows).map_err(io)
            }
        }
    }

    fn read_dataset(
        &self,
        dataset: &hdf5::Dataset,
        is_f32: bool,
        rows: Range<usize>,
    ) -> Result<Vec<f64>, SnapshotError> {
        let failed = |error: hdf5::Error| self.failed(&error);
        // HDF5's own conversion is slower than its reading.
        let widened = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
        match (dataset.ndim(), is_f32) {
            (2, true) => {
                let read = dataset.read_slice_2d::<f32, _>(s![rows, ..]).map_err(failed)?;
                Ok(widened(read.into_raw_vec_and_offset().0))
            }
            (2, false) => {
                let read = dataset.read_slice_2d::<f64, _>(s![rows, ..]).map_err(failed)?;
                Ok(read.into_raw_vec_and_offset().0)
            }
            (_, true) => {
                let read = dataset.read_slice_1d::<f32, _>(s![rows]).map_err(failed)?;
                Ok(widened(read.into_raw_vec_and_offset().0))
            }
            (_, false) => {
                let read = dataset.read_slice_1d::<f64, _>(s![rows]).map_err(failed)?;
                Ok(read.into_raw_vec_and_offset().0)
            }
        }
    }

    /// The same of integers, one in a row.
    pub(crate) fn read_integers(&self, rows: Range<usize>) -> Result<Vec<u64>, SnapshotError> {
        match &self.values {
            Values::Dataset { dataset, .. } => {
                let read = || dataset.read_slice_1d::<u64, _>(s![rows]).map_err(|error| self.failed(&error));
                Ok(while_chunks_have(chunk_bytes(dataset), read)?.into_raw_vec_and_offset().0)
            }
            Values::Block(block) => {
                let io = |source| SnapshotError::Io { path: self.path.clone(), doing: "reading", source };
                block.read_integers(rows).map_err(io)
            }
        }
    }

    fn failed(&self, error: &hdf5::Error) -> SnapshotError {
        SnapshotError::hdf5(&self.path, format!("reading {}", self.name), error)
    }
}

/// Bytes of one HDF5 chunk, 0 if the dataset has none.
pub(crate) fn chunk_bytes(dataset: &hdf5::Dataset) -> usize {
    let bytes = dataset.dtype().map_or(0, |kind| kind.size());
    dataset.chunk().map_or(0, |chunk| chunk.iter().fold(bytes, |product, &n| product.saturating_mul(n)))
}
