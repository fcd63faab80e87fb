//! The list of finished windows, which alone decides what is filled.
//!
//! A line per window: its number, the SHA-256 of its new values, and a check of the line itself. A line that a kill
//! cut short, and all after it, count as never written.

use crate::OutpaintError;
use finescale_durable::AppendLog;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// SHA-256 of the new values of a window.
pub(crate) type Checksum = [u8; 32];

/// The file of finished windows, open for appending.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    log: AppendLog,
    /// What the lines are of.
    key: String,
}

impl Journal {
    /// Opens the journal of what `key` says, an empty one where there is none: also the checksums of windows 0, 1, ...
    /// that it holds. Lines of something else do not count.
    pub(crate) fn open(path: &Path, key: &str) -> Result<(Self, Vec<Checksum>), OutpaintError> {
        let (log, bytes) = AppendLog::open(path).map_err(|error| {
            if finescale_durable::is_busy(&error) {
                return OutpaintError::Busy { path: path.into() };
            }
            OutpaintError::io(path, "opening")(error)
        })?;
        let lines = bytes.split_inclusive(|&byte| byte == b'\n').enumerate();
        let checksums = lines.map_while(|(window, line)| parse(key, window, line)).collect();
        Ok((Self { path: path.into(), log, key: key.to_owned() }, checksums))
    }

    /// Keeps the first `windows` lines only, and appends from there.
    pub(crate) fn truncate(&mut self, windows: usize) -> Result<(), OutpaintError> {
        let length: usize =
            (0..windows).map(|window| line(&self.key, window, &Checksum::default()).len()).sum();
        self.log.truncate(length as u64).map_err(OutpaintError::io(&self.path, "cutting off torn lines"))
    }

    /// Appends a window whose values are durable already, and makes the line durable too.
    pub(crate) fn append(&mut self, window: usize, checksum: &Checksum) -> Result<(), OutpaintError> {
        let written = self.log.append(line(&self.key, window, checksum).as_bytes());
        written.and_then(|()| self.log.sync()).map_err(OutpaintError::io(&self.path, "writing"))
    }
}

fn line(key: &str, window: usize, checksum: &Checksum) -> String {
    let content = format!("{window:010} {}", hex::encode(checksum));
    let check = hex::encode(&Sha256::digest(format!("{key} {content}"))[..8]);
    format!("{content} {check}\n")
}

/// The checksum in `bytes` if they are the whole line of `window`.
fn parse(key: &str, window: usize, bytes: &[u8]) -> Option<Checksum> {
    let digits = std::str::from_utf8(bytes).ok()?.split(' ').nth(1)?;
    let mut checksum = Checksum::default();
    for (i, byte) in checksum.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    (line(key, window, &checksum).as_bytes() == bytes).then_some(checksum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_lines(path: &Path) -> (Vec<Checksum>, Vec<u8>) {
        let checksums: Vec<Checksum> = (1..4).map(|window| [window; 32]).collect();
        let (mut journal, found) = Journal::open(path, "key").unwrap();
        assert!(found.is_empty());
        for (window, checksum) in checksums.iter().enumerate() {
            journal.append(window, checksum).unwrap();
        }
        (checksums, std::fs::read(path).unwrap())
    }

    #[test]
    fn a_journal_cut_at_any_byte_holds_its_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (checksums, bytes) = three_lines(&path);
        let line_length = bytes.len() / 3;
        for length in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let (mut journal, found) = Journal::open(&path, "key").unwrap();
            assert_eq!(found, checksums[..length / line_length], "cut at {length}");
            // What is written next follows the last whole line.
            journal.truncate(found.len()).unwrap();
            journal.append(found.len(), &[9; 32]).unwrap();
            drop(journal);
            assert_eq!(Journal::open(&path, "key").unwrap().1.len(), found.len() + 1);
        }
    }

    #[test]
    fn a_changed_byte_ends_the_journal_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (checksums, bytes) = three_lines(&path);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x81;
            std::fs::write(&path, changed).unwrap();
            assert_eq!(
                Journal::open(&path, "key").unwrap().1,
                checksums[..at / (bytes.len() / 3)],
                "byte {at}"
            );
        }
    }
}
