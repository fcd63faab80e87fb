//! Every layer, forward and backward, against plain compositions on the CPU.

use crate::context::Context;
use crate::measurement::normal;
use anyhow::Context as _;
use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, Var};
use finescale_layers3d::arithmetic::Arithmetic;
use finescale_layers3d::{Activation, Composed, Dropout, Engine, Layers};
use finescale_seed::{KeyedStream, Purpose};
use serde_json::{Value, json};

/// The layers that are checked.
const LAYERS: [&str; 8] = [
    "convolution 3^3",
    "convolution 1^3",
    "group norm and SiLU",
    "average pool",
    "nearest upsampling",
    "attention",
    "SiLU",
    "dropout",
];

/// Numbers for every layer: 2 samples, 16 channels, 12^3 cells.
struct Inputs {
    x: Tensor,
    kernel: Var,
    point: Var,
    bias: Var,
    /// From 16 channels to the queries, keys and values of 2 heads of 16.
    to_qkv: Var,
    qkv_bias: Var,
}

/// An output and the gradients by the parameters that matter for it.
struct Found {
    output: Tensor,
    gradients: Vec<Tensor>,
}

impl Inputs {
    fn new() -> Result<Self> {
        let var = |number: u32, shape: &[usize]| Var::from_tensor(&normal(number, shape, &Device::Cpu)?);
        Ok(Self {
            x: normal(0, &[2, 16, 12, 12, 12], &Device::Cpu)?,
            kernel: var(1, &[16, 16, 3, 3, 3])?,
            point: var(2, &[16, 16])?,
            bias: var(3, &[16])?,
            to_qkv: var(4, &[96, 16])?,
            qkv_bias: var(5, &[96])?,
        })
    }

    fn parameters(&self) -> [&Var; 5] {
        [&self.kernel, &self.point, &self.bias, &self.to_qkv, &self.qkv_bias]
    }

    /// The output of layer `name`, behind a first convolution, so that gradients pass through it.
    fn layer<L: Layers>(&self, on: &L, name: &str) -> Result<L::Volume> {
        let Self { x, kernel, point, bias, to_qkv, qkv_bias } = self;
        let x = on.conv1(&on.input(x)?, point, bias, None)?;
        match name {
            "convolution 3^3" => on.conv3(&x, kernel, bias, Some(&x)),
            "convolution 1^3" => on.conv1(&x, point, bias, Some(&x)),
            "group norm and SiLU" => on.group_norm(&x, 4, bias, bias, None, Activation::Silu),
            "average pool" => on.average_pool(&x),
            "nearest upsampling" => on.upsample_nearest(&x),
            "attention" => {
                let small = on.average_pool(&on.average_pool(&x)?)?;
                on.attention(&on.conv1(&small, to_qkv, qkv_bias, None)?, 2)
            }
            "SiLU" => on.silu(&x),
            "dropout" => {
                let stream = KeyedStream::new(0, Purpose::Dropout);
                on.dropout(&x, Dropout { rate: 0.2, stream, step: 1, layer: 2 })
            }
            other => candle_core::bail!("no layer is called {other}"),
        }
    }

    /// As networks compute it.
    fn found<A: Arithmetic>(&self, engine: Engine<A>, name: &str) -> Result<Found> {
        let volume = self.layer(&engine, name)?;
        let output = engine.output(&volume)?;
        let gradient = gradient_of(&output)?;
        let mut store = Tensor::zeros(1, gradient.dtype(), &Device::Cpu)?.backward()?;
        engine.backward(&volume, &gradient, &mut store)?;
        Ok(Found { output, gradients: self.gradients(&store) })
    }

    /// By candle's own operations.
    fn expected(&self, name: &str) -> Result<Found> {
        let output = self.layer(&Composed, name)?;
        let store = (&output * gradient_of(&output)?)?.sum_all()?.backward()?;
        Ok(Found { gradients: self.gradients(&store), output: output.detach() })
    }

    fn gradients(&self, store: &GradStore) -> Vec<Tensor> {
        self.parameters().into_iter().filter_map(|parameter| store.get(parameter).cloned()).collect()
    }
}

/// What an output's gradient shall be: numbers that have nothing to do with it.
fn gradient_of(output: &Tensor) -> Result<Tensor> {
    normal(6, output.dims(), output.device())
}

/// Checks every layer, each on an engine of its own; `tolerance`: the largest difference from the plain composition, relative to the
/// largest value.
///
/// # Errors
/// If one is wrong, or cannot be computed.
pub(super) fn check<A: Arithmetic>(
    context: &Context,
    tolerance: f64,
    engine: impl Fn() -> Engine<A>,
) -> anyhow::Result<Value> {
    context.say(format_args!("layers on {}, against plain compositions on the CPU:", context.device_name()));
    let inputs = Inputs::new()?;
    let (mut checks, mut wrong) = (Vec::new(), Vec::new());
    for name in LAYERS {
        let (found, expected) = (inputs.found(engine(), name).context(name)?, inputs.expected(name)?);
        anyhow::ensure!(found.gradients.len() == expected.gradients.len(), "{name}: gradients are missing");
        let forward = difference(&found.output, &expected.output)?;
        let mut backward = 0f64;
        for (found, expected) in found.gradients.iter().zip(&expected.gradients) {
            backward = backward.max(difference(found, expected)?);
        }
        let sound = forward.max(backward) <= tolerance;
        let verdict = if sound { "right" } else { "WRONG" };
        context.say(format_args!("  {name}: {verdict} ({forward:.1e}, gradients {backward:.1e})"));
        checks.push(json!({
            "layer": name,
            "relative_error": forward,
            "relative_error_of_gradients": backward,
            "right": sound,
        }));
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
    Ok(checks.into())
}

/// Largest difference, relative to the largest value.
fn difference(found: &Tensor, expected: &Tensor) -> Result<f64> {
    let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    let (found, expected) = (values(found)?, values(expected)?);
    let largest = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
    let worst = found.iter().zip(&expected).fold(0f32, |most, (a, b)| {
        let error = (a - b).abs();
        if error.is_nan() { f32::INFINITY } else { most.max(error) }
    });
    Ok(f64::from(worst) / f64::from(largest))
}
