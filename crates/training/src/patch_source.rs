//! What the network is shown in one step: a function of (seed, step), of which each rank reads its own part.

use crate::levels::{LevelSource, middle_levels, stratified_levels};
use crate::noised_batch::NoisedBatch;
use crate::parts::own_items;
use crate::{RunConfig, TrainingError};
use candle_core::{Device, Tensor};
use finescale_diffusion::LossWeight;
use finescale_outpaint::{Boundary, MaskDistribution, Order, Sequential, WindowOrder};
use finescale_pairs::{PairSet, PatchBatch};
use finescale_ranks::Ranks;
use finescale_seed::{KeyedStream, Purpose, Sequence};

/// Makes the batches of a run from its pairs, in the memory of the CPU.
pub(crate) struct PatchSource<'a> {
    pairs: &'a PairSet,
    seed: u64,
    batch_size: usize,
    /// Which patches of a batch are this rank's.
    own: Vec<bool>,
    patch_cells: usize,
    validation_patches: usize,
    levels: LevelSource,
    masks: MaskDistribution,
    loss_weight: LossWeight,
}

impl<'a> PatchSource<'a> {
    /// Masks are those that outpainting in rows and in colours would meet in a box like the first training box.
    ///
    /// # Errors
    /// [`TrainingError::Pairs`] if no training patch fits, [`TrainingError::Tiling`] and
    /// [`TrainingError::Diffusion`] for impossible settings.
    pub(crate) fn new(config: &RunConfig, pairs: &'a PairSet, ranks: &Ranks) -> Result<Self, TrainingError> {
        let training = &config.training;
        // Whether there is a place for patches is told here, before a run has a folder.
        pairs.part_of_training_batch(training.seed, 0, 1, training.patch_cells, |_| false)?;
        let orders = [WindowOrder::Raster, WindowOrder::Colour].map(|order| {
            let sequential = Sequential { order, overlap: config.masks() };
            Order::new(sequential, pairs.grid().cells(), training.patch_cells, Boundary::Periodic)
        });
        let [raster, colour] = orders;
        let levels = match training.teacher {
            None => LevelSource::Training(config.diffusion.level_draw()?),
            Some(_) => LevelSource::Sampling(config.generation.sampling.levels.levels()?),
        };
        let masks = MaskDistribution::new(&[raster?, colour?])
            .with_unknown_share(training.unknown_share)
            .with_regions(training.region_share);
        Ok(Self {
            pairs,
            seed: training.seed,
            batch_size: training.batch_size,
            own: own_items(training.batch_size, training.accumulate, ranks),
            patch_cells: training.patch_cells,
            validation_patches: training.validation_patches,
            levels,
            masks,
            loss_weight: config.diffusion.loss_weight,
        })
    }

    /// The batch of update `step` (from 0); the patches of other ranks' parts are zero.
    pub(crate) fn training(&self, step: u32) -> Result<NoisedBatch, TrainingError> {
        let is_own = |patch: usize| self.own[patch];
        let (seed, size, cells) = (self.seed, self.batch_size, self.patch_cells);
        let patches = self.pairs.part_of_training_batch(seed, step, size, cells, is_own)?;
        let sequence = |purpose| Sequence::new(KeyedStream::new(self.seed, purpose), step);
        let alpha_bars = stratified_levels(&self.levels, self.batch_size, &mut sequence(Purpose::NoiseLevel));
        let noise = KeyedStream::new(self.seed, Purpose::TrainingNoise);
        self.noised(patches, alpha_bars, (noise, step), &mut sequence(Purpose::Mask))
    }

    /// The validation patches, noisiest first, in batches of the training's size: the same at any step. None if
    /// there is nothing to validate on.
    pub(crate) fn validation(&self) -> Result<Vec<NoisedBatch>, TrainingError> {
        if !self.pairs.has_validation() {
            return Ok(Vec::new());
        }
        let batches = self.validation_patches.div_ceil(self.batch_size);
        let stream = KeyedStream::new(self.seed, Purpose::Validation);
        // Step 0 of the stream chooses the patches, the next two levels and masks, the others are noise.
        let levels = middle_levels(&self.levels, batches * self.batch_size, &mut Sequence::new(stream, 1));
        let mut masks = Sequence::new(stream, 2);
        let batch = |(index, alpha_bars): (usize, &[f64])| {
            let patches = self.pairs.validation_batch(index, self.batch_size, self.patch_cells)?;
            self.noised(patches, alpha_bars.to_vec(), (stream, 3 + index as u32), &mut masks)
        };
        levels.chunks(self.batch_size).enumerate().map(batch).collect()
    }

    fn noised(
        &self,
        patches: PatchBatch,
        alpha_bars: Vec<f64>,
        (noise, noise_step): (KeyedStream, u32),
        masks: &mut Sequence,
    ) -> Result<NoisedBatch, TrainingError> {
        let (b, n) = (patches.size, patches.patch_cells);
        let mut normals = vec![0f32; patches.truth.len()];
        noise.fill_normal(noise_step, 0, &mut normals);
        let mut mask = Vec::with_capacity(normals.len());
        (0..b).for_each(|_| mask.extend(self.masks.draw(masks).iter().copied()));
        let tensor = |values: Vec<f32>| Tensor::from_vec(values, (b, (), n, n, n), &Device::Cpu);
        let condition = tensor(patches.condition)?; // (b, c, n, n, n)
        let density = self.pairs.normalizers().condition;
        let weight = condition.narrow(1, 0, 1)?.flatten_all()?.to_vec1::<f32>()?;
        let weight = weight.into_iter().map(|y| self.loss_weight.weight(density.denormalize(y))).collect();
        Ok(NoisedBatch {
            condition,
            clean: tensor(patches.truth)?,
            noise: tensor(normals)?,
            mask: tensor(mask)?,
            weight: tensor(weight)?,
            alpha_bars,
        })
    }
}
