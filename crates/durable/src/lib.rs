//! The only way to write: no other crate opens a file for writing.
//!
//! - [`Draft`] and [`write()`] make files that appear under their name when they are whole and durable: a private
//!   temporary in the folder of the target, read back, synced, renamed, and the folder synced. Whoever is killed leaves the
//!   old file, and what appeared under that name meanwhile stays.
//! - [`AppendLog`] grows by whole records, [`WorkFile`] holds raw values that are written in any order.
//! - [`Lock`] keeps two processes from working on one thing.
//! - [`refuse_inputs`] keeps an output from replacing what it is made of.
//!
//! Errors are those of the system, or say in plain words what is wrong with the target; callers name the file.
//!
//! # Examples
//! A file is whole under its name, or not there.
//! ```
//! use std::io::{Error, Write};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("numbers.txt");
//! finescale_durable::write(&path, |file| writeln!(file, "1 2 3"))?;
//! assert_eq!(std::fs::read_to_string(&path)?, "1 2 3\n");
//!
//! // What fails on the way leaves the old file, and nothing beside it.
//! let failed = finescale_durable::write(&path, |file| {
//!     writeln!(file, "4 5")?;
//!     Err(Error::other("there is no sixth number"))
//! });
//! assert!(failed.is_err());
//! assert_eq!(std::fs::read_to_string(&path)?, "1 2 3\n");
//! assert_eq!(std::fs::read_dir(folder.path())?.count(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod append_log;
mod draft;
mod folder;
mod leftovers;
mod lock;
mod target;
mod work_file;

pub use append_log::AppendLog;
pub use draft::{Draft, check_can_write, commit_together, draft, remove_drafts, write};
pub use folder::{create_folder, remove_file, sync_folder};
pub use leftovers::{is_draft_of, remove_folder};
pub use lock::{Lock, is_busy};
pub use target::{follow, keep, refuse_inputs, refuse_links, same_file};
pub use work_file::WorkFile;

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Options of a file that is read and written in place; a link under its name is an error, since somebody else may have
/// put it there.
fn in_place() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// Refuses to write in place what is no regular file, or has another name elsewhere.
fn check_ours_alone(file: &File) -> io::Result<()> {
    let found = file.metadata()?;
    let problem = match (found.is_file(), found.nlink()) {
        (true, 0 | 1) => return Ok(()),
        (true, _) => "has another name, a hard link, and would change under that, too",
        (false, _) => "is no regular file",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
}

/// The bytes of a regular file: opening a pipe would wait forever.
///
/// # Errors
/// Those of the system, and [`io::ErrorKind::InvalidInput`] for what is no regular file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_to_read(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Longest text that is read, in bytes.
const LONGEST_TEXT: u64 = 256 << 20;

/// As [`read`], where text is expected.
///
/// # Errors
/// As [`read`], [`io::ErrorKind::InvalidInput`] for more than 256 MB, and [`io::ErrorKind::InvalidData`] for what is no UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    text_of(open_to_read(path)?)
}

/// As [`read_text`], also of what is no regular file, such as the `<(...)` of a shell: for a path that somebody typed.
///
/// # Errors
/// As [`read_text`], but that.
pub fn read_text_of_any(path: &Path) -> io::Result<String> {
    text_of(File::open(path)?)
}

fn text_of(file: File) -> io::Result<String> {
    let too_large = || {
        let problem = "is larger than 256 MB, which no table or configuration is";
        io::Error::new(io::ErrorKind::InvalidInput, problem)
    };
    if file.metadata()?.len() > LONGEST_TEXT {
        return Err(too_large());
    }
    let mut text = String::new();
    // A device has no length, and no end.
    match file.take(LONGEST_TEXT + 1).read_to_string(&mut text)? as u64 {
        read if read > LONGEST_TEXT => Err(too_large()),
        _ => Ok(text),
    }
}

/// Opens a regular file to read it.
///
/// # Errors
/// As [`read`].
pub fn open_to_read(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "is no regular file")),
    }
}

/// What a person can do about a failed write, as the end of a sentence.
#[must_use]
pub fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "is the disk full, or a quota or limit reached? free some space or choose another folder"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "choose a folder and a name that you may write to"
        }
        io::ErrorKind::AlreadyExists => "choose another name, or run it again to replace that file",
        io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput => {
            "choose another name"
        }
        _ => "try again, or choose another folder",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_device_without_end_is_no_text() {
        let zeros = Path::new("/dev/zero");
        assert_eq!(read_text_of_any(zeros).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(read_text(zeros).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
