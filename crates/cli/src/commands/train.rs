//! `finescale train`: from pairs to a model.

mod display;
mod plan;

use crate::context::Context;
use crate::failure::{bad_input, stopped};
use crate::parse::positive;
use anyhow::Context as _;
use candle_core::Device;
use clap::Args;
use display::Display;
use finescale_field::readable_bytes;
use finescale_pairs::{Normalization, PairSet};
use finescale_training::{Event, Model, Origin, Run, RunConfig, Start, is_resumable};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct Train {
    /// The configuration (JSON), such as those in configs/; the book's page on configuration explains every key
    config: PathBuf,
    /// Folder of the run [default: runs/ and the configuration's name]
    #[arg(long, value_name = "RUN", value_parser = crate::parse::folder())]
    out: Option<PathBuf>,
    /// Go on with the run in this folder, or begin if there is none; with the same bits as if it had never
    /// stopped if the configuration is unchanged. Changed keys are listed with what they change
    #[arg(long)]
    resume: bool,
    /// Like --resume, even if another version, device or instruction set computed it so far: then with other bits
    #[arg(long)]
    resume_anyway: bool,
    /// Fine-tune: begin with the weights and normalizers of a model of the same `network` section
    #[arg(long, value_name = "MODEL")]
    from: Option<PathBuf>,
    /// Memory for the fields of the pairs, in GiB, each process [default: half of what there is]. Of fields that need more, patches
    /// are read from their files when it is their turn: the same bits
    #[arg(long, value_name = "GIB", value_parser = positive, allow_negative_numbers = true)]
    memory: Option<f64>,
    /// Check all that the run would check, measure an update, print the resolved configuration and the plan,
    /// and stop
    #[arg(long)]
    dry_run: bool,
}

impl Train {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        if self.config.is_dir() {
            let folder = self.config.display();
            return Err(bad_input(format!(
                "{folder}: is a folder; give the configuration, such as its config.json"
            )));
        }
        let config =
            RunConfig::load(&self.config).with_context(|| format!("reading {}", self.config.display()))?;
        config.data.check().with_context(|| format!("data of {}", self.config.display()))?;
        let out = self.out.clone().unwrap_or_else(|| default_folder(&self.config));
        let processor = context.processor()?;
        check_ranks(context)?;
        let resumes = self.resumes(&out)?;
        let from = self.model_to_begin_with(context, &out, resumes)?;
        let from = from.map(model_file);
        let from =
            from.map(|path| Model::load(&path, &Device::Cpu).context("reading a model")).transpose()?;
        let start = match &from {
            _ if resumes && self.resume_anyway => Start::ResumeAnyway,
            _ if resumes => Start::Resume,
            Some(model) => Start::From(model),
            None => Start::Fresh,
        };

        let program = context.program(&processor)?;
        let find =
            |config: &RunConfig| Origin::find(config, &out, start, &processor, &program, context.ranks());
        let origin = find(&config)?;
        if let Some(model) = &from
            && origin.normalization() != Normalization::from(model.description.normalizers())
        {
            context.note(
                "the configuration names another mean count than the model has: densities become other network values, fitted to these \
                 pairs, so validation losses do not compare with those of the model",
            );
        }
        let pairs = self.read_if_small(context, PairSet::open(&config.data, origin.normalization())?)?;
        let (config, origin) = match config.training.minutes {
            None => (config, origin),
            Some(minutes) => {
                let config = config.with_steps(steps_within(context, &config, origin, &pairs, minutes)?);
                let origin = find(&config)?;
                (config, origin)
            }
        };
        let run = Run::new(&config, origin, &pairs)?;
        for warning in run.warnings() {
            context.warn(format_args!("{}: {warning}", out.display()));
        }
        if self.dry_run { plan::print(context, &config, run, &out) } else { go(context, &config, run, &out) }
    }

    /// The pairs in memory, if there is room for them.
    fn read_if_small(&self, context: &Context, pairs: PairSet) -> anyhow::Result<PairSet> {
        let limit = match context.memory(self.memory)? {
            Some(all) if self.memory.is_none() => Some(all / 2),
            limit => limit,
        };
        match limit {
            Some(limit) if pairs.bytes() as u64 > limit => {
                context.note(format_args!(
                    "the fields of the pairs take {}, more than the {} of memory that there are for them: patches are read from their \
                     files",
                    readable_bytes(pairs.bytes() as u128),
                    readable_bytes(limit.into())
                ));
                Ok(pairs)
            }
            _ => Ok(pairs.in_memory()?),
        }
    }

    /// Whether there is a run that is to go on.
    fn resumes(&self, out: &Path) -> anyhow::Result<bool> {
        let wants = self.resume || self.resume_anyway;
        let resumes = wants && is_resumable(out);
        let model = model_of(out);
        if wants && !resumes && model.try_exists().unwrap_or(true) {
            return Err(bad_input(format!(
                "{}: its state.safetensors is not there, so this run cannot be resumed; begin another one \
                 with its weights: --from {} --out NEW",
                out.display(),
                model.display()
            )));
        }
        Ok(resumes)
    }

    /// The model of --from, unless there is a run to go on with.
    fn model_to_begin_with(
        &self,
        context: &Context,
        out: &Path,
        resumes: bool,
    ) -> anyhow::Result<Option<&Path>> {
        let from = self.from.as_deref();
        if let Some(from) = from.filter(|_| resumes) {
            let (from, out) = (from.display(), out.display());
            context.warn(format_args!(
                "--from {from}: not read, the run in {out} goes on with weights of its own"
            ));
        }
        Ok(from.filter(|_| !resumes))
    }
}

/// Checks that several ranks train on CPUs: cards add up gradients among themselves.
fn check_ranks(context: &Context) -> anyhow::Result<()> {
    let ranks = context.ranks().count();
    if ranks > 1 && context.cards() > 0 {
        return Err(bad_input(format!(
            "{ranks} ranks: several ranks train on CPUs; on cards start one, with all cards of a machine: --device cuda:0,1"
        )));
    }
    Ok(())
}

/// The model itself, or that of a run folder.
fn model_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() }
}

fn default_folder(config: &Path) -> PathBuf {
    Path::new("runs").join(config.file_stem().unwrap_or_default())
}

fn model_of(out: &Path) -> PathBuf {
    out.join("model.safetensors")
}

/// The updates that `minutes` are: as they were fixed when the run began, or else as many as an update of it is
/// measured to allow.
fn steps_within(
    context: &Context,
    config: &RunConfig,
    origin: Origin,
    pairs: &PairSet,
    minutes: f64,
) -> anyhow::Result<u64> {
    if let Some(steps) = origin.fixed_steps() {
        context.note(format_args!(
            "training.minutes {minutes}: the {steps} updates that the run was begun with; for others write \
             training.steps"
        ));
        return Ok(steps);
    }
    // The length of a run does not change what an update takes.
    let plan = Run::new(&config.with_steps(1), origin, pairs)?.plan()?;
    let steps = plan.steps_within(minutes);
    context.note(format_args!(
        "training.minutes {minutes}: {steps} updates of {:.3} s with their validations; the run's config.json \
         keeps this number",
        plan.seconds_per_update
    ));
    Ok(steps)
}

/// Trains, and tells how it goes.
fn go(context: &Context, config: &RunConfig, run: Run, out: &Path) -> anyhow::Result<Value> {
    let mut display = Display::new(context, config.training.batch_size);
    let summary = run.go(&mut |event: &Event| display.show(event), context.keep_work_on_stop())?;
    display.finish();
    let (updates, model) = (summary.step, model_of(out));
    if !summary.complete {
        return Err(stopped(format!(
            "stopped after {updates} updates; all of them are kept, go on with --resume"
        )));
    }
    context.say(format_args!("{}: {updates} updates done", model.display()));
    Ok(json!({ "run": out.to_string_lossy(), "model": model.to_string_lossy(), "summary": summary }))
}
