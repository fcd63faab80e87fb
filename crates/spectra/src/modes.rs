//! The Fourier modes of a density field, and sums over them in shells of |k|.
//!
//! Independent modes only: of a pair k, -k one is counted. Shells follow Pylians (`Pk_library`): on the planes
//! k_z = 0 and k_z = Nyquist, which hold both of a pair, modes with k_x < 0 are left out, and where k_x is zero
//! or Nyquist too, those with k_y < 0.

use crate::fft::{Complex32, Fft3, frequency};
use crate::{Bands, SpectraError, Spectrum};
use finescale_field::{Field3, Grid, Scheme};
use rayon::prelude::*;
use std::f64::consts::{PI, TAU};

/// The smallest wavenumber of a box in h/Mpc: 2π over its longest side.
#[must_use]
pub fn fundamental_h_mpc(grid: &Grid) -> f64 {
    TAU / longest_mpc_h(grid)
}

/// The Nyquist wavenumber of a grid in h/Mpc, of its coarsest axis: π over the voxel size.
#[must_use]
pub fn nyquist_h_mpc(grid: &Grid) -> f64 {
    PI / grid.voxel_mpc_h().into_iter().fold(0.0, f64::max)
}

fn longest_mpc_h(grid: &Grid) -> f64 {
    grid.box_size_mpc_h().into_iter().fold(0.0, f64::max)
}

/// The modes δ_k = (1/N) Σ δ e^(−ik·x) of a density contrast, divided by the window of its mass assignment.
#[derive(Debug)]
pub struct Modes {
    grid: Grid,
    /// Unnormalised transform of δ, half-space k_z >= 0.
    spectrum: Vec<Complex32>,
    /// Window correction by axis and index.
    correction: [Vec<f64>; 3],
}

impl Modes {
    /// Modes of δ = f / mean − 1 for a density field (any unit); `window`: the mass assignment whose smoothing is
    /// undone, Π (x/sin x)^p with x = π n / N and p = 1, 2, 3, 4 for NGP, CIC, TSC, PCS. No alias sum, no
    /// interlacing, no shot-noise subtraction.
    ///
    /// # Errors
    /// [`SpectraError::NotADensity`] if the mean is not positive and finite.
    /// # Source
    /// Jing 2005, arXiv:astro-ph/0409240, eq. 18, without the alias sum; Pylians `Pk_library.Pk`.
    pub fn of(field: &Field3, window: Option<Scheme>) -> Result<Self, SpectraError> {
        let grid = *field.grid();
        let mean = mean(field);
        if !(mean.is_finite() && mean > 0.0) {
            return Err(SpectraError::NotADensity { mean });
        }
        let contrast: Vec<f32> =
            field.as_slice().par_iter().map(|&value| (f64::from(value) / mean - 1.0) as f32).collect();
        let spectrum = Fft3::new(grid.cells()).forward(&contrast);
        let correction = grid.cells().map(|n| (0..n).map(|i| window_correction(i, n, window)).collect());
        Ok(Self { grid, spectrum, correction })
    }

    /// The grid of the field.
    #[must_use]
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// P = V⟨|δ_k|²⟩ in (Mpc/h)³, in shells of one fundamental: shell floor(|k|/k_F), without k = 0; empty shells
    /// are left out. In boxes that are not cubes, k_F is that of the longest side.
    #[must_use]
    pub fn power(&self) -> Spectrum {
        self.shells(self)
    }

    /// P = V⟨|δ_k|²⟩ in (Mpc/h)³ over the modes of each band.
    #[must_use]
    pub fn power_in(&self, bands: &Bands) -> Spectrum {
        self.in_bands(self, bands)
    }

    /// Cross power V⟨Re δ_k ε_k*⟩ in (Mpc/h)³, shells as in [`Self::power`].
    ///
    /// # Errors
    /// [`SpectraError::Grids`] if the fields are not on one grid.
    pub fn cross(&self, other: &Self) -> Result<Spectrum, SpectraError> {
        self.check_grid(other)?;
        Ok(self.shells(other))
    }

    /// Cross power V⟨Re δ_k ε_k*⟩ in (Mpc/h)³ over the modes of each band.
    ///
    /// # Errors
    /// [`SpectraError::Grids`] if the fields are not on one grid.
    pub fn cross_in(&self, other: &Self, bands: &Bands) -> Result<Spectrum, SpectraError> {
        self.check_grid(other)?;
        Ok(self.in_bands(other, bands))
    }

    fn check_grid(&self, other: &Self) -> Result<(), SpectraError> {
        if self.grid == other.grid {
            return Ok(());
        }
        Err(SpectraError::Grids { expected: Box::new(self.grid), found: Box::new(other.grid) })
    }

    fn shells(&self, other: &Self) -> Spectrum {
        let squares = self.squared_mode_numbers();
        let largest = squares.iter().map(|axis| axis.iter().copied().fold(0.0, f64::max)).sum::<f64>().sqrt();
        let sums = self.sum_in_bins(other, &squares, largest as usize + 1, |n| Some(n as usize));
        let mut spectrum = Spectrum::default();
        for sum in sums.iter().skip(1).filter(|sum| sum.modes > 0) {
            spectrum.push(sum.mean_k(&self.grid), sum.mean_power(&self.grid), sum.modes);
        }
        spectrum
    }

    fn in_bands(&self, other: &Self, bands: &Bands) -> Spectrum {
        let fundamental = fundamental_h_mpc(&self.grid);
        let bin_of = |n: f64| bands.index(n * fundamental);
        let sums = self.sum_in_bins(other, &self.squared_mode_numbers(), bands.count(), bin_of);
        let mut spectrum = Spectrum::default();
        for (sum, centre) in sums.iter().zip(bands.centres_h_mpc()) {
            let k = if sum.modes > 0 { sum.mean_k(&self.grid) } else { centre };
            spectrum.push(k, sum.mean_power(&self.grid), sum.modes);
        }
        spectrum
    }

    /// (k_a / k_F)² by axis and index; exact integers in a cube.
    fn squared_mode_numbers(&self) -> [Vec<f64>; 3] {
        let longest = longest_mpc_h(&self.grid);
        std::array::from_fn(|axis| {
            let n = self.grid.cells()[axis];
            let stretch = longest / self.grid.box_size_mpc_h()[axis];
            (0..n).map(|i| (frequency(i, n) as f64 * stretch).powi(2)).collect()
        })
    }

    /// Sums over the independent modes by bin; `bin_of` maps |k| in units of the fundamental to a bin.
    ///
    /// Sums of x-planes are made in parallel and added in the order of x: same bits for any number of threads.
    fn sum_in_bins(
        &self,
        other: &Self,
        squares: &[Vec<f64>; 3],
        bins: usize,
        bin_of: impl Fn(f64) -> Option<usize> + Sync,
    ) -> Vec<Sums> {
        let [nx, ny, nz] = self.grid.cells();
        let half = nz / 2 + 1;
        let weight: [Vec<f64>; 3] = std::array::from_fn(|axis| {
            self.correction[axis].iter().zip(&other.correction[axis]).map(|(a, b)| a * b).collect()
        });
        let of_plane = |x: usize| {
            let mut sums = vec![Sums::default(); bins];
            for y in 0..ny {
                let row = (x * ny + y) * half;
                let (mine, its) = (&self.spectrum[row..row + half], &other.spectrum[row..row + half]);
                let both_of_a_pair_on_planes = !is_independent(x, nx, y, ny);
                let (square, weight_xy) = (squares[0][x] + squares[1][y], weight[0][x] * weight[1][y]);
                for z in 0..half {
                    if both_of_a_pair_on_planes && is_self_conjugate(z, nz) {
                        continue;
                    }
                    let n = (square + squares[2][z]).sqrt();
                    let Some(bin) = bin_of(n) else { continue };
                    let (a, b) = (mine[z], its[z]);
                    let product = f64::from(a.re) * f64::from(b.re) + f64::from(a.im) * f64::from(b.im);
                    let sum = &mut sums[bin];
                    sum.n += n;
                    sum.product += product * weight_xy * weight[2][z];
                    sum.modes += 1;
                }
            }
            sums
        };
        let planes: Vec<Vec<Sums>> = (0..nx).into_par_iter().map(of_plane).collect();
        let mut total = vec![Sums::default(); bins];
        for (sum, plane) in planes.iter().flat_map(|plane| plane.iter().enumerate()) {
            total[sum].add(plane);
        }
        total
    }
}

/// Sums over the modes of one bin.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// |k| in units of the fundamental.
    n: f64,
    /// Re(F G*) of the unnormalised transforms.
    product: f64,
    modes: u64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.n += other.n;
        self.product += other.product;
        self.modes += other.modes;
    }

    fn mean_k(&self, grid: &Grid) -> f64 {
        self.n / self.modes as f64 * fundamental_h_mpc(grid)
    }

    /// V⟨δ_k ε_k*⟩ = V/N² ⟨F G*⟩; NaN without modes.
    fn mean_power(&self, grid: &Grid) -> f64 {
        let voxels = grid.voxels() as f64;
        self.product / self.modes as f64 * grid.volume_mpc_h3() / (voxels * voxels)
    }
}

/// Whether index `i` is its own negative: zero, or the Nyquist mode of an even axis.
fn is_self_conjugate(i: usize, n: usize) -> bool {
    i == 0 || 2 * i == n
}

/// On a plane that holds both of each pair k, -k: whether (x, y) is the one that is counted.
fn is_independent(x: usize, nx: usize, y: usize, ny: usize) -> bool {
    let kx = frequency(x, nx);
    kx >= 0 && (!is_self_conjugate(x, nx) || frequency(y, ny) >= 0)
}

/// (x/sin x)^p with x = π n / N.
fn window_correction(i: usize, n: usize, window: Option<Scheme>) -> f64 {
    let x = PI * frequency(i, n) as f64 / n as f64;
    match window {
        Some(scheme) if i > 0 => (x / x.sin()).powi(scheme.order() as i32),
        _ => 1.0,
    }
}

/// Mean of the values: planes in parallel, then in the order of x.
pub(crate) fn mean(field: &Field3) -> f64 {
    let [nx, ny, nz] = field.grid().cells();
    let planes: Vec<f64> = field
        .as_slice()
        .par_chunks(ny * nz)
        .map(|plane| plane.iter().map(|&value| f64::from(value)).sum::<f64>())
        .collect();
    planes.iter().sum::<f64>() / (nx * ny * nz) as f64
}
