//! What killed processes leave behind, and how it is known.

use crate::folder::{parent, remove_file, sync_folder};
use std::fs;
use std::io;
use std::path::Path;

/// Bytes of the target's name in the temporary one, so that even the longest name has room for the rest.
const NAME_BYTES: usize = 100;
/// Random letters and digits in it.
pub(crate) const RANDOM: usize = 12;
/// How its name ends.
pub(crate) const ENDING: &str = ".partial";

/// Removes the files of `names` and their unfinished drafts from a folder, the first one for good before the others, and
/// then the folder. A folder that holds something else stays, and so do its links. Whether the folder is gone.
///
/// # Errors
/// Errors of the system.
pub fn remove_folder(path: &Path, names: &[&str]) -> io::Result<bool> {
    if !path.try_exists()? {
        return Ok(true);
    }
    for (number, name) in names.iter().enumerate() {
        remove_file(&path.join(name))?;
        remove_stale(path, &prefix(Path::new(name)))?;
        if number == 0 {
            sync_folder(path)?;
        }
    }
    // A link to a folder stays, and so does the folder, which is empty then.
    if fs::symlink_metadata(path)?.is_symlink() {
        return Ok(true);
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
        Ok(()) => sync_folder(parent(path)).map(|()| true),
    }
}

/// `.NAME.`, where a long name is cut.
pub(crate) fn prefix(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let end = (0..=name.len().min(NAME_BYTES)).rev().find(|&end| name.is_char_boundary(end));
    format!(".{}.", &name[..end.unwrap_or(0)])
}

/// Whether `name` is that of an unfinished draft of one of the files `targets`.
#[must_use]
pub fn is_draft_of(name: &str, targets: &[&str]) -> bool {
    targets.iter().any(|target| is_draft(name, &prefix(Path::new(target))))
}

fn is_draft(name: &str, prefix: &str) -> bool {
    let random = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(ENDING));
    random.is_some_and(|text| text.len() == RANDOM && text.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Removes drafts of the same target whose processes were killed: nobody holds their lock.
pub(crate) fn remove_stale(folder: &Path, prefix: &str) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if !is_draft(name, prefix) || !entry.file_type()?.is_file() {
            continue;
        }
        // To write: NFS gives no lock for oneself on a file that is open to be read.
        let stale = crate::in_place().open(entry.path());
        let stale = stale.and_then(|file| file.try_lock().map_err(io::Error::from));
        if stale.is_ok() {
            remove_file(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create_folder;

    #[test]
    fn only_named_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        create_folder(&work).unwrap();
        for name in ["a", "b", "notes.txt"] {
            fs::write(work.join(name), "").unwrap();
        }
        assert!(!remove_folder(&work, &["a", "b", "c"]).unwrap());
        assert_eq!(fs::read_dir(&work).unwrap().count(), 1);
        fs::remove_file(work.join("notes.txt")).unwrap();
        assert!(remove_folder(&work, &["a", "b", "c"]).unwrap());
        assert!(!work.exists());
        assert!(remove_folder(&work, &["a"]).unwrap());
    }
}
