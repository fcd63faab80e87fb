//! Raw files of a fixed size, written in any order.

use crate::folder::{create_folder, parent, remove_file, sync_folder};
use crate::{Draft, check_ours_alone, in_place};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Zeros written at once when a file is made.
const BLOCK: usize = 1 << 20;

/// A file of a fixed size, for work in progress.
#[derive(Debug)]
pub struct WorkFile {
    file: File,
}

impl WorkFile {
    /// A file of `bytes` zeros, written out so that a disk without room for them says so now. (Copy-on-write and
    /// compressing file systems may still run full later.)
    ///
    /// # Errors
    /// Errors of the system.
    pub fn create(path: &Path, bytes: u64) -> io::Result<Self> {
        // A new one: an old one may have another name elsewhere.
        if std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file()) {
            remove_file(path)?;
        }
        let mut file = in_place().create_new(true).open(path)?;
        fill(&mut file, bytes)?;
        sync_folder(parent(path))?;
        Ok(Self { file })
    }

    /// A file of `bytes` zeros without a name, in `folder`, which is made if it is not there, for what is made again by whoever needs it again: it is gone
    /// when this process ends, however it ends.
    ///
    /// # Errors
    /// Errors of the system; a disk without room for it says so now, where the file system can reserve room.
    pub fn unnamed(folder: &Path, bytes: u64) -> io::Result<Self> {
        create_folder(folder)?;
        let file =
            tempfile::tempfile_in(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
        reserve(&file, bytes)?;
        Ok(Self { file })
    }

    /// The same with a name, that of a draft of `target`, until others have it open and the draft is dropped. Where a kill leaves
    /// the name, the next one clears it away.
    ///
    /// # Errors
    /// As [`unnamed`](Self::unnamed).
    pub fn draft(target: &Path, bytes: u64) -> io::Result<(Self, Draft)> {
        let (draft, file) = Draft::create(target, |path| in_place().create_new(true).open(path))?;
        reserve(&file, bytes)?;
        Ok((Self { file }, draft))
    }

    /// The file that is there, if it has the right size.
    ///
    /// # Errors
    /// Errors of the system, and [`io::ErrorKind::UnexpectedEof`] for another size.
    pub fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        let file = in_place().open(path)?;
        check_ours_alone(&file)?;
        let found = file.metadata()?.len();
        if found != bytes {
            let text = format!("has {found} bytes instead of {bytes}");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        Ok(Self { file })
    }

    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    /// Overwrites the bytes from `offset` on.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Waits until all that was written survives a power cut.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Makes an empty file one of `bytes` zeros, for which the disk has room, where the file system can tell.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => file.set_len(bytes),
        reserved => Ok(reserved?),
    }
}

fn fill(file: &mut File, bytes: u64) -> io::Result<()> {
    let (zeros, mut left) = (vec![0; BLOCK], bytes);
    while left > 0 {
        let length = left.min(BLOCK as u64);
        file.write_all(&zeros[..usize::try_from(length).unwrap_or(BLOCK)])?;
        left -= length;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_where_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("values");
        let mut file = WorkFile::create(&path, 3_000_000).unwrap();
        file.write(2_999_997, b"abc").unwrap();
        file.sync().unwrap();
        let mut out = [1; 5];
        WorkFile::open(&path, 3_000_000).unwrap().read(2_999_995, &mut out).unwrap();
        assert_eq!(&out, b"\0\0abc");
        let error = WorkFile::open(&path, 2_000_000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_file_without_a_name_holds_values_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = WorkFile::unnamed(folder.path(), 3_000_000).unwrap();
        file.write(2_999_997, b"abc").unwrap();
        let mut out = [1; 5];
        file.read(2_999_995, &mut out).unwrap();
        assert_eq!(&out, b"\0\0abc");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(WorkFile::unnamed(folder.path(), 1 << 62).is_err());
        let deeper = folder.path().join("some/where");
        WorkFile::unnamed(&deeper, 1).unwrap();
        std::fs::write(deeper.join("file"), "").unwrap();
        assert!(WorkFile::unnamed(&deeper.join("file"), 1).is_err());
    }

    #[test]
    fn a_draft_has_a_name_while_others_open_it_and_what_a_kill_leaves_is_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("values");
        let names = || std::fs::read_dir(folder.path()).unwrap().count();
        let left = folder.path().join(".values.abcdefghijkl.partial");
        std::fs::write(&left, "of a process that was killed").unwrap();
        let (mut ours, draft) = WorkFile::draft(&target, 3_000_000).unwrap();
        assert_eq!((left.exists(), names()), (false, 1));
        let theirs = WorkFile::open(draft.path(), 3_000_000).unwrap();
        drop(draft);
        assert_eq!(names(), 0);
        ours.write(2_999_997, b"abc").unwrap();
        let mut out = [1; 5];
        theirs.read(2_999_995, &mut out).unwrap();
        assert_eq!(&out, b"\0\0abc");
        assert!(WorkFile::draft(&target, 1 << 62).is_err());
        assert_eq!(names(), 0);
    }

    #[test]
    fn a_full_disk_is_found_at_the_start() {
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = fill(&mut full, 10).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
