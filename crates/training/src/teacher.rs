//! Distillation: a network of few steps that learns from one of many.

use crate::noised_batch::NoisedBatch;
use crate::{Model, RunConfig, TrainingError};
use candle_core::{Device, Tensor};
use finescale_denoiser::{Denoiser, Processor};
use finescale_diffusion::{Known, Levels, WithKnown, distilled_clean, noising};
use std::path::Path;

/// A model that another one learns from.
pub(crate) struct Teacher {
    denoiser: Denoiser,
    /// Those of the student's sampler.
    levels: Levels,
}

impl Teacher {
    /// The model `path` as the teacher of `config`'s network, and the model itself.
    pub(crate) fn load(
        path: &Path,
        config: &RunConfig,
        processor: &Processor,
    ) -> Result<(Self, Model), TrainingError> {
        let model = Model::load(path, &Device::Cpu)
            .map_err(|problem| TrainingError::Teacher { problem: Box::new(problem) })?;
        Ok((Self::new(model.denoiser()?.on(processor).with_fixed_parameters(), config)?, model))
    }

    pub(crate) fn new(denoiser: Denoiser, config: &RunConfig) -> Result<Self, TrainingError> {
        Ok(Self { denoiser, levels: config.generation.sampling.levels.levels()? })
    }

    /// The same noisy patches with other clean fields behind them: those from which one step of the student's
    /// sampler leads where the teacher's goes. Their levels are some of the student's.
    pub(crate) fn lesson(&self, batch: &NoisedBatch) -> Result<NoisedBatch, TrainingError> {
        let (mut clean, mut noise, mut start) = (Vec::new(), Vec::new(), 0);
        // Levels come in order, so that patches at the same one are together.
        for group in batch.alpha_bars.chunk_by(|a, b| a == b) {
            let of_group = |tensor: &Tensor| tensor.narrow(0, start, group.len());
            let noisy = noising(&of_group(&batch.clean)?, &of_group(&batch.noise)?, group)?;
            let alpha_bar = group[0];
            let step = self.levels.alpha_bars().iter().position(|&level| level == alpha_bar);
            let step = step.expect("a student's patches are at the levels of its sampler");
            let (mask, known) = (of_group(&batch.mask)?, of_group(&batch.clean)?);
            let teacher = WithKnown::new(&self.denoiser, &mask, &known)?;
            let estimate =
                distilled_clean(&teacher, &noisy, &of_group(&batch.condition)?, &self.levels, step)?;
            let estimate = Known::new(&mask, &known)?.hold(&estimate)?;
            // What is left of the noisy patches is their noise.
            let left = (noisy - estimate.affine(alpha_bar.sqrt(), 0.0)?)?;
            noise.push(left.affine(1.0 / (1.0 - alpha_bar).sqrt(), 0.0)?);
            clean.push(estimate);
            start += group.len();
        }
        Ok(NoisedBatch {
            condition: batch.condition.clone(),
            clean: Tensor::cat(&clean, 0)?,
            noise: Tensor::cat(&noise, 0)?,
            mask: batch.mask.clone(),
            weight: batch.weight.clone(),
            alpha_bars: batch.alpha_bars.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::objective::{self, Exercise};
    use crate::patch_source::PatchSource;
    use finescale_denoiser::Mode;
    use finescale_diffusion::{Denoise, Sampler, SamplingLevels};
    use finescale_ranks::Ranks;

    fn config(steps: usize, sigma_min: f64) -> RunConfig {
        let mut config = fixtures::config();
        config.training.teacher = Some("in memory".into());
        config.training.batch_size = 4;
        config.network.dropout = 0.0;
        config.generation.sampling.sampler = Sampler::Ddim;
        config.generation.sampling.levels = SamplingLevels::LogUniform { steps, sigma_min, sigma_max: 2.0 };
        config
    }

    fn teacher(config: &RunConfig) -> Teacher {
        let denoiser = Denoiser::new(&config.network, &fixtures::random_weights(config), &[(-99.0, 99.0)]);
        Teacher::new(denoiser.unwrap(), config).unwrap()
    }

    fn batch(config: &RunConfig) -> NoisedBatch {
        let pairs = fixtures::pairs(config.data.normalization()).unwrap();
        PatchSource::new(config, &pairs, &Ranks::alone()).unwrap().training(0).unwrap()
    }

    fn flat(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// The largest difference, in units of the largest value.
    fn distance(a: &Tensor, b: &Tensor) -> f32 {
        let most = |values: Vec<f32>| values.into_iter().fold(0f32, |most, value| most.max(value.abs()));
        most(flat(&(a - b).unwrap())) / most(flat(b))
    }

    #[test]
    fn a_lesson_is_about_the_same_noisy_patches_and_keeps_known_voxels() {
        let config = config(3, 0.1);
        let (teacher, batch) = (teacher(&config), batch(&config));
        let lesson = teacher.lesson(&batch).unwrap();
        assert_eq!(lesson.alpha_bars, batch.alpha_bars);
        let noisy = |batch: &NoisedBatch| noising(&batch.clean, &batch.noise, &batch.alpha_bars).unwrap();
        // Clean and noise add up to the patch again, in f32.
        assert!(distance(&noisy(&lesson), &noisy(&batch)) < 1e-5);
        let (found, truth, mask) = (flat(&lesson.clean), flat(&batch.clean), flat(&batch.mask));
        assert!(mask.contains(&0.0) && mask.contains(&1.0));
        for ((found, truth), mask) in found.iter().zip(&truth).zip(&mask) {
            assert_eq!(found == truth, *mask == 0.0, "{found} {truth}");
        }
    }

    #[test]
    fn who_takes_steps_as_short_as_the_teacher_has_nothing_to_learn() {
        // A hundred levels between sigma 2 and 1.9: from one to the next the estimate hardly changes. (With
        // many more, rounding does.)
        let config = config(100, 1.9);
        let (teacher, batch) = (teacher(&config), batch(&config));
        let loss = |batch: &NoisedBatch| {
            let whole = Exercise::new(&teacher.denoiser, batch, 1).unwrap();
            objective::loss(&teacher.denoiser, &whole, Mode::Evaluate).unwrap().value().unwrap()
        };
        let (own, truth) = (loss(&teacher.lesson(&batch).unwrap()), loss(&batch));
        assert!(own < 1e-4 * truth, "{own} instead of {truth}");
        assert!(teacher.denoiser.takes_known_channels());
    }
}
