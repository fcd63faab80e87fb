//! Samples of the averaged weights, and how their power compares with the truth's.

use crate::config::value_error;
use crate::{RunConfig, SpectrumConfig, SpectrumMetrics, TrainingError};
use candle_core::Device;
use finescale_diffusion::Denoise;
use finescale_field::{Field3, Grid, Normalizer, Region};
use finescale_outpaint::{
    Boundary, Condition, GenerationConfig, Job, OutpaintError, Place, Plan, Store, generate,
};
use finescale_pairs::PairSet;
use finescale_ranks::Ranks;
use finescale_spectra::{Bands, Modes, SpectraError, Spectrum, fundamental_h_mpc, nyquist_h_mpc};
use std::sync::atomic::AtomicBool;

/// Most bands between the fundamental and the Nyquist wavenumber; those without a mode are left out.
const BANDS: usize = 8;

/// A region to generate, and the power that its samples should have, field by field.
///
/// A part of a box is no periodic field: the cut at its faces mixes wavenumbers. It does so in the sample and
/// in the truth alike, so their ratio stays meaningful where the powers themselves are not.
pub(crate) struct SpectrumCheck {
    config: SpectrumConfig,
    generation: GenerationConfig,
    window_cells: usize,
    /// Windows at once: as many patches as training has.
    batch: usize,
    truth_normalizers: Vec<Normalizer>,
    condition: Part,
    boundary: Boundary,
    bands: Bands,
    truth: Vec<Spectrum>,
}

/// The condition there, in memory.
struct Part {
    channels: Vec<Field3>,
    density: Normalizer,
}

impl Condition for Part {
    fn grid(&self) -> &Grid {
        Condition::grid(&self.channels)
    }

    fn count(&self) -> usize {
        self.channels.len()
    }

    fn channels(&self, region: &Region) -> Result<Vec<f32>, OutpaintError> {
        self.channels.channels(region)
    }

    fn density_normalizer(&self) -> Option<Normalizer> {
        Some(self.density)
    }

    fn hash(&self) -> Result<String, OutpaintError> {
        self.channels.hash()
    }
}

impl SpectrumCheck {
    /// The check that `config` asks for, if it does, on a part of what `pairs` validates on.
    ///
    /// # Errors
    /// [`TrainingError::ConfigValue`] if there is nothing to validate on; [`TrainingError::Tiling`] if it is
    /// smaller than a window; [`TrainingError::Spectrum`] if the truth has no mean.
    pub(crate) fn new(config: &RunConfig, pairs: &PairSet) -> Result<Option<Self>, TrainingError> {
        let Some(wanted) = config.training.spectrum else { return Ok(None) };
        let Some(part) = pairs.validation_part(wanted.cells)? else {
            let expected = "it needs data.validation or data.hold_out".into();
            return Err(value_error("training.spectrum", "there with nothing to validate on", expected));
        };
        let grid = part.truth[0].grid();
        let bands = Bands::logarithmic(fundamental_h_mpc(grid), nyquist_h_mpc(grid), BANDS)?;
        let truth = part.truth.iter().map(|field| Ok(Modes::new(field, None)?.power_in(&bands)));
        let check = Self {
            config: wanted,
            generation: config.generation,
            window_cells: config.training.patch_cells,
            batch: config.training.batch_size / config.training.accumulate,
            truth_normalizers: pairs.normalizers().truth.clone(),
            truth: truth.collect::<Result<_, TrainingError>>()?,
            condition: Part { channels: part.condition, density: pairs.normalizers().condition.unbounded() },
            boundary: part.boundary,
            bands,
        };
        Ok(Some(check))
    }

    /// Whether it is time, after update `step` of `steps`.
    pub(crate) fn is_due(&self, step: u64, steps: u64) -> bool {
        step.is_multiple_of(self.config.every_steps) || step == steps
    }

    /// Evaluations of a patch that the samples take.
    ///
    /// # Errors
    /// [`TrainingError::Tiling`] if windows do not fit.
    pub(crate) fn evaluations(&self) -> Result<u64, TrainingError> {
        let cells = self.condition.grid().cells();
        let GenerationConfig { seed, .. } = self.generation;
        let place = Place::whole(cells, self.boundary);
        let plan = Plan::new(&self.generation, seed, &place, self.window_cells, self.truth.len())?;
        Ok((plan.evaluations * self.config.samples) as u64)
    }

    /// Draws the samples, shared by all ranks, and compares their mean power with the truth's. None if `stop` became true
    /// meanwhile, and on all ranks but the first.
    pub(crate) fn measure(
        &self,
        denoiser: &dyn Denoise,
        device: &Device,
        step: u64,
        (ranks, stop): (&Ranks, &AtomicBool),
    ) -> Result<Option<SpectrumMetrics>, TrainingError> {
        let mut power = vec![vec![0.0; self.bands.count()]; self.truth.len()];
        for number in 0..self.config.samples {
            let job = self.job(denoiser, device, number as u64, ranks);
            let sample = match generate(&job, &Store::Memory, &mut |_| {}, stop) {
                Err(OutpaintError::Cancelled) => return Ok(None),
                generated => generated?.for_first()?,
            };
            for (sums, field) in power.iter_mut().zip(&sample) {
                for (sum, power) in sums.iter_mut().zip(self.power(field)?) {
                    *sum += power / self.config.samples as f64;
                }
            }
        }
        Ok(ranks.is_first().then(|| compare(step, &power, &self.truth)))
    }

    fn job<'a>(
        &'a self,
        denoiser: &'a dyn Denoise,
        device: &'a Device,
        number: u64,
        ranks: &'a Ranks,
    ) -> Job<'a> {
        let seed = self.generation.seed.wrapping_add(number);
        Job {
            denoiser,
            model_hash: "in training",
            window_cells: self.window_cells,
            condition: &self.condition,
            boundary: self.boundary,
            truth_normalizers: &self.truth_normalizers,
            region: Region::whole(self.condition.grid()),
            given: None,
            config: GenerationConfig { seed, ..self.generation },
            batch: self.batch,
            device,
            ranks,
            program: &serde_json::Value::Null,
        }
    }

    fn power(&self, sample: &Field3) -> Result<Vec<f64>, TrainingError> {
        match Modes::new(sample, None) {
            // A network that has learnt little may draw nothing at all.
            Err(SpectraError::NotADensity { .. }) => Ok(vec![0.0; self.bands.count()]),
            modes => Ok(modes?.power_in(&self.bands).power),
        }
    }
}

/// Ratios in the bands that have modes, one field after another, and the mean of |ln ratio|.
fn compare(step: u64, power: &[Vec<f64>], truth: &[Spectrum]) -> SpectrumMetrics {
    let ratios = power.iter().zip(truth).flat_map(|(power, truth)| {
        let bands = (0..truth.len()).filter(|&band| truth.modes[band] > 0);
        bands.map(|band| (truth.k_h_mpc[band], power[band] / truth.power[band]))
    });
    let (k_h_mpc, power_ratio): (Vec<f64>, Vec<f64>) = ratios.unzip();
    let sum: f64 = power_ratio.iter().map(|ratio| ratio.ln().abs()).sum();
    SpectrumMetrics { step, spectrum_error: sum / power_ratio.len() as f64, k_h_mpc, power_ratio }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use candle_core::Tensor;
    use finescale_outpaint::{MassGuidance, Strategy};
    use finescale_pairs::Normalizers;

    /// Sampling ends a little above noise zero, and the normalization rounds.
    const RATIO_REL: f64 = 0.02;

    /// Knows the truth: in the fixture, the condition is the truth to the power of 0.7.
    struct Knowing {
        normalizers: Normalizers,
        exponent: f64,
    }

    impl Denoise for Knowing {
        fn predict_clean(&self, _: &Tensor, condition: &Tensor, _: &Tensor) -> candle_core::Result<Tensor> {
            let (from, to) = (self.normalizers.condition, self.normalizers.truth[0]);
            let values: Vec<f32> = condition.flatten_all()?.to_vec1()?;
            let clean = |y: &f32| to.normalize(from.denormalize(*y).powf(self.exponent as f32));
            Tensor::from_vec(values.iter().map(clean).collect(), condition.shape(), condition.device())
        }

        fn takes_known_channels(&self) -> bool {
            false
        }
    }

    fn check(change: impl Fn(&mut RunConfig)) -> (SpectrumCheck, Normalizers) {
        let mut config = fixtures::config();
        config.training.spectrum = Some(SpectrumConfig { every_steps: 4, cells: 10, samples: 2 });
        change(&mut config);
        let pairs = fixtures::pairs(config.data.normalization()).unwrap();
        (SpectrumCheck::new(&config, &pairs).unwrap().unwrap(), pairs.normalizers().clone())
    }

    fn measure(check: &SpectrumCheck, normalizers: Normalizers, exponent: f64) -> SpectrumMetrics {
        let network = Knowing { normalizers, exponent };
        check
            .measure(&network, &Device::Cpu, 4, (&fixtures::ALONE, &AtomicBool::new(false)))
            .unwrap()
            .unwrap()
    }

    #[test]
    fn a_network_that_knows_the_truth_has_its_power() {
        // Of a part and of the whole periodic box.
        for cells in [10, 64] {
            let (check, normalizers) =
                check(|c| c.training.spectrum.as_mut().expect("it was set").cells = cells);
            assert_eq!(check.boundary == Boundary::Periodic, cells == 64);
            let found = measure(&check, normalizers.clone(), 1.0 / 0.7);
            assert!(found.step == 4 && (2..=8).contains(&found.power_ratio.len()));
            assert!(found.k_h_mpc.is_sorted() && found.k_h_mpc.len() == found.power_ratio.len());
            assert!(found.power_ratio.iter().all(|ratio| (ratio - 1.0).abs() < RATIO_REL), "{found:?}");
            assert!(found.spectrum_error < RATIO_REL);
            // Half the exponent is much less contrast.
            let flat = measure(&check, normalizers, 0.5 / 0.7);
            assert!(flat.spectrum_error > 0.5 && flat.power_ratio.iter().all(|&r| r < 0.7), "{flat:?}");
        }
    }

    #[test]
    fn samples_are_held_to_the_mass_of_the_condition_here_too() {
        let [free, held] = [None, Some(MassGuidance::over(3.0))].map(|guidance| {
            let (check, normalizers) = check(|c| {
                c.training.spectrum.as_mut().expect("it was set").cells = 64;
                let Strategy::Joint(joint) = &mut c.generation.strategy else {
                    panic!("joint is the default")
                };
                joint.mass_guidance = guidance;
            });
            measure(&check, normalizers, 1.0 / 0.7)
        });
        // The truth has more contrast than the condition, which its largest waves are now held to.
        assert!(held.power_ratio[0] < 0.95 * free.power_ratio[0], "{held:?} {free:?}");
    }

    #[test]
    fn the_error_is_the_mean_logarithm_by_hand() {
        let truth: Spectrum = [(0.5, 2.0, 9), (0.7, f64::NAN, 0), (1.0, 4.0, 30)].into_iter().collect();
        let found = compare(7, &[vec![4.0, f64::NAN, 2.0]], &[truth]);
        assert_eq!((found.k_h_mpc, found.power_ratio), (vec![0.5, 1.0], vec![2.0, 0.5]));
        assert!((found.spectrum_error - std::f64::consts::LN_2).abs() < 1e-12);
    }

    #[test]
    fn it_is_due_every_so_often_and_at_the_end_and_heeds_a_stop() {
        let (check, normalizers) = check(|_| {});
        let due: Vec<u64> = (1..=10).filter(|&step| check.is_due(step, 10)).collect();
        assert_eq!(due, [4, 8, 10]);
        let network = Knowing { normalizers, exponent: 1.0 };
        let stopped =
            check.measure(&network, &Device::Cpu, 4, (&fixtures::ALONE, &AtomicBool::new(true))).unwrap();
        assert_eq!(stopped, None);
    }

    #[test]
    fn it_needs_something_to_validate_on() {
        let mut config = fixtures::config();
        config.training.spectrum = Some(SpectrumConfig { every_steps: 4, cells: 10, samples: 1 });
        let pairs = fixtures::training_pairs();
        let error = SpectrumCheck::new(&config, &pairs).map(|check| check.is_some()).unwrap_err();
        assert!(matches!(error, TrainingError::ConfigValue { key: "training.spectrum", .. }), "{error}");
    }
}
