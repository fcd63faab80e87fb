//! The averaged weights on pairs that training never sees.

use crate::draws::Draws;
use crate::{LevelLoss, TrainingError, ValidationMetrics};
use finescale_diffusion::sigma_of_alpha_bar;

/// Ranges of noise levels that are reported on their own.
const RANGES: usize = 4;

/// The mean of `loss` over `batches`, which come noisiest first, and over each quarter of them.
pub(crate) fn validate(
    batches: &[Draws],
    step: u64,
    mut loss: impl FnMut(&Draws) -> Result<f64, TrainingError>,
) -> Result<ValidationMetrics, TrainingError> {
    let losses = batches.iter().map(&mut loss).collect::<Result<Vec<f64>, _>>()?;
    let per_range = batches.len().div_ceil(RANGES);
    let range = |(batches, losses): (&[Draws], &[f64])| {
        let sigma = |alpha_bar: Option<&f64>| sigma_of_alpha_bar(*alpha_bar.expect("a batch has patches"));
        LevelLoss {
            sigma_max: sigma(batches[0].alpha_bars.first()),
            sigma_min: sigma(batches[batches.len() - 1].alpha_bars.last()),
            loss: mean(losses),
        }
    };
    let levels = batches.chunks(per_range).zip(losses.chunks(per_range)).map(range).collect();
    Ok(ValidationMetrics { step, validation_loss: mean(&losses), levels })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
