//! What a spectrum is measured of: a grid, a numpy cube, or the particles of a snapshot.

use super::measured::Measured;
use super::particles::{self, Gridding};
use super::{CubeOptions, ParticleOptions};
use crate::context::Context;
use crate::failure::bad_input;
use crate::fields;
use crate::files::Stamp;
use crate::gridding::Weight;
use crate::parse::Assignment;
use crate::units::{UnitOptions, warn_of_matter_left_out};
use anyhow::Context as _;
use finescale_field::{Grid, Region, Scheme, check_memory};
use finescale_snapshot::{GridFile, GridMeta, GridReader, Particles, Snapshot, Source as Kind};
use finescale_spectra::{Complex32, Modes};
use ndarray::{Array3, Axis};
use std::path::{Path, PathBuf};

/// Planes read at once: those of one HDF5 chunk of our grids.
const PLANES: usize = 32;

/// An input, opened.
pub(super) enum Source {
    Grid(PathBuf, GridReader),
    Cube(PathBuf),
    Snapshot(PathBuf, Snapshot),
}

impl Source {
    /// Opens whatever `path` is.
    pub(super) fn open(context: &Context, units: &UnitOptions, path: &Path) -> anyhow::Result<Self> {
        match Kind::of(path).context("reading a file")? {
            Kind::Cube => Ok(Self::Cube(path.into())),
            Kind::Grid => {
                let reader = GridReader::open(path).context("reading a grid")?;
                reader.meta().check_density(path)?;
                Ok(Self::Grid(path.into(), reader))
            }
            Kind::Snapshot | Kind::Catalogue => Self::open_snapshot(context, units, path),
        }
    }

    fn open_snapshot(context: &Context, units: &UnitOptions, path: &Path) -> anyhow::Result<Self> {
        Ok(Self::Snapshot(path.into(), units.open(context, path).context("reading a snapshot")?))
    }

    /// The files that are read.
    pub(super) fn files(&self) -> Vec<&Path> {
        match self {
            Self::Grid(path, _) | Self::Cube(path) => vec![path],
            Self::Snapshot(_, snapshot) => snapshot.files().collect(),
        }
    }

    /// Cells per side, if the input fixes them; what is gridded can only be crossed with cubes.
    pub(super) fn cells(&self) -> Option<usize> {
        match self {
            Self::Grid(_, reader) => Some(reader.grid().cells()[0]),
            Self::Cube(_) | Self::Snapshot(..) => None,
        }
    }

    /// Measures the modes; `particles` and `cells` are for snapshots.
    pub(super) fn measure(
        self,
        context: &Context,
        cube: &CubeOptions,
        options: &ParticleOptions,
        particles: Option<Particles>,
        cells: Option<usize>,
    ) -> anyhow::Result<Measured> {
        let open = match &self {
            Self::Grid(path, reader) if !reader.meta().boundary.is_periodic() => Some(path.clone()),
            _ => None,
        };
        let measured = match self {
            Self::Grid(path, reader) => of_grid(context, path, &reader)?,
            Self::Cube(path) => of_cube(context, path, cube)?,
            Self::Snapshot(path, snapshot) => {
                let particles = particles::named(&snapshot, particles)
                    .with_context(|| format!("measuring {}", path.display()))?;
                warn_of_matter_left_out(context, &path, &snapshot, &particles)?;
                let how = Gridding {
                    cells: cells
                        .unwrap_or_else(|| particles::default_cells(snapshot.header().count(&particles))),
                    particles,
                    scheme: options.scheme.unwrap_or(Scheme::Cic),
                    weight: options.weight.clone().unwrap_or_else(Weight::mass),
                    interlaced: options.interlaced,
                };
                particles::measure(context, path, &snapshot, &how)?
            }
        };
        if let Some(path) = open {
            context.note(format_args!(
                "{}: is not periodic: it is tapered over a quarter of each side, at both ends, before it is transformed",
                path.display()
            ));
        }
        warn_of_units(context, &measured);
        Ok(measured)
    }
}

/// Parts of a box that begin at different places have no cross power.
pub(super) fn check_one_part(sources: &[&Source]) -> anyhow::Result<()> {
    let part = |source: &&Source| match source {
        Source::Grid(path, reader) => Some((path.clone(), reader.meta().start_mpc_h.unwrap_or_default())),
        Source::Cube(_) | Source::Snapshot(..) => None,
    };
    let parts: Vec<_> = sources.iter().filter_map(part).collect();
    match &parts[..] {
        [(a, start), (b, other)] if start != other => Err(bad_input(format!(
            "{} begins at {start:?} Mpc/h of its box, {} at {other:?}: they are different parts of it",
            a.display(),
            b.display()
        ))),
        _ => Ok(()),
    }
}

/// Options that no input has a use for are mistakes.
pub(super) fn check_applies(
    sources: &[&Source],
    cube: &CubeOptions,
    particles: &ParticleOptions,
) -> anyhow::Result<()> {
    let has = |kind: fn(&Source) -> bool| sources.iter().any(|source| kind(source));
    let of_cubes = [
        ("--box-size", cube.cube.box_size.is_some()),
        ("--mean", cube.cube.mean.is_some()),
        ("--index", cube.cube.index.is_some()),
        ("--delta", cube.cube.delta),
        ("--assignment", cube.assignment.is_some()),
    ];
    let of_particles = [
        ("--particles", particles.particles.is_some()),
        ("--cross-particles", particles.cross_particles.is_some()),
        ("--cells", particles.cells.is_some()),
        ("--scheme", particles.scheme.is_some()),
        ("--weight", particles.weight.is_some()),
        ("--interlaced", particles.interlaced),
        ("--unit-length, --unit-mass", particles.units.is_said()),
    ];
    let given = |options: &[(&str, bool)]| {
        options.iter().filter(|(_, given)| *given).map(|&(name, _)| name).collect::<Vec<_>>().join(", ")
    };
    let (cubes, snapshots) = (given(&of_cubes), given(&of_particles));
    if !cubes.is_empty() && !has(|source| matches!(source, Source::Cube(_))) {
        return Err(bad_input(format!("{cubes}: for .npy cubes only; HDF5 files say this themselves")));
    }
    if !snapshots.is_empty() && !has(|source| matches!(source, Source::Snapshot(..))) {
        return Err(bad_input(format!(
            "{snapshots}: for snapshots only; a grid was made already, and its particles are not in it"
        )));
    }
    Ok(())
}

/// The modes of a grid file, which is read some planes at a time: beside its transform there is no field in
/// memory.
fn of_grid(context: &Context, path: PathBuf, reader: &GridReader) -> anyhow::Result<Measured> {
    let (grid, meta) = (*reader.grid(), reader.meta());
    if meta.is_spread {
        context.note(format_args!(
            "{}: its cells of gas were spread over their volumes: that smoothing, which differs from cell to cell, is not divided \
             out",
            path.display()
        ));
    }
    let [nx, ny, nz] = grid.cells();
    let bytes =
        [nx, ny, nz / 2 + 1].iter().fold(size_of::<Complex32>() as u128, |bytes, &n| bytes * n as u128);
    check_memory(format_args!("the Fourier modes of {:?} cells", grid.cells()), bytes)
        .with_context(|| path.display().to_string())?;
    let stamp = Stamp::read(&path)?;
    reader.check_values().context("reading a grid")?;
    let mut progress = context.progress("reading", "planes", nx as u64, 0);
    let mut slab = Array3::zeros([0; 3]);
    let modes = Modes::from_planes(grid, meta.assignment, meta.boundary, |x, plane| {
        if x % PLANES == 0 {
            let start = [i64::try_from(x).context("a grid has fewer planes")?, 0, 0];
            slab = reader.read(&Region { start, shape: [PLANES.min(nx - x), ny, nz] })?;
        }
        let values = slab.index_axis(Axis(0), x % PLANES);
        plane.iter_mut().zip(values).for_each(|(to, &value)| *to = value);
        check_density(&grid, x, plane)?;
        progress.set(x as u64 + 1);
        anyhow::Ok(())
    })
    .with_context(|| format!("measuring {}", path.display()))?;
    progress.finish();
    stamp.check(&path)?;
    let shot_noise_mpc_h3 = counted_noise_mpc_h3(&grid, meta);
    let (window, centring) = (meta.assignment, meta.centring);
    Ok(Measured { path, modes, particles: None, window, centring, interlaced: false, shot_noise_mpc_h3 })
}

/// The modes of a numpy cube.
fn of_cube(context: &Context, path: PathBuf, options: &CubeOptions) -> anyhow::Result<Measured> {
    let stamp = Stamp::read(&path)?;
    let opened = fields::open(&path, &options.cube)?;
    opened.note.iter().for_each(|note| context.warn(note));
    let cube = GridFile { field: fields::in_memory(opened.values.as_ref())?, meta: opened.meta };
    stamp.check(&path)?;
    let measuring = || format!("measuring {}", path.display());
    let grid = *cube.field.grid();
    let [_, ny, nz] = grid.cells();
    for (x, plane) in cube.field.as_slice().chunks_exact(ny * nz).enumerate() {
        check_density(&grid, x, plane).with_context(measuring)?;
    }
    let window = match (cube.meta.assignment, options.assignment) {
        (Some(scheme), _) => Some(scheme),
        (None, Some(Assignment(given))) => given,
        (None, None) => {
            context.note(format_args!(
                "{}: does not say its mass assignment: no window is divided out (--assignment says it)",
                path.display()
            ));
            None
        }
    };
    let modes = Modes::within(&cube.field, window, cube.meta.boundary).with_context(measuring)?;
    let shot_noise_mpc_h3 = counted_noise_mpc_h3(&grid, &cube.meta);
    let centring = cube.meta.centring;
    Ok(Measured { path, modes, particles: None, window, centring, interlaced: false, shot_noise_mpc_h3 })
}

/// V/N in (Mpc/h)³ of a field that counts particles, each in one place.
fn counted_noise_mpc_h3(grid: &Grid, meta: &GridMeta) -> Option<f64> {
    let particles = meta.mean? * grid.voxels() as f64;
    let counts = meta.provenance.get("weight").is_some_and(|weight| weight == "count");
    // Spread over their volumes, particles have less noise than points.
    (counts && !meta.is_spread && particles > 0.0).then(|| grid.volume_mpc_h3() / particles)
}

/// Plane x of a density has no negative values.
fn check_density(grid: &Grid, x: usize, plane: &[f32]) -> anyhow::Result<()> {
    let Some(at) = plane.iter().position(|&value| value < 0.0) else { return Ok(()) };
    let (nz, value) = (grid.cells()[2], plane[at]);
    Err(bad_input(format!(
        "holds negative values ({value} in voxel [{x}, {}, {}]): this looks like delta; store 1 + delta (of a .npy cube say --delta)",
        at / nz,
        at % nz
    )))
}

fn warn_of_units(context: &Context, measured: &Measured) {
    if let Some(warning) = fields::unit_warning(&measured.path, measured.modes.grid()) {
        context.warn(format_args!("{warning}"));
    }
}
