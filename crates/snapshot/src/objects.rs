//! Groups and datasets of a file that may be a stranger's: where they lie, and whether they are all there.
//!
//! HDF5 files may point out of themselves: by external links, by datasets whose values are bytes of any other file, by
//! virtual datasets put together from other files. Whoever reads such a file copies what it points to into a result. So
//! a path may lead through hard links, and through soft ones that stay in the file; datasets may be virtual if all their
//! sources lie in the folder of the virtual file or below. [`follow_links`] lifts both.

use crate::SnapshotError;
use crate::native::{self, Link, Source};
use crate::open::open;
use crate::path_kind::{PathKind, first_file};
use crate::zstd;
use finescale_field::{readable_bytes, shown};
use hdf5::LocationType;
use hdf5::dataset::Layout;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether what points out of a file is followed, for the whole process.
static FOLLOW_LINKS: AtomicBool = AtomicBool::new(false);
/// Soft links on one path, and virtual datasets in virtual datasets, before they count as a circle.
const MOST_STEPS: usize = 8;

/// Sets for the whole process whether external links, external storage, and virtual datasets with sources in other
/// folders are followed. They are not at first: the file of a stranger could have any file of the user read.
pub fn follow_links(follow: bool) {
    FOLLOW_LINKS.store(follow, Ordering::Relaxed);
}

/// The group `name` of the file `path`, or none.
pub(crate) fn group(
    path: &Path,
    file: &hdf5::File,
    name: &str,
) -> Result<Option<hdf5::Group>, SnapshotError> {
    let Some((parent, last)) = locate(path, file, name)? else { return Ok(None) };
    opened(path, name, parent.group(&last), &parent, &last, LocationType::Group)
}

/// An object, or none if what has its name is of another kind; that damage hides it is an error.
fn opened<T>(
    path: &Path,
    name: &str,
    object: hdf5::Result<T>,
    parent: &hdf5::Group,
    last: &str,
    wanted: LocationType,
) -> Result<Option<T>, SnapshotError> {
    match object {
        Ok(object) => Ok(Some(object)),
        Err(_) if parent.loc_type_by_name(last).is_ok_and(|found| found != wanted) => Ok(None),
        Err(error) => Err(SnapshotError::hdf5(path, format!("opening {}", shown(name)), &error)),
    }
}

/// The dataset `name` of the file `path`, or none. All its values are there, and none lies where it should not.
pub(crate) fn dataset(
    path: &Path,
    file: &hdf5::File,
    name: &str,
) -> Result<Option<hdf5::Dataset>, SnapshotError> {
    let Some((parent, last)) = locate(path, file, name)? else { return Ok(None) };
    let dataset = opened(path, name, parent.dataset(&last), &parent, &last, LocationType::Dataset)?;
    dataset.as_ref().map_or(Ok(()), |dataset| check(path, file, name, dataset, 0))?;
    Ok(dataset)
}

/// The group that holds the object `name`, and its name there, or none.
fn locate(
    path: &Path,
    file: &hdf5::File,
    name: &str,
) -> Result<Option<(hdf5::Group, String)>, SnapshotError> {
    let failed =
        |error: hdf5::Error| SnapshotError::hdf5(path, format!("looking for {}", shown(name)), &error);
    let root = || file.group("/").map_err(failed);
    let follow = FOLLOW_LINKS.load(Ordering::Relaxed);
    let mut parts = parts_of(name);
    let (mut group, mut soft_links) = (root()?, 0);
    while let Some(part) = parts.pop_front() {
        match native::link(&group, &part).map_err(failed)? {
            Link::Missing => return Ok(None),
            Link::Elsewhere if !follow => {
                let detail = "it is an external link".to_owned();
                return Err(SnapshotError::Elsewhere { path: path.into(), object: shown(name), detail });
            }
            Link::Soft(target) if !follow => {
                soft_links += 1;
                if soft_links > MOST_STEPS {
                    return Ok(None);
                }
                if target.starts_with('/') {
                    group = root()?;
                }
                let mut rest = parts_of(&target);
                rest.append(&mut parts);
                parts = rest;
            }
            Link::Hard | Link::Soft(_) | Link::Elsewhere if parts.is_empty() => {
                return Ok(Some((group, part)));
            }
            Link::Hard | Link::Soft(_) | Link::Elsewhere => {
                match opened(path, name, group.group(&part), &group, &part, LocationType::Group)? {
                    Some(inner) => group = inner,
                    None => return Ok(None),
                }
            }
        }
    }
    Ok(None)
}

fn parts_of(name: &str) -> VecDeque<String> {
    name.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
}

/// Checks that the values of a dataset are all there, and lie in this file or its folder.
fn check(
    path: &Path,
    file: &hdf5::File,
    name: &str,
    dataset: &hdf5::Dataset,
    depth: usize,
) -> Result<(), SnapshotError> {
    let failed = |error: hdf5::Error| SnapshotError::hdf5(path, format!("reading {}", shown(name)), &error);
    let list = dataset.dcpl().map_err(failed)?;
    if native::external_files(&list).map_err(failed)? > 0 {
        if FOLLOW_LINKS.load(Ordering::Relaxed) {
            return Ok(());
        }
        let detail = "its values are bytes of another file".to_owned();
        return Err(SnapshotError::Elsewhere { path: path.into(), object: shown(name), detail });
    }
    check_filters(path, name, dataset)?;
    match list.get_layout().map_err(failed)? {
        Layout::Virtual => {
            let sources = native::sources(&list).map_err(failed)?;
            Virtual { path, file, name, depth }.check(dataset, &sources)
        }
        layout => check_written(path, name, dataset, layout),
    }
}

/// Checks that this program can unpack what filters have packed.
fn check_filters(path: &Path, name: &str, dataset: &hdf5::Dataset) -> Result<(), SnapshotError> {
    // Registered with The HDF Group.
    const KNOWN: [(i32, &str); 9] = [
        (32000, "lzf"),
        (32001, "blosc"),
        (32004, "lz4"),
        (32008, "bitshuffle"),
        (32013, "zfp"),
        (32015, "zstd"),
        (32017, "sz"),
        (32019, "fcidecomp"),
        (32026, "blosc2"),
    ];
    check_blosc(path, name, dataset)?;
    check_zstd(path, name, dataset)?;
    let missing = dataset.filters().into_iter().find(|filter| !filter.is_available());
    missing.map_or(Ok(()), |filter| {
        let (id, dataset) = (filter.id(), shown(name));
        let name = KNOWN.iter().find(|(known, _)| *known == id).map_or("unknown", |(_, name)| name);
        Err(SnapshotError::Filter { path: path.into(), dataset, id, name })
    })
}

/// Makes zstd known where it is needed. What is packed before it must keep its length, by which chunks are checked.
fn check_zstd(path: &Path, name: &str, dataset: &hdf5::Dataset) -> Result<(), SnapshotError> {
    const SHUFFLE: i32 = 2;
    let filters: Vec<i32> = dataset.filters().iter().map(hdf5::filters::Filter::id).collect();
    let Some(at) = filters.iter().position(|id| *id == zstd::ZSTD) else { return Ok(()) };
    zstd::register();
    match filters[..at].iter().find(|id| **id != SHUFFLE) {
        None => Ok(()),
        Some(id) => {
            let detail = format!(
                "its values went through filter {id} before zstd, which is not read; unpack it with h5repack"
            );
            Err(SnapshotError::hdf5(path, format!("reading {}", shown(name)), &detail.into()))
        }
    }
}

/// Checks the values of blosc's filter, of which the bindings look at the first four in any case, and take the number of
/// the compressor for one that is known.
fn check_blosc(path: &Path, name: &str, dataset: &hdf5::Dataset) -> Result<(), SnapshotError> {
    const BLOSC: i32 = 32001;
    const COMPRESSORS: u32 = 6;
    let failed = |error: hdf5::Error| SnapshotError::hdf5(path, format!("reading {}", shown(name)), &error);
    let filters = native::filters(&dataset.dcpl().map_err(failed)?).map_err(failed)?;
    let is_right = |values: &[u32]| {
        values.len() >= 4 && values[2] > 0 && values.get(6).is_none_or(|&number| number < COMPRESSORS)
    };
    match filters.iter().find(|(id, values)| *id == BLOSC && !is_right(values)) {
        None => Ok(()),
        Some((_, values)) => {
            Err(failed(format!("blosc cannot have been given the values {values:?}").into()))
        }
    }
}

/// Checks that every value was written: HDF5 reads zeros where none was, however many a shape promises.
fn check_written(
    path: &Path,
    name: &str,
    dataset: &hdf5::Dataset,
    layout: Layout,
) -> Result<(), SnapshotError> {
    let shape = dataset.shape();
    let width = dataset.dtype().map_or(0, |kind| kind.size()) as u128;
    let product = |sizes: &[usize]| sizes.iter().fold(width, |product, &n| product.saturating_mul(n as u128));
    let promised = product(&shape);
    let unwritten = |stored: String| {
        let (path, dataset) = (path.into(), shown(name));
        let promised = format!("{shape:?}, which is {}", readable_bytes(promised));
        Err(SnapshotError::Unwritten { path, dataset, promised, stored })
    };
    if layout != Layout::Chunked {
        let stored = u128::from(dataset.storage_size());
        return if stored < promised { unwritten(readable_bytes(stored)) } else { Ok(()) };
    }
    let chunk = dataset.chunk().unwrap_or_default();
    let chunks = shape.iter().zip(&chunk).map(|(n, of)| n.div_ceil((*of).max(1)) as u128);
    let chunks = chunks.fold(1u128, u128::saturating_mul);
    // Each chunk takes a byte at least, its place in the index not counted: counting ends with the file.
    let file_bytes = std::fs::metadata(path).map_or(u64::MAX, |file| file.len());
    if chunks > u128::from(file_bytes) {
        return unwritten(format!("a file of {}", readable_bytes(file_bytes.into())));
    }
    #[cfg(hdf5_counts_chunks)]
    if let Some(stored) = dataset.num_chunks()
        && (stored as u128) < chunks
    {
        return unwritten(format!("{stored} of {chunks} chunks"));
    }
    Ok(())
}

/// A virtual dataset that is looked through.
struct Virtual<'a> {
    path: &'a Path,
    file: &'a hdf5::File,
    name: &'a str,
    depth: usize,
}

impl Virtual<'_> {
    /// Checks that the sources cover the dataset, and each of them.
    fn check(&self, dataset: &hdf5::Dataset, sources: &[Source]) -> Result<(), SnapshotError> {
        if self.depth >= MOST_STEPS {
            return self.elsewhere("it is virtual, and so are its sources and theirs".to_owned());
        }
        let mut covered = 0u64;
        for source in sources {
            let Some(values) = source.values else {
                return self.elsewhere("its sources have no fixed size".to_owned());
            };
            covered = covered.saturating_add(values);
            self.check_source(source)?;
        }
        let (shape, promised) =
            (dataset.shape(), dataset.shape().iter().map(|&n| n as u128).product::<u128>());
        if u128::from(covered) < promised {
            let (path, dataset) = (self.path.into(), shown(self.name));
            let promised = format!("{shape:?}, which is {promised} values");
            let stored = format!("{covered} in its sources");
            return Err(SnapshotError::Unwritten { path, dataset, promised, stored });
        }
        Ok(())
    }

    fn check_source(&self, source: &Source) -> Result<(), SnapshotError> {
        // A sign of two percent stands for one; other signs stand for the numbers of many files.
        if source.file.replace("%%", "").contains('%') || source.dataset.replace("%%", "").contains('%') {
            return self.elsewhere("its sources are not named one by one".to_owned());
        }
        let dataset = source.dataset.replace("%%", "%");
        if source.file == "." {
            return self.check_dataset(self.path, self.file, &dataset, source);
        }
        let path = self.place(&source.file.replace("%%", "%"))?;
        finescale_durable::keep(&path);
        self.check_dataset(&path, &open(&path)?, &dataset, source)
    }

    fn check_dataset(
        &self,
        path: &Path,
        file: &hdf5::File,
        name: &str,
        source: &Source,
    ) -> Result<(), SnapshotError> {
        let located = locate(path, file, name)?;
        let Some(dataset) = located.and_then(|(parent, last)| parent.dataset(&last).ok()) else {
            return self.missing(path, format!("has no dataset {}", shown(name)));
        };
        let found: Vec<u64> = dataset.shape().iter().map(|&n| n as u64).collect();
        let needed = source.values.unwrap_or(0);
        // A mapping of the whole source does not say its shape.
        let enough = match source.shape[..] {
            [] => found.iter().try_fold(1u64, |all, &n| all.checked_mul(n)) == Some(needed),
            ref shape => found.len() == shape.len() && found.iter().zip(shape).all(|(n, of)| n >= of),
        };
        if !enough {
            let problem =
                format!("has {} of shape {found:?}, of which {needed} values are needed", shown(name));
            return self.missing(path, problem);
        }
        // Its chunks would be checked by those of the dataset that takes from it.
        if dataset.filters().iter().any(|filter| filter.id() == zstd::ZSTD) {
            return self.missing(
                path,
                "is packed with zstd, which is not read through virtual datasets; unpack it with h5repack"
                    .to_owned(),
            );
        }
        check(path, file, name, &dataset, self.depth + 1)
    }

    /// The file that HDF5 takes for a source of this name.
    fn place(&self, name: &str) -> Result<PathBuf, SnapshotError> {
        let named = Path::new(name);
        // Of an absolute name that is no longer right, HDF5 takes the last part.
        let own: Cow<Path> = match named.file_name() {
            Some(last) if named.is_absolute() && PathKind::of(named)? == PathKind::Nothing => {
                Cow::Owned(last.into())
            }
            _ => Cow::Borrowed(named),
        };
        // The folder of the name, then the one of what a link of that name leads to.
        let folder_of = |path: &Path| match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let folders = [
            folder_of(self.path),
            self.path.canonicalize().map_or_else(|_| folder_of(self.path), |p| folder_of(&p)),
        ];
        let places = folders.each_ref().map(|folder| folder.join(&own));
        let Some(index) = first_file(&places)? else {
            self.missing(&places[0], "is missing".to_owned())?;
            return Ok(places[0].clone());
        };
        let (folder, place) = (&folders[index], places[index].clone());
        let inside = || Some(place.canonicalize().ok()?.starts_with(folder.canonicalize().ok()?));
        if FOLLOW_LINKS.load(Ordering::Relaxed) || inside() == Some(true) {
            return Ok(place);
        }
        self.elsewhere(format!("it takes values from {}, which is not in its folder", shown(name)))?;
        Ok(place)
    }

    fn elsewhere(&self, detail: String) -> Result<(), SnapshotError> {
        Err(SnapshotError::Elsewhere { path: self.path.into(), object: shown(self.name), detail })
    }

    fn missing(&self, source: &Path, problem: String) -> Result<(), SnapshotError> {
        let (path, dataset) = (self.path.into(), shown(self.name));
        Err(SnapshotError::Source { path, dataset, source_file: source.into(), problem })
    }
}

#[cfg(test)]
mod tests;
