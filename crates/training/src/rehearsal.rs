//! Updates without data, to learn what a run will take.

use crate::draws::Draws;
use crate::learner::Learner;
use crate::state::{State, fresh_weights};
use crate::teacher::Teacher;
use crate::{RunConfig, TrainingError};
use candle_core::{Device, Tensor};
use finescale_denoiser::Denoiser;
use finescale_seed::{KeyedStream, Purpose};
use std::time::Instant;

/// Clean values of the network lie in here; what a run takes does not depend on it.
const CLEAN_RANGE: (f32, f32) = (-1.0, 1.0);
/// A noise level in the middle of training.
const ALPHA_BAR: f64 = 0.5;

/// The network and optimizer of a run, on random patches.
pub struct Rehearsal<'a> {
    config: &'a RunConfig,
    learner: Learner<'a>,
    /// Another network of the same size, if there is a teacher.
    teacher: Option<Teacher>,
    device: Device,
}

impl<'a> Rehearsal<'a> {
    /// A rehearsal of the run that `config` describes. Its data need not exist.
    ///
    /// # Errors
    /// As [`RunConfig::check`]; [`TrainingError::Network`] if the device has no room for the weights.
    pub fn new(config: &'a RunConfig, device: &Device) -> Result<Self, TrainingError> {
        config.check()?;
        let weights = fresh_weights(config, device)?;
        let ranges = vec![CLEAN_RANGE; config.network.fields];
        let teacher = match config.training.teacher {
            None => None,
            Some(_) => Some(Teacher::new(Denoiser::new(&config.network, &weights, &ranges)?, config)?),
        };
        let state = State::new(&config.network, weights, config.training.weight_decay)?;
        let learner = Learner::new(config, state, &ranges)?;
        Ok(Self { config, learner, teacher, device: device.clone() })
    }

    /// Makes an update with `parts` parts of `patches` patches each. Returns the seconds that it took.
    ///
    /// # Errors
    /// [`TrainingError::Tensor`] if the device has no room.
    pub fn update(&mut self, parts: usize, patches: usize) -> Result<f64, TrainingError> {
        let draws = self.draws(parts * patches)?;
        let started = Instant::now();
        self.learner.parts = parts;
        match &self.teacher {
            None => self.learner.update(&draws)?,
            Some(teacher) => self.learner.update(&teacher.lesson(&draws)?)?,
        };
        Ok(started.elapsed().as_secs_f64())
    }

    /// Evaluates the averaged network on one patch, as validation and sampling do. Returns the seconds that it took.
    ///
    /// # Errors
    /// [`TrainingError::Tensor`] if the device has no room.
    pub fn evaluation(&mut self) -> Result<f64, TrainingError> {
        let draws = self.draws(1)?;
        let started = Instant::now();
        self.learner.parts = 1;
        self.learner.validate(&draws)?;
        Ok(started.elapsed().as_secs_f64())
    }

    fn draws(&self, patches: usize) -> Result<Draws, TrainingError> {
        let n = self.config.training.patch_cells;
        let normal = |number: u32, channels: usize| {
            let mut values = vec![0f32; patches * channels * n * n * n];
            KeyedStream::new(0, Purpose::TrainingNoise).fill_normal(number, 0, &mut values);
            Tensor::from_vec(values, (patches, channels, n, n, n), &self.device)
        };
        let network = &self.config.network;
        let condition = normal(0, network.condition_channels)?;
        let (clean, noise) = (normal(1, network.fields)?, normal(2, network.fields)?);
        let mask = clean.narrow(1, 0, 1)?.ones_like()?;
        // A student's patches are at levels of its sampler: the first takes as much of the teacher as most do.
        let level = self.teacher.as_ref().map_or(ALPHA_BAR, Teacher::first_level);
        Ok(Draws { condition, clean, noise, weight: mask.clone(), mask, alpha_bars: vec![level; patches] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn a_rehearsal_makes_updates_and_needs_no_data() {
        let config = fixtures::config();
        let mut rehearsal = Rehearsal::new(&config, &Device::Cpu).unwrap();
        assert!(rehearsal.update(2, 1).unwrap() > 0.0);
        assert!(rehearsal.update(1, 3).unwrap() > 0.0 && rehearsal.evaluation().unwrap() > 0.0);
        assert_eq!(rehearsal.learner.state.step, 2);
        let mut broken = config.clone();
        broken.training.batch_size = 0;
        assert!(matches!(
            Rehearsal::new(&broken, &Device::Cpu).err(),
            Some(TrainingError::ConfigValue { .. })
        ));
    }
}
