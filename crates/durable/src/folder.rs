//! Folders whose entries survive a power cut.

use crate::draft::{prefix, remove_stale};
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Makes `path` and the folders above it, each entry durable.
///
/// # Errors
/// Those of the system.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = parent(path);
    create_folder(parent)?;
    match fs::create_dir(path) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(parent),
    }
}

/// Waits until the names in a folder survive a power cut: after files in it were made, renamed or removed.
///
/// # Errors
/// Those of the system.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match File::open(path)?.sync_all() {
        // Some network and user-space file systems cannot sync folders.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        synced => synced,
    }
}

/// Removes a file; that it is gone already is no error.
///
/// # Errors
/// Those of the system.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes the files of `names` and their unfinished drafts from a folder, the first one for good before the others, and
/// then the folder. A folder that holds something else stays, and so do its links. Whether the folder is gone.
///
/// # Errors
/// Those of the system.
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

/// The folder that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_and_found() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        create_folder(&deep).unwrap();
        create_folder(&deep).unwrap();
        assert!(deep.is_dir());
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(create_folder(&folder.path().join("file/d")).is_err());
    }

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
