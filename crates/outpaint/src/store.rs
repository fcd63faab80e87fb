//! The work of a generation, durable piece by piece.
//!
//! A work folder holds `generation.json` (what is generated), a `journal` of finished pieces with their checksums, and
//! raw values (network units, x slowest, little endian). A piece's values are made durable before its journal line is
//! written, so a kill at any moment leaves whole pieces; values without a line do not count and are written again.

mod steps;
mod windows;

pub(crate) use steps::{StepStore, StepVolumes};
pub(crate) use windows::WindowStore;

use crate::identity::{Difference, continued, key, program_difference, sample_difference};
use crate::journal::{Checksum, Journal};
use crate::volume::Shape;
use crate::{Order, OutpaintError};
use finescale_ranks::Ranks;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};

const HEADER: &str = "generation.json";
const JOURNAL: &str = "journal";
/// All files of a work folder. The header goes first when they are removed: without it the rest counts as never begun.
const FILES: [&str; 9] = [
    HEADER,
    JOURNAL,
    windows::VALUES,
    steps::STATES[0],
    steps::STATES[1],
    steps::MEMORIES[0],
    steps::MEMORIES[1],
    steps::ESTIMATE,
    steps::PAUSED,
];

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
    /// The same, even if another program, device or instruction set began it.
    ResumeAnyway,
}

impl Store {
    /// Removes the work folder, but for files that are no part of a generation: a warning names the folder then.
    ///
    /// # Errors
    /// [`OutpaintError::Io`] if the file system refuses.
    pub fn remove(&self) -> Result<(), OutpaintError> {
        let Self::Folder { path, .. } = self else { return Ok(()) };
        let gone = finescale_durable::remove_folder(path, &FILES);
        if !gone.map_err(OutpaintError::io(path, "removing"))? {
            tracing::warn!(
                "{}: holds files that are no part of a generation; the folder stays",
                path.display()
            );
        }
        Ok(())
    }

    /// Removes what is left of the work on the sample of `identity`, which is complete. Work on another sample stays, and
    /// a warning says so.
    ///
    /// # Errors
    /// [`OutpaintError::Io`] if the file system refuses, [`OutpaintError::Header`] for a header that cannot be read.
    pub fn remove_of(&self, identity: &Value) -> Result<(), OutpaintError> {
        let Self::Folder { path, .. } = self else { return Ok(()) };
        let header = path.join(HEADER);
        if is_there(&header)? && sample_difference(identity, &read_header(&header)?).is_some() {
            tracing::warn!("{}: holds unfinished work on another sample, and stays", path.display());
            return Ok(());
        }
        self.remove()
    }

    /// The work of windows of so many fields that are finished one after another.
    pub(crate) fn windows(
        &self,
        identity: Value,
        order: &Order,
        fields: usize,
        ranks: &Ranks,
    ) -> Result<WindowStore, OutpaintError> {
        match self {
            Self::Memory => Ok(WindowStore::in_memory(identity, order, fields, ranks)),
            Self::Folder { path, existing } => {
                let open = || WorkFolder::open(path, *existing, identity);
                WindowStore::open(path, ranks.is_first().then(open).transpose()?, order, fields, ranks)
            }
        }
    }

    /// The work of a volume that takes one step after another.
    pub(crate) fn steps(
        &self,
        identity: Value,
        shape: Shape,
        ranks: &Ranks,
    ) -> Result<StepStore, OutpaintError> {
        match self {
            Self::Memory => Ok(StepStore::in_memory(identity, shape, ranks)),
            Self::Folder { path, existing } => {
                let open = || WorkFolder::open(path, *existing, identity);
                StepStore::open(path, ranks.is_first().then(open).transpose()?, shape, ranks)
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
    /// What is generated, and by whom.
    identity: Value,
    /// What the header says; without one the folder was killed before the first piece.
    header: Option<Value>,
}

impl WorkFolder {
    fn open(path: &Path, existing: Existing, identity: Value) -> Result<Self, OutpaintError> {
        finescale_durable::create_folder(path).map_err(OutpaintError::io(path, "making the work folder"))?;
        let names = FILES.iter().map(Path::new);
        finescale_durable::refuse_links(path, names)
            .map_err(OutpaintError::io(path, "opening the work folder"))?;
        let header = path.join(HEADER);
        if !is_there(&header)? {
            check_only_ours(path)?;
        }
        let (journal, mut checksums) = Journal::open(&path.join(JOURNAL), &key(&identity))?;
        let header = if is_there(&header)? { Some(read_header(&header)?) } else { None };
        let identity = match &header {
            Some(found) => check_header(path, existing, identity, found)?,
            None => {
                checksums.clear();
                identity
            }
        };
        Ok(Self { path: path.into(), journal, checksums, identity, header })
    }

    /// Whether there was work.
    fn begun(&self) -> bool {
        self.header.is_some()
    }

    /// Keeps the first `pieces` pieces, and says what the folder is of once everything else is there. Also says of whom
    /// the result will be.
    fn begin(mut self, pieces: usize) -> Result<(Journal, Value), OutpaintError> {
        if pieces < self.checksums.len() {
            let folder = self.path.display();
            tracing::warn!(
                "{folder}: the values of piece {pieces} are damaged; it and later ones are generated again"
            );
        }
        self.journal.truncate(pieces)?;
        if self.header.as_ref() != Some(&self.identity) {
            let header = self.path.join(HEADER);
            let text = format!("{:#}\n", self.identity);
            finescale_durable::write(&header, |file| file.write_all(text.as_bytes()))
                .map_err(OutpaintError::io(&header, "writing"))?;
        }
        Ok((self.journal, self.identity))
    }
}

/// A folder that nothing was begun in may hold what a killed run left, and nothing else: it is removed at the end.
fn check_only_ours(folder: &Path) -> Result<(), OutpaintError> {
    let listing = std::fs::read_dir(folder).map_err(OutpaintError::io(folder, "listing"))?;
    for entry in listing {
        let name = entry.map_err(OutpaintError::io(folder, "listing"))?.file_name();
        let name = name.to_string_lossy();
        if !FILES.contains(&name.as_ref()) && !finescale_durable::is_draft_of(&name, &FILES) {
            return Err(OutpaintError::ForeignFolder { folder: folder.into(), name: name.into_owned() });
        }
    }
    Ok(())
}

/// What rank 0 has `found`, on all ranks.
fn told<T: Serialize + DeserializeOwned>(ranks: &Ranks, found: Option<T>) -> Result<T, OutpaintError> {
    let text = found.map(|found| serde_json::to_vec(&found).expect("numbers and text are JSON"));
    let mut text = text.unwrap_or_default();
    ranks.broadcast(&mut text)?;
    Ok(serde_json::from_slice(&text).expect("what was JSON on rank 0 is JSON"))
}

/// Whether a file is there; that nobody can tell is an error, not a no.
fn is_there(path: &Path) -> Result<bool, OutpaintError> {
    path.try_exists().map_err(OutpaintError::io(path, "looking for"))
}

fn read_header(header: &Path) -> Result<Value, OutpaintError> {
    let text = finescale_durable::read_text(header).map_err(OutpaintError::io(header, "reading"))?;
    serde_json::from_str(&text)
        .map_err(|error| OutpaintError::Header { path: header.into(), detail: error.to_string() })
}

/// Whether the work that is `found` may be gone on with; also the identity of the result then.
fn check_header(
    folder: &Path,
    existing: Existing,
    identity: Value,
    found: &Value,
) -> Result<Value, OutpaintError> {
    let folder = folder.to_owned();
    if existing == Existing::Refuse {
        return Err(OutpaintError::Unfinished { folder });
    }
    if let Some(Difference { what, expected, found }) = sample_difference(&identity, found) {
        let what = if what.is_empty() { "generation".to_owned() } else { what };
        return Err(OutpaintError::ResumeMismatch { folder, what, expected, found });
    }
    match program_difference(&identity, found) {
        None => Ok(found.clone()),
        Some(Difference { what, expected, found }) if existing == Existing::Resume => {
            let what = if what.is_empty() { "program".to_owned() } else { what };
            Err(OutpaintError::OtherProgram { folder, what, expected, found })
        }
        Some(difference) => {
            tracing::warn!(
                "{}: {} was {} when this work began, now it is {}: the result has the bits of neither",
                folder.display(),
                difference.what,
                difference.found,
                difference.expected
            );
            Ok(continued(&identity, found))
        }
    }
}

#[cfg(test)]
mod tests;
