//! What a network sees of a low-resolution density.

use crate::smoothing::{reach_cells, smoothed_window, within_reach};
use crate::windows::HeldWindow;
use crate::{Boundary, Field3, FieldError, Normalizer, Region, WindowError, Windows, check_density};
use ndarray::Array3;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a low-resolution density becomes the channels of a condition, in network units.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditioning {
    /// Of the density, and of the density smoothed over its surroundings.
    pub density: Normalizer,
    /// Of each high-resolution field, and of its baseline.
    pub truth: Vec<Normalizer>,
    /// Which channels there are.
    pub channels: Channels,
}

/// The channels of a condition beside its first one, the density as it is. They follow in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Channels {
    /// The surroundings, farther than a window reaches: the density smoothed by a Gaussian of this many cells.
    pub surroundings_smoothing_cells: Option<f64>,
    /// Numbers that hold for the whole box, a constant channel each.
    pub scalars: Vec<Scalar>,
    /// The last channels are first guesses of the high-resolution fields: the density smoothed by a Gaussian of this many
    /// cells, over those that its particles leave empty, in the network units of each field.
    pub baseline_smoothing_cells: Option<f64>,
}

/// A number as a channel: (value − centre) / width.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scalar {
    /// Which number it is.
    pub name: ScalarName,
    /// The value that becomes 0: the middle of those of the training pairs.
    #[schemars(extend("unit" = "that of the number"))]
    pub centre: f64,
    /// How much more than the centre becomes 1: half of the range of the training pairs.
    #[schemars(extend("unit" = "that of the number", "exclusiveMinimum" = 0))]
    pub width: f64,
}

/// A number that holds for a whole box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScalarName {
    /// Redshift of the snapshot, 0 today.
    Redshift,
    /// Density of all matter over the critical density, today.
    OmegaM,
    /// Linear rms overdensity in spheres of 8 Mpc/h, today.
    #[serde(rename = "sigma_8")]
    Sigma8,
}

impl fmt::Display for ScalarName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Redshift => "redshift",
            Self::OmegaM => "omega_m",
            Self::Sigma8 => "sigma_8",
        })
    }
}

impl Channels {
    /// What each channel is, the density first, where `fields` are to be generated.
    #[must_use]
    pub fn names(&self, fields: usize) -> Vec<String> {
        let named = |name: &str, channel: Option<f64>| channel.map(|_| name.to_owned());
        let scalars = self.scalars.iter().map(|scalar| scalar.name.to_string());
        std::iter::once("density".to_owned())
            .chain(named("surroundings", self.surroundings_smoothing_cells))
            .chain(scalars)
            .chain((0..fields).flat_map(|_| named("baseline", self.baseline_smoothing_cells)))
            .collect()
    }
}

impl Conditioning {
    /// The channels of the density 1 + delta of a whole box whose scalars have these `values`.
    ///
    /// # Errors
    /// [`FieldError::Density`] names the first voxel with a negative or non-finite value.
    /// # Panics
    /// If there is not one value for each scalar.
    pub fn apply(
        &self,
        density: &Field3,
        boundary: Boundary,
        values: &[f64],
    ) -> Result<Vec<Field3>, FieldError> {
        check_density(density)?;
        let Channels { surroundings_smoothing_cells, baseline_smoothing_cells, .. } = self.channels;
        let smoothed = |cells: Option<f64>| cells.map(|cells| density.smoothed(cells, boundary));
        let surroundings = smoothed(surroundings_smoothing_cells);
        let baseline = smoothed(baseline_smoothing_cells);
        let constant = |value| Field3::new(*density.grid(), Array3::from_elem(density.grid().cells(), value));
        let mut channels = vec![self.density.normalize_field(density)];
        channels.extend(surroundings.iter().map(|smooth| self.density.normalize_field(smooth)));
        channels.extend(self.constants(values).into_iter().map(constant).collect::<Result<Vec<_>, _>>()?);
        if let Some(smooth) = &baseline {
            channels.extend(self.truth.iter().map(|truth| truth.normalize_field(smooth)));
        }
        Ok(channels)
    }

    /// How many channels there are before the scalars, and after them.
    #[must_use]
    pub fn channel_counts(&self) -> [usize; 2] {
        let of = |smoothing: Option<f64>, channels| if smoothing.is_some() { channels } else { 0 };
        let Channels { surroundings_smoothing_cells, baseline_smoothing_cells, .. } = self.channels;
        [1 + of(surroundings_smoothing_cells, 1), of(baseline_smoothing_cells, self.truth.len())]
    }

    /// How many cells beyond a window are seen in its channels.
    #[must_use]
    pub fn reach_cells(&self) -> usize {
        let Channels { surroundings_smoothing_cells, baseline_smoothing_cells, .. } = self.channels;
        let smoothings = [surroundings_smoothing_cells, baseline_smoothing_cells];
        smoothings.into_iter().flatten().map(reach_cells).max().unwrap_or_default()
    }

    /// What scalars of these `values` are to the network.
    ///
    /// # Panics
    /// If there is not one value for each scalar.
    #[must_use]
    pub fn constants(&self, values: &[f64]) -> Vec<f32> {
        assert_eq!(values.len(), self.channels.scalars.len(), "each scalar needs a value");
        let constant = |(scalar, value): (&Scalar, &f64)| ((value - scalar.centre) / scalar.width) as f32;
        self.channels.scalars.iter().zip(values).map(constant).collect()
    }

    /// The channels before the scalars, and those after them, of a window of a density: to the bit those that
    /// [`apply`](Self::apply) makes of the whole box, from what lies within reach of the window, which is read once. What is
    /// no density counts as empty.
    ///
    /// # Errors
    /// Whatever reading `density` reports.
    pub fn window(
        &self,
        density: &dyn Windows,
        boundary: Boundary,
        region: &Region,
    ) -> Result<[Vec<Array3<f32>>; 2], WindowError> {
        let normalized =
            |values: &Array3<f32>, normalizer: &Normalizer| values.mapv(|v| normalizer.normalize(v));
        let around = within_reach(density.grid().cells(), region, self.reach_cells(), boundary);
        let density = HeldWindow::read_from(density, &around)?;
        let mut before = vec![normalized(&density.read(region)?, &self.density)];
        if let Some(cells) = self.channels.surroundings_smoothing_cells {
            before.push(normalized(&smoothed_window(&density, region, cells, boundary)?, &self.density));
        }
        let mut after = Vec::new();
        if let Some(cells) = self.channels.baseline_smoothing_cells {
            let smooth = smoothed_window(&density, region, cells, boundary)?;
            after.extend(self.truth.iter().map(|truth| normalized(&smooth, truth)));
        }
        Ok([before, after])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Grid, Region, Transform};

    const TRANSFORM: Transform = Transform::Linear { mu: 0.5, s: 2.0, low: -1.0, high: 9.0 };
    const REDSHIFT: Scalar = Scalar { name: ScalarName::Redshift, centre: 1.0, width: 2.0 };
    const SIGMA_8: Scalar = Scalar { name: ScalarName::Sigma8, centre: 0.8, width: 0.1 };

    fn conditioning(channels: Channels) -> Conditioning {
        let normalizer = |mean_count| Normalizer { mean_count, transform: TRANSFORM };
        Conditioning { density: normalizer(0.1), truth: vec![normalizer(3.0), normalizer(2.0)], channels }
    }

    fn field(cells: usize) -> Field3 {
        let values = Array3::from_shape_fn([cells; 3], |(x, y, z)| (x * y + z) as f32);
        Field3::new(Grid::cube(cells, 0.5 * cells as f64).unwrap(), values).unwrap()
    }

    #[test]
    fn channels_come_in_their_order_and_units() {
        let density = field(8);
        let all = conditioning(Channels {
            surroundings_smoothing_cells: Some(3.0),
            scalars: vec![SIGMA_8, REDSHIFT],
            baseline_smoothing_cells: Some(0.8),
        });
        let names = ["density", "surroundings", "sigma_8", "redshift", "baseline", "baseline"];
        assert_eq!(
            (&all.channels.names(2)[..], &all.channels.names(1)[..]),
            (&names.map(String::from)[..], &names.map(String::from)[..5])
        );
        let channels = all.apply(&density, Boundary::Periodic, &[0.85, 0.0]).unwrap();
        assert_eq!(channels.len(), 6);
        assert_eq!(channels[0], all.density.normalize_field(&density));
        let wide = density.smoothed(3.0, Boundary::Periodic);
        assert_eq!(channels[1], all.density.normalize_field(&wide));
        for (channel, expected) in [(2, 0.5f32), (3, -0.5)] {
            let off = |value: &f32| (value - expected).abs();
            assert!(channels[channel].as_slice().iter().all(|value| off(value) < 1e-6), "{channel}");
        }
        let narrow = density.smoothed(0.8, Boundary::Periodic);
        assert_eq!(channels[4..], [0, 1].map(|field| all.truth[field].normalize_field(&narrow)));

        let alone = conditioning(Channels::default());
        assert_eq!(alone.channels.names(2), ["density"]);
        assert_eq!(alone.apply(&density, Boundary::Open, &[]).unwrap().len(), 1);
    }

    #[test]
    fn surroundings_tell_what_lies_beyond_a_window() {
        let surroundings = Channels { surroundings_smoothing_cells: Some(1.0), ..Channels::default() };
        let conditioning = conditioning(surroundings);
        let mut density = field(16);
        let window = Region::cube([4; 3], 6);
        let seen = |density: &Field3| {
            let channels = conditioning.apply(density, Boundary::Periodic, &[]).unwrap();
            [0, 1].map(|channel| channels[channel].extract(&window).unwrap())
        };
        let before = seen(&density);
        // A halo two cells beyond the face.
        density.as_slice_mut()[(11 * 16 + 6) * 16 + 6] += 5e4;
        let after = seen(&density);
        assert_eq!(before[0], after[0]);
        let risen = |at: [usize; 3]| after[1][at] - before[1][at];
        assert!(risen([5, 2, 2]) > 0.1 && risen([5, 2, 2]) > 2.0 * risen([4, 2, 2]), "{}", risen([5, 2, 2]));
        assert_eq!(risen([0, 0, 0]), 0.0); // out of reach
    }

    #[test]
    fn a_window_has_the_bits_of_the_whole() {
        let channels = Channels {
            surroundings_smoothing_cells: Some(1.5),
            scalars: vec![REDSHIFT, SIGMA_8],
            baseline_smoothing_cells: Some(0.8),
        };
        let (all, density) = (conditioning(channels), field(20));
        for boundary in [Boundary::Periodic, Boundary::Open] {
            let whole = all.apply(&density, boundary, &[0.5, 0.9]).unwrap();
            let region = Region { start: [3, 12, 0], shape: [2, 5, 20] };
            let [before, after] = all.window(&density, boundary, &region).unwrap();
            assert_eq!([before.len(), after.len()], all.channel_counts());
            let of_scalars =
                all.constants(&[0.5, 0.9]).into_iter().map(|v| Array3::from_elem(region.shape, v));
            let window: Vec<_> = before.into_iter().chain(of_scalars).chain(after).collect();
            let expected: Vec<_> = whole.iter().map(|channel| channel.extract(&region).unwrap()).collect();
            assert_eq!(window, expected);
        }
    }

    #[test]
    fn what_is_no_density_is_refused_with_its_voxel() {
        for wrong in [-0.5, f32::NAN] {
            let mut density = field(4);
            density.as_slice_mut()[6] = wrong;
            let error = conditioning(Channels::default()).apply(&density, Boundary::Open, &[]).unwrap_err();
            assert!(matches!(error, FieldError::Density { voxel: [0, 1, 2], .. }), "{error}");
        }
    }

    #[test]
    fn scalars_are_written_as_they_are_named() {
        for scalar in [REDSHIFT, SIGMA_8, Scalar { name: ScalarName::OmegaM, ..SIGMA_8 }] {
            let json = serde_json::to_value(scalar).unwrap();
            assert_eq!(json["name"], scalar.name.to_string());
            assert_eq!(serde_json::from_value::<Scalar>(json).unwrap(), scalar);
        }
    }
}
