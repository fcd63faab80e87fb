//! The masks that generation meets, for training.

use crate::Order;
use finescale_seed::Sequence;
use ndarray::Array3;
use std::collections::HashMap;

/// Masks of voxels to generate (1) and known voxels (0), each as often as generation meets it.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskDistribution {
    masks: Vec<Array3<f32>>,
    /// Chance of each mask; they add up to 1.
    weights: Vec<f64>,
}

impl MaskDistribution {
    /// Replays `orders`, each as likely as the others. The first mask is that of the first window: everything unknown.
    /// Windows with nothing to generate, as between windows that fill a small volume, have nothing to learn from.
    #[must_use]
    pub fn new(orders: &[Order]) -> Self {
        let mut numbers: HashMap<Vec<bool>, usize> = HashMap::new();
        let (mut masks, mut weights): (Vec<Array3<f32>>, Vec<f64>) = (Vec::new(), Vec::new());
        for order in orders {
            let mut met: Vec<_> = (0..order.windows()).map(|position| order.unknown(position)).collect();
            met.retain(|mask| mask.iter().any(|&unknown| unknown == 1.0));
            let weight = 1.0 / (orders.len() * met.len()) as f64;
            for mask in met {
                let key = mask.iter().map(|&unknown| unknown == 1.0).collect();
                let number = *numbers.entry(key).or_insert(masks.len());
                if number == masks.len() {
                    masks.push(mask);
                    weights.push(0.0);
                }
                weights[number] += weight;
            }
        }
        Self { masks, weights }
    }

    /// The same masks, but the one with everything unknown has a chance of `share` at least: a large volume meets it
    /// once, yet all other windows build on that one.
    #[must_use]
    pub fn with_unknown_share(mut self, share: f64) -> Self {
        let share = share.clamp(self.weights[0], 1.0);
        let others = 1.0 - self.weights[0];
        let factor = if others > 0.0 { (1.0 - share) / others } else { 0.0 };
        self.weights.iter_mut().for_each(|weight| *weight *= factor);
        self.weights[0] = if others > 0.0 { share } else { 1.0 };
        self
    }

    /// The distinct masks with their chances, in the order generation meets them.
    pub fn masks(&self) -> impl Iterator<Item = (&Array3<f32>, f64)> {
        self.masks.iter().zip(self.weights.iter().copied())
    }

    /// A mask, by one draw from `sequence`.
    pub fn draw(&self, sequence: &mut Sequence) -> &Array3<f32> {
        let mut left = sequence.uniform();
        for (mask, weight) in self.masks() {
            if left < weight {
                return mask;
            }
            left -= weight;
        }
        // Rounding: the weights add up to 1 within some units of the last place.
        &self.masks[self.masks.len() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Boundary, Tiling};
    use finescale_seed::{KeyedStream, Purpose};

    #[test]
    fn a_tiling_of_three_windows_an_axis_has_a_mask_for_every_window() {
        let tiling = Tiling::new([24; 3], 12, 4, Boundary::Periodic).unwrap();
        assert_eq!(tiling.windows(), 27);
        let masks = MaskDistribution::new(&[Order::raster(tiling)]);
        // First, middle and last window of each axis see different sides.
        assert_eq!(masks.masks().count(), 27);
        assert_eq!(masks.masks().next().unwrap().0.sum(), 12.0f32.powi(3));
    }

    #[test]
    fn equal_masks_are_counted_once_and_weigh_by_use() {
        // Four windows in x: the second and third see the same.
        let tiling = Tiling::new([32, 12, 12], 12, 4, Boundary::Periodic).unwrap();
        let masks = MaskDistribution::new(&[Order::raster(tiling)]);
        let weights: Vec<f64> = masks.masks().map(|(_, weight)| weight).collect();
        assert_eq!(weights, [0.25, 0.5, 0.25]);

        let mut sequence = Sequence::new(KeyedStream::new(1, Purpose::Mask), 0);
        let draws = 4000;
        let middle = &masks.masks[1];
        let drawn = (0..draws).filter(|_| masks.draw(&mut sequence) == middle).count() as f64;
        // Five standard errors of a binomial count.
        assert!((drawn - 0.5 * f64::from(draws)).abs() < 5.0 * (0.25 * f64::from(draws)).sqrt());

        let weights: Vec<f64> = masks.with_unknown_share(0.4).masks().map(|(_, weight)| weight).collect();
        for (found, expected) in weights.iter().zip([0.4, 0.4, 0.2]) {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn nothing_to_generate_is_no_mask() {
        // Two windows of even number fill each axis, and leave nothing for the fifty-six between them.
        let tiling = Tiling::alternating([24; 3], 12, 3, Boundary::Periodic).unwrap();
        let order = Order::colour(tiling);
        assert_eq!(order.windows(), 64);
        let masks = MaskDistribution::new(&[order]);
        let masks: Vec<(f32, f64)> = masks.masks().map(|(mask, weight)| (mask.sum(), weight)).collect();
        assert_eq!(masks, [(12.0f32.powi(3), 1.0)]);
    }

    #[test]
    fn a_single_window_has_a_single_mask() {
        let tiling = Tiling::new([12; 3], 12, 4, Boundary::Periodic).unwrap();
        let masks = MaskDistribution::new(&[Order::raster(tiling)]).with_unknown_share(0.3);
        assert_eq!(masks.masks().map(|(_, weight)| weight).collect::<Vec<_>>(), [1.0]);
    }
}
