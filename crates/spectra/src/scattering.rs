//! A small scattering transform: how much a field varies by scale, and how unevenly.

use crate::{Kernel, Smoother, SpectraError, peaks::mean_and_deviation};
use finescale_field::Field3;
use serde::{Deserialize, Serialize};

/// Scattering coefficients over octaves of scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scattering {
    /// R_j = 2^j voxels (of the coarsest axis) in Mpc/h, rising.
    pub radii_mpc_h: Vec<f64>,
    /// Standard deviation of f * ψ_j: the power in the octave.
    pub deviation: Vec<f64>,
    /// ⟨|f * ψ_j|⟩ over that deviation: √(2/π) for a Gaussian field, less where few places vary much.
    pub sparsity: Vec<f64>,
    /// By j: ⟨||f * ψ_j| * ψ_l|⟩ / ⟨|f * ψ_j|⟩ for each l > j: how much those places clump at larger scales.
    pub clumping: Vec<Vec<f64>>,
}

/// First and second order coefficients of `field` over `scales` octaves, with isotropic wavelets: differences
/// of the Gaussians of radii R_j and 2 R_j. Give [`log_density`](crate::log_density) of a density, else the
/// densest voxels are all that counts.
///
/// # Errors
/// [`SpectraError::Radius`] if the largest radius, 2^scales voxels, is above a quarter of the box or there are
/// no scales; [`SpectraError::NotADensity`] if a value is not finite.
/// # Source
/// Mallat 2012, arXiv:1101.2286; in cosmology Cheng et al. 2020, arXiv:2006.08561. The wavelets are our choice.
pub fn scattering(field: &Field3, scales: usize) -> Result<Scattering, SpectraError> {
    let smallest = field.grid().voxel_mpc_h().into_iter().fold(0.0, f64::max);
    let largest = 0.25 * field.grid().box_size_mpc_h().into_iter().fold(f64::INFINITY, f64::min);
    let radius = |scale: usize| smallest * (scale as f64).exp2();
    if scales == 0 || radius(scales) > largest {
        let found = if scales == 0 { 0.0 } else { radius(scales) };
        return Err(SpectraError::Radius { found, smallest: 2.0 * smallest, largest });
    }
    let radii_mpc_h: Vec<f64> = (0..scales).map(radius).collect();
    let octave = |smoother: &Smoother, radius: f64| {
        let transform = |k_h_mpc: f64, radius: f64| Kernel::Gaussian.transform(k_h_mpc * radius);
        smoother.filter(|k_h_mpc| transform(k_h_mpc, radius) - transform(k_h_mpc, 2.0 * radius))
    };

    let whole = Smoother::new(field)?;
    let (mut deviation, mut sparsity, mut clumping) = (Vec::new(), Vec::new(), Vec::new());
    for (scale, &radius) in radii_mpc_h.iter().enumerate() {
        let wave = octave(&whole, radius);
        let (_, rms) = mean_and_deviation(&wave);
        let size = magnitude(wave);
        let mean = mean_and_deviation(&size).0;
        let envelope = Smoother::new(&size)?;
        drop(size);
        let at = |&larger: &f64| mean_and_deviation(&magnitude(octave(&envelope, larger))).0 / mean;
        deviation.push(rms);
        sparsity.push(mean / rms);
        clumping.push(radii_mpc_h[scale + 1..].iter().map(at).collect());
    }
    Ok(Scattering { radii_mpc_h, deviation, sparsity, clumping })
}

/// |f|, in the memory of f.
fn magnitude(mut field: Field3) -> Field3 {
    field.as_slice_mut().iter_mut().for_each(|value| *value = value.abs());
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Grid;
    use ndarray::Array3;
    use std::f64::consts::{PI, TAU};

    #[test]
    fn one_wave_has_the_coefficients_of_a_cosine() {
        // 3 waves on 72 Mpc/h, voxels of 1.5; between voxels |cos| is not sampled at random, a fine one is.
        let grid = Grid::new([48, 32, 32], [72.0, 48.0, 48.0]).unwrap();
        let wave = |(i, j, k): (usize, usize, usize)| {
            let turns = 3.0 * i as f64 / 48.0 + (j as f64 + 2.0 * k as f64) / 32.0;
            (7.0 + 0.4 * (TAU * turns).cos()) as f32
        };
        let found =
            scattering(&Field3::new(grid, Array3::from_shape_fn(grid.cells(), wave)).unwrap(), 2).unwrap();
        assert_eq!(found.radii_mpc_h, [1.5, 3.0]);
        let k2 = (TAU * 3.0 / 72.0).powi(2) + (TAU / 48.0).powi(2) + (TAU * 2.0 / 48.0).powi(2);
        for (scale, radius) in [1.5f64, 3.0].into_iter().enumerate() {
            let transform = (-0.5 * k2 * radius * radius).exp() - (-2.0 * k2 * radius * radius).exp();
            let expected = 0.4 * transform / 2f64.sqrt();
            assert!((found.deviation[scale] / expected - 1.0).abs() < 1e-4, "{:?}", found.deviation);
            // ⟨|cos|⟩ / √⟨cos²⟩.
            assert!((found.sparsity[scale] / (8f64.sqrt() / PI) - 1.0).abs() < 0.01, "{:?}", found.sparsity);
        }
        assert_eq!((found.clumping[0].len(), found.clumping[1].len()), (1, 0));
        // |cos x| = 2/π + 4/(3π) cos 2x - ...: of its octave of twice the scale the first wave is nearly all.
        let transform = (-0.5 * 4.0 * k2 * 9.0).exp() - (-2.0 * 4.0 * k2 * 9.0).exp();
        let expected = 4.0 / (3.0 * PI) * transform;
        assert!((found.clumping[0][0] / expected - 1.0).abs() < 0.1, "{:?} for {expected}", found.clumping);
    }

    #[test]
    fn scales_that_the_box_does_not_hold_are_refused() {
        let field = Field3::zeros(Grid::cube(32, 32.0).unwrap());
        assert!(scattering(&field, 3).is_ok());
        for bad in [0, 4] {
            assert!(matches!(scattering(&field, bad), Err(SpectraError::Radius { largest: 8.0, .. })));
        }
    }
}
