//! `finescale train`: from pairs to a model.

mod plan;

use crate::context::Context;
use crate::failure::bad_input;
use crate::progress::Progress;
use anyhow::Context as _;
use clap::Args;
use finescale_training::{Event, Model, RunConfig, Start, is_resumable, train};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct Train {
    /// The configuration (JSON)
    config: PathBuf,
    /// Folder of the run [default: runs/ and the configuration's name]
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Go on with the run in this folder, with the same bits as if it had never stopped, or begin if there is none
    #[arg(long)]
    resume: bool,
    /// As --resume, even where another version, device or instruction set computed it so far: with other bits
    #[arg(long)]
    resume_anyway: bool,
    /// Begin with the weights and normalizers of a model
    #[arg(long, value_name = "MODEL")]
    from: Option<PathBuf>,
    /// Print the resolved configuration and the plan, from updates on random patches, and stop
    #[arg(long)]
    dry_run: bool,
}

impl Train {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        let config =
            RunConfig::load(&self.config).with_context(|| format!("reading {}", self.config.display()))?;
        config.data.check().context("in the configuration's data")?;
        let out = self.out.clone().unwrap_or_else(|| default_folder(&self.config));
        if self.dry_run {
            return dry_run(context, &config, &out);
        }
        let device = context.device()?;
        let wants = self.resume || self.resume_anyway;
        let resumes = wants && is_resumable(&out);
        let model = out.join("model.safetensors");
        if wants && !resumes && model.try_exists().unwrap_or(true) {
            return Err(bad_input(format!(
                "{}: its state.safetensors is not there, so this run cannot be resumed; begin another one with its weights: \
                 --from {} --out NEW",
                out.display(),
                model.display()
            )));
        }
        if let Some(from) = self.from.as_deref().filter(|_| resumes) {
            let (from, out) = (from.display(), out.display());
            context.warn(format_args!(
                "--from {from}: not read, the run in {out} goes on with weights of its own"
            ));
        }
        let from = self.from.as_deref().filter(|_| !resumes);
        let from = from.map(|path| Model::load(path, &device).context("reading a model")).transpose()?;
        let start = match &from {
            _ if resumes && self.resume_anyway => Start::ResumeAnyway,
            _ if resumes => Start::Resume,
            Some(model) => Start::From(model),
            None => Start::Fresh,
        };
        let mut display = Display::new(context, config.training.batch_size);
        let (program, stop) = (context.program(), context.keep_work_on_stop());
        let mut observer = |event: &Event| display.show(event);
        let summary = train(&config, &out, start, &device, &program, &mut observer, stop)?;
        if let Some(progress) = display.progress.take() {
            progress.finish();
        }
        let updates = summary.step;
        anyhow::ensure!(
            summary.complete,
            "stopped after {updates} updates; all of them are kept, go on with --resume"
        );
        context.say(format_args!("{}: {updates} updates done", model.display()));
        Ok(json!({ "run": out.to_string_lossy(), "model": model.to_string_lossy(), "summary": summary }))
    }
}

fn default_folder(config: &Path) -> PathBuf {
    Path::new("runs").join(config.file_stem().unwrap_or_default())
}

/// Events on a terminal.
struct Display<'a> {
    context: &'a Context,
    progress: Option<Progress>,
    batch_size: usize,
    /// Seconds of all updates so far, without what lies between them.
    update_seconds: f64,
    updates: u64,
    last_loss: f64,
    validation_loss: Option<f64>,
    spectrum_error: Option<f64>,
}

impl<'a> Display<'a> {
    fn new(context: &'a Context, batch_size: usize) -> Self {
        Self {
            context,
            progress: None,
            batch_size,
            update_seconds: 0.0,
            updates: 0,
            last_loss: 0.0,
            validation_loss: None,
            spectrum_error: None,
        }
    }

    fn show(&mut self, event: &Event) {
        if let Event::Started { step, steps, parameters } = event {
            let progress = self.context.progress("train", "updates", *steps, *step);
            progress.note(&format!("{parameters} parameters, {steps} updates, {step} of them done"));
            self.progress = Some(progress);
        }
        self.remember(event);
        let remark = self.remark();
        let Some(progress) = &mut self.progress else { return };
        match event {
            Event::Step(metrics) => {
                progress.remark(remark);
                progress.set(metrics.step);
            }
            Event::Validation(metrics) => progress.note(&format!(
                "update {}: training loss {:.4}, validation loss {:.5}",
                metrics.step, self.last_loss, metrics.validation_loss
            )),
            Event::Spectrum(metrics) => progress.note(&format!(
                "update {}: P(k) of a sample over the truth's {}, mean |ln| {:.3}",
                metrics.step,
                ratios(&metrics.power_ratio),
                metrics.spectrum_error
            )),
            _ => {}
        }
    }

    fn remember(&mut self, event: &Event) {
        match event {
            Event::Step(metrics) => {
                self.last_loss = metrics.loss;
                self.update_seconds += self.batch_size as f64 / metrics.samples_per_second;
                self.updates += 1;
            }
            Event::Validation(metrics) => self.validation_loss = Some(metrics.validation_loss),
            Event::Spectrum(metrics) => self.spectrum_error = Some(metrics.spectrum_error),
            _ => {}
        }
    }

    /// The latest numbers, for the line that tells updates and time left.
    fn remark(&self) -> String {
        let samples = self.updates as f64 * self.batch_size as f64;
        let mut text = format!("loss {:.4}, {:.2} samples/s", self.last_loss, samples / self.update_seconds);
        if let Some(loss) = self.validation_loss {
            text += &format!(", validation {loss:.4}");
        }
        if let Some(error) = self.spectrum_error {
            text += &format!(", P(k) off by {error:.3}");
        }
        text
    }
}

fn ratios(ratios: &[f64]) -> String {
    ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(" ")
}

/// The resolved configuration, and what the run will take on this machine.
fn dry_run(context: &Context, config: &RunConfig, out: &Path) -> anyhow::Result<Value> {
    context.say(config.resolved());
    let plan = plan::Plan::new(config, &context.device()?)?;
    for line in plan.lines() {
        context.say(line);
    }
    context.say(format_args!("the run goes to {}", out.display()));
    let mut result = plan.to_json();
    (result["config"], result["run"]) = (json!(config), json!(out.to_string_lossy()));
    Ok(result)
}
