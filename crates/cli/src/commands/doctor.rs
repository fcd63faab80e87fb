//! `finescale doctor`: what this machine offers, and whether every layer works on it.

use crate::context::Context;
use crate::measurement::{available_memory_bytes, bytes, normal};
use anyhow::Context as _;
use candle_core::{Device, Tensor};
use clap::Args;
use finescale_layers3d::{Activation, Composed, Engine, Layers, instruction_set_name};
use serde_json::{Value, json};

#[derive(Args, Debug)]
pub(crate) struct Doctor {}

/// Largest difference between a layer and its plain composition on the CPU, relative to the largest value: f32
/// sums of a few thousand terms in another order, or TF32 on a GPU.
const CPU_TOLERANCE: f64 = 1e-4;
const GPU_TOLERANCE: f64 = 5e-3;

/// The layers that are checked.
const LAYERS: [&str; 7] = [
    "convolution 3^3",
    "convolution 1^3",
    "group norm and SiLU",
    "average pool",
    "nearest upsampling",
    "attention",
    "SiLU",
];

/// Numbers for every layer: 2 samples, 16 channels, 12^3 cells.
struct Inputs {
    x: Tensor,
    kernel: Tensor,
    point: Tensor,
    bias: Tensor,
    qkv: Tensor,
}

impl Inputs {
    fn on(device: &Device) -> candle_core::Result<Self> {
        Ok(Self {
            x: normal(0, &[2, 16, 12, 12, 12], device)?,
            kernel: normal(1, &[16, 16, 3, 3, 3], device)?,
            point: normal(2, &[16, 16], device)?,
            bias: normal(3, &[16], device)?,
            qkv: normal(4, &[2, 96, 4, 4, 4], device)?,
        })
    }

    /// The output of layer `name`.
    fn layer<L: Layers>(&self, on: &L, name: &str) -> candle_core::Result<L::Volume> {
        let Self { x, kernel, point, bias, qkv } = self;
        let x = on.input(x)?;
        match name {
            "convolution 3^3" => on.conv3(&x, kernel, bias, Some(&x)),
            "convolution 1^3" => on.conv1(&x, point, bias, Some(&x)),
            "group norm and SiLU" => on.group_norm(&x, 4, bias, bias, None, Activation::Silu),
            "average pool" => on.average_pool(&x),
            "nearest upsampling" => on.upsample_nearest(&x),
            "attention" => on.attention(&on.input(qkv)?, 2),
            "SiLU" => on.silu(&x),
            other => candle_core::bail!("no layer is called {other}"),
        }
    }

    /// The output of layer `name` as networks on this device compute it.
    fn output(&self, name: &str) -> candle_core::Result<Tensor> {
        if self.x.device().is_cpu() {
            let engine = Engine::new();
            engine.output(&self.layer(&engine, name)?)
        } else {
            self.layer(&Composed, name)
        }
    }
}

impl Doctor {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        let memory = available_memory_bytes();
        context.say(format_args!(
            "{} threads, {} of memory available, kernels for {}",
            context.threads(),
            memory.map_or("unknown".to_owned(), bytes),
            instruction_set_name(),
        ));
        let device = context.device()?;
        context
            .say(format_args!("layers on {}, against plain compositions on the CPU:", context.device_name()));
        let tolerance = if device.is_cpu() { CPU_TOLERANCE } else { GPU_TOLERANCE };
        let (here, reference) = (Inputs::on(&device)?, Inputs::on(&Device::Cpu)?);
        let mut checks = Vec::new();
        let mut wrong = Vec::new();
        for name in LAYERS {
            let plain = reference.layer(&Composed, name);
            let error = here.output(name).and_then(|found| difference(&found, &plain?)).context(name)?;
            let sound = error <= tolerance;
            context.say(format_args!("  {name}: {} ({error:.1e})", if sound { "right" } else { "WRONG" }));
            checks.push(json!({ "layer": name, "relative_error": error, "right": sound }));
            if !sound {
                wrong.push(name);
            }
        }
        anyhow::ensure!(
            wrong.is_empty(),
            "wrong on {}: {}; do not use this device",
            context.device_name(),
            wrong.join(", ")
        );
        Ok(json!({
            "threads": context.threads(),
            "memory_available_bytes": memory,
            "simd": instruction_set_name(),
            "device": context.device_name(),
            "cuda": cfg!(feature = "cuda"),
            "layers": checks,
        }))
    }
}

/// Largest difference, relative to the largest value.
fn difference(found: &Tensor, expected: &Tensor) -> candle_core::Result<f64> {
    let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    let (found, expected) = (values(found)?, values(expected)?);
    let largest = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
    let worst = found.iter().zip(&expected).fold(0f32, |most, (a, b)| {
        let error = (a - b).abs();
        if error.is_nan() { f32::INFINITY } else { most.max(error) }
    });
    Ok(f64::from(worst) / f64::from(largest))
}
