//! The only way to write: no other crate opens a file for writing.
//!
//! - [`Draft`] and [`write()`] make files that appear under their name when they are whole and durable: a private
//!   temporary in the folder of the target, synced, renamed, and the folder synced. Whoever is killed leaves the old
//!   file, and what appeared under that name meanwhile stays.
//! - [`AppendLog`] grows by whole records, [`WorkFile`] holds raw values that are written in any order.
//! - [`Lock`] keeps two processes from working on one thing.
//! - [`refuse_inputs`] keeps an output from replacing what it is made of.
//!
//! Errors are those of the system, or say in plain words what is wrong with the target; callers name the file.

mod append_log;
mod draft;
mod folder;
mod lock;
mod target;
mod work_file;

pub use append_log::AppendLog;
pub use draft::{Draft, check_can_write, commit_together, is_draft_of, remove_drafts, write};
pub use folder::{create_folder, remove_file, remove_folder, sync_folder};
pub use lock::{Lock, is_busy};
pub use target::{follow, refuse_inputs, same_file};
pub use work_file::WorkFile;

use rustix::fs::OFlags;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;

/// Opens a file to read and write in place; a link under its name is an error, since somebody else may have put it there.
fn in_place() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
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
