//! Units dropped in training.

use candle_core::{Result, Tensor};
use finescale_seed::KeyedStream;
use rayon::prelude::*;

/// Numbers drawn by one task.
const CHUNK: usize = 1 << 14;

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
pub(crate) fn dropout(x: &Tensor, rate: f64, mode: Mode, layer: u64) -> Result<Tensor> {
    match mode {
        Mode::Train { dropout, step } if rate > 0.0 => {
            let mask = keep_mask(x.elem_count(), rate, &dropout, step, layer);
            x * Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?
        }
        Mode::Train { .. } | Mode::Evaluate => Ok(x.clone()),
    }
}

/// 0 or 1 / (1 - rate) per unit: one random word each, 2³⁸ blocks of four words apart from the next layer.
fn keep_mask(units: usize, rate: f64, stream: &KeyedStream, step: u32, layer: u64) -> Vec<f32> {
    let dropped_below = (rate * 4_294_967_296.0) as u32;
    let kept = (1.0 / (1.0 - rate)) as f32;
    let mut mask = vec![0f32; units];
    mask.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
        let first_block = (layer << 38) + (chunk * CHUNK / 4) as u64;
        for (block, four) in (first_block..).zip(values.chunks_mut(4)) {
            for (value, word) in four.iter_mut().zip(stream.bits(step, block)) {
                *value = if word < dropped_below { 0.0 } else { kept };
            }
        }
    });
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use finescale_seed::Purpose;

    fn mask(step: u32, layer: u64) -> Vec<f32> {
        keep_mask(100_001, 0.2, &KeyedStream::new(3, Purpose::Dropout), step, layer)
    }

    #[test]
    fn the_right_share_is_dropped_and_the_mean_kept() {
        let mask = mask(0, 0);
        let dropped = mask.iter().filter(|&&v| v == 0.0).count() as f64 / mask.len() as f64;
        let standard_error = (0.2 * 0.8 / mask.len() as f64).sqrt();
        assert!((dropped - 0.2).abs() < 5.0 * standard_error, "{dropped}");
        assert!(mask.iter().all(|&v| v == 0.0 || v == 1.25));
    }

    #[test]
    fn masks_are_keyed_by_step_and_layer() {
        assert_eq!(mask(4, 5), mask(4, 5));
        assert_ne!(mask(4, 5), mask(5, 5));
        assert_ne!(mask(4, 5), mask(4, 6));
    }

    #[test]
    fn nothing_is_dropped_in_evaluation() {
        let x = Tensor::new(&[1f32, 2.0, 3.0], &Device::Cpu).unwrap();
        assert_eq!(dropout(&x, 0.9, Mode::Evaluate, 0).unwrap().to_vec1::<f32>().unwrap(), [1.0, 2.0, 3.0]);
    }
}
