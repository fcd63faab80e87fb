//! A log that waits for a disk to have room, since no training should end for a line in it.

use crate::TrainingError;
use finescale_durable::AppendLog;
use std::path::{Path, PathBuf};

/// A file that grows by records; those that cannot be written wait in memory, and go out before the next one.
#[derive(Debug)]
pub(crate) struct PatientLog {
    path: PathBuf,
    log: AppendLog,
    waiting: Vec<u8>,
}

impl PatientLog {
    /// Opens the log at `path`, or makes it; also what it holds.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<u8>), TrainingError> {
        let opened = AppendLog::open(path);
        let (log, bytes) = opened.map_err(|source| TrainingError::Write { path: path.into(), source })?;
        Ok((Self { path: path.into(), log, waiting: Vec::new() }, bytes))
    }

    /// Keeps the first `length` bytes.
    pub(crate) fn truncate(&mut self, length: usize) -> Result<(), TrainingError> {
        let cut = self.log.truncate(length as u64);
        cut.map_err(|source| TrainingError::Write { path: self.path.clone(), source })
    }

    /// Appends a record, now or later.
    pub(crate) fn append(&mut self, record: &[u8]) {
        let is_first = self.waiting.is_empty();
        self.waiting.extend_from_slice(record);
        match self.log.append(&self.waiting) {
            Ok(()) => self.waiting.clear(),
            Err(error) if is_first => {
                let path = self.path.display();
                tracing::warn!(
                    "{path}: cannot write: {error}; training goes on, and these lines are tried again"
                );
            }
            Err(_) => {}
        }
    }

    /// Waits until the records survive a power cut; those that are still waiting are tried again first.
    pub(crate) fn sync(&mut self) {
        if !self.waiting.is_empty() {
            self.append(&[]);
        }
        if let Err(error) = self.log.sync() {
            tracing::warn!("{}: cannot write: {error}; a power cut may lose lines", self.path.display());
        }
    }

    #[cfg(test)]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
