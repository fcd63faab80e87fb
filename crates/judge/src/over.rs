//! A field beside another one of its universe, such as gas beside dark matter: power over power, in which windows and most of
//! what is particular to a box drop out, and correlation.

use crate::bands::bands_of;
use crate::error::named;
use crate::estimate::{mean_of, ratios};
use crate::published::{Power, PublishedPair, in_bands};
use crate::{FieldStatistics, Fields, JudgeError, Labelled, Measurements};
use finescale_spectra::{Bands, Modes, Spectrum, correlation_of};
use serde::Serialize;

/// The field that others are put beside, on their grid.
#[derive(Debug)]
pub struct Denominator {
    label: String,
    modes: Modes,
    bands: Bands,
    banded: Spectrum,
}

/// Fields beside that one, by band. Power is the mean over the modes of the shells in a band; null where there are none.
#[derive(Clone, Debug, Serialize)]
pub struct OverComparison {
    /// Name of the field in the denominator.
    pub label: String,
    /// P_truth over its power.
    pub truth: Vec<f64>,
    /// Mean P of the samples over its power.
    pub samples: Vec<f64>,
    /// r of the truth and it.
    pub truth_correlation: Vec<f64>,
    /// r of the samples and it, mean over the samples.
    pub sample_correlation: Vec<f64>,
    /// The same of published spectra, with their names.
    pub published: Vec<PublishedRatio>,
}

/// Two published spectra beside each other, by band; null where one of the tables does not reach.
#[derive(Clone, Debug, Serialize)]
pub struct PublishedRatio {
    /// Their name.
    pub label: String,
    /// One over the other.
    pub ratio: Vec<f64>,
    /// r = P_ab / √(P_a P_b); empty where the cross power is not published.
    pub correlation: Vec<f64>,
}

impl Denominator {
    /// Of a density in units of the cosmic mean, as gridded: all fields are taken to have one window.
    ///
    /// # Errors
    /// [`JudgeError::Statistics`] if it is not a density.
    pub fn new(field: &Labelled<'_>) -> Result<Self, JudgeError> {
        let modes = Modes::within(field.field, None, field.boundary).map_err(named(&field.label))?;
        let bands = bands_of(modes.grid()).map_err(named(&field.label))?;
        let banded = modes.power_in(&bands);
        Ok(Self { label: field.label.clone(), modes, bands, banded })
    }

    fn power(&self) -> Power {
        Power { shells: self.modes.power().power, bands: self.banded.power.clone() }
    }

    /// r with another field, by band.
    fn correlation(&self, other: &Labelled<'_>) -> Result<Vec<f64>, JudgeError> {
        let named = named(&other.label);
        let modes = Modes::within(other.field, None, other.boundary).map_err(&named)?;
        let cross = self.modes.cross_in(&modes, &self.bands).map_err(&named)?;
        Ok(correlation_of(&cross, &modes.power_in(&self.bands), &self.banded))
    }
}

impl OverComparison {
    /// Puts `fields`, of which `measured` was measured, beside another field of their box, and published pairs beside them.
    ///
    /// # Errors
    /// [`JudgeError::Statistics`] if it lies on another grid.
    pub fn new(
        under: &Denominator,
        published: &[PublishedPair],
        fields: &Fields<'_>,
        measured: &Measurements,
    ) -> Result<Self, JudgeError> {
        let everywhere = vec![1.0; measured.k_h_mpc.len()];
        let power = under.power();
        let over = |of_field: &Power| {
            ratios(&in_bands(measured, &everywhere, of_field), &in_bands(measured, &everywhere, &power))
        };
        let of = |field: &FieldStatistics| Power::of_field(field, false);
        let of_samples = fields.samples.iter().map(|sample| under.correlation(sample));
        let of_samples = of_samples.collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            label: under.label.clone(),
            truth: over(&of(&measured.truth)),
            samples: over(&Power::mean(&measured.samples.iter().map(of).collect::<Vec<_>>())),
            truth_correlation: under.correlation(&fields.truth)?,
            sample_correlation: mean_of(of_samples.iter().map(Vec::as_slice)),
            published: published.iter().map(|pair| PublishedRatio::new(pair, measured)).collect(),
        })
    }
}

impl PublishedRatio {
    fn new(pair: &PublishedPair, measured: &Measurements) -> Self {
        let [above, below] = [&pair.above, &pair.below].map(|table| Power::of_table(table, measured));
        let cross = pair.cross.as_ref().map(|table| Power::of_table(table, measured));
        let all: Vec<f64> = above.shells.iter().zip(&below.shells).map(|(a, b)| a + b).collect();
        let banded = |power: &Power| in_bands(measured, &all, power);
        let [a, b] = [banded(&above), banded(&below)];
        let auto = a.iter().zip(&b).map(|(a, b)| a.sqrt() * b.sqrt()).collect::<Vec<_>>();
        Self {
            label: pair.label.clone(),
            correlation: cross.map_or(Vec::new(), |cross| ratios(&banded(&cross), &auto)),
            ratio: ratios(&a, &b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PublishedSpectrum;
    use finescale_field::{Field3, Grid};
    use ndarray::Array3;

    /// A wave along x, and one along it that is a quarter of it behind, with their amplitudes.
    fn waves(cosine: f64, sine: f64) -> Field3 {
        let grid = Grid::cube(16, 50.0).unwrap();
        let values = Array3::from_shape_fn(grid.cells(), |(x, _, _)| {
            let phase = std::f64::consts::TAU * 3.0 * x as f64 / 16.0;
            (1.0 + cosine * phase.cos() + sine * phase.sin()) as f32
        });
        Field3::new(grid, values).unwrap()
    }

    /// P = amplitude k^-2.
    fn table(amplitude: f64) -> PublishedSpectrum {
        let k_h_mpc = vec![0.01, 100.0];
        let power = k_h_mpc.iter().map(|k| amplitude / (k * k)).collect();
        PublishedSpectrum { label: format!("{amplitude}"), k_h_mpc, power }
    }

    #[test]
    fn power_and_correlation_with_another_field_by_hand() {
        let (truth, sample, other) = (waves(0.3, 0.0), waves(0.0, 0.2), waves(0.1, 0.1));
        let fields = Fields::new(Labelled::new("truth", &truth), vec![Labelled::new("sample", &sample)]);
        let measured = Measurements::new("box", &fields).unwrap();
        let under = Denominator::new(&Labelled::new("other", &other)).unwrap();
        let unknown = PublishedPair::new(table(2.0), table(8.0));
        let known = PublishedPair { cross: Some(table(3.0)), ..unknown.clone() };
        let found = OverComparison::new(&under, &[unknown, known], &fields, &measured).unwrap();
        // The band of the wave: its power is that of the squares of the amplitudes, 0.02 of the other field.
        let power = &measured.bands.truth_power;
        let band = (0..8).max_by(|&a, &b| power[a].max(0.0).total_cmp(&power[b].max(0.0))).unwrap();
        let close =
            |found: f64, expected: f64| assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        close(found.truth[band], 0.09 / 0.02);
        close(found.samples[band], 0.04 / 0.02);
        close(found.truth_correlation[band], 0.5f64.sqrt());
        close(found.sample_correlation[band], 0.5f64.sqrt());
        close(found.published[1].ratio[band], 0.25);
        close(found.published[1].correlation[band], 3.0 / 4.0);
        assert!(found.published[0].correlation.is_empty() && found.published[0].label == "2 / 8");
    }
}
