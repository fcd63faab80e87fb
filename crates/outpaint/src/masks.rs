//! The masks that generation meets, for training.

use crate::Order;
use finescale_seed::Sequence;
use ndarray::Array3;
use std::borrow::Cow;
use std::collections::HashMap;

/// Masks of voxels to generate (1) and known voxels (0), each as often as generation meets it.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskDistribution {
    masks: Vec<Array3<f32>>,
    /// Chance of each mask; they add up to 1.
    weights: Vec<f64>,
    /// Chance that a mask is drawn of regions that begin and end anywhere.
    regions: f64,
}

/// Chance that an axis of a random region has an end in the window, and that what is known lies around it.
const CUT: f64 = 0.6;
const AROUND: f64 = 0.25;

impl MaskDistribution {
    /// Replays `orders`, each as likely as the others. The first mask is that of the first window: everything unknown.
    /// Windows with nothing to generate, as between windows that fill a small volume, have nothing to learn from.
    #[must_use]
    pub fn new(orders: &[Order]) -> Self {
        let mut numbers: HashMap<Vec<bool>, usize> = HashMap::new();
        let (mut masks, mut weights): (Vec<Array3<f32>>, Vec<f64>) = (Vec::new(), Vec::new());
        for order in orders {
            // The masks that its windows have: one window's is in memory beside them.
            let mut met = Vec::new();
            for position in 0..order.windows() {
                let mask = order.unknown(position);
                let key: Vec<bool> = mask.iter().map(|&unknown| unknown == 1.0).collect();
                if key.iter().any(|&unknown| unknown) {
                    met.push(*numbers.entry(key).or_insert_with(|| {
                        masks.push(mask);
                        weights.push(0.0);
                        masks.len() - 1
                    }));
                }
            }
            let weight = 1.0 / (orders.len() * met.len()) as f64;
            met.into_iter().for_each(|number| weights[number] += weight);
        }
        Self { masks, weights, regions: 0.0 }
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

    /// The same masks, but with a chance of `share` one whose known voxels are those of a cuboid, or all around one, that
    /// begins and ends anywhere: what is given to a volume meets its windows so.
    #[must_use]
    pub fn with_regions(self, share: f64) -> Self {
        Self { regions: share, ..self }
    }

    /// The distinct masks with their chances, in the order generation meets them, those of random regions left out.
    pub fn masks(&self) -> impl Iterator<Item = (&Array3<f32>, f64)> {
        self.masks.iter().zip(self.weights.iter().copied())
    }

    /// A mask, by one draw from `sequence`, or some for a random region.
    pub fn draw(&self, sequence: &mut Sequence) -> Cow<'_, Array3<f32>> {
        let mut left = sequence.uniform();
        if left < self.regions {
            return Cow::Owned(region(self.masks[0].dim().into(), sequence));
        }
        if self.regions > 0.0 {
            left = (left - self.regions) / (1.0 - self.regions);
        }
        for (mask, weight) in self.masks() {
            if left < weight {
                return Cow::Borrowed(mask);
            }
            left -= weight;
        }
        // Rounding: the weights add up to 1 within some units of the last place.
        Cow::Borrowed(&self.masks[self.masks.len() - 1])
    }
}

/// The mask of a window of `shape` that a random cuboid reaches into: known inside of it, or around it.
fn region(shape: [usize; 3], sequence: &mut Sequence) -> Array3<f32> {
    let ends = loop {
        // Of an axis without an end in the window, all cells.
        let ends = shape.map(|n| {
            if n < 2 || sequence.uniform() >= CUT {
                return [0, n];
            }
            let face = 1 + sequence.below(n - 1);
            match sequence.below(3) {
                0 => [0, face],
                1 => [face, n],
                _ => {
                    let other = 1 + sequence.below(n - 1);
                    [face.min(other), face.max(other).max(face.min(other) + 1)]
                }
            }
        });
        if ends.iter().zip(shape).any(|(&[first, last], n)| first > 0 || last < n) {
            break ends;
        }
    };
    let known_inside = sequence.uniform() >= AROUND;
    Array3::from_shape_fn(shape, |(x, y, z)| {
        let inside = ends.iter().zip([x, y, z]).all(|(&[first, last], at)| (first..last).contains(&at));
        if inside == known_inside { 0.0 } else { 1.0 }
    })
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
        let drawn = (0..draws).filter(|_| *masks.draw(&mut sequence) == *middle).count() as f64;
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
    fn random_regions_leave_something_known_and_something_to_draw() {
        let tiling = Tiling::new([24; 3], 12, 4, Boundary::Periodic).unwrap();
        let plain = MaskDistribution::new(&[Order::raster(tiling)]);
        let stream = KeyedStream::new(2, Purpose::Mask);
        let some = plain.clone().with_regions(0.3);
        let mut sequence = Sequence::new(stream, 0);
        let drawn: Vec<Array3<f32>> = (0..2000).map(|_| some.draw(&mut sequence).into_owned()).collect();
        let is_new = |mask: &&Array3<f32>| plain.masks().all(|(known, _)| known != *mask);
        let random: Vec<_> = drawn.iter().filter(is_new).collect();
        // A few random cuboids are those of windows: five standard errors below 0.3 of them.
        assert!((0.2..0.35).contains(&(random.len() as f64 / 2000.0)), "{}", random.len());
        for mask in &random {
            let unknown = mask.sum() / 12f32.powi(3);
            assert!(unknown > 0.0 && unknown < 1.0, "{unknown}");
        }
        // Known at both ends of an axis, unknown between: no order of windows meets that.
        let both = |mask: &&&Array3<f32>| {
            let line: Vec<f32> = (0..12).map(|x| mask[[x, 6, 6]]).collect();
            line[0] == 0.0 && line[11] == 0.0 && line.contains(&1.0)
        };
        assert!(random.iter().filter(both).count() > 3);
        // None asked for: the same draws as ever.
        let [mut a, mut b] = [Sequence::new(stream, 1), Sequence::new(stream, 1)];
        let none = plain.clone().with_regions(0.0);
        assert!((0..50).all(|_| plain.draw(&mut a) == none.draw(&mut b)));
    }

    #[test]
    fn a_single_window_has_a_single_mask() {
        let tiling = Tiling::new([12; 3], 12, 4, Boundary::Periodic).unwrap();
        let masks = MaskDistribution::new(&[Order::raster(tiling)]).with_unknown_share(0.3);
        assert_eq!(masks.masks().map(|(_, weight)| weight).collect::<Vec<_>>(), [1.0]);
    }
}
