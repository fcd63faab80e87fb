//! The Fourier modes of a density field, and its power in shells of |k|.

use crate::binning::{Binning, binned};
use crate::fft::{Complex32, Fft3, frequency, pack_row, unpack_row};
use crate::taper::Taper;
use crate::values::mean;
use crate::{Bands, SpectraError, Spectrum, log_density};
use finescale_field::{Boundary, Field3, Grid, Scheme};
use std::f64::consts::PI;

/// The modes δ_k = (1/N) Σ δ e^(−ik·x) of a density contrast, divided by the window of its mass assignment.
///
/// Memory: one padded grid of 8 nx ny (nz/2 + 1) bytes, 4.3 GB for 1024³ cells.
///
/// # Examples
/// A wave of amplitude A and two wavelengths along x has V A²/4 in its mode.
/// ```
/// use finescale_field::{Field3, Grid};
/// use finescale_spectra::{LineOfSight, Modes, nyquist_h_mpc};
/// use ndarray::Array3;
/// use std::f64::consts::{PI, TAU};
///
/// let grid = Grid::cube(16, 100.0)?; // 16³ cells over (100 Mpc/h)³
/// let amplitude = 0.1_f64;
/// let wave = |(x, _, _): (usize, usize, usize)| (1.0 + amplitude * (TAU * 2.0 * x as f64 / 16.0).cos()) as f32;
/// let density = Array3::from_shape_fn(grid.cells(), wave);
/// let modes = Modes::new(&Field3::new(grid, density)?, None)?; // 1 + δ, no mass assignment window
///
/// let spectrum = modes.power();
/// let sum: f64 = spectrum.power.iter().zip(&spectrum.modes).map(|(power, &modes)| power * modes as f64).sum();
/// let expected = grid.volume_mpc_h3() * amplitude.powi(2) / 4.0; // (Mpc/h)³
/// assert!((sum / expected - 1.0).abs() < 1e-5);
///
/// // All of it is along x, where the second Legendre polynomial is 1: P_2 = 5 P_0.
/// let multipoles = modes.multipoles(LineOfSight::X);
/// assert!((multipoles.quadrupole[1] / multipoles.monopole[1] - 5.0).abs() < 1e-5);
/// assert_eq!(nyquist_h_mpc(&grid), PI * 16.0 / 100.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Modes {
    pub(crate) grid: Grid,
    /// Unnormalised transform of δ, half-space k_z >= 0.
    pub(crate) spectrum: Vec<Complex32>,
    /// Window correction by axis and index.
    pub(crate) correction: [Vec<f64>; 3],
    pub(crate) sampling: Sampling,
}

/// Which images of a mode above Nyquist fall on a mode of the grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sampling {
    /// All.
    Single,
    /// Those an even number of sampling frequencies away, summed over the axes.
    Interlaced,
}

impl Modes {
    /// Modes of δ = f − 1 for a density field in units of the cosmic mean; the field's own mean, which in a part of a box
    /// is another one, changes nothing. `window`: the mass assignment whose smoothing is undone, Π (x/sin x)^p with
    /// x = π n / N and p = 1, 2, 3, 4 for NGP, CIC, TSC, PCS. No alias sum, no interlacing, no shot-noise subtraction.
    ///
    /// # Errors
    /// [`SpectraError::NotADensity`] if the mean is not positive and finite.
    /// # Source
    /// Jing 2005, arXiv:astro-ph/0409240, eq. 18, without the alias sum; Pylians `Pk_library.Pk`.
    pub fn new(field: &Field3, window: Option<Scheme>) -> Result<Self, SpectraError> {
        Self::within(field, window, Boundary::Periodic)
    }

    /// The same of a box that may be open. Then δ is tapered: multiplied by a window that falls to zero over the last quarter
    /// of each side and whose mean square is 1, so that no wave sees a jump from one face to the opposite one. Its power is
    /// that of the box, smoothed over neighbouring wavenumbers.
    ///
    /// # Errors
    /// As [`Self::new`].
    /// # Source
    /// Tukey 1967, in Spectral Analysis of Time Series (ed. B. Harris), 25: the cosine taper.
    pub fn within(field: &Field3, window: Option<Scheme>, boundary: Boundary) -> Result<Self, SpectraError> {
        checked_mean(mean(field))?;
        Ok(Self::transform(field, over(1.0), &Taper::new(field.grid().cells(), boundary), window))
    }

    /// Modes of δ = f / mean − 1 for counts, masses or a density in whatever unit: divided by the field's own mean.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn over_mean(field: &Field3, window: Option<Scheme>) -> Result<Self, SpectraError> {
        let periodic = Taper::new(field.grid().cells(), Boundary::Periodic);
        Ok(Self::transform(field, over(checked_mean(mean(field))?), &periodic, window))
    }

    /// Modes of ln(1 + δ) less its mean for a density field in units of the cosmic mean, as gridded; densities
    /// below [`FLOOR_DENSITY`](crate::FLOOR_DENSITY) count as that. Most of the power of a density is in its
    /// peaks; of this, in what fills the volume.
    ///
    /// # Errors
    /// As [`log_density`].
    /// # Source
    /// Neyrinck, Szapudi & Szalay 2009, arXiv:0903.4693.
    pub fn from_log_density(field: &Field3) -> Result<Self, SpectraError> {
        Self::from_log_density_within(field, Boundary::Periodic)
    }

    /// The same of a box that may be open, tapered as in [`Self::within`].
    ///
    /// # Errors
    /// As [`log_density`].
    pub fn from_log_density_within(field: &Field3, boundary: Boundary) -> Result<Self, SpectraError> {
        let f = log_density(field)?;
        let mean = mean(&f);
        let taper = Taper::new(field.grid().cells(), boundary);
        Ok(Self::transform(&f, |value| (f64::from(value) - mean) as f32, &taper, None))
    }

    /// The transform of a function of the field's values, tapered.
    fn transform(
        field: &Field3,
        of: impl Fn(f32) -> f32 + Sync,
        taper: &Taper,
        window: Option<Scheme>,
    ) -> Self {
        let (grid, values, nz) = (*field.grid(), field.as_slice(), field.grid().cells()[2]);
        let fft = Fft3::new(grid.cells());
        let mut spectrum = fft.zeros();
        fft.forward_rows(&mut spectrum, |row, _, pencil| {
            for (to, &value) in pencil.iter_mut().zip(&values[row * nz..(row + 1) * nz]) {
                *to = of(value);
            }
            taper.apply(row, pencil);
        });
        Self::from_spectrum(grid, spectrum, window)
    }

    /// [`Self::within`] of a field that comes plane by plane, as from a file: `fill(x, plane)` is called for each
    /// x in order, with room for ny nz values. Nothing else of the size of the field is held beside the modes.
    ///
    /// # Errors
    /// As [`Self::new`]; whatever `fill` returns.
    pub fn from_planes<E: From<SpectraError>>(
        grid: Grid,
        window: Option<Scheme>,
        boundary: Boundary,
        mut fill: impl FnMut(usize, &mut [f32]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let fft = Fft3::new(grid.cells());
        let [_, ny, nz] = grid.cells();
        let half = nz / 2 + 1;
        let mut spectrum = fft.zeros();
        let mut plane = vec![0f32; ny * nz];
        let mut sum = 0.0;
        for (x, packed) in spectrum.chunks_exact_mut(ny * half).enumerate() {
            fill(x, &mut plane)?;
            sum += plane.iter().map(|&value| f64::from(value)).sum::<f64>();
            for (row, values) in packed.chunks_exact_mut(half).zip(plane.chunks_exact(nz)) {
                pack_row(values, row);
            }
        }
        checked_mean(sum / grid.voxels() as f64)?;
        let (contrast, taper) = (over(1.0), Taper::new(grid.cells(), boundary));
        fft.forward_rows(&mut spectrum, |row, packed, pencil| {
            unpack_row(packed, pencil);
            pencil.iter_mut().for_each(|value| *value = contrast(*value));
            taper.apply(row, pencil);
        });
        Ok(Self::from_spectrum(grid, spectrum, window))
    }

    fn from_spectrum(grid: Grid, spectrum: Vec<Complex32>, window: Option<Scheme>) -> Self {
        Self { grid, spectrum, correction: correction(grid.cells(), window), sampling: Sampling::Single }
    }

    /// The same modes, divided by another `window` than they were: by none, those of the field as it is. No transform.
    #[must_use]
    pub fn divided_by(self, window: Option<Scheme>) -> Self {
        Self { correction: correction(self.grid.cells(), window), ..self }
    }

    /// The grid of the field.
    #[must_use]
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// P = V⟨|δ_k|²⟩ in (Mpc/h)³, in shells of one fundamental: shell floor(|k|/k_F), without k = 0; empty
    /// shells are left out. In boxes that are not cubes, k_F is that of the longest side.
    #[must_use]
    pub fn power(&self) -> Spectrum {
        self.binned_with(self, Binning::Shells)
    }

    /// P = V⟨|δ_k|²⟩ in (Mpc/h)³ over the modes of each band.
    #[must_use]
    pub fn power_in(&self, bands: &Bands) -> Spectrum {
        self.binned_with(self, Binning::Bands(bands))
    }

    /// Cross power V⟨Re δ_k ε_k*⟩ in (Mpc/h)³, shells as in [`Self::power`].
    ///
    /// # Errors
    /// [`SpectraError::Grids`] if the fields are not on one grid.
    pub fn cross(&self, other: &Self) -> Result<Spectrum, SpectraError> {
        self.check_grid(other)?;
        Ok(self.binned_with(other, Binning::Shells))
    }

    /// Cross power V⟨Re δ_k ε_k*⟩ in (Mpc/h)³ over the modes of each band.
    ///
    /// # Errors
    /// [`SpectraError::Grids`] if the fields are not on one grid.
    pub fn cross_in(&self, other: &Self, bands: &Bands) -> Result<Spectrum, SpectraError> {
        self.check_grid(other)?;
        Ok(self.binned_with(other, Binning::Bands(bands)))
    }

    fn check_grid(&self, other: &Self) -> Result<(), SpectraError> {
        if self.grid == other.grid {
            return Ok(());
        }
        Err(SpectraError::Grids { expected: Box::new(self.grid), found: Box::new(other.grid) })
    }

    fn binned_with(&self, other: &Self, binning: Binning) -> Spectrum {
        let bins = binned(&self.grid, binning, &self.products(other), |_| [1.0]);
        bins.into_iter().map(|bin| (bin.k_h_mpc, bin.means[0], bin.modes)).collect()
    }

    /// V Re δ_k ε_k* of the modes of a row, in (Mpc/h)³.
    pub(crate) fn products<'a>(&'a self, other: &'a Self) -> impl Fn(usize, usize, &mut [f64]) + Sync + 'a {
        let products = Products::new(&self.grid, [&self.correction, &other.correction]);
        let (ny, half) = (self.grid.cells()[1], self.grid.cells()[2] / 2 + 1);
        move |x, y, values| {
            let row = x * ny + y;
            let modes = row * half..(row + 1) * half;
            products.of_row([x, y], [&self.spectrum[modes.clone()], &other.spectrum[modes]], values);
        }
    }
}

/// Products of the modes of two fields of one grid, with both window corrections.
pub(crate) struct Products {
    units: f64,
    weight: [Vec<f64>; 3],
}

impl Products {
    pub(crate) fn new(grid: &Grid, corrections: [&[Vec<f64>; 3]; 2]) -> Self {
        let [a, b] = corrections;
        let weight = std::array::from_fn(|axis| a[axis].iter().zip(&b[axis]).map(|(a, b)| a * b).collect());
        let voxels = grid.voxels() as f64;
        Self { units: grid.volume_mpc_h3() / (voxels * voxels), weight }
    }

    /// V Re δ_k ε_k* of the modes of row (x, y), in (Mpc/h)³.
    pub(crate) fn of_row(&self, [x, y]: [usize; 2], [a, b]: [&[Complex32]; 2], products: &mut [f64]) {
        let of_row = self.units * self.weight[0][x] * self.weight[1][y];
        let pairs = a.iter().zip(b);
        for ((product, (a, b)), &weight) in products.iter_mut().zip(pairs).zip(&self.weight[2]) {
            let real = f64::from(a.re) * f64::from(b.re) + f64::from(a.im) * f64::from(b.im);
            *product = real * (of_row * weight);
        }
    }
}

pub(crate) fn checked_mean(mean: f64) -> Result<f64, SpectraError> {
    if mean.is_finite() && mean > 0.0 { Ok(mean) } else { Err(SpectraError::NotADensity { mean }) }
}

/// f -> f / unit − 1.
pub(crate) fn over(unit: f64) -> impl Fn(f32) -> f32 + Sync {
    let per_unit = 1.0 / unit;
    move |value| (f64::from(value) * per_unit - 1.0) as f32
}

/// By axis and index.
pub(crate) fn correction(cells: [usize; 3], window: Option<Scheme>) -> [Vec<f64>; 3] {
    cells.map(|n| (0..n).map(|i| window_correction(i, n, window)).collect())
}

/// (x/sin x)^p with x = π n / N.
fn window_correction(i: usize, n: usize, window: Option<Scheme>) -> f64 {
    let x = PI * frequency(i, n) as f64 / n as f64;
    match window {
        Some(scheme) if i > 0 => (x / x.sin()).powi(scheme.order() as i32),
        _ => 1.0,
    }
}

/// P = V⟨|δ_k|²⟩ of a density field in units of the cosmic mean, in (Mpc/h)³, in shells of one fundamental; see [`Modes`] for the
/// conventions.
///
/// # Errors
/// [`SpectraError::NotADensity`] if the mean is not positive and finite.
pub fn power_spectrum(field: &Field3, window: Option<Scheme>) -> Result<Spectrum, SpectraError> {
    Ok(Modes::new(field, window)?.power())
}
