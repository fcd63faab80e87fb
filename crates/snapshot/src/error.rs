//! Errors of this crate: each names the file, what was expected, what was found and what to do.

use finescale_field::{FieldError, looks_like, shown};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes of a file by which it may be known.
const LONGEST_START: u64 = 64;

/// What can go wrong between a file and a field.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Nothing has that name.
    #[error("{path}: no such file or folder; check the path", path = path.display())]
    NotFound {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// A folder where one file is needed.
    #[error(
        "{path}: a folder, not a file; name one grid file (`finescale grid` makes one from a snapshot folder)"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// The file exists, but HDF5 does not know it.
    #[error(
        "{path}: not an HDF5 file{what}; a snapshot or grid in HDF5 is needed, or a snapshot in GADGET's binary formats 1 or 2",
        path = path.display(), what = what.map(|what| format!(" ({what})")).unwrap_or_default()
    )]
    NotHdf5 {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        what: Option<&'static str>,
    },
    /// The file ends before its contents do.
    #[error("{path}: truncated file ({detail}); copy or download it again", path = path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What HDF5 says.
        detail: String,
    },
    /// Values that are not those that were written.
    #[error(
        "{path}: its values are not those that were written into it; copy it again or make it anew (whoever changed them on \
         purpose deletes the attribute values_digest, and sets version to 1)",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Another program has locked the file.
    #[error(
        "{path}: another program is writing it; wait until it is done, or set HDF5_USE_FILE_LOCKING=FALSE if you know \
         that it is",
        path = path.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// A file that points out of itself.
    #[error(
        "{path}: {object} is not in this file: {detail}; a stranger's file could have any of yours read in this way: \
         give --follow-links if you trust it",
        path = path.display()
    )]
    Elsewhere {
        /// The file.
        path: PathBuf,
        /// The object.
        object: String,
        /// How it points out.
        detail: String,
    },
    /// A virtual dataset whose values are not all there: HDF5 would read zeros.
    #[error(
        "{path}: {dataset} is put together from other files, and {source_file} {problem}; copy or download that file, too",
        path = path.display(), source_file = source_file.display()
    )]
    Source {
        /// The virtual file.
        path: PathBuf,
        /// The virtual dataset.
        dataset: String,
        /// The file that should hold a part of it.
        source_file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Values that a filter has packed which is not there to unpack them.
    #[error(
        "{path}: {dataset} is packed by the filter {id} ({name}), which is not installed; install its plugin and name the \
         folder in HDF5_PLUGIN_PATH (Python's hdf5plugin has many: hdf5plugin.PLUGIN_PATH), or repack the file: h5repack -f \
         GZIP=4 IN OUT",
        path = path.display()
    )]
    Filter {
        /// The file.
        path: PathBuf,
        /// The dataset.
        dataset: String,
        /// The filter's number.
        id: i32,
        /// Its name.
        name: &'static str,
    },
    /// A dataset that was never written to its end: HDF5 would read zeros.
    #[error(
        "{path}: {dataset} has shape {promised}, but holds {stored}; it was never written to its end: \
         make, copy or download it again",
        path = path.display()
    )]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// The dataset.
        dataset: String,
        /// Its shape, and how much that is.
        promised: String,
        /// How much there is.
        stored: String,
    },
    /// HDF5 failed in another way.
    #[error("{path}: {doing} failed: {detail}", path = path.display())]
    Hdf5 {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: String,
        /// What HDF5 says.
        detail: String,
    },
    /// The file could not be written to its end.
    #[error(
        "{path}: cannot write: {source}; {remedy}; nothing half-written was left",
        path = path.display(), remedy = finescale_durable::remedy(source)
    )]
    Write {
        /// The file that was to be written.
        path: PathBuf,
        /// What the system or HDF5 says.
        source: std::io::Error,
    },
    /// The file system refused.
    #[error("{path}: {doing} failed: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// An attribute is missing or of another kind than needed.
    #[error("{path}: attribute {name} of {group}: expected {expected}, found {found}", path = path.display())]
    Attribute {
        /// The file.
        path: PathBuf,
        /// The HDF5 group.
        group: String,
        /// The attribute.
        name: String,
        /// What was needed.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// An HDF5 file that is no snapshot.
    #[error("{path}: not a simulation snapshot: {detail}; snapshots of AREPO, GADGET, IllustrisTNG, EAGLE, GIZMO and SWIFT are read", path = path.display())]
    NotASnapshot {
        /// The file.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// A folder that holds no snapshot, or several.
    #[error("{path}: {detail}; name one file of the snapshot", path = path.display())]
    AmbiguousFolder {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        detail: String,
    },
    /// A file of the snapshot is not there.
    #[error("{path}: missing; the snapshot has {files} files; copy or download this one", path = path.display())]
    MissingChunk {
        /// The missing file.
        path: PathBuf,
        /// How many files there should be.
        files: usize,
    },
    /// One file of several, renamed so that the others cannot be found.
    #[error("{path}: one of {files} files, but its name has no index; name it NAME.INDEX.hdf5 as the others", path = path.display())]
    ChunkWithoutIndex {
        /// The file.
        path: PathBuf,
        /// How many files the snapshot has.
        files: usize,
    },
    /// Two files whose headers contradict each other.
    #[error("{path}: belongs to another snapshot than {first} (box, time, units, masses or counts differ); keep each snapshot in a folder of its own", path = path.display(), first = first.display())]
    ForeignChunk {
        /// The file.
        path: PathBuf,
        /// The file that it should go with.
        first: PathBuf,
    },
    /// The files do not add up to what the header says.
    #[error("{path}: header promises {expected} particles of {group}, all files together hold {found}; a file is from another run or incomplete", path = path.display())]
    ParticleCount {
        /// The first file.
        path: PathBuf,
        /// The particle type.
        group: String,
        /// The header's total.
        expected: u64,
        /// What the files' headers add up to.
        found: u64,
    },
    /// A dataset has another shape than its file's header says.
    #[error("{path}: {dataset} has shape {found:?}, its header promises {expected} particles; copy or download the file again", path = path.display())]
    ChunkCount {
        /// The file.
        path: PathBuf,
        /// The dataset.
        dataset: String,
        /// The header's count.
        expected: u64,
        /// Shape of the dataset.
        found: Vec<usize>,
    },
    /// A dataset that does not hold what is needed.
    #[error("{path}: {dataset} {detail}", path = path.display())]
    Dataset {
        /// The file.
        path: PathBuf,
        /// The dataset.
        dataset: String,
        /// What it holds, and what it should.
        detail: String,
    },
    /// A file number that the snapshot does not have.
    #[error("{path}: has no file number {index}: its files are 0 to {last}; choose other --chunks", path = path.display(), last = files - 1)]
    NoSuchFile {
        /// One of its files.
        path: PathBuf,
        /// What was asked for.
        index: usize,
        /// How many files it has.
        files: usize,
    },
    /// The header promises particles, but they or their masses are not there.
    #[error("{path}: no dataset {dataset}, although the header promises such particles; it may have been left out of a cut-out{remedy}", path = path.display(), remedy = if dataset.ends_with("/Masses") { " (--weight count needs no masses)" } else if dataset.contains(" (nor ") { "; --spread=density needs none of them" } else { "; `h5ls -r` lists what the file has" })]
    MissingDataset {
        /// The file.
        path: PathBuf,
        /// The dataset.
        dataset: String,
    },
    /// The snapshot has no such particles.
    #[error("{path}: no {species} ({group}) in this snapshot, which holds {found}; choose other --particles", path = path.display())]
    MissingSpecies {
        /// The first file.
        path: PathBuf,
        /// What was asked for.
        species: String,
        /// Its group.
        group: String,
        /// What is there.
        found: String,
    },
    /// A NaN or infinite value.
    #[error("{path}: {dataset}[{index}] is not a finite number; the file is damaged or the run went wrong", path = path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The dataset.
        dataset: String,
        /// The particle's index in this file.
        index: usize,
    },
    /// A particle that is nowhere near the box.
    #[error(
        "{path}: {dataset}[{index}] is {position:?} Mpc/h, far outside of the box of {box_size_mpc_h:?} Mpc/h; are the units of \
         BoxSize and of the positions the same?",
        path = path.display()
    )]
    Outside {
        /// The file.
        path: PathBuf,
        /// The dataset.
        dataset: String,
        /// The particle's index in this file.
        index: usize,
        /// Its position in Mpc/h.
        position: [f64; 3],
        /// Sides of the box in Mpc/h.
        box_size_mpc_h: [f64; 3],
    },
    /// An HDF5 file that is no grid of ours.
    #[error("{path}: not a finescale grid: {detail}; `finescale grid` makes one from a snapshot", path = path.display())]
    NotAGrid {
        /// The file.
        path: PathBuf,
        /// What is missing or wrong.
        detail: String,
    },
    /// An HDF5 file of another kind.
    #[error("{path}: neither a finescale grid ({no_grid}) nor a snapshot ({no_snapshot})", path = path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Why it is no grid.
        no_grid: String,
        /// Why it is no snapshot.
        no_snapshot: String,
    },
    /// A grid of something else than a density.
    #[error("{path}: holds {quantity} in {unit}, and a density in units of its mean, 1 + delta, is needed", path = path.display())]
    NotADensity {
        /// The file.
        path: PathBuf,
        /// What it holds.
        quantity: String,
        /// In which unit.
        unit: String,
    },
    /// A numpy file that holds no cube of floats.
    #[error("{path}: {detail}; a three-dimensional .npy array of numbers is needed", path = path.display())]
    Npy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A numpy cube that holds no density 1 + delta.
    #[error("{path}: {detail}", path = path.display())]
    CubeValues {
        /// The file.
        path: PathBuf,
        /// What is wrong with its values.
        detail: String,
    },
    /// A grid or window is not possible.
    #[error("{path}: {source}", path = path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: FieldError,
    },
}

impl SnapshotError {
    /// Whether what was asked for, or a file that was given, is at fault, and not the machine.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Field { source, .. } => source.is_input(),
            Self::Hdf5 { .. } | Self::Write { .. } | Self::Io { .. } => false,
            Self::NotFound { .. }
            | Self::Folder { .. }
            | Self::NotHdf5 { .. }
            | Self::Truncated { .. }
            | Self::Damaged { .. }
            | Self::Locked { .. }
            | Self::Elsewhere { .. }
            | Self::Source { .. }
            | Self::Unwritten { .. }
            | Self::Filter { .. }
            | Self::Attribute { .. }
            | Self::NotASnapshot { .. }
            | Self::AmbiguousFolder { .. }
            | Self::MissingChunk { .. }
            | Self::ChunkWithoutIndex { .. }
            | Self::ForeignChunk { .. }
            | Self::ParticleCount { .. }
            | Self::ChunkCount { .. }
            | Self::Dataset { .. }
            | Self::NoSuchFile { .. }
            | Self::MissingDataset { .. }
            | Self::MissingSpecies { .. }
            | Self::NotFinite { .. }
            | Self::Outside { .. }
            | Self::NotAGrid { .. }
            | Self::NotADensity { .. }
            | Self::Unknown { .. }
            | Self::Npy { .. }
            | Self::CubeValues { .. } => true,
        }
    }

    /// An [`SnapshotError::Hdf5`], or [`SnapshotError::Truncated`] when that is what HDF5 says.
    pub(crate) fn hdf5(path: &Path, doing: impl Into<String>, error: &hdf5::Error) -> Self {
        let detail = one_line(error);
        let past_end = ["truncated file", "addr overflow", "read past", "Read past"];
        let frames = frames(error);
        if let Some(frame) = frames.iter().find(|frame| past_end.iter().any(|text| frame.contains(text))) {
            return Self::Truncated { path: path.into(), detail: shown(frame) };
        }
        let detail = match frames.iter().any(|frame| frame.contains("filter returned failure")) {
            true => {
                "its chunks cannot be unpacked: the file is damaged; copy or download it again".to_owned()
            }
            false => detail,
        };
        Self::Hdf5 { path: path.into(), doing: doing.into(), detail }
    }

    /// A [`SnapshotError::NotHdf5`] of a file that is there.
    pub(crate) fn not_hdf5(path: &Path) -> Self {
        let mut start = Vec::new();
        let read = finescale_durable::open_to_read(path)
            .and_then(|file| file.take(LONGEST_START).read_to_end(&mut start));
        let what = read.ok().and_then(|_| looks_like(&start));
        Self::NotHdf5 { path: path.into(), what }
    }

    /// A [`SnapshotError::Write`].
    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Write { path: path.into(), source }
    }

    /// A [`SnapshotError::Field`].
    pub(crate) fn field(path: &Path) -> impl FnOnce(FieldError) -> Self {
        move |source| Self::Field { path: path.into(), source }
    }
}

/// The system's error behind one of HDF5, which has its number in a text; else the text.
pub(crate) fn io_error(error: &hdf5::Error) -> std::io::Error {
    let number = |frame: &String| -> Option<i32> {
        let (_, rest) = frame.split_once("errno = ")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    match frames(error).iter().find_map(number) {
        Some(number) if number != 0 => std::io::Error::from_raw_os_error(number),
        _ => std::io::Error::other(one_line(error)),
    }
}

/// What HDF5 says, from the call to the cause. It repeats names of the file, which may be any bytes; the bindings make
/// a text of them unchecked, so that they are checked here before anything reads them.
pub(crate) fn frames(error: &hdf5::Error) -> Vec<String> {
    let checked = |frame: &hdf5::ErrorFrame| String::from_utf8_lossy(frame.desc().as_bytes()).into_owned();
    error.stack().map(|stack| stack.iter().map(checked).collect()).unwrap_or_default()
}

/// HDF5's messages have line breaks in them.
pub(crate) fn one_line(error: impl std::fmt::Display) -> String {
    let text = error.to_string();
    let checked = String::from_utf8_lossy(text.as_bytes());
    shown(&checked.split_whitespace().collect::<Vec<_>>().join(" "))
}
