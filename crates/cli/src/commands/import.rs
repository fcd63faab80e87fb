//! `finescale import`: checkpoints of the reference implementation.

use crate::context::Context;
use crate::failure::bad_input;
use crate::files::Overwrite;
use anyhow::Context as _;
use candle_core::Device;
use clap::Args;
use finescale_denoiser::import_reference;
use finescale_field::{Centring, Cosmology, Grid, Normalizer, Scheme, looks_like};
use finescale_training::{FieldDescription, Lineage, Model, ModelDescription, Precision, RunConfig};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

/// Bytes by which a file may be known.
const START: u64 = 64;

#[derive(Args, Debug)]
pub(crate) struct Import {
    /// A network saved by the reference's code (*_Network.pth)
    checkpoint: PathBuf,
    /// Configuration with the same network and the reference's normalization, such as configs/tng300.json
    #[arg(long, value_name = "CONFIG")]
    config: PathBuf,
    /// Side of the box it was trained on, in Mpc/h
    #[arg(long, value_name = "MPC_H", default_value_t = 205.0)]
    box_size: f64,
    /// Cells per side of that box
    #[arg(long, default_value_t = 264)]
    cells: usize,
    /// The model to write (.safetensors)
    #[arg(short, long, value_name = "MODEL")]
    output: PathBuf,
    #[command(flatten)]
    overwrite: Overwrite,
}

impl Import {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        let config =
            RunConfig::load(&self.config).with_context(|| format!("reading {}", self.config.display()))?;
        self.overwrite.check(&self.output, [self.checkpoint.as_path(), &self.config])?;
        self.refuse_other_formats()?;
        let description = self.description(config)?;
        let network = &description.configuration.network;
        let parameters = import_reference(&self.checkpoint, network, &Device::Cpu).context("importing")?;
        let count = parameters.count();
        Model::new(description, parameters).save(&self.output, Precision::F32)?;
        context.say(format_args!("{}: {count} parameters", self.output.display()));
        Ok(json!({ "model": self.output.to_string_lossy(), "parameters": count }))
    }

    /// Files that others took for checkpoints: pointers, web pages, old formats.
    fn refuse_other_formats(&self) -> anyhow::Result<()> {
        let path = self.checkpoint.display();
        let mut start = Vec::new();
        File::open(&self.checkpoint)
            .and_then(|file| file.take(START).read_to_end(&mut start))
            .map_err(|error| bad_input(format!("{path}: {error}")))?;
        match looks_like(&start).filter(|_| !start.starts_with(b"PK")) {
            None => Ok(()),
            Some(what) => Err(bad_input(format!(
                "{path}: {what}; a checkpoint in PyTorch's zip format is needed, as `torch.save` of PyTorch 1.6 or newer writes it"
            ))),
        }
    }

    /// What the reference's papers and code say of its model; the checkpoint itself says nothing.
    fn description(&self, config: RunConfig) -> anyhow::Result<ModelDescription> {
        let Some(normalizers) = config.data.normalization().known() else {
            let path = self.config.display();
            return Err(bad_input(format!(
                "{path}: data.normalization must be \"reference\": nothing can be fitted to a checkpoint"
            )));
        };
        let grid = Grid::cube(self.cells, self.box_size)?;
        let field = |quantity: &str, normalizer: Normalizer| FieldDescription {
            quantity: quantity.to_owned(),
            redshift: 0.0,
            assignment: Some(Scheme::Cic),
            is_spread: false,
            redshift_space: None,
            centring: Centring::Cell,
            mean_per_voxel: Some(normalizer.mean_count),
            weight: None,
            normalizer,
        };
        Ok(ModelDescription {
            condition: field("dm", normalizers.condition),
            truth: vec![field("gas", normalizers.truth[0])],
            voxel_mpc_h: grid.voxel_mpc_h(),
            training_box_mpc_h: grid.box_size_mpc_h(),
            cosmology: Cosmology {
                omega_m: Some(0.3089),
                omega_b: Some(0.0486),
                hubble: Some(0.6774),
                ..Cosmology::UNKNOWN
            },
            scalar_ranges: Vec::new(),
            condition_windows: None,
            lineage: Lineage::default(),
            step: 0,
            seed: config.training.seed,
            commit: finescale_training::COMMIT.to_owned(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            configuration: config,
        })
    }
}
