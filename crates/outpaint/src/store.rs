//! The work of a generation, durable piece by piece.
//!
//! A work folder holds `generation.json` (what is generated), a `journal` of finished pieces with their checksums, and
//! raw values (network units, x slowest, little endian). A piece's values are made durable before its journal line is
//! written, so a kill at any moment leaves whole pieces; values without a line do not count and are written again.

mod steps;
mod windows;

pub(crate) use steps::{Generation, StepStore};
pub(crate) use windows::WindowStore;

use crate::identity::difference;
use crate::journal::{Checksum, Journal};
use crate::volume::Shape;
use crate::{Order, OutpaintError};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};

const HEADER: &str = "generation.json";
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

    /// The work of windows of so many fields that are finished one after another.
    pub(crate) fn windows(
        &self,
        identity: &Value,
        order: &Order,
        fields: usize,
    ) -> Result<WindowStore, OutpaintError> {
        match self {
            Self::Memory => Ok(WindowStore::in_memory(order, fields)),
            Self::Folder { path, existing } => {
                WindowStore::open(WorkFolder::open(path, *existing, identity)?, identity, order, fields)
            }
        }
    }

    /// The work of a volume that takes one step after another.
    pub(crate) fn steps(&self, identity: &Value, shape: Shape) -> Result<StepStore, OutpaintError> {
        match self {
            Self::Memory => Ok(StepStore::in_memory(shape)),
            Self::Folder { path, existing } => {
                StepStore::open(WorkFolder::open(path, *existing, identity)?, identity, shape)
            }
        }
    }
}

/// A work folder that nobody else has open.
struct WorkFolder {
    path: PathBuf,
    journal: Journal,
    /// Of each finished piece.
    checksums: Vec<Checksum>,
    /// Whether the header is there: without it the folder was killed before the first piece.
    begun: bool,
}

impl WorkFolder {
    fn open(path: &Path, existing: Existing, identity: &Value) -> Result<Self, OutpaintError> {
        std::fs::create_dir_all(path).map_err(OutpaintError::io(path, "making the work folder"))?;
        let (journal, mut checksums) = Journal::open(&path.join(JOURNAL))?;
        let header = path.join(HEADER);
        let begun = header.exists();
        if begun {
            check_header(path, &header, existing, identity)?;
        } else {
            checksums.clear();
        }
        Ok(Self { path: path.into(), journal, checksums, begun })
    }

    /// Keeps the first `pieces` pieces, and says what the folder is of once everything else is there.
    fn begin(mut self, identity: &Value, pieces: usize) -> Result<Journal, OutpaintError> {
        if pieces < self.checksums.len() {
            let folder = self.path.display();
            tracing::warn!(
                "{folder}: the values of piece {pieces} are damaged; it and later ones are generated again"
            );
        }
        self.journal.truncate(pieces)?;
        if !self.begun {
            write_header(&self.path, &self.path.join(HEADER), identity)?;
        }
        Ok(self.journal)
    }
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

#[cfg(test)]
mod tests;
