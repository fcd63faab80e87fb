//! One process at a time.

use crate::folder::{create_folder, parent, remove_file};
use crate::in_place;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A lock file that this process holds; it is removed when dropped, and free when its process dies.
///
/// It is `flock`, which Linux keeps between the machines of an NFS, too, as long as its lock service runs. Where the
/// file system has no locks a warning says so, and two processes at once are not noticed.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock file `path`; makes its folder if needed.
    ///
    /// # Errors
    /// [`is_busy`] is true of the error if another process holds it; others are the system's.
    pub fn acquire(path: &Path) -> io::Result<Self> {
        create_folder(parent(path))?;
        loop {
            let mut file = in_place().create(true).truncate(false).open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(busy(&mut file)),
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(
                        "{}: this file system has no locks ({error}); see to it that no other process works on this",
                        path.display()
                    );
                }
            }
            // Whoever held it before may have removed this very file in between.
            let ours = file.metadata()?;
            if fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (ours.dev(), ours.ino())) {
                // For the message that another process prints; the lock holds without it.
                let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", holder()));
                return Ok(Self { path: path.into(), _file: file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is held, so that nobody takes a file that is about to go. What stays is free.
        let _ = remove_file(&self.path);
    }
}

/// Whether an error of [`Lock::acquire`] says that another process holds the lock.
#[must_use]
pub fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// This process, as a person finds it.
fn holder() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {} on {}", std::process::id(), host.trim())
}

fn busy(file: &mut File) -> io::Error {
    let mut holder = String::new();
    // A name in the message is all that is lost.
    let _ = file.take(200).read_to_string(&mut holder);
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
