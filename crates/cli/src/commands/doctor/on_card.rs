//! What an NVIDIA card is, and whether a network learns on it as on the CPU.

use crate::context::Context;
use crate::measurement::{Bench, Work, bytes, median, normal};
use anyhow::Context as _;
use candle_core::{Device, Tensor};
use finescale_denoiser::{Denoiser, Mode, NetworkConfig, Parameters, Processor};
use finescale_layers3d::cuda::{Card, CardProperties};
use finescale_seed::{KeyedStream, Purpose};
use serde_json::{Value, json};

/// A network with every kind of layer that is small enough to be trained in no time.
const NETWORK: &str = r#"{
    "base_channels": 8, "channel_multipliers": [1, 2], "residual_blocks": 1, "head_channels": 8, "norm_groups": 4,
    "dropout": 0.1, "prediction": {"edm": {"sigma_data": 0.5}}
}"#;
/// Its patches: samples, and cells along an axis.
const BATCH: usize = 2;
const CELLS: usize = 8;
/// What is timed, and samples at once.
const TIMED: &str = include_str!("../../../../../configs/demo.json");
const TIMED_BATCH: usize = 4;
/// Steps that are trained here and there, and how far each goes down the gradient.
const STEPS: u32 = 10;
const RATE: f64 = 0.02;

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
    let network: NetworkConfig = serde_json::from_str(NETWORK)?;
    let processor = Processor::Card(card.clone());
    let here = losses(&network, &processor).context("training on the card")?;
    let there = losses(&network, &Processor::Cpu).context("training on the CPU")?;
    let worst = here.iter().zip(&there).fold(0f64, |worst, (a, b)| {
        let difference = (a - b).abs() / b.abs();
        if difference.is_nan() { f64::INFINITY } else { worst.max(difference) }
    });
    let (first, last) = (here[0], here[here.len() - 1]);
    context.say(format_args!(
        "{STEPS} training steps: loss {first:.4} to {last:.4}, at most {worst:.1e} from the CPU's"
    ));
    anyhow::ensure!(
        worst <= tolerance,
        "a network does not learn on {} as on the CPU: losses {here:?} instead of {there:?}; do not use this device",
        context.device_name()
    );
    let times = if is_timed { times(context, &processor)? } else { Vec::new() };
    context.say("this card computes what the CPU does; `finescale bench` with the same --device times your network on it");
    Ok(json!({
        "name": properties.name,
        "compute_capability": [properties.capability.0, properties.capability.1],
        "multiprocessors": properties.multiprocessors,
        "memory_bytes": properties.memory_bytes.1,
        "memory_free_bytes": properties.memory_bytes.0,
        "driver_cuda": properties.driver,
        "losses": here,
        "losses_on_cpu": there,
        "times": times,
    }))
}

/// Times the network of the demonstration.
fn times(context: &Context, processor: &Processor) -> anyhow::Result<Vec<Value>> {
    let config: Value = serde_json::from_str(TIMED)?;
    let network: NetworkConfig = serde_json::from_value(config["network"].clone())?;
    let cells: usize = serde_json::from_value(config["training"]["patch_cells"].clone())?;
    let bench = Bench::new(&network, cells, TIMED_BATCH, processor)?;
    let mut times = Vec::new();
    for work in [Work::Forward, Work::Train] {
        let flop = network.flop_per_evaluation(cells)? as f64 * TIMED_BATCH as f64 * work.flop_factor();
        let seconds = median(bench.seconds(work, 5)?);
        let tflops = flop / seconds / 1e12;
        context.say(format_args!(
            "{} of {TIMED_BATCH} x {cells}^3 cells with the demonstration's network: {:.2} ms, {tflops:.2} TFLOP/s",
            work.name(),
            1e3 * seconds
        ));
        times.push(json!({ "work": work.name(), "seconds": seconds, "tflops": tflops }));
    }
    Ok(times)
}

/// The losses of some steps of gradient descent from the same weights, on the same patches.
fn losses(network: &NetworkConfig, processor: &Processor) -> anyhow::Result<Vec<f64>> {
    let device = &Device::Cpu;
    let parameters = Parameters::init(network, 0, device)?;
    // Some layers begin at zero, and would hide what comes before them.
    for (number, (_, var)) in (10..).zip(parameters.vars()) {
        let moved = (var.as_tensor() + normal(number, var.dims(), device)?.affine(0.02, 0.0)?)?;
        var.set(&moved)?;
    }
    let denoiser = Denoiser::new(network, &parameters, &vec![(-9.0, 9.0); network.fields])?.on(processor);
    let shape = |channels: usize| [BATCH, channels, CELLS, CELLS, CELLS];
    let [clean, noise] = [0, 1].map(|number| normal(number, &shape(network.fields), device));
    let (clean, noise) = ((clean? * 0.5)?, noise?);
    let condition = normal(2, &shape(network.all_condition_channels()), device)?;
    let alpha_bar = Tensor::new(&[0.3f32, 0.8][..BATCH], device)?;
    let factor = |of: fn(f32) -> f32| -> candle_core::Result<Tensor> {
        let values: Vec<f32> = alpha_bar.to_vec1::<f32>()?.into_iter().map(of).collect();
        Tensor::from_vec(values, (BATCH, 1, 1, 1, 1), device)
    };
    let signal = clean.broadcast_mul(&factor(f32::sqrt)?)?;
    let noisy = (signal + noise.broadcast_mul(&factor(|level| (1.0 - level).sqrt())?)?)?;
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let mode = Mode::Train { dropout: KeyedStream::new(0, Purpose::Dropout), step };
        let residual = denoiser.residual(&clean, &noisy, &condition, &noise, &alpha_bar, mode)?;
        let loss = residual.values().sqr()?.mean_all()?;
        losses.push(f64::from(loss.to_scalar::<f32>()?));
        let gradients = residual.backward(&loss)?;
        for (_, var) in parameters.vars() {
            if let Some(gradient) = gradients.get(var) {
                var.set(&(var.as_tensor() - gradient.affine(RATE, 0.0)?)?)?;
            }
        }
    }
    Ok(losses)
}
