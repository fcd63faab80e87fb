//! Units dropped in training.

use candle_core::Result;
use finescale_layers3d::Layers;
use finescale_seed::KeyedStream;
use rayon::prelude::*;

/// Words of bits made by one task.
const CHUNK: usize = 1 << 9;

/// What a network is evaluated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To use its result: nothing is dropped.
    Evaluate,
    /// To learn: units are dropped, by a pure function of stream, step, layer and unit.
    Train {
        /// A stream of [`Purpose::Dropout`](finescale_seed::Purpose::Dropout).
        dropout: KeyedStream,
        /// Training step.
        step: u32,
    },
}

/// Sets each unit to zero with probability `rate` and divides the others by 1 - rate.
///
/// # Errors
/// If the device has no room.
/// # Source
/// Srivastava et al. 2014, JMLR 15, 1929.
pub(crate) fn dropout<L: Layers>(
    on: &L,
    x: &L::Volume,
    rate: f64,
    mode: Mode,
    layer: u64,
) -> Result<L::Volume> {
    match mode {
        Mode::Train { dropout, step } if rate > 0.0 => {
            let bits = keep_bits(on.units(x), rate, &dropout, step, layer);
            on.keep(x, bits, (1.0 / (1.0 - rate)) as f32)
        }
        Mode::Train { .. } | Mode::Evaluate => Ok(x.clone()),
    }
}

/// One bit per unit, set where it is kept, by one random word each, 2³⁸ blocks of four words apart from the next
/// layer.
fn keep_bits(units: usize, rate: f64, stream: &KeyedStream, step: u32, layer: u64) -> Vec<u32> {
    let dropped_below = (rate * 4_294_967_296.0) as u32;
    let mut bits = vec![0u32; units.div_ceil(32)];
    bits.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, words)| {
        let first_block = (layer << 38) + (chunk * CHUNK * 8) as u64;
        for (word, first_block) in words.iter_mut().zip((first_block..).step_by(8)) {
            let kept = |random: u32| u32::from(random >= dropped_below);
            for block in 0..8 {
                let [a, b, c, d] = stream.bits(step, first_block + block).map(kept);
                *word |= (a | b << 1 | c << 2 | d << 3) << (4 * block);
            }
        }
    });
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};
    use finescale_layers3d::{Composed, Engine};
    use finescale_seed::Purpose;

    const UNITS: usize = 3200 * 32;

    fn bits(step: u32, layer: u64) -> Vec<u32> {
        keep_bits(UNITS, 0.2, &KeyedStream::new(3, Purpose::Dropout), step, layer)
    }

    #[test]
    fn the_right_share_is_dropped_and_the_mean_kept() {
        let kept = bits(0, 0).iter().map(|word| word.count_ones()).sum::<u32>();
        let dropped = 1.0 - f64::from(kept) / UNITS as f64;
        let standard_error = (0.2 * 0.8 / UNITS as f64).sqrt();
        assert!((dropped - 0.2).abs() < 5.0 * standard_error, "{dropped}");
        let x = Tensor::ones((1, 1, 3200, 32, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        let mode = Mode::Train { dropout: KeyedStream::new(3, Purpose::Dropout), step: 0 };
        let engine = Engine::new();
        let volume = dropout(&engine, &engine.input(&x).unwrap(), 0.2, mode, 0).unwrap();
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

    #[test]
    fn nothing_is_dropped_in_evaluation() {
        let x = Tensor::new(&[1f32, 2.0, 3.0], &Device::Cpu).unwrap();
        let kept = dropout(&Composed, &x, 0.9, Mode::Evaluate, 0).unwrap();
        assert_eq!(kept.to_vec1::<f32>().unwrap(), [1.0, 2.0, 3.0]);
    }
}
