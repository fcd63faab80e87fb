//! A density, where its values are read from, and whether they are still those that were checked.

use crate::{GridMeta, PairError};
use finescale_field::{Field3, FieldError, Grid, Region, WindowError, Windows, is_density, position};
use ndarray::Array3;
use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A density 1 + delta, whose values are in memory or in a file, and are read window by window.
#[derive(Clone)]
pub struct Density {
    /// The values.
    pub values: Arc<dyn Windows + Send>,
    /// What they are.
    pub meta: GridMeta,
}

impl Density {
    /// The density of these `values`.
    #[must_use]
    pub fn new(values: impl Windows + Send + 'static, meta: GridMeta) -> Self {
        Self { values: Arc::new(values), meta }
    }

    pub(crate) fn grid(&self) -> &Grid {
        self.values.grid()
    }
}

impl fmt::Debug for Density {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Density")
            .field("grid", self.grid())
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

/// A density 1 + delta, and the file that errors name.
#[derive(Clone)]
pub(crate) struct Source {
    path: PathBuf,
    values: Arc<dyn Windows + Send>,
    /// The file as it was when it was opened; none of what is in memory.
    stamp: Option<Stamp>,
}

/// What changes with a file that is written in place. One that takes its name is another one, whose values are not read.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device_and_inode: [u64; 2],
    length: u64,
    /// Seconds and nanoseconds.
    modified: [i64; 2],
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let of = |file: Metadata| Self {
            device_and_inode: [file.dev(), file.ino()],
            length: file.len(),
            modified: [file.mtime(), file.mtime_nsec()],
        };
        fs::metadata(path).ok().map(of)
    }
}

impl Source {
    pub(crate) fn new(path: PathBuf, density: &Density) -> Self {
        Self { stamp: Stamp::of(&path), values: density.values.clone(), path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A window.
    ///
    /// # Errors
    /// [`PairError::Changed`] if the file has been written to; [`PairError::Density`] if values of it are none of a density.
    pub(crate) fn window(&self, region: &Region) -> Result<Array3<f32>, PairError> {
        let values = self.values.read(region).map_err(|error| PairError::reading(&self.path, error))?;
        if let (Some(before), Some(now)) = (self.stamp, Stamp::of(&self.path))
            && before.device_and_inode == now.device_and_inode
            && before != now
        {
            return Err(PairError::Changed { path: self.path.clone() });
        }
        let wrong = values.iter().copied().enumerate().find(|&(_, value)| !is_density(value));
        let Some((index, value)) = wrong else { return Ok(values) };
        let offset = position(index, region.shape);
        let voxel = [0, 1, 2].map(|axis| region.wrapped(axis, offset[axis], self.grid().cells()));
        Err(PairError::Density { path: self.path.clone(), source: FieldError::Density { voxel, value } })
    }

    /// All values, in memory.
    ///
    /// # Errors
    /// As [`window`](Self::window), and [`PairError::Read`] if there is no room.
    pub(crate) fn all(&self) -> Result<Field3, PairError> {
        Field3::read_from(self).map_err(|error| PairError::reading(&self.path, error))
    }
}

impl Windows for Source {
    fn grid(&self) -> &Grid {
        self.values.grid()
    }

    fn read(&self, region: &Region) -> Result<Array3<f32>, WindowError> {
        Ok(self.window(region)?)
    }
}
