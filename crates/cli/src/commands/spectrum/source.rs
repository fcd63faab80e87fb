//! What a spectrum is measured of: a grid, a numpy cube, or the particles of a snapshot.

use super::measured::Measured;
use super::modes::FieldModes;
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
use finescale_field::{Boundary, Grid, Region, Scheme, Windows, check_memory};
use finescale_snapshot::{GridMeta, GridReader, Particles, Snapshot, Source as Kind};
use finescale_spectra::{ModeSlabs, Modes, Workspace};
use ndarray::{Array3, Axis};
use std::path::{Path, PathBuf};

/// Planes read at once: those of one HDF5 chunk of our grids.
pub(super) const PLANES: usize = 32;

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

    /// The snapshot, if it is one.
    pub(super) fn snapshot(&self) -> Option<&Path> {
        match self {
            Self::Grid(..) | Self::Cube(_) => None,
            Self::Snapshot(path, _) => Some(path),
        }
    }

    /// Measures the modes; `particles` and `cells` are for snapshots.
    pub(super) fn measure<'a>(
        self,
        context: &'a Context,
        workspace: Option<&Workspace>,
        (cube, options): (&CubeOptions, &ParticleOptions),
        particles: Option<Particles>,
        cells: Option<usize>,
    ) -> anyhow::Result<Measured<'a>> {
        let open = match &self {
            Self::Grid(path, reader) if !reader.meta().boundary.is_periodic() => Some(path.clone()),
            _ => None,
        };
        let measured = match self {
            Self::Grid(path, reader) => of_grid(context, workspace, path, &reader)?,
            Self::Cube(path) => of_cube(context, workspace, path, cube)?,
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
fn of_grid<'a>(
    context: &'a Context,
    workspace: Option<&Workspace>,
    path: PathBuf,
    reader: &GridReader,
) -> anyhow::Result<Measured<'a>> {
    let (grid, meta) = (*reader.grid(), reader.meta());
    if meta.is_spread {
        context.note(format_args!(
            "{}: its cells of gas were spread over their volumes: that smoothing, which differs from cell to cell, is not divided \
             out",
            path.display()
        ));
    }
    let stamp = Stamp::read(&path)?;
    if context.ranks().is_first() {
        reader.check_values().context("reading a grid")?;
    }
    let modes = of_planes(context, workspace, reader, meta.assignment, meta.boundary)
        .with_context(|| format!("measuring {}", path.display()))?;
    stamp.check(&path)?;
    let shot_noise_mpc_h3 = counted_noise_mpc_h3(&grid, meta);
    let (window, centring) = (meta.assignment, meta.centring);
    Ok(Measured { path, modes, particles: None, window, centring, interlaced: false, shot_noise_mpc_h3 })
}

/// The modes of a numpy cube.
fn of_cube<'a>(
    context: &'a Context,
    workspace: Option<&Workspace>,
    path: PathBuf,
    options: &CubeOptions,
) -> anyhow::Result<Measured<'a>> {
    let stamp = Stamp::read(&path)?;
    let opened = fields::open(&path, &options.cube)?;
    opened.note.iter().for_each(|note| context.warn(note));
    let (values, meta) = (opened.values, opened.meta);
    let window = match (meta.assignment, options.assignment) {
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
    // A cube in Fortran's order has no planes that lie together: where there is room, it is read at once.
    let values: Box<dyn Windows> = match workspace {
        None => Box::new(fields::in_memory(values.as_ref())?),
        Some(_) => values,
    };
    let modes = of_planes(context, workspace, values.as_ref(), window, meta.boundary)
        .with_context(|| format!("measuring {}", path.display()))?;
    stamp.check(&path)?;
    let shot_noise_mpc_h3 = counted_noise_mpc_h3(values.grid(), &meta);
    let centring = meta.centring;
    Ok(Measured { path, modes, particles: None, window, centring, interlaced: false, shot_noise_mpc_h3 })
}

/// The modes of a density that is read plane by plane, this rank's share of it.
fn of_planes<'a>(
    context: &'a Context,
    workspace: Option<&Workspace>,
    values: &dyn Windows,
    window: Option<Scheme>,
    boundary: Boundary,
) -> anyhow::Result<FieldModes<'a>> {
    let grid = *values.grid();
    let [nx, ny, nz] = grid.cells();
    let mut progress = context.progress("reading", "planes", context.ranks().share(nx).len() as u64, 0);
    let (mut slab, mut read, mut done) = (Array3::zeros([0; 3]), 0..0, 0);
    let fill = |x: usize, plane: &mut [f32]| {
        if !read.contains(&x) {
            read = x..nx.min((x / PLANES + 1) * PLANES);
            let start = [i64::try_from(x).context("a grid has fewer planes")?, 0, 0];
            let region = Region { start, shape: [read.len(), ny, nz] };
            slab = values.read(&region).map_err(anyhow::Error::from_boxed)?;
        }
        let values = slab.index_axis(Axis(0), x - read.start);
        plane.iter_mut().zip(values).for_each(|(to, &value)| *to = value);
        check_density(&grid, x, plane)?;
        done += 1;
        progress.set(done);
        anyhow::Ok(())
    };
    let modes = match workspace {
        None => {
            let bytes = ModeSlabs::bytes(context.ranks(), &grid);
            check_memory(format_args!("the Fourier modes of {:?} cells", grid.cells()), bytes)?;
            FieldModes::Whole(Modes::from_planes(grid, window, boundary, fill)?)
        }
        Some(workspace) => FieldModes::Slabs(ModeSlabs::from_planes(
            context.ranks(),
            grid,
            window,
            boundary,
            workspace,
            fill,
        )?),
    };
    progress.finish();
    Ok(modes)
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
