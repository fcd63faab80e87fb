//! Units dropped in training.

use candle_core::Result;
use finescale_layers3d::{Dropout, Layers};
use finescale_seed::KeyedStream;

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

/// Drops units of a layer with probability `rate` in training.
///
/// # Errors
/// If the device has no room.
pub(crate) fn dropout<L: Layers>(
    on: &L,
    x: &L::Volume,
    rate: f64,
    mode: Mode,
    layer: u64,
) -> Result<L::Volume> {
    match mode {
        Mode::Train { dropout: stream, step } if rate > 0.0 => {
            on.dropout(x, Dropout { rate, stream, step, layer })
        }
        Mode::Train { .. } | Mode::Evaluate => Ok(x.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};
    use finescale_layers3d::Composed;

    #[test]
    fn nothing_is_dropped_in_evaluation() {
        let x = Tensor::new(&[1f32, 2.0, 3.0], &Device::Cpu).unwrap();
        let kept = dropout(&Composed, &x, 0.9, Mode::Evaluate, 0).unwrap();
        assert_eq!(kept.to_vec1::<f32>().unwrap(), [1.0, 2.0, 3.0]);
    }
}
