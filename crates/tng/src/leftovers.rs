//! Names of chunks in their folder, and what a killed process left of them.

use crate::Address;
use finescale_durable::is_draft_of;
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How names of chunks begin and end.
const BEGIN: &str = "tng_";
const END: &str = ".hdf5";

/// Chunks of one request in a folder: `tng_TNG300-1_099_REQUEST.17.hdf5`.
pub(crate) struct Names<'a> {
    folder: &'a Path,
    stem: String,
}

impl<'a> Names<'a> {
    /// The names for one snapshot and one set of fields; another one has others.
    pub(crate) fn new(folder: &'a Path, address: &Address, query: &str) -> Self {
        let request = crc32fast::hash(query.as_bytes());
        let stem = format!("{BEGIN}{}_{:03}_{request:08x}", address.simulation(), address.snapshot());
        Self { folder, stem }
    }

    pub(crate) fn path(&self, chunk: usize) -> PathBuf {
        self.folder.join(format!("{}.{chunk}{END}", self.stem))
    }

    /// The chunk that a name is for, if it is one of this request.
    fn chunk(&self, name: &str) -> Option<usize> {
        let number = name.strip_prefix(&self.stem)?.strip_prefix('.')?.strip_suffix(END)?;
        let chunk = number.parse().ok()?;
        (self.path(chunk).file_name()?.to_str()? == name).then_some(chunk)
    }

    /// Removes what killed processes left, of any request, except whole files of this one that are `wanted`: those, which
    /// nobody has checked yet, are returned. What has other names stays.
    pub(crate) fn tidy(&self, wanted: &Range<usize>) -> io::Result<BTreeSet<usize>> {
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| is_ours(name)) else { continue };
            if !entry.file_type()?.is_file() {
                continue;
            }
            match self.chunk(name).filter(|chunk| wanted.contains(chunk)) {
                Some(chunk) => _ = found.insert(chunk),
                None => finescale_durable::remove_file(&entry.path())?,
            }
        }
        Ok(found)
    }
}

/// Whether a name is that of a chunk, or of the draft of one.
fn is_ours(name: &str) -> bool {
    let is_chunk = |name: &str| {
        let inner = name.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
        // SIMULATION_NNN_CHECKSUM.CHUNK
        let parts = inner.and_then(|inner| inner.rsplit_once('.'));
        parts.is_some_and(|(request, chunk)| {
            let mut fields = request.rsplitn(3, '_');
            let (sum, snapshot) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
            let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number(chunk)
                && is_number(snapshot)
                && sum.len() == 8
                && sum.bytes().all(|b| b.is_ascii_hexdigit())
        })
    };
    // `.NAME.RANDOM.partial`
    let target = name.strip_prefix('.').and_then(|rest| rest.rsplitn(3, '.').nth(2));
    is_chunk(name) || target.is_some_and(|target| is_chunk(target) && is_draft_of(name, &[target]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chunks_are_tidied_away() {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::parse("tng:TNG300-1/7").unwrap().unwrap();
        let names = Names::new(folder.path(), &address, "gas=Masses");
        let other = Names::new(folder.path(), &address, "dm=Coordinates");
        let partial = ".tng_TNG300-1_007_0badcafe.5.hdf5.AbCdEf012345.partial";
        let kept = [
            "notes.hdf5",
            "tng_list.txt",
            "tng_a.03.hdf5",
            ".tng_x.hdf5.short.partial",
            "lock",
            ".notes.hdf5.AbCdEf012345.partial",
        ];
        for name in kept.iter().chain(&[partial]) {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("tng_folder.hdf5")).unwrap();
        for path in [names.path(2), names.path(3), names.path(6), other.path(3)] {
            std::fs::write(path, "").unwrap();
        }
        assert_eq!(names.tidy(&(3..6)).unwrap(), BTreeSet::from([3]));
        let mut left: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected: Vec<String> = kept.iter().map(|name| (*name).to_owned()).collect();
        expected
            .extend(["tng_folder.hdf5".into(), names.path(3).file_name().unwrap().to_str().unwrap().into()]);
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_chunk_has_one_name() {
        let address = Address::parse("tng:TNG300-1/7").unwrap().unwrap();
        let names = Names::new(Path::new("x"), &address, "gas=Masses");
        let name = names.path(12).file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(names.chunk(&name), Some(12));
        assert_eq!(names.chunk(&name.replace(".12.", ".012.")), None);
        assert_eq!(names.chunk(&name.replace(".12.", ".+12.")), None);
        assert_eq!(names.chunk(&name.replace("_007_", "_008_")), None);
    }
}
