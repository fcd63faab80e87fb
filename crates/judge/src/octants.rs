//! The octants of a box: what a place in the universe differs by from the next.

use crate::estimate::{mean_of, over, standard_error_of};
use crate::limits::DENSE_PERCENT;
use finescale_field::Field3;
use finescale_spectra::{Bands, SpectraError, mean_density, percentile, power_in_blocks};
use serde::Serialize;

/// Their number.
pub(crate) const OCTANTS: usize = 8;

/// How much the octants of the truth differ: what a perfect model of another place would be off by.
#[derive(Clone, Debug, Serialize)]
pub struct CosmicVariance {
    /// Standard deviation of P between octants over its mean, by band; null where an octant has no modes.
    pub octant_power_scatter: Vec<f64>,
    /// The same over √8: what a whole box of this size scatters by.
    pub box_power_scatter: Vec<f64>,
    /// Standard deviation between octants of the 99.9th percentile of the density, over its mean.
    pub octant_percentile_99_9_scatter: f64,
    /// Standard deviation between octants of the mean density, over the mean.
    pub octant_mass_scatter: f64,
}

impl CosmicVariance {
    pub(crate) fn new(truth: &Field3, bands: &Bands) -> Result<Self, SpectraError> {
        let octants = octants(truth)?;
        let power = power_in_blocks(truth, None, 2, bands)?;
        let spectra: Vec<&[f64]> = power.iter().map(|octant| octant.power.as_slice()).collect();
        let octant_power_scatter = relative_scatter(&spectra);
        let factor = 1.0 / (OCTANTS as f64).sqrt();
        let scatter = |of: &dyn Fn(&Field3) -> Result<f64, SpectraError>| {
            let values = octants.iter().map(of).collect::<Result<Vec<_>, _>>()?;
            let values: Vec<&[f64]> = values.chunks(1).collect();
            Ok::<_, SpectraError>(relative_scatter(&values)[0])
        };
        Ok(Self {
            box_power_scatter: octant_power_scatter.iter().map(|scatter| scatter * factor).collect(),
            octant_power_scatter,
            octant_percentile_99_9_scatter: scatter(&|octant| percentile(octant, DENSE_PERCENT))?,
            octant_mass_scatter: scatter(&|octant| mean_density(octant))?,
        })
    }
}

/// Standard deviation over mean, value by value.
fn relative_scatter(values: &[&[f64]]) -> Vec<f64> {
    let deviation = (values.len() as f64).sqrt();
    let means = mean_of(values.iter().copied());
    let errors = standard_error_of(values.iter().copied());
    errors.iter().zip(means).map(|(error, mean)| error * deviation / mean).collect()
}

/// Standard error of a mean of ratios from the octants: `of` a sample's octant over `of` the truth's.
pub(crate) fn octant_ratio_error(
    truth: &Field3,
    samples: &[&Field3],
    of: impl Fn(&Field3) -> Result<f64, SpectraError>,
) -> f64 {
    let ratios = || -> Result<Vec<f64>, SpectraError> {
        let truth = octants(truth)?;
        let mut ratios = vec![0.0; OCTANTS];
        for sample in samples {
            for ((ratio, mine), its) in ratios.iter_mut().zip(octants(sample)?).zip(&truth) {
                *ratio += over(of(&mine)?, of(its)?) / samples.len() as f64;
            }
        }
        Ok(ratios)
    };
    let ratios = ratios().unwrap_or_default();
    standard_error_of(ratios.chunks(1)).first().copied().unwrap_or(f64::NAN)
}

/// The octants of a box, x slowest.
fn octants(field: &Field3) -> Result<Vec<Field3>, SpectraError> {
    let octants = field.blocks(2).map(Iterator::collect);
    octants.ok_or(SpectraError::SubVolumes { blocks_per_axis: 2, cells: field.grid().cells() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Grid;
    use ndarray::Array3;

    fn field(cells: usize) -> Field3 {
        let wave = |(i, j, k): (usize, usize, usize)| 1.0 + 0.3 * ((3 * i + 5 * j * j + 7 * k) as f32).sin();
        let grid = Grid::cube(cells, 20.0).unwrap();
        Field3::new(grid, Array3::from_shape_fn([cells; 3], wave)).unwrap()
    }

    #[test]
    fn octants_fill_the_box_and_odd_ones_are_refused() {
        let field = field(8);
        let parts = octants(&field).unwrap();
        let mean = parts.iter().map(Field3::mean).sum::<f64>() / 8.0;
        assert!((mean - field.mean()).abs() < 1e-6);
        assert_eq!(parts[5].as_slice()[0], field.values()[[4, 0, 4]]);
        assert!(octants(&self::field(9)).is_err());
        assert!(octant_ratio_error(&field, &[&field], percentile_of).abs() < 1e-12);
    }

    fn percentile_of(field: &Field3) -> Result<f64, SpectraError> {
        percentile(field, 50.0)
    }
}
