//! Between densities and the numbers that a network sees.

use crate::{Field3, FieldError, WindowError, Windows, for_each_slab, position};
use ndarray::Array3;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Standard deviations of log1p(n) per unit of y: the normalized training data has a standard deviation of 1/2.
const DEVIATIONS_PER_UNIT: f64 = 2.0;
/// Room above the densest training voxel, in units of the range of the training data.
const HEADROOM: f64 = 0.05;
/// Values summed by one task when fitting.
const CHUNK: usize = 1 << 16;

/// From L = log1p(n) to the network's y, where n = mean_count (1 + delta).
///
/// In JSON: `{"kind": "sigmoid", "mu": .., "s": ..}` or `{"kind": "linear", "mu": .., "s": .., "low": .., "high": ..}`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Transform {
    /// y = 2 sigmoid((L - mu) / s) - 1, in (-1, 1).
    ///
    /// The inverse is steep at the ends: with the reference's s, 0.001 in y at 0.99 is 29 % in n.
    Sigmoid {
        /// Centre: y = 0 at L = mu.
        mu: f64,
        /// Width: L changes by `s` where y, or the argument of the sigmoid, changes by 1.
        s: f64,
    },
    /// y = (L - mu) / s; the inverse holds y within [low, high], so it is finite and evenly conditioned.
    Linear {
        /// Centre: y = 0 at L = mu.
        mu: f64,
        /// Width: L changes by `s` where y, or the argument of the sigmoid, changes by 1.
        s: f64,
        /// Least y: an empty voxel.
        low: f64,
        /// Largest y: some more than the densest voxel of the training data.
        high: f64,
    },
}

impl Transform {
    /// The reference's transform of TNG300 gas counts (849 a voxel).
    ///
    /// # Source
    /// The notebooks of github.com/adamrouhiainen/3D-Diffusion, the code of arXiv:2311.05217: mu is the mean of L,
    /// s twice its standard deviation.
    pub const REFERENCE_TRUTH: Self = Self::Sigmoid { mu: 5.458_093_875_124_589_5, s: 2.518_257_756_763_228 };
    /// The reference's transform of low-resolution dark-matter counts (0.114 a voxel).
    ///
    /// # Source
    /// As [`Self::REFERENCE_TRUTH`], but s is four standard deviations.
    pub const REFERENCE_CONDITION: Self = Self::Sigmoid { mu: 0.084_621_996, s: 0.719_343_483_448_028_6 };
}

/// Densities in units of their mean, 1 + delta, to network values and back.
///
/// In JSON (it is part of every checkpoint): `{"mean_count": .., "transform": {..}}`, see [`Transform`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalizer {
    /// n at the mean density. It sets where log1p turns from linear to logarithmic: for counts, the mean count.
    pub mean_count: f64,
    /// The map from log1p(n) to network values.
    pub transform: Transform,
}

impl Normalizer {
    /// Fits the linear transform to training fields (1 + delta): y has mean 0 and standard deviation 1/2,
    /// `low` is an empty voxel, `high` leaves 5 % of the range above the densest voxel. Reads each field three times, some planes at a time.
    ///
    /// # Errors
    /// [`FieldError::Normalizer`] if `mean_count` is not positive, no field is given or all values are equal;
    /// [`FieldError::Density`] if a value is negative or not finite; whatever reading a field reports.
    pub fn fit_linear(fields: &[&dyn Windows], mean_count: f64) -> Result<Self, WindowError> {
        check_mean_count(mean_count)?;
        let voxels: usize = fields.iter().map(|field| field.grid().voxels()).sum();
        let (mut least, mut densest) = (f32::MAX, 0f32);
        for &field in fields {
            for_each_slab(field, |first, slab| {
                check_planes(field, first, slab)?;
                (least, densest) = slab.iter().fold((least, densest), |(a, b), &v| (a.min(v), b.max(v)));
                Ok(())
            })?;
        }
        if least >= densest {
            let why = format!("{voxels} training voxels from {least} to {densest} leave nothing to scale by");
            return Err(FieldError::Normalizer { why }.into());
        }
        let log = |value: f32| (mean_count * f64::from(value)).ln_1p();
        let mean = sum(fields, log)? / voxels as f64;
        let deviation = (sum(fields, |v| (log(v) - mean).powi(2))? / voxels as f64).sqrt();
        let s = DEVIATIONS_PER_UNIT * deviation;
        let (low, top) = (-mean / s, (log(densest) - mean) / s);
        let high = top + HEADROOM * (top - low);
        Ok(Self { mean_count, transform: Transform::Linear { mu: mean, s, low, high } })
    }

    /// Checks numbers that came from a file or a user.
    ///
    /// # Errors
    /// [`FieldError::Normalizer`] if `mean_count` or a width is not positive and finite, or a bound is not a bound.
    pub fn check(&self) -> Result<(), FieldError> {
        check_mean_count(self.mean_count)?;
        let (mu, s) = match self.transform {
            Transform::Sigmoid { mu, s } | Transform::Linear { mu, s, .. } => (mu, s),
        };
        if !mu.is_finite() || !s.is_finite() || s <= 0.0 {
            let why = format!("mu must be finite and s positive, found mu = {mu}, s = {s}");
            return Err(FieldError::Normalizer { why });
        }
        match self.transform {
            Transform::Linear { low, high, .. } if !(low.is_finite() && high.is_finite() && low < high) => {
                let why = format!("low must lie below high, found low = {low}, high = {high}");
                Err(FieldError::Normalizer { why })
            }
            _ => Ok(()),
        }
    }

    /// The network's y of a density 1 + delta; a negative density counts as an empty voxel.
    #[must_use]
    pub fn normalize(&self, density: f32) -> f32 {
        let log = (self.mean_count * f64::from(density).max(0.0)).ln_1p();
        let y = match self.transform {
            // 2 sigmoid(z) - 1 = tanh(z / 2).
            Transform::Sigmoid { mu, s } => ((log - mu) / (2.0 * s)).tanh(),
            Transform::Linear { mu, s, .. } => (log - mu) / s,
        };
        y as f32
    }

    /// The density 1 + delta of a network's y: finite for every y that is a number, and never negative.
    #[must_use]
    pub fn denormalize(&self, y: f32) -> f32 {
        let log = match self.transform {
            Transform::Sigmoid { mu, s } => {
                let inside = 1.0 - f64::from(f32::EPSILON) / 2.0; // the f32 before 1
                mu + 2.0 * s * f64::from(y).clamp(-inside, inside).atanh()
            }
            Transform::Linear { mu, s, low, high } => mu + s * f64::from(y).clamp(low, high),
        };
        (log.exp_m1().max(0.0) / self.mean_count) as f32
    }

    /// The same with room for all densities: its inverse gives back whatever was normalised, also what is denser than the densest
    /// voxel of the training data.
    #[must_use]
    pub fn unbounded(&self) -> Self {
        let transform = match self.transform {
            Transform::Linear { mu, s, .. } => Transform::Linear { mu, s, low: -mu / s, high: f64::INFINITY },
            sigmoid @ Transform::Sigmoid { .. } => sigmoid,
        };
        Self { transform, ..*self }
    }

    /// [`normalize`](Self::normalize) of every voxel.
    #[must_use]
    pub fn normalize_field(&self, density: &Field3) -> Field3 {
        map(density, |value| self.normalize(value))
    }

    /// [`denormalize`](Self::denormalize) of every voxel.
    #[must_use]
    pub fn denormalize_field(&self, y: &Field3) -> Field3 {
        map(y, |value| self.denormalize(value))
    }

    /// Bounds of y, which a sampler holds its clean estimates to.
    #[must_use]
    pub fn range(&self) -> (f32, f32) {
        match self.transform {
            Transform::Sigmoid { .. } => (-1.0, 1.0),
            Transform::Linear { low, high, .. } => (low as f32, high as f32),
        }
    }
}

/// Checks that a field can be a density in units of its mean.
///
/// # Errors
/// [`FieldError::Density`] names the first voxel with a negative or non-finite value.
pub fn check_density(field: &Field3) -> Result<(), FieldError> {
    check_planes(field, 0, field.as_slice())
}

/// Checks that a field can be a density in units of its mean, and gives its mean; reads it once, some planes at a time.
///
/// # Errors
/// [`FieldError::Density`] names the first voxel with a negative or non-finite value; whatever reading the field reports.
pub fn density_mean(field: &dyn Windows) -> Result<f64, WindowError> {
    let mut sum = 0.0;
    for_each_slab(field, |first, slab| {
        check_planes(field, first, slab)?;
        sum = slab.iter().fold(sum, |sum, &value| sum + f64::from(value));
        Ok(())
    })?;
    Ok(sum / field.grid().voxels() as f64)
}

/// Whether a value can be a density in units of its mean: a finite number that is not negative.
#[must_use]
pub fn is_density(value: f32) -> bool {
    value.is_finite() && value >= 0.0
}

/// Checks the values of planes from plane `first` of a field on.
fn check_planes(field: &dyn Windows, first: usize, values: &[f32]) -> Result<(), FieldError> {
    let wrong = values.par_iter().position_first(|&value| !is_density(value));
    wrong.map_or(Ok(()), |index| {
        let [x, y, z] = position(index, field.grid().cells());
        Err(FieldError::Density { voxel: [first + x, y, z], value: values[index] })
    })
}

fn check_mean_count(mean_count: f64) -> Result<(), FieldError> {
    if mean_count.is_finite() && mean_count > 0.0 {
        return Ok(());
    }
    Err(FieldError::Normalizer { why: format!("mean_count must be positive and finite, found {mean_count}") })
}

/// Sum over all voxels in a fixed order, whatever the threads and the slabs.
fn sum(fields: &[&dyn Windows], function: impl Fn(f32) -> f64 + Sync) -> Result<f64, WindowError> {
    let of_chunk = |part: &[f32]| part.iter().map(|&v| function(v)).sum::<f64>();
    let mut total = 0.0;
    for &field in fields {
        // What does not fill a chunk waits for the next planes.
        let mut waiting = Vec::new();
        for_each_slab(field, |_, slab| {
            waiting.extend_from_slice(slab);
            let whole = waiting.len() / CHUNK * CHUNK;
            let sums: Vec<f64> = waiting[..whole].par_chunks(CHUNK).map(of_chunk).collect();
            total = sums.into_iter().fold(total, |total, sum| total + sum);
            waiting.drain(..whole);
            Ok(())
        })?;
        total += of_chunk(&waiting);
    }
    Ok(total)
}

fn map(field: &Field3, function: impl Fn(f32) -> f32 + Sync) -> Field3 {
    let values: Vec<f32> = field.as_slice().par_iter().map(|&v| function(v)).collect();
    let values = Array3::from_shape_vec(field.grid().cells(), values).expect("one value per voxel");
    Field3::new(*field.grid(), values).expect("the values have the grid's shape")
}

#[cfg(test)]
mod tests;
