//! The command line.

use crate::commands;
use candle_core::Device;
use clap::{Args, Parser, Subcommand};
use finescale_field::{FieldError, ScalarName, Scheme};
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{} ({})", env!("CARGO_PKG_VERSION"), finescale_training::COMMIT));

/// Paints the fine scales into cosmological volumes with a conditional 3-D diffusion model
#[derive(Debug, Parser)]
#[command(name = "finescale", version = VERSION.as_str())]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Options {
    /// Threads to use [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    /// Where networks run: cpu or cuda:N
    #[arg(long, global = true, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: DeviceName,
    /// Only errors and warnings; with --json, the result as well
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// What to log: error, warn, info, debug, or a filter such as finescale_outpaint=debug
    #[arg(long, global = true, value_name = "FILTER", default_value = "warn")]
    pub(crate) log: String,
    /// Print the result as one JSON object, on the last line of stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Read what HDF5 files point to in other files and folders, too: only for files that you trust
    #[arg(long, global = true)]
    pub(crate) follow_links: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Grid, upscale and compare the data of data/demo with the shipped model
    Demo(commands::demo::Demo),
    /// Put the particles of a snapshot on a grid
    Grid(commands::grid::GridCommand),
    /// Train a model
    Train(commands::train::Train),
    /// Draw the high-resolution field of a low-resolution one
    Upscale(commands::upscale::Upscale),
    /// Judge samples against the truth: spectra, plots, report
    Compare(commands::compare::Compare),
    /// Measure the power spectrum of a grid, a numpy cube, or the particles of a snapshot
    Spectrum(commands::spectrum::SpectrumCommand),
    /// Turn a checkpoint of the reference implementation into a model
    Import(commands::import::Import),
    /// Make a small universe: snapshots and grids to try everything on
    Mock(commands::mock::Mock),
    /// Measure seconds per network evaluation on this machine
    Bench(commands::bench::Bench),
    /// Say what this machine offers, and run a self-test of the network's layers on the device
    Doctor(commands::doctor::Doctor),
    /// Say what a snapshot, grid, model or run folder holds
    Info(commands::info::Info),
}

/// A device by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceName {
    Cpu,
    Cuda(usize),
}

impl DeviceName {
    /// The device itself.
    pub(crate) fn open(self) -> anyhow::Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(_) if !cfg!(feature = "cuda") => Err(anyhow::anyhow!(
                "{self}: this program was built without CUDA; build it with --features cuda"
            )),
            Self::Cuda(ordinal) => Device::new_cuda(ordinal)
                .map_err(|error| anyhow::anyhow!("{self}: {error}; `finescale doctor` tells what there is")),
        }
    }
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.split_once(':') {
            None if name == "cpu" => Ok(Self::Cpu),
            None if name == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", ordinal)) if ordinal.parse::<usize>().is_ok() => {
                Ok(Self::Cuda(ordinal.parse().expect("just parsed")))
            }
            _ => Err("use cpu or cuda:N".to_owned()),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => out.write_str("cpu"),
            Self::Cuda(ordinal) => write!(out, "cuda:{ordinal}"),
        }
    }
}

/// How particles were assigned to the voxels of a field, if they were: a scheme, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Assignment(pub(crate) Option<Scheme>);

impl FromStr for Assignment {
    type Err = FieldError;

    fn from_str(name: &str) -> Result<Self, FieldError> {
        if name == "none" { Ok(Self(None)) } else { name.parse().map(|scheme| Self(Some(scheme))) }
    }
}

/// Three numbers separated by commas, or one for all axes.
pub(crate) fn three<T: FromStr + Copy>(text: &str) -> Result<[T; 3], String> {
    let numbers: Option<Vec<T>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[all]) => Ok([all; 3]),
        Some(&[x, y, z]) => Ok([x, y, z]),
        _ => Err("one number, or three separated by commas, are needed".to_owned()),
    }
}

/// A number that holds for a whole box, as NAME=VALUE.
pub(crate) fn scalar(text: &str) -> Result<(ScalarName, f64), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is needed")?;
    let name = serde_json::from_value(name.trim().into()).map_err(|error| error.to_string())?;
    match value.trim().parse::<f64>() {
        Ok(value) if value.is_finite() => Ok((name, value)),
        _ => Err(format!("`{value}` is no number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn devices_and_triples_are_read() {
        assert_eq!("cuda:3".parse(), Ok(DeviceName::Cuda(3)));
        assert_eq!("cpu".parse(), Ok(DeviceName::Cpu));
        assert!("cuda:x".parse::<DeviceName>().is_err());
        assert_eq!(three::<f64>("2.5"), Ok([2.5; 3]));
        assert_eq!(three::<i64>("1, -2,3"), Ok([1, -2, 3]));
        assert!(three::<usize>("1,2").is_err());
    }

    #[test]
    fn assignments_are_schemes_or_none() {
        assert_eq!("none".parse::<Assignment>().unwrap(), Assignment(None));
        assert_eq!("tsc".parse::<Assignment>().unwrap(), Assignment(Some(Scheme::Tsc)));
        assert!("spline".parse::<Assignment>().is_err());
    }

    #[test]
    fn scalars_are_read() {
        assert_eq!(scalar("sigma_8=0.8"), Ok((ScalarName::Sigma8, 0.8)));
        assert_eq!(scalar("redshift = 2"), Ok((ScalarName::Redshift, 2.0)));
        assert!(scalar("hubble=0.7").unwrap_err().contains("omega_m"));
        assert!(
            scalar("omega_m=many").is_err() && scalar("omega_m").is_err() && scalar("omega_m=inf").is_err()
        );
    }
}
