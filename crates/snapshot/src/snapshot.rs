//! Reading a snapshot of any number of files, one open at a time, a bounded number of particles at a time.

use crate::batch::{Batch, Wanted};
use crate::chunk::{Chunk, SnapshotFile};
use crate::chunk_files::{ChunkName, any_file};
use crate::columns::OpenFile;
use crate::header::FileHeader;
use crate::particles::DARK;
use crate::path_kind::is_file;
use crate::units::{GivenUnits, Units};
use crate::{Header, Particles, SnapshotError};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};

/// Masses in memory at a time.
const MASSES_AT_ONCE: usize = 1 << 22;

/// Batches that wait for their visitor; one more is being read, and one visited.
const BATCHES_AHEAD: usize = 1;

/// A snapshot of AREPO, GADGET, IllustrisTNG, EAGLE, GIZMO or SWIFT: its header, and its particles on demand.
#[derive(Debug)]
pub struct Snapshot {
    header: Header,
    /// Particles of each type in all files of the set, as the header says.
    promised: Vec<u64>,
    files: Vec<SnapshotFile>,
}

impl Snapshot {
    /// Opens the snapshot that `path` means: a single file, any file of a set `NAME.INDEX.hdf5`, the folder that
    /// holds the set, or the set's name without index. Reads the headers of all files, and no particle.
    ///
    /// # Errors
    /// [`SnapshotError::NotFound`], [`SnapshotError::NotHdf5`], [`SnapshotError::Truncated`],
    /// [`SnapshotError::NotASnapshot`], [`SnapshotError::AmbiguousFolder`], [`SnapshotError::MissingChunk`],
    /// [`SnapshotError::ForeignChunk`], [`SnapshotError::ParticleCount`], [`SnapshotError::Attribute`].
    pub fn open(path: &Path) -> Result<Self, SnapshotError> {
        Self::open_in(path, GivenUnits::default(), None)
    }

    /// The same in units that are `given`, whatever the files say of them, and of these files of a set only, counted from 0:
    /// others need not be there, and the header's counts are those of the files.
    ///
    /// # Errors
    /// As [`Self::open`], and [`SnapshotError::NoSuchFile`].
    pub fn open_in(
        path: &Path,
        given: GivenUnits,
        some_files: Option<&[usize]>,
    ) -> Result<Self, SnapshotError> {
        let first = any_file(path)?;
        let read_header =
            |path: &Path| -> Result<FileHeader, SnapshotError> { OpenFile::open(path)?.header(given) };
        let mut header = read_header(&first)?;
        // A set that was joined into one file may still speak of its files.
        let is_alone = ChunkName::parse(&first).is_none() && first.read_link().is_err();
        let is_joined = is_alone && header.counts == header.snapshot.counts;
        if is_joined {
            header.snapshot.files = 1;
        }
        let mut files: Vec<SnapshotFile> = Vec::new();
        for path in files_of_set(&first, header.snapshot.files, some_files)? {
            let mut own = read_header(&path)?;
            if is_joined {
                own.snapshot.files = 1;
            }
            if !own.is_of_one_set(&header) {
                return Err(SnapshotError::ForeignChunk { path, first });
            }
            files.push(SnapshotFile { path, counts: own.counts.clone(), units: own.units });
            if header.snapshot.length_unit_is_assumed {
                header = own;
            }
        }
        // A file without particles may not know the units that others say on theirs.
        for file in &mut files {
            file.units = Units { velocity_km_s: file.units.velocity_km_s, ..header.units };
        }
        let promised = header.snapshot.counts.clone();
        let mut snapshot = Self { header: header.snapshot, promised, files };
        match some_files {
            None => snapshot.check_counts(&first)?,
            Some(_) => snapshot.count_files(),
        }
        Ok(snapshot)
    }

    /// Opens one file of a set by itself, whatever its name; the header's counts are those of the file.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_one(path: &Path, given: GivenUnits) -> Result<Self, SnapshotError> {
        let header = OpenFile::open(path)?.header(given)?;
        let file = SnapshotFile { path: path.into(), counts: header.counts.clone(), units: header.units };
        let promised = header.snapshot.counts.clone();
        let mut snapshot = Self { header: header.snapshot, promised, files: vec![file] };
        snapshot.count_files();
        Ok(snapshot)
    }

    /// What the snapshot says of itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The snapshot's files, in order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// How many of these particles its first files hold.
    #[must_use]
    pub fn count_in_files(&self, files: Range<usize>, particles: &Particles) -> u64 {
        let counts =
            |file: &SnapshotFile| particles.types().iter().map(|&kind| file.count(kind)).sum::<u64>();
        self.files[files].iter().map(counts).fold(0, u64::saturating_add)
    }

    /// How many of these particles the header promises for all files of the set, also if it was opened for some of them.
    #[must_use]
    pub fn promised(&self, particles: &Particles) -> u64 {
        let of_type = |kind: &usize| self.promised.get(*kind).copied().unwrap_or(0);
        particles.types().iter().map(of_type).fold(0, u64::saturating_add)
    }

    /// Checks that its files hold what is wanted, of the sizes that their headers promise, without reading values.
    ///
    /// # Errors
    /// As [`Self::for_each_batch`], but for those of values.
    pub fn check(&self, particles: &Particles, wanted: &Wanted) -> Result<(), SnapshotError> {
        self.walk(particles, wanted, 0, |_, _| Ok(true))
    }

    /// Hands all these particles to `visit`, at most `most` at a time, from file number `first_file` on. Files come in order,
    /// in each the types, and one is open at a time; while a batch is visited, the next one is read by another thread.
    ///
    /// Of all matter, types without masses are left out.
    ///
    /// # Errors
    /// [`SnapshotError::MissingSpecies`] if the snapshot has no such particles, [`SnapshotError::ChunkCount`] if a
    /// file holds another number of them than its header says, [`SnapshotError::NotFinite`] for a NaN or infinite
    /// number, [`SnapshotError::Outside`] for a position far from the box,
    /// [`SnapshotError::MissingDataset`], [`SnapshotError::Dataset`], [`SnapshotError::Elsewhere`],
    /// [`SnapshotError::Source`], [`SnapshotError::Unwritten`], [`SnapshotError::Truncated`], [`SnapshotError::Hdf5`], and
    /// whatever `visit` returns.
    pub fn for_each_batch<E: From<SnapshotError>>(
        &self,
        particles: &Particles,
        wanted: &Wanted,
        most: usize,
        first_file: usize,
        visit: impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        self.for_batches(particles, wanted, most, Turns { first_file, own: 0, of: 1 }, visit)
    }

    /// The same for number `own` of `of` readers that share the batches: of all of them in their order, each reads as many that follow
    /// one another. Files are often sorted by place, so that at any time readers are at different places.
    ///
    /// # Errors
    /// As [`Self::for_each_batch`].
    pub fn for_own_batches<E: From<SnapshotError>>(
        &self,
        particles: &Particles,
        wanted: &Wanted,
        most: usize,
        (own, of): (usize, usize),
        visit: impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        self.for_batches(particles, wanted, most, Turns { first_file: 0, own, of }, visit)
    }

    fn for_batches<E: From<SnapshotError>>(
        &self,
        particles: &Particles,
        wanted: &Wanted,
        most: usize,
        turns: Turns,
        mut visit: impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        self.check_present(particles)?;
        std::thread::scope(|scope| {
            let (send, batches) = sync_channel(BATCHES_AHEAD);
            scope.spawn(move || self.read_batches(particles, wanted, most.max(1), turns, &send));
            batches.into_iter().try_for_each(|batch| visit(batch?))
        })
    }

    /// Sends batches until nobody wants them, and an error as the last.
    fn read_batches(
        &self,
        particles: &Particles,
        wanted: &Wanted,
        most: usize,
        turns: Turns,
        send: &SyncSender<Result<Batch, SnapshotError>>,
    ) {
        let read = self.read_own(particles, wanted, most, turns, |batch| send.send(Ok(batch)).is_ok());
        if let Err(error) = read {
            // Whoever is gone wants no error, either.
            let _ = send.send(Err(error));
        }
    }

    /// Reads batches until `take` returns false.
    fn read_own(
        &self,
        particles: &Particles,
        wanted: &Wanted,
        most: usize,
        Turns { first_file, own, of }: Turns,
        take: impl Fn(Batch) -> bool,
    ) -> Result<(), SnapshotError> {
        let types = |file: &SnapshotFile| -> Vec<(usize, usize)> {
            let count = |kind| usize::try_from(file.count(kind)).unwrap_or(usize::MAX);
            let counted = particles.types().iter().map(|&kind| (kind, count(kind)));
            counted.filter(|(_, count)| *count > 0).collect()
        };
        let files = self.files.iter().enumerate().skip(first_file);
        let batches = |(_, count): &(usize, usize)| count.div_ceil(most);
        let counts = files.clone().flat_map(|(_, file)| types(file)).map(|kind| batches(&kind));
        let all = counts.fold(0, usize::saturating_add);
        // A header may promise more than there can be, which opening its file finds.
        let before = |reader: usize| (reader as u128 * all as u128).div_euclid(of as u128) as usize;
        let own = before(own)..before(own + 1);
        let mut end = 0usize;
        for (index, file) in files {
            for kind in types(file) {
                let first = end;
                end = first.saturating_add(batches(&kind));
                let (from, to) = (own.start.max(first), own.end.min(end));
                if from >= to {
                    continue;
                }
                let chunk = Chunk::open(file, kind.0, wanted, particles.need_mass(), &self.header)?;
                let Some(chunk) = chunk else { continue };
                for number in (from - first)..(to - first) {
                    let start = number * most;
                    if !take(chunk.read(index, start..(start + most).min(chunk.particles))?) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Calls `visit` with what each file has of each type, until it returns false.
    fn walk(
        &self,
        particles: &Particles,
        wanted: &Wanted,
        first_file: usize,
        mut visit: impl FnMut(&Chunk<'_>, usize) -> Result<bool, SnapshotError>,
    ) -> Result<(), SnapshotError> {
        for (index, file) in self.files.iter().enumerate().skip(first_file) {
            for &kind in particles.types().iter().filter(|&&kind| file.count(kind) > 0) {
                let chunk = Chunk::open(file, kind, wanted, particles.need_mass(), &self.header)?;
                if let Some(chunk) = chunk
                    && !visit(&chunk, index)?
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The share of the dark matter's mass that is not of type 1: of lower resolution, as in zooms. Types that have no mass
    /// are none. None if type 1 is all there is.
    ///
    /// # Errors
    /// Those of reading masses.
    pub fn dark_matter_of_low_resolution(&self) -> Result<Option<f64>, SnapshotError> {
        let counted = |kind: &usize| self.header.counts.get(*kind).copied().unwrap_or(0);
        if DARK[1..].iter().map(counted).sum::<u64>() == 0 {
            return Ok(None);
        }
        let mut of_type = [0.0; DARK.len()];
        for (sum, kind) in of_type.iter_mut().zip(DARK) {
            if let Some(mass) = self.header.table_mass(kind) {
                *sum = mass * counted(&kind) as f64;
                continue;
            }
            for file in self.files.iter().filter(|file| file.count(kind) > 0) {
                let chunk = Chunk::open(file, kind, &Wanted::masses(), true, &self.header)?;
                let Some(chunk) = chunk else { continue };
                let mut start = 0;
                while start < chunk.particles {
                    let end = (start + MASSES_AT_ONCE).min(chunk.particles);
                    *sum += chunk.masses_of(start..end)?.iter().map(|&mass| f64::from(mass)).sum::<f64>();
                    start = end;
                }
            }
        }
        let all: f64 = of_type.iter().sum();
        let other = all - of_type[0];
        Ok((other > 0.0).then_some(other / all))
    }

    fn check_present(&self, particles: &Particles) -> Result<(), SnapshotError> {
        if self.header.count(particles) > 0 {
            return Ok(());
        }
        let present = |count: &(usize, &u64)| *count.1 > 0;
        let listed = self.header.counts.iter().enumerate().filter(present);
        let found: Vec<String> = listed.map(|(kind, count)| format!("PartType{kind} ({count})")).collect();
        let groups: Vec<String> = particles.types().iter().map(|kind| format!("PartType{kind}")).collect();
        Err(SnapshotError::MissingSpecies {
            path: self.files[0].path.clone(),
            species: particles.to_string(),
            group: groups.join(", "),
            found: if found.is_empty() { "no particles".to_owned() } else { found.join(", ") },
        })
    }

    /// Headers of the files must add up to the snapshot's, of which some only have the lowest 32 bits.
    fn check_counts(&mut self, first: &Path) -> Result<(), SnapshotError> {
        const LOW_WORDS: u64 = 1 << 32;
        for (kind, total) in self.header.counts.iter_mut().enumerate() {
            let expected = *total;
            let counts = self.files.iter().map(|file| file.count(kind));
            let found = counts.fold(0u64, u64::saturating_add);
            if expected < LOW_WORDS && found % LOW_WORDS == expected {
                *total = found;
            } else if found != expected {
                let (path, group) = (first.into(), format!("PartType{kind}"));
                return Err(SnapshotError::ParticleCount { path, group, expected, found });
            }
        }
        Ok(())
    }

    /// Makes the header's counts those of the files.
    fn count_files(&mut self) {
        for (kind, total) in self.header.counts.iter_mut().enumerate() {
            *total = self.files.iter().map(|file| file.count(kind)).fold(0, u64::saturating_add);
        }
    }
}

/// Which batches are read: from this file on, part `own` of `of`.
#[derive(Clone, Copy)]
struct Turns {
    first_file: usize,
    own: usize,
    of: usize,
}

/// All files of the set to which `first` belongs, or some of them; every one must exist.
fn files_of_set(
    first: &Path,
    files: usize,
    some_files: Option<&[usize]>,
) -> Result<Vec<PathBuf>, SnapshotError> {
    let missing = |path: PathBuf| SnapshotError::MissingChunk { path, files };
    // A link may have a name of its own.
    let named = || ChunkName::parse(first).or_else(|| ChunkName::parse(&first.canonicalize().ok()?));
    if let Some(&index) = some_files.unwrap_or_default().iter().find(|index| **index >= files) {
        return Err(SnapshotError::NoSuchFile { path: first.into(), index, files });
    }
    match named() {
        None if files > 1 => Err(SnapshotError::ChunkWithoutIndex { path: first.into(), files }),
        Some((name, _)) if files > 1 => {
            let existing = |path: PathBuf| if is_file(&path)? { Ok(path) } else { Err(missing(path)) };
            if let Some(some_files) = some_files {
                return some_files.iter().map(|&index| existing(name.file(index))).collect();
            }
            // The first and the last before all of them: a header may promise billions.
            existing(name.file(0))?;
            existing(name.file(files - 1))?;
            (0..files).map(|index| existing(name.file(index))).collect()
        }
        _ => Ok(vec![first.into()]),
    }
}
