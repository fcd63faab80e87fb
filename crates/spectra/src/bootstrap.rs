//! Error bars from the scatter between sub-volumes.

use crate::{Bands, Modes, SpectraError, Spectrum};
use finescale_field::{Field3, Scheme};
use finescale_seed::{KeyedStream, Purpose, Sequence};
use rayon::prelude::*;

/// Power in bands of each of `blocks_per_axis`³ blocks, x slowest. δ is relative to the cosmic mean,
/// so that a block's own density counts as scatter; the blocks' edges are sharp, which leaks some power to
/// larger k.
///
/// # Errors
/// [`SpectraError::SubVolumes`] if the blocks do not divide the cells; [`SpectraError::NotADensity`] as
/// [`Modes::new`].
pub fn power_in_blocks(
    field: &Field3,
    window: Option<Scheme>,
    blocks_per_axis: usize,
    bands: &Bands,
) -> Result<Vec<Spectrum>, SpectraError> {
    let blocks = field.blocks(blocks_per_axis);
    let blocks = blocks.ok_or(SpectraError::SubVolumes { blocks_per_axis, cells: field.grid().cells() })?;
    blocks.map(|block| Ok(Modes::new(&block, window)?.power_in(bands))).collect()
}

/// Standard errors of a statistic of blocks: its standard deviation over `resamples` draws of `blocks` blocks
/// with replacement. `statistic` gets the numbers of the drawn blocks and returns the same number of values
/// each time.
///
/// The draws depend on the seed only. Where a value is not finite, its error is NaN.
///
/// # Errors
/// [`SpectraError::Resamples`] if there are fewer than two blocks or two resamples.
/// # Source
/// Efron 1979, Ann. Statist. 7, 1; blocks: Künsch 1989, Ann. Statist. 17, 1217.
pub fn bootstrap_errors(
    blocks: usize,
    resamples: usize,
    seed: u64,
    statistic: impl Fn(&[usize]) -> Vec<f64> + Sync,
) -> Result<Vec<f64>, SpectraError> {
    if blocks < 2 || resamples < 2 {
        return Err(SpectraError::Resamples { blocks, resamples });
    }
    let stream = KeyedStream::new(seed, Purpose::Bootstrap);
    let draws: Vec<Vec<f64>> = (0..resamples)
        .into_par_iter()
        .map(|draw| {
            let mut sequence = Sequence::new(stream, draw as u32);
            let drawn: Vec<usize> = (0..blocks).map(|_| sequence.below(blocks)).collect();
            statistic(&drawn)
        })
        .collect();
    let deviation = |bin: usize| {
        let mean = draws.iter().map(|draw| draw[bin]).sum::<f64>() / resamples as f64;
        let squares: f64 = draws.iter().map(|draw| (draw[bin] - mean).powi(2)).sum();
        (squares / (resamples - 1) as f64).sqrt()
    };
    Ok((0..draws[0].len()).map(deviation).collect())
}
