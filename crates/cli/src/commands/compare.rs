//! `finescale compare`: samples against the truth.

use crate::arguments::three;
use crate::context::Context;
use crate::failure::bad_input;
use crate::fields;
use crate::provenance::provenance;
use anyhow::Context as _;
use clap::Args;
use finescale_report::{Comparison, Labelled, Verdict};
use finescale_snapshot::GridFile;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct Compare {
    /// The true high-resolution field
    #[arg(long, value_name = "GRID")]
    truth: PathBuf,
    /// A sample; give the option once for each
    #[arg(long = "sample", value_name = "GRID", required = true, num_args = 1..)]
    samples: Vec<PathBuf>,
    /// The low-resolution field that the samples were drawn from
    #[arg(long, value_name = "GRID")]
    condition: Option<PathBuf>,
    /// Side of .npy cubes in Mpc/h, one or three numbers
    #[arg(long, value_name = "MPC_H", value_parser = three::<f64>)]
    box_size: Option<[f64; 3]>,
    /// Folder for report.html, report.json and the figures
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

impl Compare {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        let truth = fields::load(&self.truth, self.box_size)?;
        let load = |path: &PathBuf| -> anyhow::Result<GridFile> {
            let grid = fields::load(path, self.box_size)?;
            same_grid(path, &grid, &self.truth, &truth)?;
            Ok(grid)
        };
        let condition = self.condition.as_ref().map(load).transpose()?;
        let samples = self.samples.iter().map(load).collect::<anyhow::Result<Vec<_>>>()?;
        let labelled: Vec<Labelled> = samples
            .iter()
            .enumerate()
            .map(|(number, sample)| Labelled::new(format!("sample {}", number + 1), &sample.field))
            .collect();
        let comparison = Comparison::new(
            &Labelled::new("truth", &truth.field),
            condition.as_ref().map(|condition| Labelled::new("condition", &condition.field)).as_ref(),
            &labelled,
        )
        .context("comparing")?
        .with_provenance(provenance(json!({
            "truth": self.truth,
            "condition": self.condition,
            "samples": self.samples,
            "sample_provenance": samples.iter().map(|sample| &sample.meta.provenance).collect::<Vec<_>>(),
        })));
        let paths = comparison.write(&self.output).context("writing the report")?;
        tell(context, comparison.verdict())?;
        context.say(format_args!("report: {}", paths.html.display()))?;
        Ok(json!({ "report": paths.html, "report_json": paths.json, "verdict": comparison.verdict() }))
    }
}

/// The verdict in lines for a person.
pub(crate) fn tell(context: &Context, verdict: &Verdict) -> anyhow::Result<()> {
    let beside =
        |number: Option<f64>| number.map_or(String::new(), |number| format!(" (condition: {number:.3})"));
    let [low, high] = verdict.quoted_band_h_mpc;
    context.say(format_args!(
        "mean |ln P/P_truth| over the bands: {:.3}{}",
        verdict.mean_abs_ln_ratio,
        beside(verdict.condition_mean_abs_ln_ratio)
    ))?;
    context.say(format_args!(
        "r with the truth at k = {low:.2} to {high:.2} h/Mpc: {:.3}{}",
        verdict.cross_correlation,
        beside(verdict.condition_cross_correlation)
    ))?;
    context.say(format_args!(
        "99.9th percentile over the truth's: {:.3}{}; mass: {:.4}",
        verdict.percentile_99_9_ratio,
        beside(verdict.condition_percentile_99_9_ratio),
        verdict.mass_ratio
    ))
}

fn same_grid(path: &Path, grid: &GridFile, truth_path: &Path, truth: &GridFile) -> anyhow::Result<()> {
    let (found, expected) = (grid.field.grid(), truth.field.grid());
    if found == expected {
        return Ok(());
    }
    Err(bad_input(format!(
        "{}: {:?} cells over {:?} Mpc/h, but {} has {:?} cells over {:?} Mpc/h; only fields of one box on one grid \
         can be compared",
        path.display(),
        found.cells(),
        found.box_size_mpc_h(),
        truth_path.display(),
        expected.cells(),
        expected.box_size_mpc_h(),
    )))
}
