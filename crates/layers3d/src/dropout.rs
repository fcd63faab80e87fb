//! Which units dropout keeps.

use finescale_seed::KeyedStream;
use rayon::prelude::*;

/// Words of bits made by one task.
const CHUNK: usize = 1 << 9;
/// Units whose bits make a word: eight blocks of four random words.
const BLOCKS_OF_WORD: usize = 8;

/// Units that are set to zero with probability `rate`, by a pure function of stream, step, layer and unit; the others are divided by
/// 1 - rate.
///
/// # Source
/// Srivastava et al. 2014, JMLR 15, 1929.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// Share of the units that are dropped, in (0, 1).
    pub rate: f64,
    /// A stream of [`Purpose::Dropout`](finescale_seed::Purpose::Dropout).
    pub stream: KeyedStream,
    /// Training step.
    pub step: u32,
    /// Number of the layer in its network.
    pub layer: u64,
}

impl Dropout {
    /// What units that are kept are multiplied by.
    #[must_use]
    pub fn factor(&self) -> f32 {
        (1.0 / (1.0 - self.rate)) as f32
    }

    /// One bit per unit, set where it is kept, from the lowest bit of the first word on. Units are counted in the order (b, x, y, z, c).
    #[must_use]
    pub fn bits(&self, units: usize) -> Vec<u32> {
        let dropped_below = self.dropped_below();
        let mut bits = vec![0u32; units.div_ceil(32)];
        bits.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, words)| {
            let first_block = self.first_block() + (chunk * CHUNK * BLOCKS_OF_WORD) as u64;
            for (word, first_block) in words.iter_mut().zip((first_block..).step_by(BLOCKS_OF_WORD)) {
                let kept = |random: u32| u32::from(random >= dropped_below);
                for block in 0..BLOCKS_OF_WORD as u64 {
                    let [a, b, c, d] = self.stream.bits(self.step, first_block + block).map(kept);
                    *word |= (a | b << 1 | c << 2 | d << 3) << (4 * block);
                }
            }
        });
        bits
    }

    /// The random words below which units are dropped: one word for each unit.
    pub(crate) fn dropped_below(&self) -> u32 {
        (self.rate * 4_294_967_296.0) as u32
    }

    /// The block of random words that begins the layer: 2³⁸ blocks after the layer before.
    pub(crate) fn first_block(&self) -> u64 {
        self.layer << 38
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, Layers as _};
    use candle_core::{DType, Device, Tensor};
    use finescale_seed::Purpose;

    const UNITS: usize = 3200 * 32;

    fn at(step: u32, layer: u64) -> Dropout {
        Dropout { rate: 0.2, stream: KeyedStream::new(3, Purpose::Dropout), step, layer }
    }

    fn bits(step: u32, layer: u64) -> Vec<u32> {
        at(step, layer).bits(UNITS)
    }

    #[test]
    fn the_right_share_is_dropped_and_the_mean_kept() {
        let kept = bits(0, 0).iter().map(|word| word.count_ones()).sum::<u32>();
        let dropped = 1.0 - f64::from(kept) / UNITS as f64;
        let standard_error = (0.2 * 0.8 / UNITS as f64).sqrt();
        assert!((dropped - 0.2).abs() < 5.0 * standard_error, "{dropped}");
        let x = Tensor::ones((1, 1, 3200, 32, 1), DType::F32, &Device::Cpu).unwrap();
        let engine = Engine::new();
        let volume = engine.dropout(&engine.input(&x).unwrap(), at(0, 0)).unwrap();
        let values = engine.output(&volume).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(values.iter().all(|&v| v == 0.0 || v == 1.25));
        assert_eq!(values.iter().filter(|&&v| v > 0.0).count(), kept as usize);
    }

    #[test]
    fn masks_are_keyed_by_step_and_layer() {
        assert_eq!(bits(4, 5), bits(4, 5));
        assert_ne!(bits(4, 5), bits(5, 5));
        assert_ne!(bits(4, 5), bits(4, 6));
    }
}
