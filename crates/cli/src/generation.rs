//! One sample of a volume, with progress.

use crate::context::Context;
use crate::failure::bad_input;
use crate::fields::{self, Gridding, OpenField, Weight};
use crate::files::is_npy;
use crate::provenance::provenance;
use crate::samples;
use anyhow::Context as _;
use candle_core::Device;
use finescale_denoiser::Denoiser;
use finescale_field::{Grid, Normalizer, Region, Scalar, ScalarName, Scheme, TileFaces};
use finescale_outpaint::{
    Generated, GenerationConfig, Job, OutpaintError, PreparedCondition, Progress, Store, generate,
};
use finescale_snapshot::{GridFile, GridMeta, Snapshot, SnapshotError};
use finescale_training::{FieldDescription, Lineage, Model, ModelDescription};
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

/// A low-resolution field that is open, in memory or in its file.
pub(crate) struct OpenCondition {
    path: PathBuf,
    /// All files that it is read from.
    pub(crate) files: Vec<PathBuf>,
    field: OpenField,
}

/// What the network sees of a low-resolution field, and where that comes from.
pub(crate) struct Condition {
    pub(crate) path: PathBuf,
    /// All files that it was read from.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) meta: GridMeta,
    prepared: PreparedCondition,
}

impl OpenCondition {
    /// A field that is in memory.
    pub(crate) fn in_memory(path: &Path, GridFile { field, meta }: GridFile) -> Self {
        let field = OpenField { values: Box::new(field), meta };
        Self { path: path.into(), files: Vec::new(), field }
    }

    pub(crate) fn grid(&self) -> &Grid {
        self.field.values.grid()
    }
}

impl Generator {
    /// Loads the model `path`, or that of the run folder `path`.
    pub(crate) fn load(context: &Context, path: &Path) -> anyhow::Result<Self> {
        let path = &if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
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

    /// Opens a grid file or numpy cube, or grids a snapshot with the model's voxels. What is `said` goes before what the
    /// file says.
    pub(crate) fn open_condition(
        &self,
        context: &Context,
        path: &Path,
        box_size_mpc_h: Option<[f64; 3]>,
        said: &[(ScalarName, f64)],
    ) -> anyhow::Result<OpenCondition> {
        self.check_said(path, said)?;
        let opened = if path.is_dir() { None } else { Some(fields::open(path, box_size_mpc_h)) };
        let mut open = match opened {
            Some(Err(error)) if !is_other_hdf5(&error) => return Err(error),
            Some(Ok(field)) => OpenCondition { path: path.into(), files: vec![path.into()], field },
            _ => {
                let (grid, files) = self.grid_snapshot(context, path)?;
                OpenCondition { files, ..OpenCondition::in_memory(path, grid) }
            }
        };
        said.iter().for_each(|&(name, value)| open.field.meta.set_scalar(name, value));
        let differences = self
            .description
            .check_condition(open.grid(), &open.field.meta)
            .with_context(|| path.display().to_string())?;
        differences.iter().for_each(|text| context.warn(format_args!("{}: {text}", path.display())));
        Ok(open)
    }

    /// Checks that the network is told what is `said`, and that nothing about a numpy cube must be guessed.
    fn check_said(&self, path: &Path, said: &[(ScalarName, f64)]) -> anyhow::Result<()> {
        let scalars = &self.description.configuration.data.scalars;
        let is_told = |name: ScalarName| scalars.iter().any(|scalar| scalar.name == name);
        if let Some((name, _)) = said.iter().find(|(name, _)| !is_told(*name)) {
            return Err(bad_input(format!("--scalar {name}: the model takes no {name}, leave it out")));
        }
        let redshift = ScalarName::Redshift;
        if is_npy(path) && is_told(redshift) && said.iter().all(|(name, _)| *name != redshift) {
            return Err(not_said(path, redshift));
        }
        Ok(())
    }

    /// Makes the channels that the network sees of a part of a field, and keeps them beside `output`, or in memory.
    pub(crate) fn prepare(
        &self,
        open: OpenCondition,
        part: Region,
        output: Option<&Path>,
    ) -> anyhow::Result<Condition> {
        let OpenCondition { path, files, field: OpenField { values, meta } } = open;
        let conditioning = self.description.conditioning();
        let scalar = |scalar: &Scalar| meta.scalar(scalar.name).ok_or_else(|| not_said(&path, scalar.name));
        let scalars = conditioning.channels.scalars.iter().map(scalar).collect::<anyhow::Result<Vec<_>>>()?;
        let prepared =
            PreparedCondition::new(&conditioning, values.as_ref(), meta.boundary, &scalars, part, output);
        let prepared = match prepared {
            // That is about the output.
            Err(error @ OutpaintError::Io { .. }) => return Err(error.into()),
            prepared => prepared.with_context(|| path.display().to_string())?,
        };
        Ok(Condition { path, files, meta, prepared })
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
            condition: &condition.prepared,
            boundary: condition.meta.boundary,
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
    pub(crate) fn sample<'a>(
        &self,
        context: &Context,
        label: &str,
        condition: &Condition,
        job: &Job<'a>,
        store: &Store,
        stop: &AtomicBool,
    ) -> anyhow::Result<Generated<'a>> {
        let mut progress = None;
        let generated = generate(
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
        Ok(generated)
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
            redshift: condition.meta.redshift,
            mean: truth.mean_per_voxel,
            assignment: truth.assignment,
            centring: truth.centring,
            cosmology: condition.meta.cosmology,
            boundary: job.result_boundary(),
            tile_faces: Some(TileFaces::new(job.faces()?)),
            provenance: provenance(json!({
                "model": {
                    "file": self.path.to_string_lossy(),
                    "sha256": self.hash,
                    "step": model.step,
                    "commit": model.commit,
                    "made_by": model.lineage.lines(model.step),
                    "lineage": lineage(model),
                },
                "condition": condition.path.to_string_lossy(),
                "region": job.region,
                "generation": job.config,
                "window_cells": job.window_cells,
                samples::IDENTITY: identity,
            })),
        })
    }
}

/// The models and data that a model was made from; of earlier versions, which did not record what they held out, its
/// configuration says it.
fn lineage(model: &ModelDescription) -> Lineage {
    let hold_out = model.lineage.hold_out.or(model.configuration.data.hold_out);
    Lineage { hold_out, ..model.lineage.clone() }
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
