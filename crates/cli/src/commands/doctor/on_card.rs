//! What an NVIDIA card is, and whether a network learns on it as on the CPU.

use crate::context::Context;
use crate::measurement::{Bench, Work, bytes, median};
use anyhow::Context as _;
use finescale_denoiser::{Cards, NetworkConfig, Processor};
use finescale_layers3d::cuda::{Card, CardProperties};
use finescale_training::{RunConfig, rehearsal};
use serde_json::{Value, json};

/// Training with every kind of layer, dropout and batches in two parts, that is over in no time.
const CONFIG: &str = r#"{
    "data": {"training": ["none"], "validation": ["none"]},
    "network": {
        "base_channels": 8, "channel_multipliers": [1, 2], "residual_blocks": 1, "head_channels": 8, "norm_groups": 4,
        "dropout": 0.1, "known_channels": true, "prediction": {"edm": {"sigma_data": 0.5}}
    },
    "diffusion": {"training_levels": {"log_normal": {"mean": -1.2, "deviation": 1.2}}},
    "training": {
        "seed": 1, "steps": 10, "batch_size": 2, "accumulate": 2, "patch_cells": 8, "unknown_share": 0.1,
        "learning_rate": 1e-3, "warm_up_steps": 2, "decay": "constant", "weight_decay": 0.1,
        "gradient_clip_norm": 1.0, "ema_decay": 0.9, "validate_every_steps": 2, "validation_patches": 2,
        "save_every_minutes": 5.0
    },
    "generation": {
        "overlap_cells": 4,
        "sampling": {"levels": {"log_uniform": {"steps": 3, "sigma_min": 0.1, "sigma_max": 40.0}}}
    }
}"#;
/// What is timed, and samples at once.
const TIMED: &str = include_str!("../../../../../configs/demo.json");
const TIMED_BATCH: usize = 4;

/// Says what the card is.
pub(super) fn properties(context: &Context, card: &Card) -> anyhow::Result<CardProperties> {
    let properties = card.properties()?;
    let CardProperties { name, capability: (major, minor), memory_bytes: (free, total), .. } = &properties;
    context.say(format_args!(
        "{name}: compute capability {major}.{minor}, {} multiprocessors, {} of {} of memory free, driver for CUDA {}.{}",
        properties.multiprocessors,
        bytes(*free as u64),
        bytes(*total as u64),
        properties.driver / 1000,
        properties.driver % 1000 / 10,
    ));
    Ok(properties)
}

/// Trains a small network on the card and on the CPU, and times it.
pub(super) fn check(
    context: &Context,
    card: &Card,
    properties: CardProperties,
    tolerance: f64,
    is_timed: bool,
) -> anyhow::Result<Value> {
    let config: RunConfig = serde_json::from_str(CONFIG)?;
    let processor = Cards::new(vec![card.clone()]).map_or(Processor::Cpu, Processor::Cards);
    let here = rehearsal(&config, &processor).context("training on the card")?;
    let there = rehearsal(&config, &Processor::Cpu).context("training on the CPU")?;
    let worst = here.iter().zip(&there).fold(0f64, |worst, (a, b)| {
        let difference = (a - b).abs() / b.abs();
        if difference.is_nan() { f64::INFINITY } else { worst.max(difference) }
    });
    let (first, last) = (here[0], here[here.len() - 1]);
    let steps = config.training.steps;
    context.say(format_args!(
        "{steps} training steps: loss {first:.4}, of the averages then {last:.4}, at most {worst:.1e} from the CPU's"
    ));
    anyhow::ensure!(
        worst <= tolerance,
        "a network does not learn on {} as on the CPU: losses {here:?} instead of {there:?}; do not use this device",
        context.device_name()
    );
    let peak = properties.peak_tflops(card.precision());
    let times = if is_timed { times(context, &processor, peak)? } else { Vec::new() };
    context.say("this card computes what the CPU does; `finescale bench` with the same --device times your network on it");
    Ok(json!({
        "name": properties.name,
        "compute_capability": [properties.capability.0, properties.capability.1],
        "multiprocessors": properties.multiprocessors,
        "clock_ghz": properties.clock_ghz,
        "peak_tflops": peak,
        "memory_bytes": properties.memory_bytes.1,
        "memory_free_bytes": properties.memory_bytes.0,
        "driver_cuda": properties.driver,
        "compiler": [properties.compiler.0, properties.compiler.1],
        "losses": here,
        "losses_on_cpu": there,
        "times": times,
    }))
}

/// Times the network of the demonstration; `peak` are the TFLOP/s that the card could do.
fn times(context: &Context, processor: &Processor, peak: Option<f64>) -> anyhow::Result<Vec<Value>> {
    let config: Value = serde_json::from_str(TIMED)?;
    let network: NetworkConfig = serde_json::from_value(config["network"].clone())?;
    let cells: usize = serde_json::from_value(config["training"]["patch_cells"].clone())?;
    let bench = Bench::new(&network, cells, TIMED_BATCH, processor)?;
    let mut times = Vec::new();
    for work in [Work::Forward, Work::Train] {
        let flop = network.flop_per_evaluation(cells)? as f64 * TIMED_BATCH as f64 * work.flop_factor();
        let seconds = median(bench.seconds(work, 5)?);
        let tflops = flop / seconds / 1e12;
        let share = peak.map(|peak| 100.0 * tflops / peak);
        context.say(format_args!(
            "{} of {TIMED_BATCH} x {cells}^3 cells with the demonstration's network: {:.2} ms, {tflops:.2} TFLOP/s{}",
            work.name(),
            1e3 * seconds,
            share.map_or(String::new(), |share| format!(", {share:.0} % of the most that the card could do")),
        ));
        times.push(json!({
            "work": work.name(), "seconds": seconds, "tflops": tflops, "percent_of_peak": share,
        }));
    }
    Ok(times)
}
