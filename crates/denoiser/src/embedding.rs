//! Noise levels as waves.

use candle_core::{Result, Tensor};

/// Longest over shortest wave.
const MAX_PERIOD: f64 = 10_000.0;

/// cos and sin of the level at `channels / 2` frequencies falling geometrically from 1 towards 1 / 10 000. The level is
/// not multiplied by anything first: the reference feeds ᾱ itself.
///
/// # Shapes
/// `level` (b,). Returns (b, channels), for even `channels`.
/// # Errors
/// If `level` is not of rank 1.
/// # Source
/// Vaswani et al. 2017, arXiv:1706.03762, section 3.5, with cosines first.
pub(crate) fn level_embedding(level: &Tensor, channels: usize) -> Result<Tensor> {
    let half = channels / 2;
    let frequency = |i: usize| (-MAX_PERIOD.ln() * i as f64 / half as f64).exp() as f32;
    let frequencies: Vec<f32> = (0..half).map(frequency).collect();
    let frequencies = Tensor::from_vec(frequencies, (1, half), level.device())?.to_dtype(level.dtype())?;
    let phase = level.reshape((level.dims1()?, 1))?.broadcast_mul(&frequencies)?;
    Tensor::cat(&[phase.cos()?, phase.sin()?], 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn waves_by_hand() {
        let level = Tensor::new(&[0.0f32, 2.0], &Device::Cpu).unwrap();
        let waves = level_embedding(&level, 4).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(waves[0], [1.0, 1.0, 0.0, 0.0]);
        let expected = [2f32.cos(), 0.02f32.cos(), 2f32.sin(), 0.02f32.sin()];
        assert!(waves[1].iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6));
    }
}
