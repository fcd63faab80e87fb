//! What a network sees of a low-resolution density.

use crate::{Boundary, Field3, Normalizer};
use serde::{Deserialize, Serialize};

/// How a low-resolution density becomes the channels of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditioning {
    /// Of the first channel, the density as it is.
    pub density: Normalizer,
    /// The second channel, if there is one.
    pub baseline: Option<Baseline>,
}

/// A first guess of the high-resolution field: the density smoothed over the cells that its particles leave empty, in
/// the network units of the truth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Standard deviation of the Gaussian in cells.
    pub smoothing_cells: f64,
    /// Of the truth.
    pub normalizer: Normalizer,
}

impl Conditioning {
    /// Number of channels.
    #[must_use]
    pub fn channels(&self) -> usize {
        if self.baseline.is_some() { 2 } else { 1 }
    }

    /// The channels of the density 1 + delta of a whole box, in network units.
    #[must_use]
    pub fn apply(&self, density: &Field3, boundary: Boundary) -> Vec<Field3> {
        let mut channels = vec![self.density.normalize_field(density)];
        if let Some(Baseline { smoothing_cells, normalizer }) = self.baseline {
            channels.push(normalizer.normalize_field(&density.smoothed(smoothing_cells, boundary)));
        }
        channels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Grid, Transform};
    use ndarray::Array3;

    #[test]
    fn the_baseline_is_the_smooth_density_in_units_of_the_truth() {
        let transform = Transform::Linear { mu: 0.5, s: 2.0, low: -1.0, high: 9.0 };
        let (density, truth) =
            (Normalizer { mean_count: 0.1, transform }, Normalizer { mean_count: 3.0, transform });
        let values = Array3::from_shape_fn([8; 3], |(x, y, z)| (x * y + z) as f32);
        let field = Field3::new(Grid::cube(8, 4.0).unwrap(), values).unwrap();
        let baseline = Baseline { smoothing_cells: 0.8, normalizer: truth };
        let conditioning = Conditioning { density, baseline: Some(baseline) };
        let channels = conditioning.apply(&field, Boundary::Periodic);
        assert_eq!(channels.len(), conditioning.channels());
        assert_eq!(channels[0], density.normalize_field(&field));
        assert_eq!(channels[1], truth.normalize_field(&field.smoothed(0.8, Boundary::Periodic)));
        let alone = Conditioning { density, baseline: None };
        assert_eq!((alone.channels(), alone.apply(&field, Boundary::Open).len()), (1, 1));
    }
}
