//! The averaged weights on pairs that training never sees.

use crate::learner::Judged;
use crate::noised_batch::NoisedBatch;
use crate::parts::in_turn;
use crate::{LevelLoss, TrainingError, ValidationMetrics};
use finescale_diffusion::sigma_of_alpha_bar;
use finescale_ranks::Ranks;

/// Ranges of noise levels that are reported on their own.
const RANGES: usize = 4;

/// The means of what `judge` finds over `batches`, which come noisiest first, and over each quarter of them. Ranks take turns at them.
pub(crate) fn validate(
    batches: &[NoisedBatch],
    step: u64,
    ranks: &Ranks,
    mut judge: impl FnMut(&NoisedBatch) -> Result<Judged, TrainingError>,
) -> Result<ValidationMetrics, TrainingError> {
    let own = batches.iter().skip(ranks.rank()).step_by(ranks.count());
    let own = own.map(&mut judge).collect::<Result<Vec<Judged>, _>>()?;
    let all =
        |value: fn(&Judged) -> f64| in_turn(ranks, &own.iter().map(value).collect::<Vec<_>>(), batches.len());
    let (losses, biases) = (all(|judged| judged.loss)?, all(|judged| judged.bias)?);
    let found: Vec<Judged> =
        losses.into_iter().zip(biases).map(|(loss, bias)| Judged { loss, bias }).collect();
    let per_range = batches.len().div_ceil(RANGES);
    let range = |(batches, found): (&[NoisedBatch], &[Judged])| {
        let sigma = |alpha_bar: Option<&f64>| sigma_of_alpha_bar(*alpha_bar.expect("a batch has patches"));
        LevelLoss {
            sigma_max: sigma(batches[0].alpha_bars.first()),
            sigma_min: sigma(batches[batches.len() - 1].alpha_bars.last()),
            loss: mean(found, |judged| judged.loss),
            bias: mean(found, |judged| judged.bias),
        }
    };
    let levels = batches.chunks(per_range).zip(found.chunks(per_range)).map(range).collect();
    Ok(ValidationMetrics { step, validation_loss: mean(&found, |judged| judged.loss), levels })
}

fn mean(found: &[Judged], value: impl Fn(&Judged) -> f64) -> f64 {
    found.iter().map(value).sum::<f64>() / found.len() as f64
}
