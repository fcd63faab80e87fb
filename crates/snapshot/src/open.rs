//! Opening HDF5 files with errors that a person understands.

use crate::SnapshotError;
use std::path::Path;

/// HDF5's own default for the chunks of a dataset that stay in memory.
const DEFAULT_CACHE_BYTES: usize = 1 << 20;

/// Opens `path` for reading.
pub(crate) fn open(path: &Path) -> Result<hdf5::File, SnapshotError> {
    open_with_cache(path, DEFAULT_CACHE_BYTES)
}

/// Opens `path` for reading, with room for `bytes` of a dataset's chunks in memory.
pub(crate) fn open_with_cache(path: &Path, bytes: usize) -> Result<hdf5::File, SnapshotError> {
    if !path.exists() {
        return Err(SnapshotError::NotFound { path: path.into() });
    }
    if path.is_dir() {
        return Err(SnapshotError::Folder { path: path.into() });
    }
    let bytes = bytes.max(DEFAULT_CACHE_BYTES);
    let mut options = hdf5::File::with_options();
    options.with_fapl(|access| access.chunk_cache(521, bytes, 1.0));
    options.open(path).map_err(|error| {
        if error.contains_minor(hdf5::MinorErrorCode::NotHdf5) {
            SnapshotError::NotHdf5 { path: path.into() }
        } else {
            SnapshotError::hdf5(path, "opening", &error)
        }
    })
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
        assert!(matches!(&error, SnapshotError::NotHdf5 { path } if *path == text), "{error}");
        std::fs::write(&text, "").unwrap();
        assert!(matches!(open(&text), Err(SnapshotError::NotHdf5 { .. })));
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
