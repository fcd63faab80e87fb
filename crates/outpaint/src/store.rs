//! The work of a generation, durable window by window.
//!
//! A work folder holds `generation.json` (what is generated), `values.f32` (network units, x slowest, little endian)
//! and `journal` (finished windows). A window's values are made durable before its journal line is written, so a kill
//! at any moment leaves whole windows; values without a line do not count and are written again.

use crate::identity::difference;
use crate::journal::{Checksum, Journal};
use crate::values::Values;
use crate::{OutpaintError, Tiling};
use finescale_field::Region;
use ndarray::{Array3, ArrayView3};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::{Path, PathBuf};

const HEADER: &str = "generation.json";
const VALUES: &str = "values.f32";
const JOURNAL: &str = "journal";

/// Where the work of a generation is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// In memory: nothing survives a kill.
    Memory,
    /// In a work folder, which [`Store::remove`] removes once the result is written.
    Folder {
        /// The folder.
        path: PathBuf,
        /// What to do with work that is there already.
        existing: Existing,
    },
}

/// What to do with the work of an earlier, killed run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leave it, as an error.
    Refuse,
    /// Go on with it, or begin if there is none.
    Resume,
}

impl Store {
    /// Removes the work folder.
    ///
    /// # Errors
    /// [`OutpaintError::Io`] if the file system refuses.
    pub fn remove(&self) -> Result<(), OutpaintError> {
        match self {
            Self::Folder { path, .. } if path.exists() => {
                std::fs::remove_dir_all(path).map_err(OutpaintError::io(path, "removing"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn open(&self, identity: &Value, tiling: &Tiling) -> Result<OpenStore, OutpaintError> {
        let voxels = tiling.cells().iter().product();
        match self {
            Self::Memory => {
                let values = Values::Memory(vec![0.0; voxels]);
                Ok(OpenStore { cells: tiling.cells(), values, journal: None, finished: 0 })
            }
            Self::Folder { path, existing } => open_folder(path, *existing, identity, tiling),
        }
    }
}

/// The values so far, and how many windows are finished.
#[derive(Debug)]
pub(crate) struct OpenStore {
    cells: [usize; 3],
    values: Values,
    journal: Option<Journal>,
    finished: usize,
}

impl OpenStore {
    /// Number of finished windows: 0, 1, ... in raster order.
    pub(crate) fn finished(&self) -> usize {
        self.finished
    }

    /// The values of a window; those of voxels that no finished window filled are arbitrary.
    pub(crate) fn read(&self, region: &Region) -> Result<Array3<f32>, OutpaintError> {
        let mut window = vec![0f32; region.voxels()];
        for (to, from, length) in self.runs(region) {
            self.values.read(from, &mut window[to..to + length])?;
        }
        Ok(Array3::from_shape_vec(region.shape, window).expect("one value per voxel of the window"))
    }

    /// Adds the next window: writes its unknown voxels, then its journal line.
    pub(crate) fn finish(
        &mut self,
        region: &Region,
        unknown: &Array3<f32>,
        values: ArrayView3<f32>,
    ) -> Result<(), OutpaintError> {
        let new = |offset: usize| flat(unknown)[offset] == 1.0;
        let values = values.as_standard_layout();
        let values = values.as_slice().expect("just made standard");
        for (from, to, length) in self.runs(region) {
            let mut offset = 0;
            while offset < length {
                let start = offset;
                let is_new = new(from + start);
                while offset < length && new(from + offset) == is_new {
                    offset += 1;
                }
                if is_new {
                    self.values.write(to + start, &values[from + start..from + offset])?;
                }
            }
        }
        if let Some(journal) = &mut self.journal {
            self.values.sync()?;
            journal.append(self.finished, &checksum(unknown, values))?;
        }
        self.finished += 1;
        Ok(())
    }

    /// Runs along z: (offset in the window, index in the volume, length).
    fn runs(&self, region: &Region) -> Vec<(usize, usize, usize)> {
        let mut runs = Vec::new();
        region.for_each_run(self.cells, |offset, index, length| runs.push((offset, index, length)));
        runs
    }
}

fn open_folder(
    folder: &Path,
    existing: Existing,
    identity: &Value,
    tiling: &Tiling,
) -> Result<OpenStore, OutpaintError> {
    std::fs::create_dir_all(folder).map_err(OutpaintError::io(folder, "making the work folder"))?;
    let (mut journal, checksums) = Journal::open(&folder.join(JOURNAL))?;
    let header = folder.join(HEADER);
    let begun = header.exists();
    // Without its header the folder was killed before the first window.
    let (values, checksums) = if begun {
        check_header(folder, &header, existing, identity)?;
        (Values::open(&folder.join(VALUES))?, checksums)
    } else {
        (Values::create(&folder.join(VALUES), tiling.cells().iter().product())?, Vec::new())
    };
    let mut store = OpenStore { cells: tiling.cells(), values, journal: None, finished: 0 };
    let recorded = checksums.len().min(tiling.windows());
    while store.finished < recorded && is_intact(&store, tiling, &checksums[store.finished])? {
        store.finished += 1;
    }
    if store.finished < recorded {
        let (folder, kept) = (folder.display(), store.finished);
        tracing::warn!(
            "{folder}: the values of window {kept} are damaged; it and later ones are generated again"
        );
    }
    journal.truncate(store.finished)?;
    store.journal = Some(journal);
    if !begun {
        write_header(folder, &header, identity)?;
    }
    Ok(store)
}

fn is_intact(store: &OpenStore, tiling: &Tiling, expected: &Checksum) -> Result<bool, OutpaintError> {
    let window = store.finished;
    let unknown = tiling.unknown(window, |other| other < window);
    Ok(checksum(&unknown, flat(&store.read(&tiling.region(window))?)) == *expected)
}

fn check_header(
    folder: &Path,
    header: &Path,
    existing: Existing,
    identity: &Value,
) -> Result<(), OutpaintError> {
    if existing == Existing::Refuse {
        return Err(OutpaintError::Unfinished { folder: folder.into() });
    }
    let unreadable =
        |detail: serde_json::Error| OutpaintError::Header { path: header.into(), detail: detail.to_string() };
    let text = std::fs::read_to_string(header).map_err(OutpaintError::io(header, "reading"))?;
    let found: Value = serde_json::from_str(&text).map_err(unreadable)?;
    // Through text as well, so that both sides are rounded alike.
    let expected: Value = serde_json::from_str(&identity.to_string()).map_err(unreadable)?;
    match difference(&expected, &found) {
        None => Ok(()),
        Some((what, expected, found)) => {
            let what = if what.is_empty() { "generation".to_owned() } else { what };
            Err(OutpaintError::ResumeMismatch { folder: folder.into(), what, expected, found })
        }
    }
}

/// The header comes last, under a temporary name first: it says that the rest is there.
fn write_header(folder: &Path, header: &Path, identity: &Value) -> Result<(), OutpaintError> {
    let temporary = header.with_extension("new");
    let write = || -> std::io::Result<()> {
        std::fs::write(&temporary, format!("{identity:#}\n"))?;
        File::open(&temporary)?.sync_all()?;
        std::fs::rename(&temporary, header)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(OutpaintError::io(header, "writing"))
}

fn checksum(unknown: &Array3<f32>, values: &[f32]) -> Checksum {
    let new = flat(unknown).iter().zip(values).filter(|(unknown, _)| **unknown == 1.0);
    let bytes: Vec<u8> = new.flat_map(|(_, value)| value.to_le_bytes()).collect();
    Sha256::digest(&bytes).into()
}

fn flat(window: &Array3<f32>) -> &[f32] {
    window.as_slice().expect("windows are made in standard layout")
}

#[cfg(test)]
mod tests;
