//! Reading a snapshot of any number of files, one open at a time, a bounded number of particles at a time.

use crate::chunk_files::{ChunkName, any_file};
use crate::header::FileHeader;
use crate::objects;
use crate::open::{open, open_with_cache};
use crate::units::Units;
use crate::{Header, SnapshotError, Species};
use finescale_field::check_memory;
use ndarray::s;
use std::path::{Path, PathBuf};

/// Boxes from the first one that a position may be: some codes do not wrap, others wrap at the end of a step. Positions
/// in other units than the box lie farther away.
const FARTHEST_BOXES: f64 = 100.0;

/// A snapshot of AREPO, GADGET-4 or IllustrisTNG: its header, and its particles on demand.
#[derive(Debug)]
pub struct Snapshot {
    header: Header,
    units: Units,
    files: Vec<SnapshotFile>,
}

#[derive(Debug)]
struct SnapshotFile {
    path: PathBuf,
    counts: Vec<u64>,
}

impl SnapshotFile {
    fn count(&self, species: Species) -> u64 {
        self.counts.get(species.particle_type()).copied().unwrap_or(0)
    }
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
        let first = any_file(path)?;
        let first_header = read_header(&first)?;
        let header = first_header.snapshot;
        let mut files = Vec::new();
        for path in files_of_set(&first, header.files)? {
            let own = read_header(&path)?;
            if !own.snapshot.is_of_one_set(&header) || own.units != first_header.units {
                return Err(SnapshotError::ForeignChunk { path, first });
            }
            files.push(SnapshotFile { path, counts: own.counts });
        }
        let snapshot = Self { header, units: first_header.units, files };
        snapshot.check_counts(&first)?;
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

    /// Hands all particles of `species` to `visit`, at most `max_particles` at a time: positions in comoving Mpc/h
    /// as the file has them (not wrapped into the box), and with [`Masses::Read`] their masses in 1e10 Msun/h.
    ///
    /// Files are visited in order; one is open at a time.
    ///
    /// # Errors
    /// [`SnapshotError::MissingSpecies`] if the snapshot has no such particles, [`SnapshotError::ChunkCount`] if a
    /// file holds another number of them than its header says, [`SnapshotError::NotFinite`] for a NaN or infinite
    /// position or mass, [`SnapshotError::Outside`] for a position far from the box,
    /// [`SnapshotError::MissingDataset`], [`SnapshotError::Elsewhere`], [`SnapshotError::Source`],
    /// [`SnapshotError::Unwritten`], [`SnapshotError::Truncated`], [`SnapshotError::Hdf5`], and whatever `visit`
    /// returns.
    pub fn for_each_chunk<E: From<SnapshotError>>(
        &self,
        species: Species,
        masses: Masses,
        max_particles: usize,
        mut visit: impl FnMut(&[[f64; 3]], Option<&[f32]>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.check_species(species)?;
        for file in self.files.iter().filter(|file| file.count(species) > 0) {
            let reader = ChunkReader::open(file, species, masses, self)?;
            let mut start = 0;
            while start < reader.particles {
                let end = (start + max_particles.max(1)).min(reader.particles);
                let positions = reader.positions(start..end)?;
                let masses = reader.masses(start..end)?;
                visit(&positions, masses.as_deref())?;
                start = end;
            }
        }
        Ok(())
    }

    fn check_species(&self, species: Species) -> Result<(), SnapshotError> {
        if self.header.count(species) > 0 {
            return Ok(());
        }
        let present = |count: &(usize, &u64)| *count.1 > 0;
        let listed = self.header.counts.iter().enumerate().filter(present);
        let found: Vec<String> = listed.map(|(kind, count)| format!("PartType{kind} ({count})")).collect();
        Err(SnapshotError::MissingSpecies {
            path: self.files[0].path.clone(),
            species: species.to_string(),
            group: species.group(),
            found: if found.is_empty() { "no particles".to_owned() } else { found.join(", ") },
        })
    }

    /// Headers of the files must add up to the snapshot's.
    fn check_counts(&self, first: &Path) -> Result<(), SnapshotError> {
        for (kind, &expected) in self.header.counts.iter().enumerate() {
            let counts = self.files.iter().map(|file| file.counts.get(kind).copied().unwrap_or(0));
            let found = counts.fold(0u64, u64::saturating_add);
            if found != expected {
                let (path, group) = (first.into(), format!("PartType{kind}"));
                return Err(SnapshotError::ParticleCount { path, group, expected, found });
            }
        }
        Ok(())
    }
}

/// Whether to read the masses of particles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masses {
    /// Masses are read: from the header's table, or each particle's own.
    Read,
    /// Masses are not read.
    Skip,
}

fn read_header(path: &Path) -> Result<FileHeader, SnapshotError> {
    FileHeader::read(path, &open(path)?)
}

/// All files of the set to which `first` belongs; every one must exist.
fn files_of_set(first: &Path, files: usize) -> Result<Vec<PathBuf>, SnapshotError> {
    let missing = |path: PathBuf| SnapshotError::MissingChunk { path, files };
    match ChunkName::parse(first) {
        None if files > 1 => Err(SnapshotError::ChunkWithoutIndex { path: first.into(), files }),
        Some((name, _)) if files > 1 => {
            let existing = |path: PathBuf| if path.is_file() { Ok(path) } else { Err(missing(path)) };
            // The first and the last before all of them: a header may promise billions.
            existing(name.file(0))?;
            existing(name.file(files - 1))?;
            (0..files).map(|index| existing(name.file(index))).collect()
        }
        _ => Ok(vec![first.into()]),
    }
}

/// The particles of one species in one open file.
struct ChunkReader<'a> {
    path: &'a Path,
    group: String,
    particles: usize,
    units: Units,
    box_size_mpc_h: f64,
    coordinates: hdf5::Dataset,
    masses: MassSource,
}

enum MassSource {
    NotWanted,
    Table(f32),
    Each(hdf5::Dataset),
}

impl<'a> ChunkReader<'a> {
    fn open(
        file: &'a SnapshotFile,
        species: Species,
        masses: Masses,
        snapshot: &Snapshot,
    ) -> Result<Self, SnapshotError> {
        let (path, group) = (file.path.as_path(), species.group());
        let coordinates = dataset(path, &open(path)?, &group, "Coordinates")?;
        // A filtered dataset is often one single HDF5 chunk: without room for it, each slab would unpack it anew.
        let chunk = chunk_bytes(&coordinates);
        check_memory("unpacking a chunk of Coordinates", chunk as u128)
            .map_err(SnapshotError::field(path))?;
        let hdf5_file = open_with_cache(path, chunk)?;
        let coordinates = dataset(path, &hdf5_file, &group, "Coordinates")?;
        let masses = match (masses, snapshot.header.table_mass(species)) {
            (Masses::Skip, _) => MassSource::NotWanted,
            (Masses::Read, Some(mass)) => MassSource::Table(to_f32(mass)),
            (Masses::Read, None) => MassSource::Each(dataset(path, &hdf5_file, &group, "Masses")?),
        };
        let expected = file.count(species);
        let check = |dataset: &hdf5::Dataset, name: &str, columns: Option<usize>| {
            let shape = dataset.shape();
            let rows = shape.first().copied().unwrap_or(0);
            if rows as u64 == expected && shape.get(1).copied() == columns && shape.len() <= 2 {
                return Ok(rows);
            }
            let (path, dataset) = (path.into(), format!("{group}/{name}"));
            Err(SnapshotError::ChunkCount { path, dataset, expected, found: shape })
        };
        let particles = check(&coordinates, "Coordinates", Some(3))?;
        if let MassSource::Each(masses) = &masses {
            check(masses, "Masses", None)?;
        }
        let box_size_mpc_h = snapshot.header.box_size_mpc_h;
        Ok(Self { path, group, particles, units: snapshot.units, box_size_mpc_h, coordinates, masses })
    }

    /// Positions of a range of particles in Mpc/h.
    fn positions(&self, range: std::ops::Range<usize>) -> Result<Vec<[f64; 3]>, SnapshotError> {
        let first = range.start;
        let read = self.coordinates.read_slice_2d::<f64, _>(s![range, ..]);
        let read = read.map_err(|error| self.failed("Coordinates", &error))?;
        let unit = self.units.length_mpc_h;
        let positions: Vec<[f64; 3]> =
            read.outer_iter().map(|row| [row[0] * unit, row[1] * unit, row[2] * unit]).collect();
        if let Some(index) = positions.iter().position(|position| position.iter().any(|x| !x.is_finite())) {
            return Err(self.not_finite("Coordinates", first + index));
        }
        let farthest = FARTHEST_BOXES * self.box_size_mpc_h;
        match positions.iter().position(|position| position.iter().any(|x| x.abs() > farthest)) {
            None => Ok(positions),
            Some(index) => Err(SnapshotError::Outside {
                path: self.path.into(),
                dataset: format!("{}/Coordinates", self.group),
                index: first + index,
                position: positions[index],
                box_size_mpc_h: self.box_size_mpc_h,
            }),
        }
    }

    /// Masses of a range of particles in 1e10 Msun/h, if they are wanted.
    fn masses(&self, range: std::ops::Range<usize>) -> Result<Option<Vec<f32>>, SnapshotError> {
        let first = range.start;
        match &self.masses {
            MassSource::NotWanted => Ok(None),
            MassSource::Table(mass) => Ok(Some(vec![*mass; range.len()])),
            MassSource::Each(dataset) => {
                let read = dataset.read_slice_1d::<f64, _>(s![range]);
                let read = read.map_err(|error| self.failed("Masses", &error))?;
                let unit = self.units.mass_1e10_msun_h;
                let masses: Vec<f32> = read.iter().map(|mass| to_f32(mass * unit)).collect();
                match masses.iter().position(|mass| !mass.is_finite()) {
                    Some(index) => Err(self.not_finite("Masses", first + index)),
                    None => Ok(Some(masses)),
                }
            }
        }
    }

    fn failed(&self, dataset: &str, error: &hdf5::Error) -> SnapshotError {
        SnapshotError::hdf5(self.path, format!("reading {}/{dataset}", self.group), error)
    }

    fn not_finite(&self, dataset: &str, index: usize) -> SnapshotError {
        SnapshotError::NotFinite {
            path: self.path.into(),
            dataset: format!("{}/{dataset}", self.group),
            index,
        }
    }
}

fn dataset(path: &Path, file: &hdf5::File, group: &str, name: &str) -> Result<hdf5::Dataset, SnapshotError> {
    let dataset = format!("{group}/{name}");
    objects::dataset(path, file, &dataset)?
        .ok_or_else(|| SnapshotError::MissingDataset { path: path.into(), dataset })
}

/// Bytes of one HDF5 chunk, 0 if the dataset has none.
fn chunk_bytes(dataset: &hdf5::Dataset) -> usize {
    let bytes = dataset.dtype().map_or(0, |kind| kind.size());
    dataset.chunk().map_or(0, |chunk| chunk.iter().fold(bytes, |product, &n| product.saturating_mul(n)))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "weights are f32: a mass has no more digits in a snapshot"
)]
fn to_f32(mass: f64) -> f32 {
    mass as f32
}
