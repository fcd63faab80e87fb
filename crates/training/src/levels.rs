//! Noise levels spread evenly over a batch.

use finescale_diffusion::{LevelDraw, Levels};
use finescale_seed::Sequence;

/// Draws for each level wanted.
const DRAWS_PER_LEVEL: usize = 64;

/// What noise a network is trained on.
pub(crate) enum LevelSource {
    /// Levels of a distribution.
    Training(LevelDraw),
    /// Only those that a sampler visits, each as often.
    Sampling(Levels),
}

impl LevelSource {
    fn draw_alpha_bar(&self, sequence: &mut Sequence) -> f64 {
        match self {
            Self::Training(draw) => draw.draw_alpha_bar(sequence),
            Self::Sampling(levels) => levels.alpha_bars()[sequence.below(levels.len())],
        }
    }
}

/// `count` levels (ᾱ), noisiest first, one from each of `count` strata of equal probability: the gradient
/// varies less than with independent levels, and each stratum's level still follows the distribution.
///
/// The strata are those of a larger sorted sample, so any distribution serves.
///
/// # Source
/// Kingma et al. 2021, arXiv:2107.00630, appendix I.1 (low-discrepancy sampling of times).
pub(crate) fn stratified_levels(source: &LevelSource, count: usize, sequence: &mut Sequence) -> Vec<f64> {
    let sample = sorted_sample(source, count, sequence);
    sample.chunks_exact(DRAWS_PER_LEVEL).map(|stratum| stratum[sequence.below(DRAWS_PER_LEVEL)]).collect()
}

/// `count` levels in the middle of their strata, for a validation that always asks the same questions.
pub(crate) fn middle_levels(source: &LevelSource, count: usize, sequence: &mut Sequence) -> Vec<f64> {
    let sample = sorted_sample(source, count, sequence);
    sample.chunks_exact(DRAWS_PER_LEVEL).map(|stratum| stratum[DRAWS_PER_LEVEL / 2]).collect()
}

fn sorted_sample(source: &LevelSource, count: usize, sequence: &mut Sequence) -> Vec<f64> {
    let mut sample: Vec<f64> =
        (0..count * DRAWS_PER_LEVEL).map(|_| source.draw_alpha_bar(sequence)).collect();
    sample.sort_by(f64::total_cmp);
    sample
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_diffusion::{DiffusionConfig, TrainingLevels, sigma_of_alpha_bar};
    use finescale_seed::{KeyedStream, Purpose};

    #[test]
    fn strata_share_the_levels_and_keep_their_distribution() {
        let training_levels = TrainingLevels::LogNormal { mean: -0.5, deviation: 1.3 };
        let draw = DiffusionConfig { training_levels, ..Default::default() }.level_draw().unwrap();
        let draw = LevelSource::Training(draw);
        let stream = KeyedStream::new(4, Purpose::NoiseLevel);
        let batches: Vec<Vec<f64>> =
            (0..2000).map(|step| stratified_levels(&draw, 4, &mut Sequence::new(stream, step))).collect();
        // ln sigma falls as ᾱ rises; the quartiles of a normal distribution are at ±0.674 deviations.
        let score = |alpha_bar: f64| (sigma_of_alpha_bar(alpha_bar).ln() + 0.5) / 1.3;
        let below = batches.iter().filter(|b| score(b[3]) < -0.674).count();
        assert!(
            below > 1600,
            "the cleanest level is in the lowest quarter up to the sample's scatter: {below}"
        );
        let all: Vec<f64> = batches.iter().flatten().map(|&a| score(a)).collect();
        let n = all.len() as f64;
        let mean = all.iter().sum::<f64>() / n;
        let variance = all.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 5.0 / n.sqrt() && (variance - 1.0).abs() < 5.0 * (2.0 / n).sqrt());
    }

    #[test]
    fn levels_are_a_function_of_the_key() {
        let draw = LevelSource::Training(DiffusionConfig::default().level_draw().unwrap());
        let levels = |step| {
            let stream = KeyedStream::new(4, Purpose::NoiseLevel);
            stratified_levels(&draw, 3, &mut Sequence::new(stream, step))
        };
        assert_eq!(levels(7), levels(7));
        assert_ne!(levels(7), levels(8));
    }

    #[test]
    fn a_batch_has_each_of_a_sampler_s_levels_as_often() {
        let levels = Levels::log_uniform(4, 0.02, 12.0).unwrap();
        let source = LevelSource::Sampling(levels.clone());
        let draws: Vec<f64> = (0..500)
            .flat_map(|step| {
                let mut sequence = Sequence::new(KeyedStream::new(4, Purpose::NoiseLevel), step);
                stratified_levels(&source, 4, &mut sequence)
            })
            .collect();
        for level in levels.alpha_bars() {
            let count = draws.iter().filter(|draw| *draw == level).count() as f64;
            // 2,000 draws, each from 64 in its stratum: five deviations of a binomial at most.
            assert!((count - 500.0).abs() < 5.0 * (500.0f64 * 0.75).sqrt(), "{count}");
        }
    }
}
