//! A few updates of a network on patches of random numbers: whether one device trains as another.

use crate::learner::Learner;
use crate::noised_batch::NoisedBatch;
use crate::parts::OwnParts;
use crate::state::State;
use crate::{RunConfig, TrainingError};
use candle_core::{Device, Tensor};
use finescale_denoiser::{Parameters, Processor};
use finescale_ranks::Ranks;
use finescale_seed::{KeyedStream, Purpose};

/// How far first weights are moved: some layers begin at zero, and would hide what comes before them.
const MOVED: f64 = 0.02;

/// The losses of the updates that `config` says, all on the same patches, and at last that of the averaged weights: what training does,
/// but for the data.
///
/// # Errors
/// If the device has no room or does not answer, and as [`NetworkConfig::validate`](finescale_denoiser::NetworkConfig::validate).
pub fn rehearsal(config: &RunConfig, processor: &Processor) -> Result<Vec<f64>, TrainingError> {
    let (network, training) = (&config.network, &config.training);
    let weights = Parameters::init(network, training.seed, &Device::Cpu)?;
    for (number, (_, var)) in (10..).zip(weights.vars()) {
        var.set(&(var.as_tensor() + normal(number, var.dims())?.affine(MOVED, 0.0)?)?)?;
    }
    let state = State::new(network, weights, training.weight_decay)?;
    let ranges = vec![(-9.0, 9.0); network.fields];
    let alone = Ranks::alone();
    let mut learner = Learner::new(config, state, &ranges, processor, &alone)?;
    let (samples, cells) = (training.batch_size, training.patch_cells);
    let patches = |number, channels| normal(number, &[samples, channels, cells, cells, cells]);
    let batch = NoisedBatch {
        condition: patches(0, network.condition_channels)?,
        clean: patches(1, network.fields)?.affine(0.5, 0.0)?,
        noise: patches(2, network.fields)?,
        mask: patches(3, 1)?.ge(0f32)?.to_dtype(candle_core::DType::F32)?,
        weight: patches(4, 1)?.abs()?,
        alpha_bars: (0..samples).map(|sample| (sample as f64 + 0.5) / samples as f64).collect(),
    };
    let parts = OwnParts::of_batch(learner.network(), &batch, training.accumulate, &alone)?;
    let mut losses = Vec::new();
    for step in 1..=training.steps {
        let failed = || TrainingError::NotFinite { step, saved: 0, path: "a rehearsal".into() };
        losses.push(learner.update(&parts)?.ok_or_else(failed)?.loss);
    }
    losses.push(learner.validate(&parts.exercises)?.loss);
    Ok(losses)
}

/// Normal numbers that depend on `number` alone.
fn normal(number: u32, shape: &[usize]) -> candle_core::Result<Tensor> {
    let mut values = vec![0f32; shape.iter().product()];
    KeyedStream::new(0, Purpose::TrainingNoise).fill_normal(number, 0, &mut values);
    Tensor::from_vec(values, shape, &Device::Cpu)
}
