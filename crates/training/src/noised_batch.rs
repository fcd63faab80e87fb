//! Patches with noise, levels and known voxels: what one evaluation of the loss is about.

use crate::TrainingError;
use candle_core::{Device, Tensor};

/// Patches with their noise and their known voxels: the condition of shape (b, c, n, n, n), clean fields and
/// noise (b, fields, n, n, n), the others (b, 1, n, n, n). The clean fields are the normalised truth.
pub(crate) struct NoisedBatch {
    pub(crate) condition: Tensor,
    pub(crate) clean: Tensor,
    pub(crate) noise: Tensor,
    /// 1 where a voxel is to be generated, 0 where it is known.
    pub(crate) mask: Tensor,
    /// What each voxel weighs in the loss.
    pub(crate) weight: Tensor,
    /// ᾱ of each patch.
    pub(crate) alpha_bars: Vec<f64>,
}

impl NoisedBatch {
    /// The same patches in `count` equal parts, which share their memory.
    pub(crate) fn parts(&self, count: usize) -> Result<Vec<Self>, TrainingError> {
        let size = self.alpha_bars.len() / count;
        let part = |(index, alpha_bars): (usize, &[f64])| {
            let part = |tensor: &Tensor| tensor.narrow(0, index * size, size);
            Ok(Self {
                condition: part(&self.condition)?,
                clean: part(&self.clean)?,
                noise: part(&self.noise)?,
                mask: part(&self.mask)?,
                weight: part(&self.weight)?,
                alpha_bars: alpha_bars.to_vec(),
            })
        };
        self.alpha_bars.chunks_exact(size).enumerate().map(part).collect()
    }

    /// The same on another device.
    pub(crate) fn on(&self, device: &Device) -> Result<Self, TrainingError> {
        Ok(Self {
            condition: self.condition.to_device(device)?,
            clean: self.clean.to_device(device)?,
            noise: self.noise.to_device(device)?,
            mask: self.mask.to_device(device)?,
            weight: self.weight.to_device(device)?,
            alpha_bars: self.alpha_bars.clone(),
        })
    }
}
