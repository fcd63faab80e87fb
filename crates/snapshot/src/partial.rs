//! Files that appear under their name only when they are whole.

use crate::SnapshotError;
use std::path::{Path, PathBuf};

/// A file under construction: grows as `NAME.partial`, is renamed by [`PartialFile::commit`], and removed when
/// dropped before.
#[derive(Debug)]
pub(crate) struct PartialFile {
    target: PathBuf,
    partial: PathBuf,
    committed: bool,
}

impl PartialFile {
    /// Prepares to write `target`; makes its folder if needed.
    pub(crate) fn new(target: &Path) -> Result<Self, SnapshotError> {
        if let Some(folder) = target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| SnapshotError::write(target, error))?;
        }
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        Ok(Self { target: target.into(), partial: name.into(), committed: false })
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        &self.partial
    }

    /// The final name, for messages.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Makes the bytes durable and gives the file its name.
    pub(crate) fn commit(mut self) -> Result<(), SnapshotError> {
        let durable = std::fs::File::open(&self.partial).and_then(|file| file.sync_all());
        durable
            .and_then(|()| std::fs::rename(&self.partial, &self.target))
            .map_err(|error| SnapshotError::write(&self.target, error))?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing can be done about a failure here, and the name says that the file is not whole.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("new/file");
        let partial = PartialFile::new(&target).unwrap();
        std::fs::write(partial.path(), "half").unwrap();
        drop(partial);
        assert_eq!(std::fs::read_dir(target.parent().unwrap()).unwrap().count(), 0);

        let partial = PartialFile::new(&target).unwrap();
        std::fs::write(partial.path(), "whole").unwrap();
        partial.commit().unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "whole");
    }
}
