//! Reading a snapshot of any number of files, one open at a time, a bounded number of particles at a time.

use crate::chunk_files::{ChunkName, any_file};
use crate::header::FileHeader;
use crate::native::{self, Kind};
use crate::objects;
use crate::open::{open, open_with_cache};
use crate::particles::DARK;
use crate::units::{GivenUnits, Units};
use crate::{Header, Particles, SnapshotError, Species};
use finescale_field::check_memory;
use ndarray::s;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Boxes from the first one that a position may be: some codes do not wrap, others wrap at the end of a step. Positions
/// in other units than the box lie farther away.
const FARTHEST_BOXES: f64 = 100.0;

/// Masses in memory at a time.
const MASSES_AT_ONCE: usize = 1 << 22;

/// A snapshot of AREPO, GADGET, IllustrisTNG, EAGLE, GIZMO or SWIFT: its header, and its particles on demand.
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
    fn count(&self, kind: usize) -> u64 {
        self.counts.get(kind).copied().unwrap_or(0)
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
        Self::open_in(path, GivenUnits::default())
    }

    /// The same in units that are `given`, whatever the files say of them.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_in(path: &Path, given: GivenUnits) -> Result<Self, SnapshotError> {
        let first = any_file(path)?;
        let read_header = |path: &Path| FileHeader::read(path, &open(path)?, given);
        let mut header = read_header(&first)?;
        // A set that was joined into one file may still speak of its files.
        let is_alone = ChunkName::parse(&first).is_none() && first.read_link().is_err();
        let is_joined = is_alone && header.counts == header.snapshot.counts;
        if is_joined {
            header.snapshot.files = 1;
        }
        let mut files = Vec::new();
        for path in files_of_set(&first, header.snapshot.files)? {
            let mut own = read_header(&path)?;
            if is_joined {
                own.snapshot.files = 1;
            }
            if !own.is_of_one_set(&header) {
                return Err(SnapshotError::ForeignChunk { path, first });
            }
            files.push(SnapshotFile { path, counts: own.counts.clone() });
            if header.snapshot.length_unit_is_assumed {
                header = own;
            }
        }
        let mut snapshot = Self { header: header.snapshot, units: header.units, files };
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

    /// Hands all these particles to `visit`, at most `max_particles` at a time: positions in comoving Mpc/h
    /// as the file has them (not wrapped into the box), and with [`Masses::Read`] their masses in 1e10 Msun/h.
    ///
    /// Files are visited in order, and in each the types; one is open at a time. Of all matter, types without masses are
    /// left out.
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
        particles: &Particles,
        masses: Masses,
        max_particles: usize,
        mut visit: impl FnMut(&[[f64; 3]], Option<&[f32]>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.walk(particles, masses, max_particles, |reader, range| {
            let positions = reader.positions(range.clone())?;
            let masses = reader.masses(range)?;
            visit(&positions, masses.as_deref())
        })
    }

    /// The same with the size of each: the side of a cube of a gas cell's volume, from `Volume`, or mass over `Density`. Other
    /// particles have none.
    ///
    /// # Errors
    /// As [`for_each_chunk`](Self::for_each_chunk); [`SnapshotError::MissingDataset`] if gas does not say its volume, and
    /// [`SnapshotError::NotFinite`] if it is not positive.
    pub fn for_each_cell<E: From<SnapshotError>>(
        &self,
        particles: &Particles,
        masses: Masses,
        max_particles: usize,
        mut visit: impl FnMut(&Cells<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.walk(particles, masses, max_particles, |reader, range| {
            let positions = reader.positions(range.clone())?;
            let of_each = reader.masses(range.clone())?;
            let sides_mpc_h = reader.sides(range, self)?;
            visit(&Cells {
                positions_mpc_h: &positions,
                sides_mpc_h: &sides_mpc_h,
                masses: of_each.as_deref(),
            })
        })
    }

    /// Calls `visit` with ranges of particles of at most `most`, file by file.
    fn walk<E: From<SnapshotError>>(
        &self,
        particles: &Particles,
        masses: Masses,
        most: usize,
        mut visit: impl FnMut(&ChunkReader<'_>, Range<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.check_present(particles)?;
        for file in &self.files {
            for &kind in particles.types().iter().filter(|&&kind| file.count(kind) > 0) {
                let Some(reader) = ChunkReader::open(file, kind, masses, particles.need_mass(), self)? else {
                    continue;
                };
                let mut start = 0;
                while start < reader.particles {
                    let end = (start + most.max(1)).min(reader.particles);
                    visit(&reader, start..end)?;
                    start = end;
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
                let Some(reader) = ChunkReader::open(file, kind, Masses::Read, true, self)? else { continue };
                let mut start = 0;
                while start < reader.particles {
                    let end = (start + MASSES_AT_ONCE).min(reader.particles);
                    let masses = reader.masses(start..end)?.unwrap_or_default();
                    *sum += masses.iter().map(|&mass| f64::from(mass)).sum::<f64>();
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
            let counts = self.files.iter().map(|file| file.counts.get(kind).copied().unwrap_or(0));
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
}

/// Some particles, with the sizes of those that are cells of gas.
#[derive(Clone, Copy, Debug)]
pub struct Cells<'a> {
    /// Positions in comoving Mpc/h, as the file has them.
    pub positions_mpc_h: &'a [[f64; 3]],
    /// Sides of cubes of their volumes in comoving Mpc/h; 0 of particles that are no cells.
    pub sides_mpc_h: &'a [f32],
    /// Masses in 1e10 Msun/h, if they were wanted.
    pub masses: Option<&'a [f32]>,
}

/// Whether to read the masses of particles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masses {
    /// Masses are read: from the header's table, or each particle's own.
    Read,
    /// Masses are not read.
    Skip,
}

/// All files of the set to which `first` belongs; every one must exist.
fn files_of_set(first: &Path, files: usize) -> Result<Vec<PathBuf>, SnapshotError> {
    let missing = |path: PathBuf| SnapshotError::MissingChunk { path, files };
    // A link may have a name of its own.
    let named = || ChunkName::parse(first).or_else(|| ChunkName::parse(&first.canonicalize().ok()?));
    match named() {
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

/// The particles of one type in one open file.
struct ChunkReader<'a> {
    path: &'a Path,
    group: String,
    particles: usize,
    units: Units,
    box_size_mpc_h: [f64; 3],
    coordinates: Coordinates,
    masses: MassSource,
    kind: usize,
}

/// Positions in code units, or as parts of the box.
struct Coordinates {
    dataset: hdf5::Dataset,
    name: &'static str,
    /// What a number of each axis is in Mpc/h.
    unit_mpc_h: [f64; 3],
}

enum MassSource {
    NotWanted,
    Table(f32),
    Each(hdf5::Dataset),
}

impl<'a> ChunkReader<'a> {
    fn open(
        file: &'a SnapshotFile,
        kind: usize,
        masses: Masses,
        needs_mass: bool,
        snapshot: &Snapshot,
    ) -> Result<Option<Self>, SnapshotError> {
        let (path, group) = (file.path.as_path(), format!("PartType{kind}"));
        if needs_mass && snapshot.header.table_mass(kind).is_none() && is_tracer(path, &group)? {
            return Ok(None);
        }
        // A filtered dataset is often one single HDF5 chunk: without room for it, each slab would unpack it anew.
        let chunk = chunk_bytes(&Coordinates::find(path, &open(path)?, &group, snapshot)?.dataset);
        check_memory("unpacking a chunk of Coordinates", chunk as u128)
            .map_err(SnapshotError::field(path))?;
        let hdf5_file = open_with_cache(path, chunk)?;
        let coordinates = Coordinates::find(path, &hdf5_file, &group, snapshot)?;
        let masses = match (masses, snapshot.header.table_mass(kind)) {
            (Masses::Skip, _) => MassSource::NotWanted,
            (Masses::Read, Some(mass)) => MassSource::Table(to_f32(mass)),
            (Masses::Read, None) => MassSource::Each(dataset(path, &hdf5_file, &group, &MASSES)?),
        };
        let expected = file.count(kind);
        let check = |dataset: &hdf5::Dataset, name: &str, columns: Option<usize>| {
            let shape = dataset.shape();
            let rows = shape.first().copied().unwrap_or(0);
            if rows as u64 == expected && shape.get(1).copied() == columns && shape.len() <= 2 {
                return Ok(rows);
            }
            let (path, dataset) = (path.into(), format!("{group}/{name}"));
            Err(SnapshotError::ChunkCount { path, dataset, expected, found: shape })
        };
        let particles = check(&coordinates.dataset, coordinates.name, Some(3))?;
        if let MassSource::Each(masses) = &masses {
            check(masses, "Masses", None)?;
        }
        let box_size_mpc_h = snapshot.header.box_size_mpc_h;
        Ok(Some(Self {
            path,
            group,
            particles,
            units: snapshot.units,
            box_size_mpc_h,
            coordinates,
            masses,
            kind,
        }))
    }

    /// Positions of a range of particles in Mpc/h.
    fn positions(&self, range: Range<usize>) -> Result<Vec<[f64; 3]>, SnapshotError> {
        let first = range.start;
        let Coordinates { dataset, name, unit_mpc_h: [x, y, z] } = &self.coordinates;
        let read =
            dataset.read_slice_2d::<f64, _>(s![range, ..]).map_err(|error| self.failed(name, &error))?;
        let positions: Vec<[f64; 3]> =
            read.outer_iter().map(|row| [row[0] * x, row[1] * y, row[2] * z]).collect();
        if let Some(index) = positions.iter().position(|position| position.iter().any(|x| !x.is_finite())) {
            return Err(self.not_finite(name, first + index));
        }
        let sides = self.box_size_mpc_h;
        let is_far =
            |position: &[f64; 3]| (0..3).any(|axis| position[axis].abs() > FARTHEST_BOXES * sides[axis]);
        match positions.iter().position(is_far) {
            None => Ok(positions),
            Some(index) => Err(SnapshotError::Outside {
                path: self.path.into(),
                dataset: format!("{}/{name}", self.group),
                index: first + index,
                position: positions[index],
                box_size_mpc_h: sides,
            }),
        }
    }

    /// Masses of a range of particles in 1e10 Msun/h, if they are wanted.
    fn masses(&self, range: Range<usize>) -> Result<Option<Vec<f32>>, SnapshotError> {
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

    /// Sides of cubes of the cells' volumes in Mpc/h.
    fn sides(&self, range: Range<usize>, snapshot: &Snapshot) -> Result<Vec<f32>, SnapshotError> {
        if self.kind != Species::Gas.particle_type() {
            return Ok(vec![0.0; range.len()]);
        }
        let file = open(self.path)?;
        let read = |found: &hdf5::Dataset, name: &str| -> Result<Vec<f64>, SnapshotError> {
            if found.shape() != [self.particles] {
                let (path, dataset) = (self.path.into(), format!("{}/{name}", self.group));
                let (expected, found) = (self.particles as u64, found.shape());
                return Err(SnapshotError::ChunkCount { path, dataset, expected, found });
            }
            let values = found.read_slice_1d::<f64, _>(s![range.clone()]);
            values.map(|values| values.to_vec()).map_err(|error| self.failed(name, &error))
        };
        let volumes = match dataset(self.path, &file, &self.group, &VOLUMES) {
            Ok(volumes) => read(&volumes, VOLUMES[0])?,
            Err(SnapshotError::MissingDataset { .. }) => {
                let densities = dataset(self.path, &file, &self.group, &DENSITIES);
                let densities = densities.map_err(|_| SnapshotError::MissingDataset {
                    path: self.path.into(),
                    dataset: format!("{}/{} (nor {})", self.group, VOLUMES[0], DENSITIES[0]),
                })?;
                let densities = read(&densities, DENSITIES[0])?;
                let masses = match snapshot.header.table_mass(self.kind) {
                    Some(mass) => vec![mass / self.units.mass_1e10_msun_h; range.len()],
                    None => read(&dataset(self.path, &file, &self.group, &MASSES)?, MASSES[0])?,
                };
                masses.iter().zip(&densities).map(|(mass, density)| mass / density).collect()
            }
            Err(error) => return Err(error),
        };
        if let Some(index) = volumes.iter().position(|volume| !(volume.is_finite() && *volume > 0.0)) {
            return Err(self.not_finite(VOLUMES[0], range.start + index));
        }
        Ok(volumes.iter().map(|volume| to_f32(volume.cbrt() * self.units.length_mpc_h)).collect())
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

impl Coordinates {
    /// `Coordinates`, or GADGET-4's `IntCoordinates`, unsigned integers of which all together make the side of the box.
    fn find(path: &Path, file: &hdf5::File, group: &str, snapshot: &Snapshot) -> Result<Self, SnapshotError> {
        const INTEGERS: &str = "IntCoordinates";
        let usual = objects::dataset(path, file, &format!("{group}/Coordinates"))?;
        if usual.is_none()
            && let Some(dataset) = objects::dataset(path, file, &format!("{group}/{INTEGERS}"))?
        {
            let kind =
                dataset.dtype().map_err(|error| SnapshotError::hdf5(path, "reading a type", &error))?;
            let wrong = |found: String| SnapshotError::Attribute {
                path: path.into(),
                group: group.to_owned(),
                name: INTEGERS.to_owned(),
                expected: "unsigned integers of 32 or 64 bits over a cube",
                found,
            };
            let sides = snapshot.header.box_size_mpc_h;
            let bits = match (native::kind(&kind), kind.size()) {
                (Kind::Integer { signed: false }, bytes @ (4 | 8)) => 8 * bytes,
                (kind, bytes) => return Err(wrong(format!("{kind:?} of {bytes} bytes"))),
            };
            if sides.iter().any(|side| *side != sides[0]) {
                return Err(wrong(format!("a box of {sides:?} Mpc/h")));
            }
            let unit_mpc_h = sides.map(|side| side / (bits as f64).exp2());
            return Ok(Self { dataset, name: INTEGERS, unit_mpc_h });
        }
        let (name, unit_mpc_h) = ("Coordinates", [snapshot.units.length_mpc_h; 3]);
        let missing =
            || SnapshotError::MissingDataset { path: path.into(), dataset: format!("{group}/{name}") };
        Ok(Self { dataset: usual.ok_or_else(missing)?, name, unit_mpc_h })
    }
}

/// How codes name the masses of particles; EAGLE names that of gas in the singular.
const MASSES: [&str; 2] = ["Masses", "Mass"];

/// How codes name the volumes and densities of gas cells.
const VOLUMES: [&str; 2] = ["Volume", "Volumes"];
const DENSITIES: [&str; 2] = ["Density", "Densities"];

/// The first dataset of a group that is there.
fn dataset(
    path: &Path,
    file: &hdf5::File,
    group: &str,
    names: &[&str],
) -> Result<hdf5::Dataset, SnapshotError> {
    for name in names {
        if let Some(found) = objects::dataset(path, file, &format!("{group}/{name}"))? {
            return Ok(found);
        }
    }
    Err(SnapshotError::MissingDataset { path: path.into(), dataset: format!("{group}/{}", names[0]) })
}

/// Whether particles of a type have neither a mass nor a place, as IllustrisTNG's tracers.
fn is_tracer(path: &Path, group: &str) -> Result<bool, SnapshotError> {
    let file = open(path)?;
    for name in MASSES.iter().chain(&["Coordinates", "IntCoordinates"]) {
        if objects::dataset(path, &file, &format!("{group}/{name}"))?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
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
