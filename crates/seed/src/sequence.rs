//! Random numbers drawn one after another, for choices that have no natural index.

use crate::KeyedStream;

/// Draws one number after another from one step of a stream. Two words make each draw, whatever its kind, so
/// the number of draws alone fixes the position.
#[derive(Clone, Debug)]
pub struct Sequence {
    stream: KeyedStream,
    step: u32,
    drawn: u64,
}

impl Sequence {
    /// A sequence that starts at the first number of `step`.
    #[must_use]
    pub fn new(stream: KeyedStream, step: u32) -> Self {
        Self { stream, step, drawn: 0 }
    }

    /// A uniform number in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        let value = self.stream.uniform(self.step, self.drawn);
        self.drawn += 1;
        value
    }

    /// A uniform integer in `0..end_exclusive`.
    ///
    /// # Panics
    /// If `end_exclusive` is zero.
    pub fn below(&mut self, end_exclusive: usize) -> usize {
        assert!(end_exclusive > 0, "an empty range holds no number");
        // 53 bits over any range met here: the bias is below range / 2^53.
        ((self.uniform() * end_exclusive as f64) as usize).min(end_exclusive - 1)
    }

    /// A standard normal number, by Box-Muller from two uniform ones.
    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.uniform(), self.uniform());
        libm::sqrt(-2.0 * libm::log(radius)) * libm::cos(std::f64::consts::TAU * angle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Purpose;

    #[test]
    fn integers_cover_their_range_evenly() {
        let mut sequence = Sequence::new(KeyedStream::new(5, Purpose::Symmetry), 0);
        let mut counts = [0f64; 48];
        for _ in 0..48_000 {
            counts[sequence.below(48)] += 1.0;
        }
        let chi2: f64 = counts.iter().map(|c| (c - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi2 < 47.0 + 5.0 * (2.0 * 47.0f64).sqrt(), "chi2 = {chi2} for 47 degrees of freedom");
    }

    #[test]
    fn a_sequence_restarts_with_the_same_numbers() {
        let stream = KeyedStream::new(5, Purpose::Crop);
        let draw = || {
            (0..9)
                .map({
                    let mut s = Sequence::new(stream, 4);
                    move |_| s.normal()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }
}
