//! Files that appear under their name only when they are whole and durable.

use crate::folder::{create_folder, parent, remove_file, sync_folder};
use crate::leftovers::{ENDING, RANDOM, prefix, remove_stale};
use crate::target::Target;
use crc32fast::Hasher;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempPath;

/// Drafts of this process, for a process that ends without unwinding.
static DRAFTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A file under construction: `.NAME.RANDOM.partial` in the folder of its target, made by this process alone. It takes
/// the target's name by [`Draft::commit`], and is removed when dropped before.
#[derive(Debug)]
pub struct Draft {
    target: PathBuf,
    temporary: TempPath,
    /// Our own eye on the file: keeps the shared lock that tells it from what killed processes left, and the identity.
    file: File,
    /// Whether there was a file of the target's name at the start, which is to be replaced.
    replaces: bool,
}

impl Draft {
    /// Starts a file for `target`, of which links are followed; makes its folder if needed. `make` gets the path to make
    /// the file at, and is to fail if there is one.
    ///
    /// # Errors
    /// Errors of the system, and for a target that is a folder, a device or write-protected.
    pub fn create<F>(target: &Path, mut make: impl FnMut(&Path) -> io::Result<F>) -> io::Result<(Self, F)> {
        let Target { path, existing } = Target::new(target)?;
        let folder = parent(&path);
        create_folder(folder)?;
        let prefix = prefix(&path);
        // Clearing away is no reason not to write.
        let _ = remove_stale(folder, &prefix);
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let make = |path: &Path| {
            make(path).inspect_err(|error| {
                // HDF5 makes a file before it fails to write its first bytes. One that was there before is not ours.
                if error.kind() != io::ErrorKind::AlreadyExists {
                    let _ = remove_file(path);
                }
            })
        };
        // Whoever removes all drafts waits for this one, and nobody makes another one after that.
        let mut drafts = drafts();
        let named = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(ENDING)
            .rand_bytes(RANDOM)
            .make_in(folder, make)?;
        let (made, temporary) = named.into_parts();
        drafts.push(temporary.to_path_buf());
        drop(drafts);
        let permissions = existing.map(|metadata| metadata.permissions());
        let file = File::open(&temporary).inspect_err(|_| forget(&temporary))?;
        // At once, so that nobody reads meanwhile what nobody may. A mark that runs a file as its owner does not last.
        if let Some(wanted) = permissions.as_ref().map(|permissions| permissions.mode() & 0o777)
            // Where all files have the same mode, it cannot be set.
            && file.metadata()?.permissions().mode() & 0o777 != wanted
        {
            file.set_permissions(fs::Permissions::from_mode(wanted)).inspect_err(|_| forget(&temporary))?;
        }
        // Without locks, what killed processes leave is not known from drafts, and stays.
        let _ = file.try_lock_shared();
        Ok((Self { target: path, temporary, file, replaces: permissions.is_some() }, made))
    }

    /// The private file to write to until [`commit`](Self::commit).
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Makes the bytes durable and gives the file its name. Whoever wrote it must have closed it. It takes the place of
    /// a file that was there at the start, and of no other.
    ///
    /// # Errors
    /// Those of the system, and [`io::ErrorKind::AlreadyExists`] if a file of that name appeared since the start; nothing
    /// is left behind then, and the other file is as it was. Only if the very last step fails, which makes the new name
    /// durable, the new file is there.
    pub fn commit(self) -> io::Result<()> {
        self.make_durable()?;
        self.place()
    }

    fn make_durable(&self) -> io::Result<()> {
        self.file.sync_all()?;
        let (ours, found) = (self.file.metadata()?, fs::symlink_metadata(&self.temporary)?);
        if (ours.dev(), ours.ino()) != (found.dev(), found.ino()) {
            return Err(io::Error::other("somebody replaced the file while it was written"));
        }
        Ok(())
    }

    fn place(&self) -> io::Result<()> {
        let _waiting = drafts();
        if self.replaces {
            fs::rename(&self.temporary, &self.target)?;
        } else {
            rename_to_free_name(&self.temporary, &self.target)?;
        }
        sync_folder(parent(&self.target))
    }
}

/// Files that belong together take their names one after another. Earlier files of these names are removed first: a kill
/// in between leaves some of the new ones, and never new beside old.
///
/// # Errors
/// As [`Draft::commit`], with the file that it is about.
pub fn commit_together(mut drafts: Vec<Draft>) -> Result<(), (PathBuf, io::Error)> {
    let named = |draft: &Draft| {
        let target = draft.target.clone();
        move |error| (target, error)
    };
    for draft in &drafts {
        draft.make_durable().map_err(named(draft))?;
    }
    if drafts.len() > 1 {
        for draft in &mut drafts {
            // From here on there is nothing to replace.
            if std::mem::take(&mut draft.replaces) {
                let gone = remove_file(&draft.target).and_then(|()| sync_folder(parent(&draft.target)));
                gone.map_err(named(draft))?;
            }
        }
    }
    drafts.iter().try_for_each(|draft| draft.place().map_err(named(draft)))
}

impl Drop for Draft {
    fn drop(&mut self) {
        // The file itself is removed by its `TempPath`; after a rename there is none of that name.
        forget(&self.temporary);
    }
}

/// Renames where nothing of the new name is there: in one step where the file system can, which NFS cannot.
fn rename_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    let renamed = match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if fs::symlink_metadata(to).is_ok() => {
            Err(Errno::EXIST)
        }
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => return fs::rename(from, to),
        renamed => renamed,
    };
    renamed.map_err(|error| match error {
        Errno::EXIST => {
            let text = "a file of this name appeared while this one was written, and stays";
            io::Error::new(io::ErrorKind::AlreadyExists, text)
        }
        error => error.into(),
    })
}

/// Writes what `content` writes to `path`, whole or not at all.
///
/// # Errors
/// As [`draft`] and [`Draft::commit`].
pub fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    draft(path, content)?.commit()
}

/// Writes what `content` writes to a draft of `path`, and reads it back.
///
/// # Errors
/// As [`Draft::create`], those of `content`, and one if what is read back is not what was written.
pub fn draft(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Draft> {
    let (draft, file) = Draft::create(path, new_file)?;
    let mut file = BufWriter::new(file);
    let mut summed = Summed { inner: &mut file, sum: Hasher::new() };
    content(&mut summed)?;
    let written = summed.sum.finalize();
    // Seen here: what is still in memory when a writer is dropped may fail in silence.
    drop(file.into_inner().map_err(IntoInnerError::into_error)?);
    let mut found = Summed { inner: io::sink(), sum: Hasher::new() };
    io::copy(&mut &draft.file, &mut found)?;
    if found.sum.finalize() != written {
        return Err(io::Error::other("what was read back is not what was written; is the disk sound?"));
    }
    Ok(draft)
}

/// A writer that keeps a checksum of what goes through.
struct Summed<W> {
    inner: W,
    sum: Hasher,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.sum.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    File::create_new(path)
}

/// Tries whether `target` can be written, before hours of work for it. Leaves nothing, no folder either.
///
/// # Errors
/// As [`Draft::create`].
pub fn check_can_write(target: &Path) -> io::Result<()> {
    let Target { path, .. } = Target::new(target)?;
    let folder = parent(&path).ancestors().find(|folder| folder.exists() && !folder.as_os_str().is_empty());
    // A file without a name, which no kill can leave behind.
    tempfile::tempfile_in(folder.unwrap_or(Path::new("."))).map(|_| ())
}

/// Removes all unfinished drafts of this process, which can make, name and drop none from then on: those who try wait. For
/// a process that is about to end without unwinding.
pub fn remove_drafts() {
    let drafts = drafts();
    for path in &*drafts {
        // The process ends whether or not this works; the name says that the file is not whole.
        let _ = remove_file(path);
    }
    std::mem::forget(drafts);
}

fn drafts() -> MutexGuard<'static, Vec<PathBuf>> {
    DRAFTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn forget(temporary: &Path) {
    drafts().retain(|path| path != temporary);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(folder: &Path) -> Vec<String> {
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("new/file");
        let (draft, mut file) = Draft::create(&target, new_file).unwrap();
        file.write_all(b"half").unwrap();
        drop(draft);
        assert_eq!(names(target.parent().unwrap()), [""; 0]);
        write(&target, |file| file.write_all(b"whole")).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"whole");
        let failed = write(&target, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("bad sector"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "bad sector");
        assert_eq!(fs::read(&target).unwrap(), b"whole");
        assert_eq!(names(target.parent().unwrap()), ["file"]);
    }

    #[test]
    fn what_fails_half_way_in_making_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let made = Draft::create(&folder.path().join("file"), |path| -> io::Result<File> {
            File::create_new(path)?.write_all(b"half")?;
            Err(io::Error::other("bad sector"))
        });
        assert_eq!(made.unwrap_err().to_string(), "bad sector");
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn a_link_stays_and_its_file_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (link, file) = (folder.path().join("link"), folder.path().join("file"));
        symlink("file", &link).unwrap();
        write(&link, |out| out.write_all(b"new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }

    #[test]
    fn permissions_of_a_file_stay_and_a_new_one_has_the_usual_ones() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, usual) = (folder.path().join("ours"), folder.path().join("usual"));
        File::create(&usual).unwrap();
        write(&ours, |_| Ok(())).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&usual));
        fs::set_permissions(&ours, fs::Permissions::from_mode(0o600)).unwrap();
        write(&ours, |_| Ok(())).unwrap();
        assert_eq!(mode(&ours) & 0o777, 0o600);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file");
        let stale = folder.path().join(".file.abcdefghij12.partial");
        let other = folder.path().join(".file.notes.partial");
        fs::write(&stale, "half").unwrap();
        fs::write(&other, "of somebody").unwrap();
        let (living, _file) = Draft::create(&target, new_file).unwrap();
        assert!(!stale.exists() && other.exists());
        write(&target, |_| Ok(())).unwrap();
        assert!(living.path().exists());
    }

    #[test]
    fn a_draft_that_somebody_replaced_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (target, victim) = (folder.path().join("file"), folder.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        let (draft, _file) = Draft::create(&target, new_file).unwrap();
        fs::remove_file(draft.path()).unwrap();
        symlink(&victim, draft.path()).unwrap();
        assert!(draft.commit().unwrap_err().to_string().contains("replaced"));
        assert!(!target.exists());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn what_appears_meanwhile_stays_and_what_was_there_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file");
        let (first, mut file) = Draft::create(&target, new_file).unwrap();
        file.write_all(b"first").unwrap();
        fs::write(&target, "of somebody").unwrap();
        assert_eq!(first.commit().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&target).unwrap(), "of somebody");
        write(&target, |file| file.write_all(b"second")).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "second");
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn files_that_belong_together_never_stand_new_beside_old() {
        let folder = tempfile::tempdir().unwrap();
        let targets = ["a", "b"].map(|name| folder.path().join(name));
        let drafts = |text: &'static str| {
            targets.iter().map(move |target| {
                let (draft, mut file) = Draft::create(target, new_file).unwrap();
                file.write_all(text.as_bytes()).unwrap();
                draft
            })
        };
        let read = || targets.each_ref().map(|target| fs::read_to_string(target).ok());
        commit_together(drafts("old").collect()).unwrap();
        assert_eq!(read(), ["old", "old"].map(|text| Some(text.to_owned())));
        // The second cannot take its name: a folder is there by then.
        let new: Vec<Draft> = drafts("new").collect();
        fs::remove_file(&targets[1]).unwrap();
        fs::create_dir(&targets[1]).unwrap();
        let (failed, _) = commit_together(new).unwrap_err();
        assert_eq!(failed, targets[1]);
        assert_ne!(read()[0].as_deref(), Some("new"));
        fs::remove_dir(&targets[1]).unwrap();
        commit_together(drafts("new").collect()).unwrap();
        assert_eq!(read(), ["new", "new"].map(|text| Some(text.to_owned())));
        assert_eq!(names(folder.path()), ["a", "b"]);
    }

    #[test]
    fn a_full_disk_is_an_error_and_the_longest_name_has_room() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("ü".repeat(127));
        write(&target, |file| file.write_all(b"x")).unwrap();
        assert!(target.exists());
        // Nothing can be made in there.
        assert!(check_can_write(Path::new("/proc/file")).is_err());
        assert!(check_can_write(&target.join("below a file")).is_err());
        check_can_write(&folder.path().join("a/b/c")).unwrap();
        assert_eq!(names(folder.path()).len(), 1, "a try leaves nothing");
    }
}
