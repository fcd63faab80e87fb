//! One process at a time.

use crate::folder::{create_folder, parent, remove_file};
use crate::{check_ours_alone, in_place};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A lock file that this process holds; it is removed when dropped, and free when its process dies.
///
/// It is `flock`, which Linux keeps between the machines of an NFS, too, as long as its lock service runs. Where the
/// file system has no locks a warning says so, and two processes at once are not noticed.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: File,
}

/// What a lock file says begins so, and only such a file is taken.
const HOLDER: &str = "process ";

impl Lock {
    /// Takes the lock file `path`; makes its folder if needed.
    ///
    /// # Errors
    /// [`is_busy`] is true of the error if another process holds it; others are the system's.
    pub fn acquire(path: &Path) -> io::Result<Self> {
        create_folder(parent(path))?;
        loop {
            let file = in_place().create(true).truncate(false).open(path)?;
            check_ours_alone(&file)
                .map_err(|error| io::Error::new(error.kind(), format!("{} {error}", path.display())))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(TryLockError::WouldBlock) => return Err(busy(&file)),
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(
                        "{}: this file system has no locks ({error}); see to it that no other process works on this",
                        path.display()
                    );
                }
            }
            // Whoever held it before may have removed this very file in between.
            if !is_in_place(&file, path)? {
                continue;
            }
            let found = says(&file);
            if !found.is_empty() && !found.starts_with(HOLDER) {
                let text = format!("{} is no lock of finescale's; move it away", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            // For the message that another process prints; the lock holds without it.
            let _ = file.set_len(0).and_then(|()| (&file).write_all(holder().as_bytes()));
            return Ok(Self { path: path.into(), file });
        }
    }

    /// Whether the lock file is still in its place: whoever moves or removes its folder lets others in.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if it is not.
    pub fn check(&self) -> io::Result<()> {
        match is_in_place(&self.file, &self.path)? {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "somebody moved or removed the folder that was locked",
            )),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is held, so that nobody takes a file that is about to go. What stays is free.
        if self.check().is_ok() {
            let _ = remove_file(&self.path);
        }
    }
}

fn is_in_place(file: &File, path: &Path) -> io::Result<bool> {
    let (ours, found) = (file.metadata()?, fs::symlink_metadata(path).ok());
    Ok(found.is_some_and(|found| (found.dev(), found.ino()) == (ours.dev(), ours.ino())))
}

/// Whether an error of [`Lock::acquire`] says that another process holds the lock.
#[must_use]
pub fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// This process, as a person finds it.
fn holder() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{HOLDER}{} on {}\n", std::process::id(), host.trim())
}

/// The start of what a lock file says; nothing if it cannot be read.
fn says(file: &File) -> String {
    let mut bytes = [0; 200];
    let count = file.read_at(&mut bytes, 0).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

fn busy(file: &File) -> io::Error {
    let holder = says(file);
    let holder = if holder.trim().is_empty() { "another process" } else { holder.trim() };
    let holder: String = holder.chars().filter(|character| !character.is_control()).collect();
    io::Error::new(io::ErrorKind::WouldBlock, format!("{holder} works on it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/lock");
        let lock = Lock::acquire(&path).unwrap();
        let error = Lock::acquire(&path).unwrap_err();
        assert!(is_busy(&error));
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(lock);
        assert!(!path.exists());
        // What a killed process left is free.
        fs::write(&path, "process 1 on moon").unwrap();
        drop(Lock::acquire(&path).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn files_of_others_are_not_taken_and_a_lock_that_was_moved_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("run/lock"), folder.path().join("victim"));
        fs::create_dir(folder.path().join("run")).unwrap();
        fs::write(&path, "my notes").unwrap();
        assert_eq!(Lock::acquire(&path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(fs::read_to_string(&path).unwrap(), "my notes");
        fs::remove_file(&path).unwrap();
        fs::write(&victim, "").unwrap();
        fs::hard_link(&victim, &path).unwrap();
        assert_eq!(Lock::acquire(&path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        fs::remove_file(&path).unwrap();

        let first = Lock::acquire(&path).unwrap();
        first.check().unwrap();
        fs::rename(folder.path().join("run"), folder.path().join("old")).unwrap();
        first.check().unwrap_err();
        let second = Lock::acquire(&path).unwrap();
        drop(first);
        assert!(path.exists());
        second.check().unwrap();
    }

    #[test]
    fn many_at_once_are_one_after_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let inside = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let Ok(lock) = Lock::acquire(&path) else { continue };
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
    }
}
