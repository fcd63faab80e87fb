//! A tiny universe and network for tests.

use crate::{
    Event, Lineage, ModelDescription, Origin, Run, RunConfig, SpectrumConfig, Start, Summary, TrainingError,
};
use candle_core::{Device, Tensor};
use finescale_denoiser::{Parameters, Processor};
use finescale_field::{Channels, Field3, Grid, Region, Scalar, ScalarName};
use finescale_pairs::{Normalization, Pair, PairError, PairSet};
use finescale_ranks::Ranks;
use finescale_seed::{KeyedStream, Purpose};
use ndarray::Array3;
use serde_json::Value;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Six steps with a network of some thousand weights on patches of 8^3.
pub(crate) const CONFIG: &str = r#"{
    "data": {"training": ["in memory"]},
    "network": {
        "base_channels": 8, "channel_multipliers": [1, 2], "residual_blocks": 1, "head_channels": 8,
        "norm_groups": 4, "dropout": 0.1, "known_channels": true, "prediction": {"edm": {"sigma_data": 0.5}}
    },
    "diffusion": {"training_levels": {"log_normal": {"mean": 0.0, "deviation": 1.0}}},
    "training": {
        "seed": 3, "steps": 6, "batch_size": 2, "patch_cells": 8, "unknown_share": 0.3,
        "learning_rate": 2e-3, "warm_up_steps": 4, "decay": {"cosine": {"floor": 0.1}}, "weight_decay": 0.01,
        "gradient_clip_norm": 1.0, "ema_decay": 0.99, "validate_every_steps": 2, "validation_patches": 4,
        "save_every_minutes": 60.0
    },
    "generation": {"overlap_cells": 3}
}"#;

/// The ranks of a run of one.
pub(crate) static ALONE: LazyLock<Ranks> = LazyLock::new(Ranks::alone);

pub(crate) fn config() -> RunConfig {
    RunConfig::parse(CONFIG).unwrap()
}

/// Weights that are all drawn anew: some layers begin at zero, and would hide what comes before them.
pub(crate) fn random_weights(config: &RunConfig) -> Parameters {
    let weights = Parameters::init(&config.network, 1, &Device::Cpu).unwrap();
    for (number, (_, var)) in (0..).zip(weights.vars()) {
        let mut values = vec![0f32; var.elem_count()];
        KeyedStream::new(1, Purpose::Weights).fill_normal(number, 0, &mut values);
        let values = Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap();
        var.set(&values.affine(0.1, 0.0).unwrap()).unwrap();
    }
    weights
}

/// A box of 12^3 cells: waves with some noise as the condition, and a power of it as the truth.
pub(crate) fn pair(seed: u64) -> Pair {
    let stream = KeyedStream::new(seed, Purpose::Points);
    let wave = |i: usize, turns: f64| (std::f64::consts::TAU * turns * i as f64 / 12.0).sin();
    let density = |(i, j, k): (usize, usize, usize)| {
        let noise = f64::from(stream.normal(0, ((i * 12 + j) * 12 + k) as u64));
        (wave(i + seed as usize, 1.0) + 0.7 * wave(j + k, 2.0) + 0.3 * noise).exp() / 1.6
    };
    let field = |power: f64| {
        let values = Array3::from_shape_fn([12; 3], |at| density(at).powf(power) as f32);
        Field3::new(Grid::cube(12, 6.0).unwrap(), values).unwrap()
    };
    let mut pair = Pair::new(field(0.7), vec![field(1.0)]);
    pair.truth[0].meta.mean = Some(8.0); // particles per voxel
    pair
}

pub(crate) fn pairs(normalization: Normalization) -> Result<PairSet, PairError> {
    pairs_with(Channels::default(), normalization)
}

/// Pairs of universes with sigma_8 = 0.7 and 0.9 to train on, and 0.8 to validate on.
pub(crate) fn pairs_with(channels: Channels, normalization: Normalization) -> Result<PairSet, PairError> {
    let [low, high, middle] = [(1, 0.7), (2, 0.9), (3, 0.8)].map(|(seed, sigma_8)| {
        let mut pair = pair(seed);
        pair.condition.meta.set_scalar(ScalarName::Sigma8, sigma_8);
        pair
    });
    PairSet::new(vec![low, high], vec![middle], None, normalization, channels)
}

/// Pairs without anything to validate on.
pub(crate) fn training_pairs() -> PairSet {
    PairSet::new(vec![pair(1)], vec![], None, Normalization::default(), Channels::default()).unwrap()
}

/// A pair to validate on in a region, and to train on elsewhere.
pub(crate) fn held_out_pairs(region: Region) -> PairSet {
    PairSet::new(vec![pair(1)], vec![], Some(region), Normalization::default(), Channels::default()).unwrap()
}

/// Pairs that are normalised as `config` says.
pub(crate) fn pairs_for(config: &RunConfig) -> PairSet {
    pairs(config.data.normalization()).unwrap()
}

pub(crate) fn description() -> ModelDescription {
    let config = config();
    ModelDescription::new(&config, &pairs_for(&config), Lineage::default()).unwrap()
}

pub(crate) fn origin(config: &RunConfig, out: &Path, start: Start) -> Result<Origin<'static>, TrainingError> {
    Origin::find(config, out, start, &Processor::Cpu, &Value::Null, &ALONE)
}

/// Trains until it is done, or stops after update `stop_at`.
pub(crate) fn go(
    config: &RunConfig,
    out: &Path,
    start: Start,
    stop_at: u64,
) -> Result<(Summary, Vec<Event>), TrainingError> {
    go_on(&ALONE, config, out, start, stop_at)
}

/// The same as one of some ranks, of which the last hears that it is to stop.
pub(crate) fn go_on(
    ranks: &Ranks,
    config: &RunConfig,
    out: &Path,
    start: Start,
    stop_at: u64,
) -> Result<(Summary, Vec<Event>), TrainingError> {
    go_on_with(&pairs(config.data.normalization())?, ranks, config, out, start, stop_at)
}

/// The same with other pairs.
pub(crate) fn go_on_with(
    pairs: &PairSet,
    ranks: &Ranks,
    config: &RunConfig,
    out: &Path,
    start: Start,
    stop_at: u64,
) -> Result<(Summary, Vec<Event>), TrainingError> {
    let (stop, mut events) = (AtomicBool::new(false), Vec::new());
    let origin = Origin::find(config, out, start, &Processor::Cpu, &Value::Null, ranks)?;
    let summary = Run::new(config, origin, pairs)?.go(
        &mut |event| {
            let is_last = ranks.rank() + 1 == ranks.count();
            if is_last && matches!(event, Event::Step(m) if m.step == stop_at) {
                stop.store(true, Ordering::Relaxed);
            }
            events.push(event.clone());
        },
        &stop,
    )?;
    Ok((summary, events))
}

/// The fixture's configuration with surroundings, sigma_8 and a baseline.
pub(crate) fn with_every_channel() -> RunConfig {
    let mut config = config();
    config.data.surroundings_smoothing_cells = Some(3.0);
    config.data.scalars = vec![Scalar { name: ScalarName::Sigma8, centre: 0.8, width: 0.1 }];
    config.data.baseline_smoothing_cells = Some(0.8);
    config.network.condition_channels = 4;
    config.network.baseline = true;
    config.training.spectrum = Some(SpectrumConfig { every_steps: 3, cells: 8, samples: 1 });
    config.check().unwrap();
    config
}
