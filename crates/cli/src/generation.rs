//! One sample of a volume, with progress.

use crate::context::Context;
use crate::failure::bad_input;
use crate::fields::{self, Gridding, Weight};
use crate::provenance::provenance;
use crate::{samples, tiles};
use anyhow::Context as _;
use candle_core::Device;
use finescale_denoiser::Denoiser;
use finescale_field::{Field3, Normalizer, Region, Scalar, ScalarName, Scheme};
use finescale_outpaint::{Boundary, Generated, GenerationConfig, Job, Progress, Store, generate};
use finescale_snapshot::{GridFile, GridMeta, Snapshot, SnapshotError};
use finescale_training::{FieldDescription, Model, ModelDescription};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Windows that the network evaluates at once, if nobody says otherwise.
pub(crate) const BATCH: usize = 4;

/// A model ready to sample from.
pub(crate) struct Generator {
    pub(crate) description: ModelDescription,
    pub(crate) device: Device,
    pub(crate) denoiser: Denoiser,
    truth_normalizers: Vec<Normalizer>,
    path: PathBuf,
    hash: String,
    program: Value,
}

/// A low-resolution field, what the network sees of it, and where it comes from.
pub(crate) struct Condition {
    pub(crate) path: PathBuf,
    /// All files that it was read from.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) grid: GridFile,
    channels: Vec<Field3>,
}

impl Generator {
    /// Loads the model `path`.
    pub(crate) fn load(context: &Context, path: &Path) -> anyhow::Result<Self> {
        let device = context.device()?;
        let model = Model::load(path, &device).context("reading a model")?;
        let denoiser = model.denoiser()?;
        let hash = model.sha256().unwrap_or_default().to_owned();
        let truth_normalizers = model.description.normalizers().truth;
        Ok(Self {
            description: model.description,
            device,
            denoiser,
            truth_normalizers,
            path: path.into(),
            hash,
            program: context.program(),
        })
    }

    /// Cells of the network's window per axis.
    pub(crate) fn window_cells(&self) -> usize {
        self.description.configuration.training.patch_cells
    }

    /// Reads a grid file or numpy cube, or grids a snapshot with the model's voxels. What is `said` goes before what
    /// the file says.
    pub(crate) fn condition(
        &self,
        context: &Context,
        path: &Path,
        box_size_mpc_h: Option<[f64; 3]>,
        said: &[(ScalarName, f64)],
    ) -> anyhow::Result<Condition> {
        self.check_said(path, said)?;
        let read = if path.is_dir() { None } else { Some(fields::load(path, box_size_mpc_h)) };
        let (mut grid, files) = match read {
            Some(Err(error)) if !is_other_hdf5(&error) => return Err(error),
            Some(Ok(grid)) => (grid, vec![path.to_owned()]),
            _ => self.grid_snapshot(context, path)?,
        };
        said.iter().for_each(|&(name, value)| grid.meta.set_scalar(name, value));
        let differences = self
            .description
            .check_condition(grid.field.grid(), &grid.meta)
            .with_context(|| path.display().to_string())?;
        differences.iter().for_each(|text| context.warn(format_args!("{}: {text}", path.display())));
        Ok(Condition { files, ..self.prepare(path, grid)? })
    }

    /// Checks that the network is told what is `said`, and that nothing about a numpy cube must be guessed.
    fn check_said(&self, path: &Path, said: &[(ScalarName, f64)]) -> anyhow::Result<()> {
        let scalars = &self.description.configuration.data.scalars;
        let is_told = |name: ScalarName| scalars.iter().any(|scalar| scalar.name == name);
        if let Some((name, _)) = said.iter().find(|(name, _)| !is_told(*name)) {
            return Err(bad_input(format!("--scalar {name}: the model takes no {name}, leave it out")));
        }
        let redshift = ScalarName::Redshift;
        if fields::is_npy(path) && is_told(redshift) && said.iter().all(|(name, _)| *name != redshift) {
            return Err(not_said(path, redshift));
        }
        Ok(())
    }

    /// Makes the channels that the network sees of a field.
    pub(crate) fn prepare(&self, path: &Path, grid: GridFile) -> anyhow::Result<Condition> {
        let conditioning = self.description.conditioning();
        let value =
            |scalar: &Scalar| grid.meta.scalar(scalar.name).ok_or_else(|| not_said(path, scalar.name));
        let values = conditioning.channels.scalars.iter().map(value).collect::<anyhow::Result<Vec<_>>>()?;
        let channels = conditioning
            .apply(&grid.field, boundary(&grid), &values)
            .with_context(|| path.display().to_string())?;
        Ok(Condition { path: path.into(), files: Vec::new(), grid, channels })
    }

    /// The field of a snapshot, and the snapshot's files.
    fn grid_snapshot(&self, context: &Context, path: &Path) -> anyhow::Result<(GridFile, Vec<PathBuf>)> {
        let snapshot = Snapshot::open(path).context("reading a snapshot")?;
        let condition = &self.description.condition;
        let species = condition.quantity.parse().map_err(|error| {
            bad_input(format!("{}: {error}; grid it with `finescale grid`", path.display()))
        })?;
        let cells = (snapshot.header().box_size_mpc_h / self.description.voxel_mpc_h[0]).round() as usize;
        let scheme = condition.assignment.unwrap_or(Scheme::Cic);
        let how = Gridding { species, cells, scheme, weight: Weight::Mass };
        let grid = fields::deposit(context, &snapshot, &how)?;
        Ok((grid, snapshot.files().map(Path::to_owned).collect()))
    }

    /// The volume `region` of the condition's box.
    pub(crate) fn job<'a>(
        &'a self,
        condition: &'a Condition,
        region: Region,
        config: GenerationConfig,
    ) -> Job<'a> {
        Job {
            denoiser: &self.denoiser,
            model_hash: &self.hash,
            window_cells: self.window_cells(),
            condition: &condition.channels,
            boundary: boundary(&condition.grid),
            truth_normalizers: &self.truth_normalizers,
            region,
            given: None,
            config,
            batch: BATCH,
            device: &self.device,
            program: &self.program,
        }
    }

    /// Generates one sample of each field; work goes on from `store`, and stays there when `stop` is set.
    pub(crate) fn sample(
        &self,
        context: &Context,
        label: &str,
        condition: &Condition,
        job: &Job,
        store: &Store,
        stop: &AtomicBool,
    ) -> anyhow::Result<Vec<GridFile>> {
        let mut progress = None;
        let Generated { fields, identity } = generate(
            job,
            store,
            &mut |event| match event {
                Progress::Begun { done, evaluations } => {
                    if done > 0 {
                        context
                            .note(format_args!("{label}: goes on after {done} of {evaluations} evaluations"));
                    }
                    progress = Some(context.progress(label, "evaluations", evaluations as u64, done as u64));
                }
                Progress::Evaluated { windows } => {
                    progress.iter_mut().for_each(|bar| bar.add(windows as u64));
                }
            },
            stop,
        )
        .with_context(|| format!("generating from {}", condition.path.display()))?;
        if let Some(progress) = progress {
            progress.finish();
        }
        let metas = self.metas(condition, job, &identity)?;
        Ok(fields.into_iter().zip(metas).map(|(field, meta)| GridFile { field, meta }).collect())
    }

    /// What the fields of a sample are.
    pub(crate) fn metas(
        &self,
        condition: &Condition,
        job: &Job,
        identity: &Value,
    ) -> anyhow::Result<Vec<GridMeta>> {
        self.description.truth.iter().map(|truth| self.meta(truth, condition, job, identity)).collect()
    }

    fn meta(
        &self,
        truth: &FieldDescription,
        condition: &Condition,
        job: &Job,
        identity: &Value,
    ) -> anyhow::Result<GridMeta> {
        let model = &self.description;
        Ok(GridMeta {
            quantity: truth.quantity.clone(),
            redshift: condition.grid.meta.redshift,
            mean: truth.mean_per_voxel,
            assignment: truth.assignment,
            periodic: job.result_boundary() == Boundary::Periodic,
            provenance: provenance(json!({
                "model": { "file": self.path.to_string_lossy(), "sha256": self.hash, "step": model.step, "commit": model.commit },
                "condition": condition.path.to_string_lossy(),
                "region": job.region,
                "generation": job.config,
                "window_cells": job.window_cells,
                samples::IDENTITY: identity,
                tiles::KEY: job.faces()?,
                "cosmology": condition.grid.meta.cosmology(),
            })),
        })
    }
}

fn boundary(grid: &GridFile) -> Boundary {
    if grid.meta.periodic { Boundary::Periodic } else { Boundary::Open }
}

fn not_said(path: &Path, name: ScalarName) -> anyhow::Error {
    bad_input(format!(
        "{}: does not say its {name}, which the model must be told: give --scalar {name}=VALUE",
        path.display()
    ))
}

/// Whether a file is HDF5, but no grid of ours: perhaps a snapshot.
fn is_other_hdf5(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(SnapshotError::NotAGrid { .. }))
}
