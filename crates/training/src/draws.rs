//! What the network is shown in one step: a pure function of (seed, step).

use crate::levels::{LevelSource, middle_levels, stratified_levels};
use crate::{RunConfig, TrainingError};
use candle_core::{Device, Tensor};
use finescale_diffusion::LossWeight;
use finescale_outpaint::{Boundary, GenerationConfig, MaskDistribution, Order, Strategy};
use finescale_pairs::{Batch, PairSet};
use finescale_seed::{KeyedStream, Purpose, Sequence};

/// Patches with their noise and their known voxels: the condition of shape (b, c, n, n, n), clean fields and noise
/// (b, fields, n, n, n), the others (b, 1, n, n, n).
pub(crate) struct Draws {
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

impl Draws {
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

/// Makes the draws of a run, in the memory of the CPU.
pub(crate) struct Draw {
    pub(crate) pairs: PairSet,
    seed: u64,
    batch_size: usize,
    patch_cells: usize,
    validation_patches: usize,
    levels: LevelSource,
    masks: MaskDistribution,
    loss_weight: LossWeight,
}

impl Draw {
    /// Masks are those that outpainting in rows and in colours would meet in a box like the first training box.
    pub(crate) fn new(config: &RunConfig, pairs: PairSet) -> Result<Self, TrainingError> {
        let training = &config.training;
        let orders = [Strategy::Raster, Strategy::Colour].map(|strategy| {
            let generation = GenerationConfig { strategy, ..config.generation };
            Order::of(&generation, pairs.grid().cells(), training.patch_cells, Boundary::Periodic)
        });
        let [raster, colour] = orders;
        let levels = match training.teacher {
            None => LevelSource::Training(config.diffusion.level_draw()?),
            Some(_) => LevelSource::Sampling(config.generation.sampling.levels.levels()?),
        };
        let masks = MaskDistribution::of(&[raster?, colour?]).with_unknown_share(training.unknown_share);
        Ok(Self {
            pairs,
            seed: training.seed,
            batch_size: training.batch_size,
            patch_cells: training.patch_cells,
            validation_patches: training.validation_patches,
            levels,
            masks,
            loss_weight: config.diffusion.loss_weight,
        })
    }

    /// The patches of update `step` (from 0).
    pub(crate) fn training(&self, step: u32) -> Result<Draws, TrainingError> {
        let batch = self.pairs.training_batch(self.seed, step, self.batch_size, self.patch_cells)?;
        let sequence = |purpose| Sequence::new(KeyedStream::new(self.seed, purpose), step);
        let alpha_bars = stratified_levels(&self.levels, self.batch_size, &mut sequence(Purpose::NoiseLevel));
        let noise = KeyedStream::new(self.seed, Purpose::TrainingNoise);
        self.draws(batch, alpha_bars, (noise, step), &mut sequence(Purpose::Mask))
    }

    /// The validation patches, noisiest first, in batches of the training's size: the same at any step. None if
    /// there is nothing to validate on.
    pub(crate) fn validation(&self) -> Result<Vec<Draws>, TrainingError> {
        if !self.pairs.has_validation() {
            return Ok(Vec::new());
        }
        let batches = self.validation_patches.div_ceil(self.batch_size);
        let stream = KeyedStream::new(self.seed, Purpose::Validation);
        // Step 0 of the stream chooses the patches, the next two levels and masks, the others are noise.
        let levels = middle_levels(&self.levels, batches * self.batch_size, &mut Sequence::new(stream, 1));
        let mut masks = Sequence::new(stream, 2);
        let draws = |(index, alpha_bars): (usize, &[f64])| {
            let batch = self.pairs.validation_batch(index, self.batch_size, self.patch_cells)?;
            self.draws(batch, alpha_bars.to_vec(), (stream, 3 + index as u32), &mut masks)
        };
        levels.chunks(self.batch_size).enumerate().map(draws).collect()
    }

    fn draws(
        &self,
        batch: Batch,
        alpha_bars: Vec<f64>,
        (noise, noise_step): (KeyedStream, u32),
        masks: &mut Sequence,
    ) -> Result<Draws, TrainingError> {
        let (b, n) = (batch.size, batch.patch_cells);
        let mut normals = vec![0f32; batch.truth.len()];
        noise.fill_normal(noise_step, 0, &mut normals);
        let mask: Vec<f32> = (0..b).flat_map(|_| self.masks.draw(masks).iter().copied()).collect();
        let tensor = |values: Vec<f32>| Tensor::from_vec(values, (b, (), n, n, n), &Device::Cpu);
        let condition = tensor(batch.condition)?; // (b, c, n, n, n)
        let density = self.pairs.normalizers().condition;
        let weight = condition.narrow(1, 0, 1)?.flatten_all()?.to_vec1::<f32>()?;
        let weight = weight.into_iter().map(|y| self.loss_weight.weight(density.denormalize(y))).collect();
        Ok(Draws {
            condition,
            clean: tensor(batch.truth)?,
            noise: tensor(normals)?,
            mask: tensor(mask)?,
            weight: tensor(weight)?,
            alpha_bars,
        })
    }
}
