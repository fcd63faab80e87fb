//! What a training run will take on this machine.

use crate::measurement::{bytes, peak_memory_bytes};
use crate::progress::duration;
use anyhow::Context as _;
use candle_core::Device;
use finescale_outpaint::{Boundary, Plan as Generation};
use finescale_snapshot::GridReader;
use finescale_training::{Rehearsal, RunConfig};
use serde_json::{Value, json};

/// A first update that takes longer needs no second one: warming up is a small part of it.
const WARM_SECONDS: f64 = 10.0;
/// An f32.
const BYTES: u64 = 4;

/// What a run will take.
pub(super) struct Plan {
    parameters: usize,
    updates: u64,
    seconds_per_update: f64,
    seconds_per_evaluation: f64,
    /// Updates, validations and samples.
    expected_seconds: f64,
    /// The network, its optimizer and an update, at the peak.
    network_bytes: Option<u64>,
    data_bytes: u64,
}

impl Plan {
    /// Rehearses `config` with random patches, and looks at the sizes of its data. A run without enough memory
    /// fails here already.
    pub(super) fn new(config: &RunConfig, device: &Device) -> anyhow::Result<Self> {
        let training = &config.training;
        let part = training.batch_size / training.accumulate;
        // From the second part on, they take the same.
        let parts = training.accumulate.min(2);
        let data_bytes = data_bytes(config)?;
        let mut rehearsal = Rehearsal::new(config, device)?;
        let first = rehearsal.update(parts, part)?;
        let seconds = if first > WARM_SECONDS { first } else { rehearsal.update(parts, part)? };
        let network_bytes = peak_memory_bytes();
        rehearsal.evaluation()?;
        let seconds_per_evaluation = rehearsal.evaluation()?;

        let seconds_per_update = seconds * training.accumulate as f64 / parts as f64;
        let evaluations = evaluations(config)? as f64;
        Ok(Self {
            parameters: config.network.parameter_count()?,
            updates: training.steps,
            seconds_per_update,
            seconds_per_evaluation,
            expected_seconds: training.steps as f64 * seconds_per_update
                + evaluations * seconds_per_evaluation,
            network_bytes,
            data_bytes,
        })
    }

    fn memory_bytes(&self) -> Option<u64> {
        self.network_bytes.map(|network| network + self.data_bytes)
    }

    /// The plan for a person.
    pub(super) fn lines(&self) -> [String; 3] {
        let Self { parameters, updates, seconds_per_update, .. } = self;
        let memory = |count: Option<u64>| count.map_or("unknown".to_owned(), bytes);
        [
            format!("{parameters} parameters, {updates} updates of {seconds_per_update:.3} s each here"),
            format!(
                "expected time with validation: {}, an evaluation takes {:.3} s",
                duration(self.expected_seconds),
                self.seconds_per_evaluation
            ),
            format!(
                "memory: {}, of which network and optimizer {}, data {}",
                memory(self.memory_bytes()),
                memory(self.network_bytes),
                bytes(self.data_bytes)
            ),
        ]
    }

    /// The plan for a script.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "parameters": self.parameters,
            "updates": self.updates,
            "seconds_per_update": self.seconds_per_update,
            "seconds_per_evaluation": self.seconds_per_evaluation,
            "expected_seconds": self.expected_seconds,
            "memory_bytes": self.memory_bytes(),
            "network_memory_bytes": self.network_bytes,
            "data_memory_bytes": self.data_bytes,
        })
    }
}

/// Bytes of the pairs, of the validation patches, and of the batch in use and the next.
fn data_bytes(config: &RunConfig) -> anyhow::Result<u64> {
    let (channels, fields) = (config.network.condition_channels as u64, config.network.fields as u64);
    let mut voxels = 0;
    for pair in config.data.training.iter().chain(&config.data.validation) {
        let reader = GridReader::open(&pair.condition()).context("in the configuration's data")?;
        voxels += (channels + fields) * reader.grid().voxels() as u64; // condition and truth
    }
    let training = &config.training;
    let patches = validation_patches(config) + 2 * training.batch_size;
    // Condition, truth, noise, mask and weight.
    voxels += (channels + 2 * fields + 2) * (patches * training.patch_cells.pow(3)) as u64;
    Ok(BYTES * voxels)
}

/// Patches of a validation, which are whole batches; none if there is nothing to validate on.
fn validation_patches(config: &RunConfig) -> usize {
    let has_validation = !config.data.validation.is_empty() || config.data.hold_out.is_some();
    let training = &config.training;
    if has_validation { training.validation_patches.next_multiple_of(training.batch_size) } else { 0 }
}

/// Evaluations of a patch without gradients: those of validations and, if the region is as large as asked for, of
/// samples.
fn evaluations(config: &RunConfig) -> anyhow::Result<u64> {
    let training = &config.training;
    let times = |every: u64| training.steps.div_ceil(every);
    let validation = times(training.validate_every_steps) * validation_patches(config) as u64;
    let Some(spectrum) = training.spectrum else { return Ok(validation) };
    let cells = [spectrum.cells; 3];
    let plan = Generation::new(&config.generation, cells, training.patch_cells, Boundary::Open, 1)?;
    let sample = plan.evaluations as u64;
    Ok(validation + times(spectrum.every_steps) * spectrum.samples as u64 * sample)
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_outpaint::Strategy;
    use std::path::Path;

    fn demo() -> RunConfig {
        RunConfig::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/demo.json")).unwrap()
    }

    #[test]
    fn evaluations_by_hand() {
        let mut config = demo();
        // Validations after 500, 1000, ... 20,000 and, then, 20,100 updates, of 32 patches each.
        assert_eq!(evaluations(&config).unwrap(), 40 * 32);
        config.training.steps = 20_100;
        assert_eq!(evaluations(&config).unwrap(), 41 * 32);
        // Regions of 64 cells take three windows of 32 that overlap by 6 along each axis, in 14 steps.
        config.generation.strategy = Strategy::Raster;
        config.generation.overlap_cells = 6;
        config.generation.sampling = config.generation.sampling.with_levels(Some(14), None).unwrap();
        config.training.spectrum =
            serde_json::from_value(json!({"every_steps": 10_000, "samples": 2})).unwrap();
        assert_eq!(evaluations(&config).unwrap(), 41 * 32 + 3 * 2 * 27 * 14);
        config.data.validation.clear();
        assert_eq!(validation_patches(&config), 0);
    }
}
