//! Opening HDF5 files with errors that a person understands.

use crate::SnapshotError;
use crate::error::frames;
use crate::path_kind::PathKind;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// HDF5's own default for the chunks of a dataset that stay in memory.
const DEFAULT_CACHE_BYTES: usize = 1 << 20;

/// How far chunks that were read as a whole go before those that were used longest ago, when some have to leave the cache:
/// HDF5's default. At 1, those read in part never leave, and the cache grows to the size of the dataset (seen in 1.10.8).
pub(crate) const CACHE_PREFERENCE: f64 = 0.75;

/// Opens `path` for reading.
pub(crate) fn open(path: &Path) -> Result<hdf5::File, SnapshotError> {
    open_with_cache(path, DEFAULT_CACHE_BYTES)
}

/// Opens `path` for reading, with room for `bytes` of a dataset's chunks in memory.
pub(crate) fn open_with_cache(path: &Path, bytes: usize) -> Result<hdf5::File, SnapshotError> {
    match PathKind::of(path)? {
        PathKind::File => {}
        PathKind::Nothing => return Err(SnapshotError::NotFound { path: path.into() }),
        PathKind::Folder => return Err(SnapshotError::Folder { path: path.into() }),
        // A pipe would be waited for.
        PathKind::Other => return Err(SnapshotError::NotHdf5 { path: path.into(), what: None }),
    }
    let bytes = bytes.max(DEFAULT_CACHE_BYTES);
    let mut options = hdf5::File::with_options();
    options.with_fapl(|access| access.chunk_cache(521, bytes, CACHE_PREFERENCE));
    let (named, _held) = named_in_utf8(path)?;
    options.open(&named).or_else(|error| match lock_error(&error).map(|error| error.kind()) {
        Some(ErrorKind::WouldBlock) => Err(SnapshotError::Locked { path: path.into() }),
        // The file system has no locks. A reader needs none.
        Some(_) => open_without_lock(options).open(&named).map_err(|error| said_clearly(path, &error)),
        None => Err(said_clearly(path, &error)),
    })
}

/// A name of a file that HDF5's bindings take: its own, or, if that is no UTF-8, that of an open descriptor of it, which lives
/// as long as the file that comes with it.
fn named_in_utf8(path: &Path) -> Result<(PathBuf, Option<File>), SnapshotError> {
    if path.to_str().is_some() {
        return Ok((path.into(), None));
    }
    let io = |source| SnapshotError::Io { path: path.into(), doing: "opening", source };
    let file = finescale_durable::open_to_read(path).map_err(io)?;
    Ok((format!("/proc/self/fd/{}", file.as_raw_fd()).into(), Some(file)))
}

fn said_clearly(path: &Path, error: &hdf5::Error) -> SnapshotError {
    if error.contains_minor(hdf5::MinorErrorCode::NotHdf5) {
        SnapshotError::not_hdf5(path)
    } else {
        SnapshotError::hdf5(path, "opening", error)
    }
}

fn open_without_lock(mut options: hdf5::FileBuilder) -> hdf5::FileBuilder {
    #[cfg(hdf5_locks_by_choice)]
    options.with_fapl(|access| access.file_locking(false));
    // An older library has an environment variable for it, and its error says so.
    #[cfg(not(hdf5_locks_by_choice))]
    let _ = &mut options;
    options
}

/// The system's error, if the file could not be locked.
fn lock_error(error: &hdf5::Error) -> Option<std::io::Error> {
    frames(error).iter().find_map(|frame| system_error(frame))
}

/// The error in "unable to lock file, errno = 11, error message = '...'".
fn system_error(frame: &str) -> Option<std::io::Error> {
    let rest = frame.strip_prefix("unable to lock file, errno = ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().map(std::io::Error::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_hdf5_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(open(&folder.path().join("none")), Err(SnapshotError::NotFound { .. })));
        assert!(matches!(open(folder.path()), Err(SnapshotError::Folder { .. })));
        let text = folder.path().join("text.hdf5");
        std::fs::write(&text, "not HDF5 at all, but long enough to hold a signature").unwrap();
        let error = open(&text).unwrap_err();
        assert!(matches!(&error, SnapshotError::NotHdf5 { path, .. } if *path == text), "{error}");
        std::fs::write(&text, "").unwrap();
        assert!(matches!(open(&text), Err(SnapshotError::NotHdf5 { .. })));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn names_that_are_no_utf8_are_opened() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("plain.hdf5");
        let file = hdf5::File::create(&plain).unwrap();
        file.new_dataset_builder().with_data(&[1f32, 2.0]).create("field").unwrap();
        file.close().unwrap();
        let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"r\xe9sultat.hdf5"));
        std::fs::rename(&plain, &odd).unwrap();
        let values = open(&odd).unwrap().dataset("field").unwrap().read_raw::<f32>().unwrap();
        assert_eq!(values, [1.0, 2.0]);
    }

    #[test]
    fn errors_of_locks_are_told_from_others() {
        let kind = |frame: &str| system_error(frame).map(|error| error.kind());
        let busy = "unable to lock file, errno = 11, error message = 'Resource temporarily unavailable'";
        #[cfg(target_os = "linux")]
        assert_eq!(kind(busy), Some(ErrorKind::WouldBlock));
        assert!(kind("unable to lock file, errno = 37, error message = 'No locks available'").is_some());
        assert_ne!(kind("unable to lock file, errno = 37, error message = ''"), Some(ErrorKind::WouldBlock));
        assert_eq!(kind("unable to open file"), None);
    }

    #[test]
    fn a_file_that_a_program_writes_is_called_so_and_read_without_locks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("busy.hdf5");
        hdf5::File::create(&path).unwrap().close().unwrap();
        // As a writer of another program has it; HDF5 lets one process open a file twice.
        let writer = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        writer.lock().unwrap();
        let error = open(&path).unwrap_err();
        assert!(matches!(&error, SnapshotError::Locked { .. }), "{error}");
        assert!(error.to_string().contains("HDF5_USE_FILE_LOCKING=FALSE"), "{error}");
        #[cfg(hdf5_locks_by_choice)]
        assert!(open_without_lock(hdf5::File::with_options()).open(&path).is_ok());
    }

    #[test]
    fn a_truncated_file_is_called_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.hdf5");
        let file = hdf5::File::create(&path).unwrap();
        file.new_dataset_builder().with_data(&[1f32; 4096]).create("field").unwrap();
        file.close().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 5000]).unwrap();
        let error = open(&path).unwrap_err();
        assert!(matches!(error, SnapshotError::Truncated { .. }), "{error}");
    }
}
