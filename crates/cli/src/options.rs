//! Options that every command has.

use crate::failure::bad_input;
use crate::parse::walltime;
use clap::Args;
#[cfg(feature = "cuda")]
use finescale_denoiser::Cards;
use finescale_denoiser::Processor;
#[cfg(feature = "cuda")]
use finescale_layers3d::cuda::{Card, Precision};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Options that every command has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Options {
    /// Threads to use [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    /// Where networks run: cpu, cuda:N, the N-th NVIDIA card from 0 on (cuda is the first), or several, cuda:0,1,2
    #[arg(long, global = true, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: DeviceName,
    /// How cards compute: f32 as the CPU does; tf32, faster, with factors of 10 bits; bf16, faster still and in half the memory, with
    /// volumes and factors of 7 bits; sums are f32
    #[arg(long, global = true, value_enum, value_name = "PRECISION", default_value_t = Products::F32)]
    pub(crate) precision: Products,
    /// Time that this may take, as batch systems count it (MINUTES, H:MM:SS, D-H), or `slurm`, what is left of the job: grid,
    /// upscale and train stop in time then, keep what is done and end with exit code 0, as after SIGUSR1
    #[arg(long, global = true, value_name = "TIME", value_parser = walltime)]
    pub(crate) walltime: Option<Duration>,
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
        self.in_precision(&self.device.to_string())
    }

    /// How many cards there are to compute.
    pub(crate) fn cards(&self) -> usize {
        match &self.device {
            DeviceName::Cpu => 0,
            DeviceName::Cuda(ordinals) => ordinals.len(),
        }
    }

    /// The same without which cards, and how many, they are: results do not depend on that.
    pub(crate) fn kind_of_device(&self) -> String {
        match self.device {
            DeviceName::Cpu => "cpu".to_owned(),
            DeviceName::Cuda(_) => self.in_precision("cuda"),
        }
    }

    fn in_precision(&self, device: &str) -> String {
        match self.precision {
            Products::F32 => device.to_owned(),
            rounded => format!("{device} in {rounded}"),
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeviceName {
    Cpu,
    /// Some cards.
    Cuda(Vec<usize>),
}

impl DeviceName {
    /// What computes networks there.
    #[cfg(feature = "cuda")]
    fn open(&self, precision: Products) -> anyhow::Result<Processor> {
        let Self::Cuda(ordinals) = self else { return Ok(Processor::Cpu) };
        let precision = match precision {
            Products::F32 => Precision::F32,
            Products::Tf32 => Precision::Tf32,
            Products::Bf16 => Precision::Bf16,
        };
        let failed = |error| anyhow::anyhow!("--device {self}: {error}");
        let open = |&ordinal: &usize| Card::open(ordinal, precision).map_err(failed);
        let cards = ordinals.iter().map(open).collect::<anyhow::Result<Vec<_>>>()?;
        let kinds = cards.iter().map(Card::properties).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        if let Some(other) = kinds.iter().find(|card| card.name != kinds[0].name) {
            return Err(bad_input(format!(
                "--device {self}: cards must be of one kind to have the same results, and these are {} and {}",
                kinds[0].name, other.name
            )));
        }
        Ok(Cards::new(cards).map_or(Processor::Cpu, Processor::Cards))
    }

    /// What computes networks there.
    #[cfg(not(feature = "cuda"))]
    fn open(&self, _: Products) -> anyhow::Result<Processor> {
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
            None if name == "cuda" => Ok(Self::Cuda(vec![0])),
            Some(("cuda", ordinals)) => {
                let ordinals = ordinals
                    .split(',')
                    .map(|ordinal| ordinal.parse().map_err(|_| "use cuda:N or cuda:0,1,2"));
                let ordinals = ordinals.collect::<Result<Vec<usize>, _>>()?;
                let is_twice = |(index, card): (usize, &usize)| ordinals[..index].contains(card);
                match ordinals.iter().enumerate().any(is_twice) {
                    true => Err("name each card once".to_owned()),
                    false => Ok(Self::Cuda(ordinals)),
                }
            }
            _ => Err("use cpu, cuda:N or cuda:0,1,2".to_owned()),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => out.write_str("cpu"),
            Self::Cuda(ordinals) => {
                let ordinals: Vec<String> = ordinals.iter().map(usize::to_string).collect();
                write!(out, "cuda:{}", ordinals.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read() {
        assert_eq!("cuda:3".parse(), Ok(DeviceName::Cuda(vec![3])));
        assert_eq!("cuda:0,2".parse::<DeviceName>().unwrap().to_string(), "cuda:0,2");
        assert_eq!("cuda:1,1".parse::<DeviceName>(), Err("name each card once".to_owned()));
        assert!("cuda:1,".parse::<DeviceName>().is_err());
        assert_eq!("cpu".parse(), Ok(DeviceName::Cpu));
        assert!("cuda:x".parse::<DeviceName>().is_err());
    }
}
