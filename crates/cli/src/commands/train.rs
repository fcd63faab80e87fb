//! `finescale train`: from pairs to a model.

use crate::context::Context;
use crate::measurement::{Bench, Work, bytes, median, peak_memory_bytes};
use crate::progress::{Progress, duration};
use anyhow::Context as _;
use clap::Args;
use finescale_training::{Event, Model, RunConfig, Start, train};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct Train {
    /// The configuration (JSON)
    config: PathBuf,
    /// Folder of the run [default: runs/ and the configuration's name]
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Go on with the run in this folder, with the same bits as if it had never stopped
    #[arg(long)]
    resume: bool,
    /// Begin with the weights and normalizers of a model
    #[arg(long, value_name = "MODEL", conflicts_with = "resume")]
    from: Option<PathBuf>,
    /// Print the resolved configuration and the plan, and stop
    #[arg(long)]
    dry_run: bool,
}

impl Train {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        let config = RunConfig::load(&self.config).context("reading a configuration")?;
        config.data.check().context("in the configuration's data")?;
        let out = self.out.clone().unwrap_or_else(|| default_folder(&self.config));
        if self.dry_run {
            return plan(context, &config, &out);
        }
        let device = context.device()?;
        let from = self.from.as_deref().map(|path| Model::load(path, &device).context("reading a model"));
        let from = from.transpose()?;
        let start = match &from {
            Some(model) => Start::From(model),
            None if self.resume => Start::Resume,
            None => Start::Fresh,
        };
        let mut display = Display { context, progress: None, last_loss: 0.0 };
        let summary = train(&config, &out, start, &device, &mut |event| display.show(event), context.stop())?;
        if let Some(progress) = display.progress.take() {
            progress.finish();
        }
        let model = out.join("model.safetensors");
        let updates = summary.step;
        anyhow::ensure!(
            summary.complete,
            "stopped after {updates} updates; all of them are kept, go on with --resume"
        );
        context.say(format_args!("{}: {updates} updates done", model.display()))?;
        Ok(json!({ "run": out, "model": model, "summary": summary }))
    }
}

fn default_folder(config: &Path) -> PathBuf {
    Path::new("runs").join(config.file_stem().unwrap_or_default())
}

/// Events on a terminal.
struct Display<'a> {
    context: &'a Context,
    progress: Option<Progress>,
    last_loss: f64,
}

impl Display<'_> {
    fn show(&mut self, event: &Event) {
        if let Event::Started { step, steps, parameters } = event {
            let progress = self.context.progress("train", "updates", *steps, *step);
            progress.note(&format!("{parameters} parameters, {steps} updates, {step} of them done"));
            self.progress = Some(progress);
        }
        let Some(progress) = &mut self.progress else { return };
        match event {
            Event::Step(metrics) => {
                self.last_loss = metrics.loss;
                progress.remark(&format!("loss {:.4}", metrics.loss));
                progress.set(metrics.step);
            }
            Event::Validation(metrics) => progress.note(&format!(
                "update {}: training loss {:.4}, validation loss {:.5}",
                metrics.step, self.last_loss, metrics.validation_loss
            )),
            _ => {}
        }
    }
}

/// The resolved configuration, and what the run will take on this machine.
fn plan(context: &Context, config: &RunConfig, out: &Path) -> anyhow::Result<Value> {
    let cells = config.training.patch_cells;
    let parameters = config.network.parameter_count()?;
    let bench = Bench::new(&config.network, cells, 1, &context.device()?)?;
    let seconds = median(bench.seconds(Work::Train, 1)?);
    let patches = config.training.steps * config.training.batch_size as u64;
    let total = seconds * patches as f64;
    let memory = peak_memory_bytes();
    context.say(config.resolved())?;
    context.say(format_args!(
        "{parameters} parameters; {patches} patches of {cells}^3 cells, {seconds:.3} s each here: {}",
        duration(total)
    ))?;
    let text = memory.map_or("unknown".to_owned(), bytes);
    context.say(format_args!("{text} of memory for a patch at a time; the run goes to {}", out.display()))?;
    Ok(json!({
        "config": config,
        "run": out,
        "parameters": parameters,
        "seconds_per_patch": seconds,
        "expected_seconds": total,
        "memory_bytes": memory,
    }))
}
