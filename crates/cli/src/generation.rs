//! One sample of a volume, with progress.

use crate::condition::Condition;
use crate::context::Context;
use crate::provenance::provenance;
use crate::samples;
use anyhow::Context as _;
use candle_core::Device;
use finescale_denoiser::{Denoiser, Processor};
use finescale_field::{Normalizer, Region};
use finescale_outpaint::{Generated, GenerationConfig, Job, Progress, Store, generate};
use finescale_snapshot::GridMeta;
use finescale_training::{FieldDescription, Lineage, Model, ModelDescription};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Windows that the network evaluates at once, if nobody says otherwise.
pub(crate) const BATCH: usize = 4;

/// A model ready to sample from.
pub(crate) struct Generator {
    pub(crate) description: ModelDescription,
    pub(crate) processor: Processor,
    pub(crate) denoiser: Denoiser,
    truth_normalizers: Vec<Normalizer>,
    path: PathBuf,
    hash: String,
    program: Value,
}

impl Generator {
    /// Loads the model `path`, or that of the run folder `path`.
    pub(crate) fn load(context: &Context, path: &Path) -> anyhow::Result<Self> {
        let path = &if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
        let processor = context.processor()?;
        let model = Model::load(path, &Device::Cpu).context("reading a model")?;
        let denoiser = model.denoiser()?.on(&processor).with_fixed_parameters();
        let hash = model.sha256().unwrap_or_default().to_owned();
        let truth_normalizers = model.description.normalizers().truth;
        Ok(Self {
            description: model.description,
            program: context.program(&processor)?,
            processor,
            denoiser,
            truth_normalizers,
            path: path.into(),
            hash,
        })
    }

    /// Cells of the network's window per axis.
    pub(crate) fn window_cells(&self) -> usize {
        self.description.configuration.training.patch_cells
    }

    /// The volume `region` of the condition's box.
    pub(crate) fn job<'a>(
        &'a self,
        context: &'a Context,
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
            device: &Device::Cpu,
            ranks: context.ranks(),
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
        let mut faces = job.faces()?;
        Ok(GridMeta {
            quantity: truth.quantity.clone(),
            unit: None,
            redshift: condition.meta.redshift,
            mean: truth.mean_per_voxel,
            assignment: truth.assignment,
            is_spread: truth.is_spread,
            redshift_space: truth.redshift_space.clone(),
            start_mpc_h: None,
            // Values lie where those lie that they were drawn from.
            centring: condition.meta.centring,
            cosmology: condition.meta.cosmology,
            boundary: job.result_boundary(),
            tile_faces: faces.pop(),
            earlier_tile_faces: faces,
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
                "region": wrapped(&job.region, job),
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

/// A region whose first cell lies in the box.
fn wrapped(region: &Region, job: &Job) -> Region {
    let cells = job.condition.grid().cells();
    Region { start: [0, 1, 2].map(|axis| region.wrapped(axis, 0, cells) as i64), ..*region }
}
