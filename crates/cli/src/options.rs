//! Options that every command has.

use crate::failure::bad_input;
use clap::Args;
use finescale_denoiser::Processor;
#[cfg(feature = "cuda")]
use finescale_layers3d::cuda::{Card, Precision};
use std::fmt;
use std::str::FromStr;

/// Options that every command has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Options {
    /// Threads to use [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    /// Where networks run: cpu, or cuda:N, the N-th NVIDIA card, from 0 (cuda is the first)
    #[arg(long, global = true, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: DeviceName,
    /// How cards compute: f32 as the CPU does; tf32, faster, with factors of 10 bits; bf16, faster still and in half the memory, with
    /// volumes and factors of 7 bits; sums are f32
    #[arg(long, global = true, value_enum, value_name = "PRECISION", default_value_t = Products::F32)]
    pub(crate) precision: Products,
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

/// How products are computed, and volumes kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Products {
    F32,
    Tf32,
    Bf16,
}

impl Options {
    /// What computes networks.
    pub(crate) fn processor(&self) -> anyhow::Result<Processor> {
        if self.device == DeviceName::Cpu && self.precision != Products::F32 {
            return Err(bad_input(format!(
                "--precision {}: for cards; the CPU computes in f32",
                self.precision
            )));
        }
        self.device.open(self.precision)
    }

    /// The device's name, and what makes its results others.
    pub(crate) fn device_name(&self) -> String {
        match self.precision {
            Products::F32 => self.device.to_string(),
            rounded => format!("{} in {rounded}", self.device),
        }
    }
}

impl fmt::Display for Products {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        })
    }
}

impl Products {
    /// Bytes of a value of a volume.
    pub(crate) fn value_bytes(self) -> usize {
        match self {
            Self::F32 | Self::Tf32 => size_of::<f32>(),
            Self::Bf16 => size_of::<u16>(),
        }
    }
}

/// A device by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceName {
    Cpu,
    Cuda(usize),
}

impl DeviceName {
    /// What computes networks there.
    #[cfg(feature = "cuda")]
    fn open(self, precision: Products) -> anyhow::Result<Processor> {
        let Self::Cuda(ordinal) = self else { return Ok(Processor::Cpu) };
        let precision = match precision {
            Products::F32 => Precision::F32,
            Products::Tf32 => Precision::Tf32,
            Products::Bf16 => Precision::Bf16,
        };
        let card = Card::open(ordinal, precision);
        card.map(Processor::Card).map_err(|error| anyhow::anyhow!("--device {self}: {error}"))
    }

    /// What computes networks there.
    #[cfg(not(feature = "cuda"))]
    fn open(self, _: Products) -> anyhow::Result<Processor> {
        match self {
            Self::Cpu => Ok(Processor::Cpu),
            Self::Cuda(_) => Err(anyhow::anyhow!(
                "--device {self}: this program was built without CUDA; build it with --features cuda"
            )),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read() {
        assert_eq!("cuda:3".parse(), Ok(DeviceName::Cuda(3)));
        assert_eq!("cpu".parse(), Ok(DeviceName::Cpu));
        assert!("cuda:x".parse::<DeviceName>().is_err());
    }
}
