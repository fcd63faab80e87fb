//! Smoothing of periodic fields by isotropic kernels, in Fourier space.

use crate::fft::{Complex32, Fft3, frequency};
use crate::{SpectraError, values::check_finite};
use finescale_field::{Field3, Grid};
use ndarray::Array3;
use rayon::prelude::*;
use std::f64::consts::TAU;

/// Below this k R the top hat's closed form cancels; its series is exact to 1e-13.
const SMALL: f64 = 1e-3;

/// A kernel of unit integral.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// 3 / (4π R³) within R.
    TopHat,
    /// (2π R²)^(−3/2) exp(−r² / 2R²).
    Gaussian,
}

impl Kernel {
    /// Its transform: 3 (sin x − x cos x) / x³ or exp(−x²/2), with x = k R.
    #[must_use]
    pub fn transform(self, x: f64) -> f64 {
        match self {
            Self::TopHat if x < SMALL => 1.0 - x * x / 10.0,
            Self::TopHat => 3.0 * (x.sin() - x * x.cos()) / (x * x * x),
            Self::Gaussian => (-0.5 * x * x).exp(),
        }
    }
}

/// A field's transform, kept to smooth it at any number of radii.
#[derive(Debug)]
pub struct Smoother {
    grid: Grid,
    fft: Fft3,
    spectrum: Vec<Complex32>,
}

impl Smoother {
    /// Transforms `field`, whatever its unit.
    ///
    /// # Errors
    /// [`SpectraError::NotADensity`] if a value is not finite.
    pub fn new(field: &Field3) -> Result<Self, SpectraError> {
        check_finite(field)?;
        let grid = *field.grid();
        let fft = Fft3::new(grid.cells());
        let spectrum = fft.forward(field.as_slice());
        Ok(Self { grid, fft, spectrum })
    }

    /// The field convolved with `kernel` of radius `radius_mpc_h` (R of the kernel, comoving Mpc/h), periodic.
    /// The mean stays.
    ///
    /// # Errors
    /// [`SpectraError::Radius`] if the radius is negative or not finite.
    pub fn smooth(&self, kernel: Kernel, radius_mpc_h: f64) -> Result<Field3, SpectraError> {
        if !(radius_mpc_h >= 0.0 && radius_mpc_h.is_finite()) {
            return Err(SpectraError::Radius { found: radius_mpc_h, smallest: 0.0, largest: f64::INFINITY });
        }
        Ok(self.filter(|k_h_mpc| kernel.transform(k_h_mpc * radius_mpc_h)))
    }

    /// The field with each mode multiplied by `weight(|k|)`, k in h/Mpc.
    pub(crate) fn filter(&self, weight: impl Fn(f64) -> f64 + Sync) -> Field3 {
        let [_, ny, nz] = self.grid.cells();
        let half = nz / 2 + 1;
        let squares = squared_wavenumbers(&self.grid);
        let mut spectrum = self.spectrum.clone();
        spectrum.par_chunks_mut(half).enumerate().for_each(|(row, modes)| {
            let square = squares[0][row / ny] + squares[1][row % ny];
            for (mode, square_z) in modes.iter_mut().zip(&squares[2]) {
                *mode *= weight((square + square_z).sqrt()) as f32;
            }
        });
        let mut values = vec![0f32; self.grid.voxels()];
        self.fft.inverse(&mut spectrum, &mut values);
        let values = Array3::from_shape_vec(self.grid.cells(), values).expect("one value per voxel");
        Field3::new(self.grid, values).expect("the grid's own shape")
    }
}

/// k² in (h/Mpc)² by axis and index.
pub(crate) fn squared_wavenumbers(grid: &Grid) -> [Vec<f64>; 3] {
    std::array::from_fn(|axis| {
        let n = grid.cells()[axis];
        let fundamental = TAU / grid.box_size_mpc_h()[axis];
        (0..n).map(|i| (frequency(i, n) as f64 * fundamental).powi(2)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// f32 transforms there and back.
    const FFT_REL: f32 = 2e-6;

    #[test]
    fn a_wave_is_damped_by_the_kernel_at_its_wavenumber() {
        // Two waves on 40 Mpc/h, smoothed with 3 Mpc/h: x = 0.3 π, by hand 0.9139 and 0.6414.
        let grid = Grid::new([8, 20, 12], [30.0, 40.0, 25.0]).unwrap();
        let wave = |_: usize, j: usize| (TAU * 2.0 * j as f64 / 20.0).cos();
        let values = Array3::from_shape_fn(grid.cells(), |(i, j, _)| (5.0 + wave(i, j)) as f32);
        let smoother = Smoother::new(&Field3::new(grid, values).unwrap()).unwrap();
        let x = 0.3 * std::f64::consts::PI;
        for (kernel, damping) in [(Kernel::TopHat, 0.913_94), (Kernel::Gaussian, 0.641_38)] {
            assert!((kernel.transform(x) - damping).abs() < 2e-5, "{}", kernel.transform(x));
            let smoothed = smoother.smooth(kernel, 3.0).unwrap();
            for ((i, j, _), &found) in smoothed.values().indexed_iter() {
                let expected = (5.0 + kernel.transform(x) * wave(i, j)) as f32;
                assert!((found - expected).abs() < 6.0 * FFT_REL, "{found} for {expected}");
            }
        }
    }

    #[test]
    fn kernels_are_continuous_and_bad_radii_refused() {
        for kernel in [Kernel::TopHat, Kernel::Gaussian] {
            assert_eq!(kernel.transform(0.0), 1.0);
            let step = kernel.transform(SMALL * 1.000_001) - kernel.transform(SMALL * 0.999_999);
            assert!(step.abs() < 1e-9, "{step}");
        }
        let smoother = Smoother::new(&Field3::zeros(Grid::cube(4, 1.0).unwrap())).unwrap();
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(smoother.smooth(Kernel::TopHat, bad), Err(SpectraError::Radius { .. })));
        }
    }
}
