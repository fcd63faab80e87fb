//! Which files a snapshot is made of.

use crate::SnapshotError;
use crate::gadget::is_gadget;
use crate::path_kind::{PathKind, first_file};
use std::path::{Path, PathBuf};

/// A file name `base.INDEX.hdf5`, taken apart.
#[derive(Debug, PartialEq)]
pub(crate) struct ChunkName {
    folder: PathBuf,
    base: String,
    /// With its dot; binary files have none.
    ending: String,
}

impl ChunkName {
    /// Takes the name apart, or nothing if it has no index.
    pub(crate) fn parse(path: &Path) -> Option<(Self, usize)> {
        let last = path.extension()?.to_str()?;
        let stem = path.file_stem()?.to_str()?;
        let (base, index, ending) = match (index_of(last), stem.rsplit_once('.')) {
            (Some(index), _) => (stem, index, String::new()),
            (None, Some((base, index))) => (base, index_of(index)?, format!(".{last}")),
            (None, None) => return None,
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Some((Self { folder, base: base.to_owned(), ending }, index))
    }

    /// The file of chunk `index`.
    pub(crate) fn file(&self, index: usize) -> PathBuf {
        self.folder.join(format!("{}.{index}{}", self.base, self.ending))
    }
}

fn index_of(text: &str) -> Option<usize> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Where snapshot `number` of a run lies, whose files are in the folder `base`: in a folder of its own or as one file, as
/// `illustris_python` looks for it.
///
/// # Errors
/// [`SnapshotError::NotFound`] names the folder in which it should be.
pub fn snapshot_of_run(base: &Path, number: usize) -> Result<PathBuf, SnapshotError> {
    let folder = base.join(format!("snapdir_{number:03}"));
    let files = ["snap", "snapshot"].map(|name| base.join(format!("{name}_{number:03}.hdf5")));
    let of_binary = base.join(format!("snapshot_{number:03}"));
    let candidates = [vec![folder.clone()], files.to_vec(), vec![of_binary]].concat();
    for candidate in candidates {
        if PathKind::of(&candidate)? != PathKind::Nothing {
            return Ok(candidate);
        }
    }
    Err(SnapshotError::NotFound { path: folder })
}

/// A file of the snapshot that `path` means: itself, or one of a folder's, or `path.0.hdf5`.
pub(crate) fn any_file(path: &Path) -> Result<PathBuf, SnapshotError> {
    if PathKind::of(path)? == PathKind::Folder {
        return first_of_folder(path);
    }
    let with = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let candidates = [path.to_owned(), with(".0.hdf5"), with(".hdf5"), with(".0")];
    match first_file(&candidates)? {
        Some(index) => Ok(candidates[index].clone()),
        None => Err(SnapshotError::NotFound { path: path.into() }),
    }
}

fn first_of_folder(folder: &Path) -> Result<PathBuf, SnapshotError> {
    let io = |source| SnapshotError::Io { path: folder.into(), doing: "listing the folder", source };
    let (mut files, mut folders, mut unreadable) = (Vec::new(), Vec::new(), None);
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let is_hdf5 = path.extension().is_some_and(|ending| ending == "hdf5" || ending == "h5");
        // What macOS leaves beside files is none.
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        match PathKind::of(&path)? {
            PathKind::File if is_hidden => {}
            PathKind::File if is_hdf5 => files.push(path),
            PathKind::File => match is_gadget(&path) {
                Ok(true) => files.push(path),
                Ok(false) => {}
                // Other files may be other people's.
                Err(error) => unreadable = Some(error),
            },
            PathKind::Folder
                if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("snapdir_")) =>
            {
                folders.push(path);
            }
            PathKind::Folder | PathKind::Other | PathKind::Nothing => {}
        }
    }
    if let (true, Some(error)) = (files.is_empty() && folders.is_empty(), unreadable) {
        return Err(error);
    }
    files.sort();
    folders.sort();
    if let ([], [one]) = (&files[..], &folders[..]) {
        return first_of_folder(one);
    }
    // Group catalogues may lie beside the particles.
    let is_snap = |file: &PathBuf| file.file_name().is_some_and(|n| n.to_string_lossy().starts_with("snap"));
    if files.iter().any(is_snap) {
        files.retain(is_snap);
    }
    let base = |file: &Path| ChunkName::parse(file).map_or_else(|| file.to_owned(), |(name, _)| name.file(0));
    let ambiguous = |detail: String| SnapshotError::AmbiguousFolder { path: folder.into(), detail };
    match files.first() {
        None if !folders.is_empty() => {
            let (first, last) = (folders[0].display(), folders[folders.len() - 1].display());
            Err(ambiguous(format!("it holds {} snapshots, from {first} to {last}", folders.len())))
        }
        None => Err(ambiguous("it holds no .hdf5 file and no binary snapshot".to_owned())),
        Some(first) => match files.iter().find(|file| base(file) != base(first)) {
            None => Ok(first.clone()),
            Some(other) => {
                let (first, other) = (first.display(), other.display());
                Err(ambiguous(format!("it holds more than one snapshot ({first}, {other})")))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_naming_in_use_is_taken_apart() {
        for (file, base, index) in [
            ("snapdir_099/snap_099.17.hdf5", "snap_099", 17),
            ("snapshot_003.0.hdf5", "snapshot_003", 0),
            ("snapshot-99.599.hdf5", "snapshot-99", 599),
            ("a.b.3.h5", "a.b", 3),
            ("snapshot_005.12", "snapshot_005", 12),
        ] {
            let (name, found) = ChunkName::parse(Path::new(file)).unwrap();
            assert_eq!((name.base.as_str(), found), (base, index));
            assert_eq!(name.file(index), Path::new(file));
        }
        assert_eq!(ChunkName::parse(Path::new("snap_099.hdf5")), None);
        assert_eq!(ChunkName::parse(Path::new("snap_099")), None);
        assert_eq!(ChunkName::parse(Path::new("snap_099.+1")), None);
    }

    #[test]
    fn a_folder_must_hold_one_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        let touch = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
        assert!(matches!(any_file(folder.path()), Err(SnapshotError::AmbiguousFolder { .. })));
        touch("snap_001.1.hdf5");
        touch("snap_001.0.hdf5");
        touch("fof_subhalo_tab_001.0.hdf5");
        touch("notes.txt");
        touch("._snap_001.0.hdf5");
        let first = folder.path().join("snap_001.0.hdf5");
        assert_eq!(any_file(folder.path()).unwrap(), first);
        assert_eq!(any_file(&folder.path().join("snap_001")).unwrap(), first);
        assert!(matches!(any_file(&folder.path().join("snap_002")), Err(SnapshotError::NotFound { .. })));
        touch("snap_002.0.hdf5");
        assert!(matches!(any_file(folder.path()), Err(SnapshotError::AmbiguousFolder { .. })));
    }
}
