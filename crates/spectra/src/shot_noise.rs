//! Poisson noise of particles, with what a mesh makes of it.

use crate::binning::{Binning, binned};
use crate::modes::Sampling;
use crate::{Modes, Spectrum};
use finescale_field::{Grid, Scheme};
use std::f64::consts::PI;

/// The Poisson noise of particles, gathered in any number of pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShotNoise {
    weight: f64,
    squared_weight: f64,
}

impl ShotNoise {
    /// Counts `particles` in, each with its weight or, without weights, with 1.
    pub fn add(&mut self, particles: usize, weights: Option<&[f32]>) {
        let sum_of = |power| match weights {
            Some(weights) => weights.iter().map(|&weight| f64::from(weight).powi(power)).sum(),
            None => particles as f64,
        };
        self.weight += sum_of(1);
        self.squared_weight += sum_of(2);
    }

    /// Power of these particles in (Mpc/h)³ if they are Poisson points of `grid`'s box: V Σw² / (Σw)², which is
    /// V/N for N equal weights.
    #[must_use]
    pub fn power_mpc_h3(&self, grid: &Grid) -> f64 {
        grid.volume_mpc_h3() * self.squared_weight / self.weight.powi(2)
    }
}

impl Modes {
    /// What Poisson points of power `shot_noise_mpc_h3`, see [`ShotNoise`], add to [`Modes::power`] when
    /// they were assigned by `scheme`: their aliases included, window and interlacing as in these modes. Take
    /// it off with [`Spectrum::minus`].
    ///
    /// # Source
    /// The alias sums of Jing 2005, arXiv:astro-ph/0409240, eq. 20, here for all schemes; with interlacing only
    /// even images count, as in Wang & Yu 2024, arXiv:2403.13561.
    #[must_use]
    pub fn shot_noise(&self, shot_noise_mpc_h3: f64, scheme: Scheme) -> Spectrum {
        let values = poisson_power(self.sampling, &self.correction, shot_noise_mpc_h3, scheme);
        let bins = binned(&self.grid, Binning::Shells, &values, |_| [1.0]);
        bins.into_iter().map(|bin| (bin.k_h_mpc, bin.means[0], bin.modes)).collect()
    }
}

/// What Poisson points add to the power of the modes of a row, in (Mpc/h)³.
pub(crate) fn poisson_power(
    sampling: Sampling,
    correction: &[Vec<f64>; 3],
    shot_noise_mpc_h3: f64,
    scheme: Scheme,
) -> impl Fn(usize, usize, &mut [f64]) + Sync {
    let table = |images: fn(Scheme, f64) -> f64| -> [Vec<f64>; 3] {
        std::array::from_fn(|axis| {
            let n = correction[axis].len();
            (0..n).map(|i| images(scheme, PI * i as f64 / n as f64)).collect()
        })
    };
    let (all, signed) = (table(all_images), table(signed_images));
    let window2 = correction.clone().map(|axis| axis.into_iter().map(|c| c * c).collect::<Vec<_>>());
    move |x, y, noise| {
        let of_row = shot_noise_mpc_h3 * window2[0][x] * window2[1][y];
        let all_of_row = all[0][x] * all[1][y];
        let signed_of_row = signed[0][x] * signed[1][y];
        for (z, noise) in noise.iter_mut().enumerate() {
            let images = match sampling {
                Sampling::Single => all_of_row * all[2][z],
                Sampling::Interlaced => 0.5 * (all_of_row * all[2][z] + signed_of_row * signed[2][z]),
            };
            *noise = of_row * window2[2][z] * images;
        }
    }
}

/// Σ_m W²(x + m π) over all images m along an axis, W = (sin x / x)^p.
fn all_images(scheme: Scheme, x: f64) -> f64 {
    let s2 = x.sin().powi(2);
    match scheme {
        Scheme::Ngp => 1.0,
        Scheme::Cic => 1.0 - 2.0 / 3.0 * s2,
        Scheme::Tsc => 1.0 + s2 * (-1.0 + 2.0 / 15.0 * s2),
        Scheme::Pcs => 1.0 + s2 * (-4.0 / 3.0 + s2 * (2.0 / 5.0 - 4.0 / 315.0 * s2)),
    }
}

/// Σ_m (−1)^m W²(x + m π): derivatives of Σ (−1)^m / (x + m π) = 1 / sin x. |x| up to π/2, or from π/2 to π for
/// what lies one image below.
fn signed_images(scheme: Scheme, x: f64) -> f64 {
    let s2 = x.sin().powi(2);
    // |cos|: an index beyond Nyquist stands for a mode of x − π.
    x.cos().abs()
        * match scheme {
            Scheme::Ngp => 1.0,
            Scheme::Cic => 1.0 - s2 / 6.0,
            Scheme::Tsc => 1.0 + s2 * (-0.5 + s2 / 120.0),
            Scheme::Pcs => 1.0 + s2 * (-5.0 / 6.0 + s2 * (13.0 / 120.0 - s2 / 5040.0)),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Top hats converge as 1 / images.
    const IMAGES: i32 = 20_000;
    const TRUNCATED: f64 = 1e-4;

    #[test]
    fn closed_forms_are_the_sums_over_images() {
        for scheme in Scheme::ALL {
            for x in [-1.5, -0.6, 0.3, 1.0, 1.4] {
                let window2 = |m: i32| {
                    let at = x + f64::from(m) * PI;
                    (x.sin() / at).powi(2 * scheme.order() as i32)
                };
                let all: f64 = (-IMAGES..=IMAGES).map(window2).sum();
                let sign = |m: i32| if m % 2 == 0 { 1.0 } else { -1.0 };
                let signed: f64 = (-IMAGES..=IMAGES).map(|m| sign(m) * window2(m)).sum();
                assert!((all_images(scheme, x) - all).abs() < TRUNCATED, "{scheme} at {x}");
                assert!((signed_images(scheme, x) - signed).abs() < TRUNCATED, "{scheme} at {x}");
            }
            let [low, high] = [0.4, 0.4 + PI].map(|x| signed_images(scheme, x));
            assert!((low - high).abs() < 1e-12, "an index beyond Nyquist");
        }
    }

    #[test]
    fn weights_enter_by_their_squares_piece_by_piece() {
        let grid = Grid::new([4, 4, 4], [10.0, 20.0, 5.0]).unwrap();
        let mut equal = ShotNoise::default();
        equal.add(20, None);
        equal.add(30, None);
        assert_eq!(equal.power_mpc_h3(&grid), 20.0);
        let mut weighted = ShotNoise::default();
        weighted.add(1, Some(&[2.0]));
        weighted.add(2, Some(&[1.0, 1.0]));
        assert_eq!(weighted.power_mpc_h3(&grid), 1000.0 * 6.0 / 16.0);
    }
}
