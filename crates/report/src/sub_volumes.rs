//! Error bars and cosmic variance from the sub-volumes of a box.

use crate::statistics::{mean_of, standard_error_of};
use finescale_field::{Field3, Grid, Region};
use finescale_spectra::{
    Bands, SpectraError, Spectrum, bootstrap_errors, mean_density, percentile, power_in_blocks,
};
use serde::Serialize;

/// Blocks per axis, the finest first: small blocks are many, large ones hold small k.
const BLOCKS_PER_AXIS: [usize; 2] = [4, 2];
/// A block of fewer cells along an axis says nothing.
const FEWEST_CELLS: usize = 4;
const RESAMPLES: usize = 400;
const SEED: u64 = 0;
/// Octants of a box.
const OCTANTS: usize = 8;

/// The power of the blocks of a field, by how finely it is divided.
#[derive(Debug)]
pub(crate) struct BlockPower {
    /// By entry of [`BLOCKS_PER_AXIS`]; none where the blocks do not divide the cells.
    divisions: Vec<Option<Vec<Spectrum>>>,
}

impl BlockPower {
    pub(crate) fn of(field: &Field3, bands: &Bands) -> Self {
        let of = |&blocks: &usize| {
            let large_enough = field.grid().cells().iter().all(|n| n / blocks >= FEWEST_CELLS);
            large_enough.then(|| power_in_blocks(field, None, blocks, bands).ok()).flatten()
        };
        Self { divisions: BLOCKS_PER_AXIS.iter().map(of).collect() }
    }

    /// Standard error of P over P, by band; NaN in bands that no block resolves.
    pub(crate) fn relative_error(&self, bands: usize) -> Vec<f64> {
        finest(bands, |division| {
            let blocks = self.divisions[division].as_ref()?;
            Some(relative_errors(blocks.len(), bands, |drawn, band| total(blocks, drawn, band)))
        })
    }
}

/// Standard error of the mean over samples of P / P_truth, over that mean, by band: blocks of samples and truth are
/// drawn together, so that what they share drops out.
pub(crate) fn relative_ratio_error(samples: &[&BlockPower], truth: &BlockPower, bands: usize) -> Vec<f64> {
    finest(bands, |division| {
        let truth = truth.divisions[division].as_ref()?;
        let samples: Option<Vec<_>> = samples.iter().map(|s| s.divisions[division].as_ref()).collect();
        let samples = samples?;
        Some(relative_errors(truth.len(), bands, |drawn, band| {
            let sum: f64 = samples.iter().map(|sample| total(sample, drawn, band)).sum();
            sum / samples.len() as f64 / total(truth, drawn, band)
        }))
    })
}

/// By band the first error that is finite, of the divisions in turn.
fn finest(bands: usize, errors: impl Fn(usize) -> Option<Vec<f64>>) -> Vec<f64> {
    let mut best = vec![f64::NAN; bands];
    for errors in (0..BLOCKS_PER_AXIS.len()).filter_map(errors) {
        for (best, error) in best.iter_mut().zip(errors) {
            if !best.is_finite() {
                *best = error;
            }
        }
    }
    best
}

fn relative_errors(blocks: usize, bands: usize, of: impl Fn(&[usize], usize) -> f64 + Sync) -> Vec<f64> {
    let statistic = |drawn: &[usize]| (0..bands).map(|band| of(drawn, band)).collect::<Vec<_>>();
    let all = statistic(&(0..blocks).collect::<Vec<_>>());
    let errors = bootstrap_errors(blocks, RESAMPLES, SEED, statistic);
    errors.map_or(vec![f64::NAN; bands], |errors| errors.iter().zip(all).map(|(e, all)| e / all).collect())
}

fn total(blocks: &[Spectrum], drawn: &[usize], band: usize) -> f64 {
    drawn.iter().map(|&block| blocks[block].power[band]).sum()
}

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
    pub(crate) fn of(truth: &Field3, bands: &Bands) -> Result<Self, SpectraError> {
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
            octant_percentile_99_9_scatter: scatter(&|octant| {
                percentile(octant, crate::statistics::DENSE_PERCENT)
            })?,
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
                *ratio += of(&mine)? / of(its)? / samples.len() as f64;
            }
        }
        Ok(ratios)
    };
    let ratios = ratios().unwrap_or_default();
    standard_error_of(ratios.chunks(1)).first().copied().unwrap_or(f64::NAN)
}

/// The octants of a box, x slowest.
fn octants(field: &Field3) -> Result<Vec<Field3>, SpectraError> {
    let (cells, size) = (field.grid().cells(), field.grid().box_size_mpc_h());
    let bad = || SpectraError::SubVolumes { blocks_per_axis: 2, cells };
    if cells.iter().any(|n| n % 2 != 0) {
        return Err(bad());
    }
    let shape = cells.map(|n| n / 2);
    let grid = Grid::new(shape, size.map(|l| l / 2.0)).map_err(|_| bad())?;
    let octant = |number: usize| {
        let corner = [number / 4, number / 2 % 2, number % 2];
        let region = Region { start: std::array::from_fn(|a| (corner[a] * shape[a]) as i64), shape };
        let values = field.extract(&region).map_err(|_| bad())?;
        Field3::new(grid, values).map_err(|_| bad())
    };
    (0..OCTANTS).map(octant).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    fn field(cells: usize) -> Field3 {
        let wave = |(i, j, k): (usize, usize, usize)| 1.0 + 0.3 * ((3 * i + 5 * j * j + 7 * k) as f32).sin();
        let grid = Grid::cube(cells, 20.0).unwrap();
        Field3::new(grid, Array3::from_shape_fn([cells; 3], wave)).unwrap()
    }

    #[test]
    fn a_field_has_no_error_relative_to_itself() {
        let bands = Bands::logarithmic(0.4, 2.5, 4).unwrap();
        let field = field(16);
        let blocks = BlockPower::of(&field, &bands);
        let doubled = BlockPower::of(&field.map(|v| 2.0 * v - 1.0), &bands);
        let error = relative_ratio_error(&[&doubled], &blocks, 4);
        assert!(
            error.iter().any(|e| e.is_finite()) && error.iter().all(|e| e.is_nan() || e.abs() < 1e-5),
            "{error:?}"
        );
        assert!(blocks.relative_error(4).iter().any(|&e| e > 1e-3));
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
