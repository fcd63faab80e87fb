//! The low-resolution field that a sample is drawn from: opened, checked, made into what the network sees.

use crate::context::Context;
use crate::cube::Cube;
use crate::failure::bad_input;
use crate::fields::{self, OpenField};
use crate::files::Stamp;
use crate::gridding::{Gridding, deposit};
use crate::units::{UnitOptions, warn_of_matter_left_out};
use anyhow::Context as _;
use finescale_field::{Boundary, Grid, Region, Scalar, ScalarName, Scheme};
use finescale_outpaint::{Condition as _, OutpaintError, PreparedCondition};
use finescale_snapshot::{GridFile, GridMeta, Particles, Source};
use finescale_training::ModelDescription;
use std::path::{Path, PathBuf};

/// Voxels of a condition that takes minutes to prepare.
const LARGE_VOXELS: usize = 1 << 27;

/// A low-resolution field that is open, in memory or in its file.
pub(crate) struct OpenCondition {
    path: PathBuf,
    /// All files that it is read from.
    pub(crate) files: Vec<PathBuf>,
    /// What its file was when it was opened, if it is read from there.
    stamp: Option<Stamp>,
    field: OpenField,
}

/// What the network sees of a low-resolution field, and where that comes from.
pub(crate) struct Condition {
    pub(crate) path: PathBuf,
    /// All files that it was read from.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) meta: GridMeta,
    pub(crate) prepared: PreparedCondition,
}

impl OpenCondition {
    /// Opens a grid file or numpy cube, or grids a snapshot with the voxels of `model`. What is `said` goes before what
    /// the file says. Of a grid file only the header is read.
    pub(crate) fn open(
        context: &Context,
        model: &ModelDescription,
        path: &Path,
        cube: &Cube,
        units: &UnitOptions,
        said: &[(ScalarName, f64)],
    ) -> anyhow::Result<Self> {
        check_said(model, path, said)?;
        let source = Source::of(path)?;
        if cube.is_said() && source != Source::Cube {
            return Err(bad_input(
                "--box-size, --mean, --index, --delta: for .npy cubes only; HDF5 files say this themselves",
            ));
        }
        let stamp = if path.is_file() { Some(Stamp::read(path)?) } else { None };
        let mut open = match source {
            Source::Snapshot | Source::Catalogue => {
                let (grid, files) = grid_snapshot(context, model, path, units)?;
                Self { files, ..Self::in_memory(path, grid) }
            }
            Source::Grid | Source::Cube if units.is_said() => {
                return Err(bad_input("--unit-length, --unit-mass: for snapshots only; grids have theirs"));
            }
            Source::Grid | Source::Cube => {
                let field = fields::open_header(path, cube)?;
                Self { path: path.into(), files: vec![path.into()], stamp, field }
            }
        };
        open.field.note.iter().for_each(|note| context.warn(note));
        said.iter().for_each(|&(name, value)| open.field.meta.set_scalar(name, value));
        let differences = model
            .check_condition(open.grid(), &open.field.meta)
            .with_context(|| path.display().to_string())?;
        differences.iter().for_each(|text| context.warn(format_args!("{}: {text}", path.display())));
        Ok(open)
    }

    /// A field that is in memory.
    pub(crate) fn in_memory(path: &Path, GridFile { field, meta }: GridFile) -> Self {
        Self { path: path.into(), files: Vec::new(), stamp: None, field: OpenField::in_memory(field, meta) }
    }

    pub(crate) fn grid(&self) -> &Grid {
        self.field.values.grid()
    }

    pub(crate) fn meta(&self) -> &GridMeta {
        &self.field.meta
    }

    /// Checks the values, makes the channels that the network sees of a part of them, and keeps these beside `output`, or
    /// in memory.
    pub(crate) fn prepare(
        self,
        context: &Context,
        model: &ModelDescription,
        part: Region,
        output: Option<&Path>,
    ) -> anyhow::Result<Condition> {
        let Self { path, files, stamp, field } = self;
        if part.voxels() > LARGE_VOXELS {
            context.note(format_args!(
                "{}: checking its values, and making what the network sees of them",
                path.display()
            ));
        }
        context.check_files(files.iter().map(PathBuf::as_path))?;
        if context.ranks().is_first() {
            field.check()?;
            if field.meta.boundary == Boundary::Periodic && !field.is_cube {
                let odd = fields::check_box(&path, field.values.as_ref())?;
                odd.iter().for_each(|text| context.warn(text));
            }
        }
        let conditioning = model.conditioning();
        let scalar =
            |scalar: &Scalar| field.meta.scalar(scalar.name).ok_or_else(|| not_said(&path, scalar.name));
        let scalars = conditioning.channels.scalars.iter().map(scalar).collect::<anyhow::Result<Vec<_>>>()?;
        let boundary = field.meta.boundary;
        let values = field.values.as_ref();
        let prepared = match output {
            None => PreparedCondition::new(&conditioning, values, boundary, &scalars, part, None),
            Some(output) => {
                let at = (output, context.ranks());
                PreparedCondition::of_ranks(&conditioning, values, boundary, &scalars, part, at)
            }
        };
        let prepared = match prepared {
            // That is about the output.
            Err(error @ OutpaintError::Io { .. }) => return Err(error.into()),
            prepared => prepared.with_context(|| path.display().to_string())?,
        };
        stamp.map_or(Ok(()), |stamp| stamp.check(&path))?;
        Ok(Condition { path, files, meta: field.meta, prepared })
    }
}

impl Condition {
    /// Warns if what the network sees of `region` is not like what it saw in training.
    pub(crate) fn tell_if_unlike(
        &self,
        context: &Context,
        model: &ModelDescription,
        region: &Region,
    ) -> anyhow::Result<()> {
        // The density comes first.
        let density = |window: Region| {
            let mut channels = self.prepared.channels(&window)?;
            channels.truncate(window.voxels());
            Ok::<_, OutpaintError>(channels)
        };
        let difference = model.check_windows(region, density)?;
        difference.iter().for_each(|text| context.warn(format_args!("{}: {text}", self.path.display())));
        Ok(())
    }
}

/// Checks that the network is told what is `said`, and that nothing about a numpy cube must be guessed.
fn check_said(model: &ModelDescription, path: &Path, said: &[(ScalarName, f64)]) -> anyhow::Result<()> {
    let scalars = &model.configuration.data.scalars;
    let is_told = |name: ScalarName| scalars.iter().any(|scalar| scalar.name == name);
    if let Some((name, _)) = said.iter().find(|(name, _)| !is_told(*name)) {
        return Err(bad_input(format!("--scalar {name}: the model takes no {name}, leave it out")));
    }
    let redshift = ScalarName::Redshift;
    if Source::of(path)? == Source::Cube
        && is_told(redshift)
        && said.iter().all(|(name, _)| *name != redshift)
    {
        return Err(not_said(path, redshift));
    }
    Ok(())
}

fn not_said(path: &Path, name: ScalarName) -> anyhow::Error {
    bad_input(format!(
        "{}: does not say its {name}, which the model must be told: give --scalar {name}=VALUE",
        path.display()
    ))
}

/// The field of a snapshot, and the snapshot's files.
fn grid_snapshot(
    context: &Context,
    model: &ModelDescription,
    path: &Path,
    units: &UnitOptions,
) -> anyhow::Result<(GridFile, Vec<PathBuf>)> {
    let snapshot = units.open(context, path).context("reading a snapshot")?;
    let condition = &model.condition;
    let particles: Particles = condition
        .quantity
        .parse()
        .map_err(|error| bad_input(format!("{}: {error}; grid it with `finescale grid`", path.display())))?;
    let longest = snapshot.header().box_size_mpc_h.into_iter().fold(0.0, f64::max);
    let cells = (longest / model.voxel_mpc_h[0]).round().max(1.0) as usize;
    let scheme = condition.assignment.unwrap_or(Scheme::Cic);
    let how = Gridding::density(particles, cells, scheme);
    warn_of_matter_left_out(context, path, &snapshot, &how.particles)?;
    let grid = deposit(context, &snapshot, &how, None)?;
    Ok((grid, snapshot.files().map(Path::to_owned).collect()))
}
