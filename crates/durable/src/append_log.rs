//! Files that grow by whole records.

use crate::folder::{parent, sync_folder};
use crate::{check_ours_alone, in_place};
use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file that grows by whole records: what a failed write left of one is overwritten by the next.
#[derive(Debug)]
pub struct AppendLog {
    file: File,
    /// Length of the whole records.
    length: u64,
}

impl AppendLog {
    /// Opens `path`, or makes it; also what it holds. It stays locked while it is open.
    ///
    /// # Errors
    /// Errors of the system; [`crate::is_busy`] is true of the error if another process has it open.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<u8>)> {
        let is_new = !path.try_exists()?;
        let mut file = in_place().create(true).truncate(false).open(path)?;
        check_ours_alone(&file)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process writes it"));
            }
            Err(TryLockError::Error(error)) => {
                tracing::debug!("{}: not locked: {error}", path.display());
            }
        }
        if is_new {
            sync_folder(parent(path))?;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok((Self { file, length: bytes.len() as u64 }, bytes))
    }

    /// Keeps the first `length` bytes, durably, and goes on from there.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.sync_all()?;
        self.length = length;
        Ok(())
    }

    /// Appends a record; a failed one counts as never written.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn append(&mut self, record: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all_at(record, self.length) {
            // A part of it may be there. Should this fail as well, readers know a torn record, and the next one covers it.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += record.len() as u64;
        Ok(())
    }

    /// Waits until all records survive a power cut.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_appended_and_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (mut log, found) = AppendLog::open(&path).unwrap();
        assert!(found.is_empty());
        log.append(b"one\n").unwrap();
        log.append(b"two\n").unwrap();
        assert!(crate::is_busy(&AppendLog::open(&path).unwrap_err()));
        log.truncate(4).unwrap();
        log.append(b"three\n").unwrap();
        log.sync().unwrap();
        drop(log);
        assert_eq!(AppendLog::open(&path).unwrap().1, b"one\nthree\n");
    }

    #[test]
    fn a_full_disk_is_an_error_and_the_record_does_not_count() {
        let file = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut log = AppendLog { file, length: 0 };
        assert_eq!(log.append(b"one\n").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(log.length, 0);
    }
}
