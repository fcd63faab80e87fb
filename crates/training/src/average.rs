//! The exponential moving average of the weights, which is what gets sampled.

use crate::optimizer::in_place::Blend;
use candle_core::Var;

/// The decay at update number `updates` (from 0): min(`decay`, (1 + n)/(10 + n)), so that the initial weights
/// are soon forgotten.
pub(crate) fn ramped_decay(decay: f64, updates: u64) -> f64 {
    let n = updates as f64;
    decay.min((1.0 + n) / (10.0 + n))
}

/// Moves every average towards its weight: average ← decay · average + (1 − decay) · weight. Both come in the
/// order of names.
pub(crate) fn update<'a>(
    averages: impl Iterator<Item = (&'a str, &'a Var)>,
    weights: impl Iterator<Item = (&'a str, &'a Var)>,
    decay: f64,
) -> candle_core::Result<()> {
    for ((name, average), (other_name, weight)) in averages.zip(weights) {
        debug_assert_eq!(name, other_name);
        average.inplace_op2(weight, &Blend::plain(decay))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_decay_ramps_up_to_its_limit() {
        assert!((ramped_decay(0.999, 0) - 0.1).abs() < 1e-12);
        assert!((ramped_decay(0.999, 90) - 0.91).abs() < 1e-12);
        assert_eq!(ramped_decay(0.999, 100_000), 0.999);
        assert_eq!(ramped_decay(0.0, 5), 0.0);
    }

    #[test]
    fn an_average_moves_by_its_share() {
        let [average, weight] = [1.0f32, 3.0].map(|v| Var::new(&[v], &Device::Cpu).unwrap());
        update([("w", &average)].into_iter(), [("w", &weight)].into_iter(), 0.75).unwrap();
        assert_eq!(average.to_vec1::<f32>().unwrap(), [1.5]);
        assert_eq!(weight.to_vec1::<f32>().unwrap(), [3.0]);
    }
}
