//! What a network takes on a card, counted and not measured.

use crate::context::Context;
use crate::measurement::{Work, bytes};
use crate::options::Products;
use finescale_denoiser::{Mode, Parameters, UNet};
use finescale_layers3d::counting::{Counts, Work as Counted};
use finescale_seed::{KeyedStream, Purpose};
use finescale_training::RunConfig;
use serde_json::{Value, json};

/// A kind of card, by its maker's data sheet: dense products in TF32 and in bfloat16, other operations in f32, and memory.
struct Kind {
    name: &'static str,
    tf32_tflops: f64,
    bf16_tflops: f64,
    other_tflops: f64,
    terabytes_per_second: f64,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "A100",
        tf32_tflops: 156.0,
        bf16_tflops: 312.0,
        other_tflops: 19.5,
        terabytes_per_second: 2.04,
    },
    Kind {
        name: "H100",
        tf32_tflops: 495.0,
        bf16_tflops: 989.0,
        other_tflops: 67.0,
        terabytes_per_second: 3.35,
    },
];

/// Copies of the parameters on a card in training: weights, the sum of gradients, averages and two moments; and weights as kernels want
/// them forward and back.
const IN_TRAINING: (usize, usize) = (5, 2);
/// What an update does with each parameter: operations, and values that are read or written: the gradient three times, to add it up, to
/// square it and to use it, the sum once more, and weight, average and moments there and back.
const UPDATE: [u64; 2] = [18, 12];
/// In generation: weights, and as kernels want them.
const IN_GENERATION: (usize, usize) = (1, 1);
/// What kernels sum in, at most.
const SUMS_BYTES: u64 = 270_000_000;
/// Memory that is used again may be larger than what is asked for, by this factor at most.
const LARGER: f64 = 1.25;

impl Kind {
    /// The least time for this work: that of the operations or that of memory, whichever is longer.
    fn seconds(&self, work: &Counted, precision: Products) -> f64 {
        let tflops = if work.is_product { self.product_tflops(precision) } else { self.other_tflops };
        let computing = work.operations as f64 / (1e12 * tflops);
        computing.max(work.bytes as f64 / (1e12 * self.terabytes_per_second))
    }

    /// Of tensor cores: a limit in f32, too, which does without them.
    fn product_tflops(&self, precision: Products) -> f64 {
        match precision {
            Products::F32 | Products::Tf32 => self.tf32_tflops,
            Products::Bf16 => self.bf16_tflops,
        }
    }
}

/// Bytes that each of so many cards has for a training step with patches of so many samples at once: the least and the most.
pub(crate) fn training_bytes(
    config: &RunConfig,
    batch: usize,
    precision: Products,
    cards: usize,
) -> anyhow::Result<[u64; 2]> {
    let mut volumes = counts(config, Work::Train, batch, precision)?.peak_bytes;
    let parameters = config.network.parameter_count()? as u64;
    if cards > 1 {
        // Gradients that arrive from other cards.
        volumes += parameters * size_of::<f32>() as u64;
    }
    if config.training.teacher.is_some() {
        volumes += parameter_bytes(parameters, IN_GENERATION, precision);
    }
    Ok(memory(volumes, parameters, Work::Train, precision))
}

/// Bytes of copies of the parameters, as f32 and as kernels want them.
fn parameter_bytes(parameters: u64, (floats, packed): (usize, usize), precision: Products) -> u64 {
    parameters * (floats * size_of::<f32>() + packed * precision.value_bytes()) as u64
}

/// With the parameters, without and with what is not used of it.
fn memory(volumes: u64, parameters: u64, mode: Work, precision: Products) -> [u64; 2] {
    let copies = if mode == Work::Train { IN_TRAINING } else { IN_GENERATION };
    let least = volumes + parameter_bytes(parameters, copies, precision);
    [least, (LARGER * (least + SUMS_BYTES) as f64) as u64]
}

/// Counts and says it.
pub(super) fn said(context: &Context, config: &RunConfig, mode: Work, batch: usize) -> anyhow::Result<Value> {
    let cells = config.training.patch_cells;
    let precision = context.precision();
    let Counts { mut work, peak_bytes, .. } = counts(config, mode, batch, precision)?;
    let parameters = config.network.parameter_count()? as u64;
    if mode == Work::Train {
        let [operations, values] = UPDATE.map(|of_one| of_one * parameters);
        let what = "update of all parameters".to_owned();
        let bytes = size_of::<f32>() as u64 * values;
        work.push(Counted { what, times: 1, operations, bytes, is_product: false });
    }
    let [least, most] = memory(peak_bytes, parameters, mode, precision);
    let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    context.say(format_args!(
        "{:<48} {:>6} {:>10} {:>10} {:>12} {:>12}",
        format!("{} of {batch} x {cells}^3 cells, counted", mode.name()),
        "times",
        "GFLOP",
        "MB",
        format!("{} [ms]", names[0]),
        format!("{} [ms]", names[1])
    ));
    let line = |what: &str, times: u64, operations: u64, moved: u64, seconds: [f64; 2]| {
        context.say(format_args!(
            "{what:<48} {times:>6} {:>10.1} {:>10.1} {:>12.3} {:>12.3}",
            operations as f64 / 1e9,
            moved as f64 / 1e6,
            1e3 * seconds[0],
            1e3 * seconds[1]
        ));
    };
    let mut sum = (0, 0, 0, [0.0; 2]);
    let mut rows = Vec::new();
    for one in &work {
        let seconds = [0, 1].map(|number| KINDS[number].seconds(one, precision));
        line(&one.what, one.times, one.operations, one.bytes, seconds);
        sum = (
            sum.0 + one.times,
            sum.1 + one.operations,
            sum.2 + one.bytes,
            [0, 1].map(|n| sum.3[n] + seconds[n]),
        );
        rows.push(json!({
            "what": one.what, "times": one.times, "operations": one.operations, "bytes": one.bytes,
            "seconds_at_limit": seconds,
        }));
    }
    line("all", sum.0, sum.1, sum.2, sum.3);
    context.say(format_args!(
        "memory on a card: {} to {}, of which volumes {}; {parameters} parameters",
        bytes(least),
        bytes(most),
        bytes(peak_bytes)
    ));
    for kind in &KINDS {
        context.say(format_args!(
            "{}: {} TFLOP/s of products in {}, {} of others, {} TB/s; no kernel reaches these limits",
            kind.name,
            kind.product_tflops(precision),
            if precision == Products::Bf16 { "bfloat16" } else { "TF32" },
            kind.other_tflops,
            kind.terabytes_per_second
        ));
    }
    Ok(json!({
        "mode": mode.name(),
        "cells": cells,
        "batch": batch,
        "work": rows,
        "operations": sum.1,
        "bytes": sum.2,
        "cards": names,
        "seconds_at_limit": sum.3,
        "volume_bytes": peak_bytes,
        "memory_bytes": [least, most],
    }))
}

fn counts(config: &RunConfig, mode: Work, batch: usize, precision: Products) -> anyhow::Result<Counts> {
    let (network, cells, value_bytes) =
        (&config.network, config.training.patch_cells, precision.value_bytes());
    let parameters = Parameters::init(network, 0, &candle_core::Device::Cpu)?;
    Ok(match mode {
        Work::Forward => {
            UNet::frozen(network, &parameters)?.count(batch, cells, Mode::Evaluate, value_bytes)?
        }
        Work::Train => {
            let mode = Mode::Train { dropout: KeyedStream::new(0, Purpose::Dropout), step: 0 };
            let net = UNet::new(network, &parameters)?;
            net.with_checkpointing(config.training.gradient_checkpointing).count(
                batch,
                cells,
                mode,
                value_bytes,
            )?
        }
    })
}
