//! Arithmetic on weights where they lie, on all threads: an update passes over them once for each thing that it changes, and takes no
//! memory of its own.

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Storage, Tensor, bail};
use rayon::prelude::*;

/// Values of one task.
const CHUNK: usize = 1 << 15;

/// old ← decay · old + (1 − decay) · (scale · new), or of its square.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blend {
    decay: f32,
    rest: f32,
    scale: f32,
    is_squared: bool,
}

impl Blend {
    /// Of the new values as they are.
    pub(crate) fn plain(decay: f64) -> Self {
        Self::scaled(decay, 1.0)
    }

    /// Of the new values times `scale`.
    pub(crate) fn scaled(decay: f64, scale: f32) -> Self {
        Self { decay: decay as f32, rest: (1.0 - decay) as f32, scale, is_squared: false }
    }

    /// Of their squares.
    pub(crate) fn squared(decay: f64, scale: f32) -> Self {
        Self { is_squared: true, ..Self::scaled(decay, scale) }
    }
}

/// Takes the place of what there is.
#[cfg(feature = "cuda")]
pub(crate) struct Overwrite(pub(crate) Vec<f32>);

#[cfg(feature = "cuda")]
impl candle_core::InplaceOp1 for Overwrite {
    fn name(&self) -> &'static str {
        "overwrite"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        values_mut(storage, layout)?.copy_from_slice(&self.0);
        Ok(())
    }
}

impl InplaceOp2 for Blend {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn cpu_fwd(
        &self,
        old: &mut CpuStorage,
        old_layout: &Layout,
        new: &CpuStorage,
        layout: &Layout,
    ) -> Result<()> {
        let Self { decay, rest, scale, is_squared } = *self;
        let (old, new) = (values_mut(old, old_layout)?, values(new, layout)?);
        old.par_chunks_mut(CHUNK).zip(new.par_chunks(CHUNK)).for_each(|(old, new)| {
            for (old, &new) in old.iter_mut().zip(new) {
                let new = new * scale;
                *old = *old * decay + if is_squared { new * new } else { new } * rest;
            }
        });
        Ok(())
    }
}

/// weight ← decay · weight − size · first / (√(second_scale · second) + epsilon).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) decay: f32,
    pub(crate) size: f32,
    pub(crate) second_scale: f32,
    pub(crate) epsilon: f32,
}

impl InplaceOp3 for Step {
    fn name(&self) -> &'static str {
        "step"
    }

    fn cpu_fwd(
        &self,
        weight: &mut CpuStorage,
        weight_layout: &Layout,
        first: &CpuStorage,
        first_layout: &Layout,
        second: &CpuStorage,
        second_layout: &Layout,
    ) -> Result<()> {
        let Self { decay, size, second_scale, epsilon } = *self;
        let weight = values_mut(weight, weight_layout)?;
        let (first, second) = (values(first, first_layout)?, values(second, second_layout)?);
        let chunks = weight.par_chunks_mut(CHUNK).zip(first.par_chunks(CHUNK)).zip(second.par_chunks(CHUNK));
        chunks.for_each(|((weight, first), second)| {
            for ((weight, &first), &second) in weight.iter_mut().zip(first).zip(second) {
                let denominator = (second * second_scale).sqrt() + epsilon;
                *weight = *weight * decay - first / denominator * size;
            }
        });
        Ok(())
    }
}

/// The sum of all squares, in f64, chunk by chunk: the same for any number of threads.
pub(crate) fn sum_of_squares(tensor: &Tensor) -> Result<f64> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("weights are on the host") };
    let square = |value: &f32| f64::from(*value) * f64::from(*value);
    let sums: Vec<f64> =
        values(storage, layout)?.par_chunks(CHUNK).map(|chunk| chunk.iter().map(square).sum()).collect();
    Ok(sums.iter().sum())
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("weights are f32, and lie one after another"),
    }
}

fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("weights are f32, and lie one after another"),
    }
}
