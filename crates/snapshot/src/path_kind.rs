//! What lies under a path, where "cannot be seen" is not "is not there".

use crate::SnapshotError;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// What lies under a path, links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathKind {
    File,
    Folder,
    /// A pipe, a device, a socket.
    Other,
    Nothing,
}

impl PathKind {
    /// # Errors
    /// [`SnapshotError::Io`] when the file system does not say.
    pub(crate) fn of(path: &Path) -> Result<Self, SnapshotError> {
        match std::fs::metadata(path) {
            Ok(found) if found.is_file() => Ok(Self::File),
            Ok(found) if found.is_dir() => Ok(Self::Folder),
            Ok(_) => Ok(Self::Other),
            Err(error) if is_absence(error.kind()) => Ok(Self::Nothing),
            Err(source) => Err(SnapshotError::Io { path: path.into(), doing: "looking at it", source }),
        }
    }
}

/// Whether the path names a file, links followed.
///
/// # Errors
/// As [`PathKind::of`].
pub(crate) fn is_file(path: &Path) -> Result<bool, SnapshotError> {
    Ok(PathKind::of(path)? == PathKind::File)
}

/// The bytes with which a file begins, as many as it has of these.
///
/// # Errors
/// [`SnapshotError::Io`].
pub(crate) fn first_bytes(path: &Path, bytes: usize) -> Result<Vec<u8>, SnapshotError> {
    let mut start = Vec::with_capacity(bytes);
    finescale_durable::open_to_read(path)
        .and_then(|file| file.take(bytes as u64).read_to_end(&mut start))
        .map_err(|source| SnapshotError::Io {
            path: path.into(),
            doing: "reading its first bytes",
            source,
        })?;
    Ok(start)
}

/// Which of the paths is the first that names a file.
///
/// # Errors
/// As [`PathKind::of`].
pub(crate) fn first_file(paths: &[PathBuf]) -> Result<Option<usize>, SnapshotError> {
    for (index, path) in paths.iter().enumerate() {
        if is_file(path)? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

fn is_absence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_cannot_be_seen_is_not_absent() {
        let folder = tempfile::tempdir().unwrap();
        let (file, ring) = (folder.path().join("file"), folder.path().join("ring"));
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&ring, &ring).unwrap();
        assert_eq!(PathKind::of(&file).unwrap(), PathKind::File);
        assert_eq!(PathKind::of(folder.path()).unwrap(), PathKind::Folder);
        assert_eq!(PathKind::of(Path::new("/dev/null")).unwrap(), PathKind::Other);
        for absent in [folder.path().join("none"), file.join("below")] {
            assert_eq!(PathKind::of(&absent).unwrap(), PathKind::Nothing);
        }
        let error = PathKind::of(&ring).unwrap_err().to_string();
        assert!(error.contains("ring") && error.contains("looking at it"), "{error}");
        assert!(first_file(&[ring, file.clone()]).is_err());
        assert_eq!(first_file(&[folder.path().join("none"), file]).unwrap(), Some(1));
    }
}
