//! Statistics of single voxels: the distribution of densities, percentiles, mass.
//!
//! Values are taken as they are, in units of the cosmic mean: a field is never renormalised to its own mean.

use crate::SpectraError;
use crate::values::{check_finite, mean};
use finescale_field::Field3;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Distribution of log10(1 + δ) over the voxels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pdf {
    /// Middles of the bins in log10(1 + δ).
    pub log10_density: Vec<f64>,
    /// Fraction of all voxels per unit of log10(1 + δ).
    pub per_dex: Vec<f64>,
    /// Fraction of voxels below the first bin; empty voxels and negative densities are here.
    pub below: f64,
    /// Fraction of voxels from the end of the last bin on.
    pub above: f64,
}

/// Histogram of log10(1 + δ) in `bins` equal bins over [low, high).
///
/// # Errors
/// [`SpectraError::Interval`] if there are no bins or not low < high; [`SpectraError::NotADensity`] if a value
/// is not finite.
pub fn pdf(field: &Field3, low: f64, high: f64, bins: usize) -> Result<Pdf, SpectraError> {
    if bins == 0 || !(low < high && (high - low).is_finite()) {
        return Err(SpectraError::Interval { count: bins, low, high, positive: "" });
    }
    check_finite(field)?;
    let width = (high - low) / bins as f64;
    let (mut counts, mut below, mut above) = (vec![0u64; bins], 0u64, 0u64);
    for &value in field.as_slice() {
        // The logarithm of a negative density is NaN, which is below too.
        let position = (f64::from(value).log10() - low) / width;
        if position >= bins as f64 {
            above += 1;
        } else if position >= 0.0 {
            counts[position as usize] += 1;
        } else {
            below += 1;
        }
    }
    let fraction = |count: u64| count as f64 / field.grid().voxels() as f64;
    Ok(Pdf {
        log10_density: (0..bins).map(|bin| low + (bin as f64 + 0.5) * width).collect(),
        per_dex: counts.into_iter().map(|count| fraction(count) / width).collect(),
        below: fraction(below),
        above: fraction(above),
    })
}

/// The values that each of `percents` of the voxels lie below, as [`percentile`] has them, with one sort.
///
/// # Errors
/// As [`percentile`].
pub fn percentiles(field: &Field3, percents: &[f64]) -> Result<Vec<f64>, SpectraError> {
    if let Some(&found) = percents.iter().find(|percent| !(0.0..=100.0).contains(*percent)) {
        return Err(SpectraError::Percentile { found });
    }
    check_finite(field)?;
    let mut values = field.as_slice().to_vec();
    values.par_sort_unstable_by(f32::total_cmp);
    Ok(percents.iter().map(|&percent| percentile_of_sorted(&values, percent)).collect())
}

/// The percentile of rising values, linear between neighbours.
pub(crate) fn percentile_of_sorted<T: Copy + Into<f64>>(sorted: &[T], percent: f64) -> f64 {
    let rank = percent / 100.0 * (sorted.len() - 1) as f64;
    let at = |rank: f64| -> f64 { sorted[rank as usize].into() };
    at(rank.floor()) + rank.fract() * (at(rank.ceil()) - at(rank.floor()))
}

/// The value that `percent` of the voxels lie below, linear between neighbours (numpy's default).
///
/// # Errors
/// [`SpectraError::Percentile`] if `percent` is outside of 0 to 100; [`SpectraError::NotADensity`] if a value
/// is not finite.
pub fn percentile(field: &Field3, percent: f64) -> Result<f64, SpectraError> {
    if !(0.0..=100.0).contains(&percent) {
        return Err(SpectraError::Percentile { found: percent });
    }
    check_finite(field)?;
    let mut values = field.as_slice().to_vec();
    let rank = percent / 100.0 * (values.len() - 1) as f64;
    let (_, &mut lower, rest) = values.select_nth_unstable_by(rank as usize, f32::total_cmp);
    let next = rest.iter().copied().min_by(f32::total_cmp).unwrap_or(lower);
    Ok(f64::from(lower) + rank.fract() * (f64::from(next) - f64::from(lower)))
}

/// Mean density, in the units of the field; total mass over box volume, summed in f64 in a fixed order.
///
/// # Errors
/// [`SpectraError::NotADensity`] if a value is not finite.
pub fn mean_density(field: &Field3) -> Result<f64, SpectraError> {
    check_finite(field)?;
    Ok(mean(field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Grid;
    use ndarray::Array3;

    fn field(values: &[f32]) -> Field3 {
        let grid = Grid::new([1, 1, values.len()], [1.0; 3]).unwrap();
        Field3::new(grid, Array3::from_shape_vec((1, 1, values.len()), values.to_vec()).unwrap()).unwrap()
    }

    #[test]
    fn a_histogram_counted_by_hand() {
        let pdf = pdf(&field(&[-1.0, 0.0, 0.1, 0.5, 1.0, 9.0, 10.0, 3e7]), -1.0, 1.0, 2).unwrap();
        assert_eq!(pdf.log10_density, [-0.5, 0.5]);
        // 0.1 in f32 is a little above 0.1, and so inside.
        assert_eq!(pdf.per_dex, [2.0 / 8.0, 2.0 / 8.0]);
        assert_eq!((pdf.below, pdf.above), (2.0 / 8.0, 2.0 / 8.0));
    }

    #[test]
    fn percentiles_lie_between_neighbours() {
        let field = field(&[4.0, 1.0, 3.0, 2.0, 10.0]);
        let found = [0.0, 25.0, 50.0, 87.5, 100.0].map(|p| percentile(&field, p).unwrap());
        assert_eq!(found, [1.0, 2.0, 3.0, 7.0, 10.0]);
        assert_eq!(percentiles(&field, &[0.0, 25.0, 50.0, 87.5, 100.0]).unwrap(), found);
        for bad in [-0.1, 100.1, f64::NAN] {
            assert!(matches!(percentile(&field, bad), Err(SpectraError::Percentile { .. })));
            assert!(matches!(percentiles(&field, &[1.0, bad]), Err(SpectraError::Percentile { .. })));
        }
    }

    #[test]
    fn mass_is_the_plain_sum_and_bad_values_are_refused() {
        assert_eq!(mean_density(&field(&[4.0, 1.0, 3.0, 2.0, 10.0])).unwrap(), 4.0);
        for bad in [f32::NAN, f32::INFINITY] {
            let bad = field(&[1.0, bad, 1.0]);
            assert!(matches!(mean_density(&bad), Err(SpectraError::NotADensity { .. })));
            assert!(matches!(percentile(&bad, 50.0), Err(SpectraError::NotADensity { .. })));
            assert!(matches!(pdf(&bad, -1.0, 1.0, 2), Err(SpectraError::NotADensity { .. })));
        }
        assert!(matches!(pdf(&field(&[1.0]), 1.0, 1.0, 2), Err(SpectraError::Interval { .. })));
    }
}
