//! Random numbers addressed by (seed, purpose, step, index).

use crate::philox4x32_10;

/// What random numbers are for. Streams of different purposes never share a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Purpose {
    /// Gaussian amplitudes of a mock universe's initial modes; index = packed mode number.
    InitialModes = 1,
    /// The sub-voxel offset of a mock universe's particle lattices.
    LatticeOffset = 2,
    /// Initial weights of a network; step = number of the tensor.
    Weights = 3,
    /// Corner of a training patch; step = training step.
    Crop = 4,
    /// Symmetry of the cube applied to a training patch.
    Symmetry = 5,
    /// Noise level of a training patch.
    NoiseLevel = 6,
    /// Noise added to a training patch.
    TrainingNoise = 7,
    /// Mask of known voxels of a training patch.
    Mask = 8,
    /// Units dropped in training.
    Dropout = 9,
    /// First state of a sampler; index = global voxel.
    SamplerStart = 10,
    /// Noise of one reverse step; step = sampler step, index = global voxel.
    SamplerStep = 11,
    /// Shift of the window lattice in joint sampling; step = sampler step.
    WindowShift = 12,
    /// Order of the samples in a validation run.
    Validation = 13,
    /// Poisson or test points.
    Points = 14,
    /// Resampling of blocks for error bars.
    Bootstrap = 15,
}

/// Random numbers for one purpose under one seed.
///
/// # Examples
/// A number belongs to its key and not to the order of calls: parts of a step can be made anywhere, in any
/// order.
/// ```
/// use finescale_seed::{KeyedStream, Purpose};
///
/// let noise = KeyedStream::new(7, Purpose::TrainingNoise);
/// let step = 3;
/// let mut whole = [0f32; 100];
/// noise.fill_normal(step, 0, &mut whole);
/// let mut tail = [0f32; 40];
/// noise.fill_normal(step, 60, &mut tail);
/// assert_eq!(tail, whole[60..]);
/// assert_eq!(noise.normal(step, 60), tail[0]);
///
/// // Other steps, purposes and seeds have other numbers.
/// assert_ne!(noise.normal(step + 1, 60), tail[0]);
/// assert_ne!(KeyedStream::new(7, Purpose::SamplerStep).normal(step, 60), tail[0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyedStream {
    seed: u64,
    purpose: Purpose,
}

impl KeyedStream {
    /// The stream of `purpose` under `seed`.
    #[must_use]
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Self { seed, purpose }
    }

    /// Four random words of block `block` at `step`.
    #[must_use]
    pub fn bits(&self, step: u32, block: u64) -> [u32; 4] {
        philox4x32_10([block as u32, (block >> 32) as u32, step, self.purpose as u32], self.key())
    }

    /// The key of the block function; its counter is the block's two words, the step and the [`purpose`](Self::purpose).
    #[must_use]
    pub fn key(&self) -> [u32; 2] {
        [self.seed as u32, (self.seed >> 32) as u32]
    }

    /// What the numbers are for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// A uniform number in [0, 1) with 53 random bits.
    #[must_use]
    pub fn uniform(&self, step: u32, index: u64) -> f64 {
        let words = self.bits(step, index / 2);
        let lane = 2 * (index % 2) as usize;
        unit_interval(words[lane], words[lane + 1])
    }

    /// A number from the normal distribution of mean 0 and variance 1.
    #[must_use]
    pub fn normal(&self, step: u32, index: u64) -> f32 {
        normals(self.bits(step, index / 4))[(index % 4) as usize]
    }

    /// Standard normal numbers for the indices `first_index..first_index + out.len()`: element i has the bits
    /// of [`normal`](Self::normal) at `first_index + i`.
    pub fn fill_normal(&self, step: u32, first_index: u64, out: &mut [f32]) {
        let mut filled = 0;
        while filled < out.len() {
            let index = first_index + filled as u64;
            let lane = (index % 4) as usize;
            let count = (4 - lane).min(out.len() - filled);
            let four = normals(self.bits(step, index / 4));
            out[filled..filled + count].copy_from_slice(&four[lane..lane + count]);
            filled += count;
        }
    }
}

/// 53 bits of two words as a number in [0, 1).
pub(crate) fn unit_interval(high: u32, low: u32) -> f64 {
    let bits = (u64::from(high) << 21) ^ u64::from(low >> 11);
    bits as f64 / (1u64 << 53) as f64
}

/// Two Box-Muller pairs from four words.
///
/// # Source
/// Box & Muller 1958, Ann. Math. Statist. 29, 610. The radius uses a word in (0, 1], so the largest |normal| is
/// 6.7.
fn normals(words: [u32; 4]) -> [f32; 4] {
    let pair = |radius_bits: u32, angle_bits: u32| {
        let uniform = (f64::from(radius_bits) + 1.0) / 4_294_967_296.0;
        let radius = libm::sqrt(-2.0 * libm::log(uniform));
        let (sin, cos) = libm::sincos(std::f64::consts::TAU * f64::from(angle_bits) / 4_294_967_296.0);
        [(radius * cos) as f32, (radius * sin) as f32]
    };
    let ([a, b], [c, d]) = (pair(words[0], words[1]), pair(words[2], words[3]));
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moments_of_a_standard_normal() {
        let mut sample = vec![0f32; 200_000];
        KeyedStream::new(7, Purpose::TrainingNoise).fill_normal(3, 0, &mut sample);
        let n = sample.len() as f64;
        let moment = |p: i32| sample.iter().map(|&x| f64::from(x).powi(p)).sum::<f64>() / n;
        // Five standard errors: sqrt(var(x^p) / n).
        assert!(moment(1).abs() < 5.0 * (1.0 / n).sqrt());
        assert!((moment(2) - 1.0).abs() < 5.0 * (2.0 / n).sqrt());
        assert!(moment(3).abs() < 5.0 * (15.0 / n).sqrt());
        assert!((moment(4) - 3.0).abs() < 5.0 * (96.0 / n).sqrt());
    }

    #[test]
    fn streams_differ_by_every_part_of_the_key() {
        let base = KeyedStream::new(1, Purpose::Crop).bits(2, 3);
        assert_ne!(base, KeyedStream::new(2, Purpose::Crop).bits(2, 3));
        assert_ne!(base, KeyedStream::new(1 << 32, Purpose::Crop).bits(2, 3));
        assert_ne!(base, KeyedStream::new(1, Purpose::Mask).bits(2, 3));
        assert_ne!(base, KeyedStream::new(1, Purpose::Crop).bits(1, 3));
        assert_ne!(base, KeyedStream::new(1, Purpose::Crop).bits(2, 3 + (1 << 32)));
    }

    proptest! {
        #[test]
        fn a_filled_slice_equals_single_draws(first in 0u64..1 << 40, length in 0usize..23, step: u32, seed: u64) {
            let stream = KeyedStream::new(seed, Purpose::SamplerStep);
            let mut filled = vec![0f32; length];
            stream.fill_normal(step, first, &mut filled);
            for (i, value) in filled.iter().enumerate() {
                prop_assert_eq!(value.to_bits(), stream.normal(step, first + i as u64).to_bits());
            }
        }

        #[test]
        fn uniform_numbers_stay_in_the_unit_interval(index: u64, seed: u64) {
            let u = KeyedStream::new(seed, Purpose::Crop).uniform(0, index);
            prop_assert!((0.0..1.0).contains(&u));
        }
    }
}
