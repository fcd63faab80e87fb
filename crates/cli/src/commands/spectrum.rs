//! `finescale spectrum`: power spectra of grids.

use crate::arguments::three;
use crate::context::Context;
use crate::files::{check_output, write_text};
use crate::{fields, provenance};
use anyhow::Context as _;
use clap::Args;
use finescale_spectra::{Modes, Spectrum, correlation_of};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct SpectrumCommand {
    /// The grid to measure; its mass assignment window is divided out
    grid: PathBuf,
    /// A second grid: also measure the cross spectrum and the correlation
    #[arg(long, value_name = "GRID")]
    cross: Option<PathBuf>,
    /// Side of a .npy cube in Mpc/h, one or three numbers
    #[arg(long, value_name = "MPC_H", value_parser = three::<f64>)]
    box_size: Option<[f64; 3]>,
    /// Where to write it: .json or .csv
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Everything measured, bin by bin.
struct Measured {
    power: Spectrum,
    /// Second grid's power, cross power and correlation.
    cross: Option<(Spectrum, Spectrum, Vec<f64>)>,
}

impl SpectrumCommand {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        if let Some(output) = &self.output {
            let inputs = [Some(&self.grid), self.cross.as_ref()].into_iter().flatten();
            check_output(output, inputs.map(PathBuf::as_path))?;
        }
        let measured = self.measure()?;
        let json = measured.json();
        match &self.output {
            Some(path) if is_csv(path) => write_text(path, &measured.table(","))?,
            Some(path) => write_text(path, &format!("{json:#}\n"))?,
            None => context.say(measured.table("  ").trim_end()),
        }
        Ok(json)
    }

    fn measure(&self) -> anyhow::Result<Measured> {
        let modes = |path: &Path| -> anyhow::Result<Modes> {
            let grid = fields::load(path, self.box_size)?;
            Modes::new(&grid.field, grid.meta.assignment)
                .with_context(|| format!("measuring {}", path.display()))
        };
        let first = modes(&self.grid)?;
        let power = first.power();
        let Some(other) = &self.cross else { return Ok(Measured { power, cross: None }) };
        let second = modes(other)?;
        let cross = first.cross(&second).with_context(|| format!("crossing with {}", other.display()))?;
        let correlation = correlation_of(&cross, &power, &second.power());
        Ok(Measured { power, cross: Some((second.power(), cross, correlation)) })
    }
}

impl Measured {
    fn json(&self) -> Value {
        let Spectrum { k_h_mpc, power, modes } = &self.power;
        let mut json = json!({ "k_h_mpc": k_h_mpc, "modes": modes, "power": power });
        if let Some((other, cross, correlation)) = &self.cross {
            json["other_power"] = json!(other.power);
            json["cross_power"] = json!(cross.power);
            json["cross_correlation"] = json!(correlation);
        }
        json["provenance"] = provenance::provenance(json!({}));
        json
    }

    fn table(&self, separator: &str) -> String {
        let mut names = vec!["k_h_mpc", "modes", "power_mpc_h3"];
        if self.cross.is_some() {
            names.extend(["other_power_mpc_h3", "cross_power_mpc_h3", "cross_correlation"]);
        }
        let mut table = names.join(separator) + "\n";
        for bin in 0..self.power.len() {
            let (k, modes) = (self.power.k_h_mpc[bin], self.power.modes[bin]);
            let mut row =
                vec![format!("{k:.6}"), modes.to_string(), format!("{:.6e}", self.power.power[bin])];
            if let Some((other, cross, correlation)) = &self.cross {
                row.push(format!("{:.6e}", other.power[bin]));
                row.push(format!("{:.6e}", cross.power[bin]));
                row.push(format!("{:.6}", correlation[bin]));
            }
            writeln!(table, "{}", row.join(separator)).expect("a String takes everything");
        }
        table
    }
}

fn is_csv(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "csv")
}
