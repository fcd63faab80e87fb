//! The particles of one type in one file of a snapshot.

use crate::batch::{Batch, DatasetColumn, SizeOf, Wanted};
use crate::columns::{Column, OpenFile, POSITIONS};
use crate::reading::Reading;
use crate::units::Units;
use crate::{Header, SnapshotError, Species};
use std::ops::Range;
use std::path::PathBuf;

/// Boxes from the first one that a position may be: some codes do not wrap, others wrap at the end of a step. Positions
/// in other units than the box lie farther away.
const FARTHEST_BOXES: f64 = 100.0;

/// How codes name the masses of particles; EAGLE names that of gas in the singular.
const MASSES: [&str; 2] = ["Masses", "Mass"];
const VELOCITIES: [&str; 2] = ["Velocities", "Velocity"];
/// Masses of the table and of the particles may differ by this share.
const SAME_MASS: f64 = 1e-3;
/// How codes name the volumes and densities of gas cells.
const VOLUMES: [&str; 2] = ["Volume", "Volumes"];
const DENSITIES: [&str; 2] = ["Density", "Densities"];
/// Radii of SPH kernels, and the side of a cube over them that has the variance of the cubic spline: GADGET and its children
/// store the radius H beyond which the kernel is zero, SWIFT twice the kernel's standard deviation along an axis, and H is
/// 1.825742 times that (Dehnen & Aly 2012, MNRAS 425, 1068, table 1). A cube has the variance side²/12.
const SMOOTHING: [(&str, f64); 2] = [("SmoothingLength", SQRT_3 / 1.825_742), ("SmoothingLengths", SQRT_3)];
const SQRT_3: f64 = 1.732_050_807_568_877_2;

/// One file of a snapshot.
#[derive(Debug)]
pub(crate) struct SnapshotFile {
    pub(crate) path: PathBuf,
    /// Particles of each type.
    pub(crate) counts: Vec<u64>,
    pub(crate) units: Units,
}

impl SnapshotFile {
    pub(crate) fn count(&self, kind: usize) -> u64 {
        self.counts.get(kind).copied().unwrap_or(0)
    }
}

/// The particles of one type in one open file, in our units.
pub(crate) struct Chunk<'a> {
    file: &'a SnapshotFile,
    kind: usize,
    pub(crate) particles: usize,
    box_size_mpc_h: [f64; 3],
    positions: Column,
    /// What a number of each axis is in Mpc/h.
    unit_mpc_h: [f64; 3],
    masses: Option<Numbers>,
    velocities: Option<Column>,
    ids: Option<Column>,
    volumes: Option<Volumes>,
    columns: Vec<(Column, DatasetColumn, usize)>,
}

/// The same number for all particles, or to each its own.
enum Numbers {
    Same(f64),
    Each(Column),
}

enum Volumes {
    OfEach(Column),
    MassOverDensity(Numbers, Column),
    /// And sides over these radii.
    Smoothed(Column, f64),
    /// Particles that are no cells.
    None,
}

impl Volumes {
    fn name(&self) -> Option<SizeOf> {
        match self {
            Self::None => None,
            Self::OfEach(_) => Some(SizeOf::Volume),
            Self::MassOverDensity(..) => Some(SizeOf::Density),
            Self::Smoothed(..) => Some(SizeOf::SmoothingLength),
        }
    }
}

impl<'a> Chunk<'a> {
    /// None for particles without mass, where they need one.
    pub(crate) fn open(
        file: &'a SnapshotFile,
        kind: usize,
        wanted: &Wanted,
        needs_mass: bool,
        header: &Header,
    ) -> Result<Option<Self>, SnapshotError> {
        let _reading = Reading::of(&file.path);
        let table_mass = header.table_mass(kind);
        let open = OpenFile::open_to_read(&file.path, kind)?;
        if needs_mass && table_mass.is_none() && is_tracer(&open, kind)? {
            return Ok(None);
        }
        let expected = file.count(kind);
        let positions = open.needed(kind, &POSITIONS)?;
        let particles = positions.rows(expected, 3)?;
        let numbers = |names: &[&str]| -> Result<Column, SnapshotError> {
            let column = open.needed(kind, names)?;
            column.rows(expected, 1).map(|_| column)
        };
        let masses = || -> Result<Numbers, SnapshotError> {
            // The table holds them in our units.
            let same = table_mass.map(|mass| Ok(Numbers::Same(mass / file.units.mass_1e10_msun_h)));
            same.unwrap_or_else(|| numbers(&MASSES).map(Numbers::Each))
        };
        if wanted.masses
            && let Some(table) = table_mass
            && let Some(column) = open.column(kind, &MASSES)?
            && column.rows(expected, 1)? > 0
        {
            let first = column.read(0..1)?[0] * file.units.mass_1e10_msun_h;
            if ((first / table) - 1.0).abs() > SAME_MASS {
                return Err(column.unfit(format!(
                    "begins with {first:e} (1e10 Msun/h), and the header's MassTable says {table:e} for all particles of its type; \
                     one of them is wrong: remove it from the file, or take --weight count"
                )));
            }
        }
        let velocities = wanted.velocities.then(|| open.needed(kind, &VELOCITIES)).transpose()?;
        velocities.as_ref().map(|column| column.rows(expected, 3)).transpose()?;
        let ids = if wanted.ids { open.column(kind, &["ParticleIDs"])? } else { None };
        ids.as_ref().map(|column| column.rows(expected, 1)).transpose()?;
        let volumes = || -> Result<Volumes, SnapshotError> {
            let has = |name| open.column(kind, &[name]).map(|column| column.is_some());
            if kind != Species::Gas.particle_type() {
                return Ok(Volumes::None);
            }
            if has(VOLUMES[0])? || has(VOLUMES[1])? {
                return Ok(Volumes::OfEach(numbers(&VOLUMES)?));
            }
            if has(DENSITIES[0])? || has(DENSITIES[1])? {
                return Ok(Volumes::MassOverDensity(masses()?, numbers(&DENSITIES)?));
            }
            for (name, over) in SMOOTHING {
                if has(name)? {
                    return Ok(Volumes::Smoothed(numbers(&[name])?, over));
                }
            }
            let [volume, density, smoothing] = [VOLUMES[0], DENSITIES[0], SMOOTHING[0].0];
            let dataset = format!("PartType{kind}/{volume} (nor {density}, nor {smoothing})");
            Err(SnapshotError::MissingDataset { path: file.path.clone(), dataset })
        };
        let columns = wanted.columns.iter().map(|column| of_dataset(&open, kind, column, expected));
        Ok(Some(Self {
            file,
            kind,
            particles,
            box_size_mpc_h: header.box_size_mpc_h,
            unit_mpc_h: unit_of_positions(&positions, file.units, header)?,
            positions,
            masses: wanted.masses.then(masses).transpose()?,
            velocities,
            ids,
            volumes: wanted.sides.then(volumes).transpose()?,
            columns: columns.collect::<Result<_, _>>()?,
        }))
    }

    /// Some of the particles.
    pub(crate) fn read(&self, file: usize, range: Range<usize>) -> Result<Batch, SnapshotError> {
        let _reading = Reading::of(&self.file.path);
        let masses = self.masses.as_ref().map(|masses| self.masses(masses, range.clone()));
        let velocities = self.velocities.as_ref().map(|column| self.velocities(column, range.clone()));
        let sides = self.volumes.as_ref().map(|volumes| self.sides(volumes, range.clone()));
        let columns = self.columns.iter().map(|(column, of, columns)| {
            let read = column.read(range.clone())?;
            let values = read.iter().skip(of.column.unwrap_or(0)).step_by(*columns);
            self.finite(column, range.start, values.map(|&value| to_f32(value)).collect())
        });
        Ok(Batch {
            file,
            kind: self.kind,
            positions_mpc_h: self.positions(range.clone())?,
            masses: masses.transpose()?,
            velocities_km_s: velocities.transpose()?,
            ids: self.ids.as_ref().map(|column| column.read_integers(range.clone())).transpose()?,
            sides_mpc_h: sides.transpose()?,
            sides_from: self.volumes.as_ref().and_then(Volumes::name),
            columns: columns.collect::<Result<_, _>>()?,
        })
    }

    /// Positions of a range of particles in Mpc/h.
    fn positions(&self, range: Range<usize>) -> Result<Vec<[f64; 3]>, SnapshotError> {
        let first = range.start;
        let [x, y, z] = self.unit_mpc_h;
        let read = self.positions.read(range)?;
        let (rows, _) = read.as_chunks::<3>();
        let sides = self.box_size_mpc_h;
        // A position below the side may become the side by rounding, and would lie at the other face.
        let inside = |value: f64, unit: f64, side: f64| {
            let position = value * unit;
            if position == side && value < side / unit { position.next_down() } else { position }
        };
        let place = |row: &[f64; 3]| {
            [inside(row[0], x, sides[0]), inside(row[1], y, sides[1]), inside(row[2], z, sides[2])]
        };
        let positions: Vec<[f64; 3]> = rows.iter().map(place).collect();
        let farthest = sides.map(|side| FARTHEST_BOXES * side);
        // A number that is none is not near.
        let is_near = |position: &[f64; 3]| (0..3).all(|axis| position[axis].abs() <= farthest[axis]);
        let Some(index) = positions.iter().position(|position| !is_near(position)) else {
            return Ok(positions);
        };
        if positions[index].iter().any(|x| !x.is_finite()) {
            return Err(self.not_finite(&self.positions, first + index));
        }
        Err(SnapshotError::Outside {
            path: self.file.path.clone(),
            dataset: self.positions.name().to_owned(),
            index: first + index,
            position: positions[index],
            box_size_mpc_h: self.box_size_mpc_h,
        })
    }

    /// Masses in 1e10 Msun/h.
    pub(crate) fn masses_of(&self, range: Range<usize>) -> Result<Vec<f32>, SnapshotError> {
        let _reading = Reading::of(&self.file.path);
        self.masses.as_ref().map_or(Ok(Vec::new()), |masses| self.masses(masses, range))
    }

    fn masses(&self, masses: &Numbers, range: Range<usize>) -> Result<Vec<f32>, SnapshotError> {
        let unit = self.file.units.mass_1e10_msun_h;
        match masses {
            Numbers::Same(mass) => Ok(vec![to_f32(mass * unit); range.len()]),
            Numbers::Each(column) => {
                let read = column.read(range.clone())?;
                self.finite(column, range.start, read.iter().map(|mass| to_f32(mass * unit)).collect())
            }
        }
    }

    /// Peculiar velocities in km/s.
    fn velocities(&self, column: &Column, range: Range<usize>) -> Result<Vec<[f32; 3]>, SnapshotError> {
        let first = range.start;
        let unit = self.file.units.velocity_km_s;
        let read = column.read(range)?;
        let (rows, _) = read.as_chunks::<3>();
        let velocities: Vec<[f32; 3]> = rows.iter().map(|row| row.map(|v| to_f32(v * unit))).collect();
        match velocities.iter().position(|velocity| velocity.iter().any(|v| !v.is_finite())) {
            None => Ok(velocities),
            Some(index) => Err(self.not_finite(column, first + index)),
        }
    }

    /// Sides of cubes of the cells' volumes in Mpc/h.
    fn sides(&self, volumes: &Volumes, range: Range<usize>) -> Result<Vec<f32>, SnapshotError> {
        let (column, sizes) = match volumes {
            Volumes::None => return Ok(vec![0.0; range.len()]),
            Volumes::OfEach(column) | Volumes::Smoothed(column, _) => (column, column.read(range.clone())?),
            Volumes::MassOverDensity(masses, column) => {
                let mut sizes = match masses {
                    Numbers::Same(mass) => vec![*mass; range.len()],
                    Numbers::Each(column) => column.read(range.clone())?,
                };
                sizes
                    .iter_mut()
                    .zip(column.read(range.clone())?)
                    .for_each(|(mass, density)| *mass /= density);
                (column, sizes)
            }
        };
        let is_size = |size: &f64| size.is_finite() && *size > 0.0;
        if let Some(index) = sizes.iter().position(|size| !is_size(size)) {
            return Err(self.not_finite(column, range.start + index));
        }
        let unit = self.file.units.length_mpc_h;
        let side = |size: &f64| match volumes {
            Volumes::Smoothed(_, over) => size * over * unit,
            _ => size.cbrt() * unit,
        };
        Ok(sizes.iter().map(|size| to_f32(side(size))).collect())
    }

    fn finite(&self, column: &Column, first: usize, values: Vec<f32>) -> Result<Vec<f32>, SnapshotError> {
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(index) => Err(self.not_finite(column, first + index)),
        }
    }

    fn not_finite(&self, column: &Column, index: usize) -> SnapshotError {
        SnapshotError::NotFinite { path: self.file.path.clone(), dataset: column.name().to_owned(), index }
    }
}

/// What a position's numbers are in Mpc/h: code units, or GADGET-4's unsigned integers, of which all together make the side
/// of the box.
fn unit_of_positions(positions: &Column, units: Units, header: &Header) -> Result<[f64; 3], SnapshotError> {
    if !positions.name().ends_with(POSITIONS[1]) {
        return Ok([units.length_mpc_h; 3]);
    }
    let (bits, sides) = (positions.bits()?, header.box_size_mpc_h);
    if sides.iter().all(|side| *side == sides[0]) {
        return Ok(sides.map(|side| side / (bits as f64).exp2()));
    }
    Err(positions.unfit(format!("holds integers over a box of {sides:?} Mpc/h, and a cube is needed")))
}

/// A dataset's column, and how many columns it has.
fn of_dataset(
    open: &OpenFile,
    kind: usize,
    of: &DatasetColumn,
    expected: u64,
) -> Result<(Column, DatasetColumn, usize), SnapshotError> {
    let column = open.needed(kind, &[&of.dataset])?;
    let columns = column.columns();
    column.rows(expected, columns)?;
    match of.column {
        None if columns != 1 => Err(column.unfit(format!(
            "has {columns} columns; say which: {0}:0 to {0}:{1}",
            of.dataset,
            columns - 1
        ))),
        Some(index) if index >= columns => {
            Err(column
                .unfit(format!("has {columns} columns, and no number {index}; they are counted from 0")))
        }
        _ => Ok((column, of.clone(), columns)),
    }
}

/// Whether particles of a type have neither a mass nor a place, as IllustrisTNG's tracers.
fn is_tracer(open: &OpenFile, kind: usize) -> Result<bool, SnapshotError> {
    let names = [&MASSES[..], &POSITIONS[..]].concat();
    Ok(open.column(kind, &names)?.is_none())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "weights are f32: a mass has no more digits in a snapshot"
)]
fn to_f32(number: f64) -> f32 {
    number as f32
}
