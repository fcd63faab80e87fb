//! Three-dimensional Fourier transforms of real fields.
//!
//! Each x-plane is transformed along z and y while it sits in cache; one sweep over x follows. Neighbouring
//! columns are gathered together, so that every cache line read is used whole. Each value depends on its own
//! pencil only: the bits do not depend on the number of threads.

use rayon::prelude::*;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

pub use rustfft::num_complex::Complex32;

/// Columns gathered at once: 16 complex numbers are two cache lines.
const COLUMNS: usize = 16;
/// Room between gathered columns: at a power of two they would compete for the same cache sets.
const PADDING: usize = 8;
const ZERO: Complex32 = Complex32::new(0.0, 0.0);

/// Signed mode number of index `i` out of `n`: 0, 1, ..., n/2, then -(n-1)/2, ..., -1 (Nyquist is positive).
#[must_use]
pub fn frequency(i: usize, n: usize) -> i64 {
    if i <= n / 2 { i as i64 } else { i as i64 - n as i64 }
}

/// The planned transforms of real (nx, ny, nz) fields, x slowest, any sizes.
#[derive(Clone)]
pub struct Fft3 {
    cells: [usize; 3],
    real_to_complex: Arc<dyn RealToComplex<f32>>,
    complex_to_real: Arc<dyn ComplexToReal<f32>>,
    forward: [Arc<dyn Fft<f32>>; 2],
    inverse: [Arc<dyn Fft<f32>>; 2],
}

impl Fft3 {
    /// Plans the transforms of fields of `cells`, once for any number of calls.
    ///
    /// # Panics
    /// If an axis has no cells.
    #[must_use]
    pub fn new(cells: [usize; 3]) -> Self {
        assert!(cells.iter().all(|&n| n > 0), "a transform needs cells in each axis, found {cells:?}");
        let mut real = RealFftPlanner::new();
        let mut complex = FftPlanner::new();
        Self {
            cells,
            real_to_complex: real.plan_fft_forward(cells[2]),
            complex_to_real: real.plan_fft_inverse(cells[2]),
            forward: [complex.plan_fft_forward(cells[0]), complex.plan_fft_forward(cells[1])],
            inverse: [complex.plan_fft_inverse(cells[0]), complex.plan_fft_inverse(cells[1])],
        }
    }

    /// Cells per axis of the real field.
    #[must_use]
    pub fn cells(&self) -> [usize; 3] {
        self.cells
    }

    /// Shape of the spectrum: (nx, ny, nz/2 + 1), the half-space k_z >= 0.
    #[must_use]
    pub fn spectrum_shape(&self) -> [usize; 3] {
        [self.cells[0], self.cells[1], self.cells[2] / 2 + 1]
    }

    /// Spectrum of `real`, unnormalised: F_k = Σ_x f(x) e^(−i k·x), shape [`Self::spectrum_shape`].
    ///
    /// # Panics
    /// If `real` does not have nx ny nz values.
    #[must_use]
    pub fn forward(&self, real: &[f32]) -> Vec<Complex32> {
        let mut spectrum = vec![ZERO; self.spectrum_shape().iter().product()];
        self.forward_into(real, &mut spectrum);
        spectrum
    }

    /// [`Self::forward`] into memory of the caller.
    ///
    /// # Panics
    /// If `real` or `spectrum` has another length than planned for.
    pub fn forward_into(&self, real: &[f32], spectrum: &mut [Complex32]) {
        self.check(real.len(), spectrum.len());
        let [_, ny, nz] = self.cells;
        let half = nz / 2 + 1;

        // Each x-plane along z, then along y.
        spectrum.par_chunks_mut(ny * half).zip(real.par_chunks(ny * nz)).for_each_init(
            || (vec![0f32; nz], self.real_to_complex.make_scratch_vec(), Columns::new(&self.forward[1])),
            |(pencil, scratch, columns), (plane, real_plane)| {
                let mut rows: Vec<_> = plane.chunks_exact_mut(half).collect();
                for (row, real_row) in rows.iter_mut().zip(real_plane.chunks_exact(nz)) {
                    pencil.copy_from_slice(real_row);
                    self.real_to_complex
                        .process_with_scratch(pencil, row, scratch)
                        .expect("the lengths are those planned for");
                }
                columns.transform(&mut rows);
            },
        );
        self.along_x(spectrum, &self.forward[0]);
    }

    /// Field of `spectrum`, normalised by 1/N so that it undoes [`Self::forward`]; `spectrum` is overwritten.
    ///
    /// The imaginary parts of the self-conjugate modes of each z-pencil are taken as zero.
    ///
    /// # Panics
    /// If `spectrum` or `out` has another length than planned for.
    pub fn inverse(&self, spectrum: &mut [Complex32], out: &mut [f32]) {
        self.check(out.len(), spectrum.len());
        let [_, ny, nz] = self.cells;
        let half = nz / 2 + 1;
        let scale = (1.0 / self.cells.iter().map(|&n| n as f64).product::<f64>()) as f32;

        self.along_x(spectrum, &self.inverse[0]);
        // Each x-plane along y, then along z.
        spectrum.par_chunks_mut(ny * half).zip(out.par_chunks_mut(ny * nz)).for_each_init(
            || (self.complex_to_real.make_scratch_vec(), Columns::new(&self.inverse[1])),
            |(scratch, columns), (plane, real_plane)| {
                let mut rows: Vec<_> = plane.chunks_exact_mut(half).collect();
                columns.transform(&mut rows);
                for (row, real_row) in rows.iter_mut().zip(real_plane.chunks_exact_mut(nz)) {
                    row[0].im = 0.0;
                    if nz % 2 == 0 {
                        row[half - 1].im = 0.0;
                    }
                    self.complex_to_real
                        .process_with_scratch(row, real_row, scratch)
                        .expect("the lengths are those planned for and the ends are real");
                    real_row.iter_mut().for_each(|value| *value *= scale);
                }
            },
        );
    }

    /// Transforms along x, in parallel over y: a worker owns the nx rows of its y.
    fn along_x(&self, spectrum: &mut [Complex32], fft: &Arc<dyn Fft<f32>>) {
        let [nx, ny, nz] = self.cells;
        let mut rows_of_y: Vec<Vec<&mut [Complex32]>> = (0..ny).map(|_| Vec::with_capacity(nx)).collect();
        for (index, row) in spectrum.chunks_exact_mut(nz / 2 + 1).enumerate() {
            rows_of_y[index % ny].push(row);
        }
        rows_of_y.par_iter_mut().for_each_init(|| Columns::new(fft), |columns, rows| columns.transform(rows));
    }

    fn check(&self, real: usize, spectrum: usize) {
        assert_eq!(real, self.cells.iter().product(), "values of a field of {:?} cells", self.cells);
        assert_eq!(spectrum, self.spectrum_shape().iter().product(), "modes of {:?} cells", self.cells);
    }
}

impl std::fmt::Debug for Fft3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fft3").field("cells", &self.cells).finish_non_exhaustive()
    }
}

/// One worker's memory for transforms across rows.
struct Columns {
    fft: Arc<dyn Fft<f32>>,
    gathered: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl Columns {
    fn new(fft: &Arc<dyn Fft<f32>>) -> Self {
        let gathered = vec![ZERO; COLUMNS * (fft.len() + PADDING)];
        Self { fft: Arc::clone(fft), gathered, scratch: vec![ZERO; fft.get_inplace_scratch_len()] }
    }

    /// Transforms every column `(rows[0][c], rows[1][c], ...)` of rows of equal length, in place.
    fn transform(&mut self, rows: &mut [&mut [Complex32]]) {
        let length = rows.len();
        let stride = length + PADDING;
        let width = rows[0].len();
        for first in (0..width).step_by(COLUMNS) {
            let count = COLUMNS.min(width - first);
            for (i, row) in rows.iter().enumerate() {
                for (c, &value) in row[first..first + count].iter().enumerate() {
                    self.gathered[c * stride + i] = value;
                }
            }
            for column in self.gathered.chunks_exact_mut(stride).take(count) {
                self.fft.process_with_scratch(&mut column[..length], &mut self.scratch);
            }
            for (i, row) in rows.iter_mut().enumerate() {
                for (c, value) in row[first..first + count].iter_mut().enumerate() {
                    *value = self.gathered[c * stride + i];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    /// f32 transforms of a few thousand values of order one, relative to the largest mode.
    const FFT_REL: f64 = 2e-6;

    fn wavy(cells: [usize; 3]) -> Vec<f32> {
        let n: usize = cells.iter().product();
        (0..n).map(|i| ((i * i % 97) as f32 / 97.0) - 0.4 + 0.3 * (i as f32 * 0.7).sin()).collect()
    }

    /// The definition, in f64: every mode a sum over every voxel.
    fn slow_transform(real: &[f32], [nx, ny, nz]: [usize; 3]) -> Vec<(f64, f64)> {
        let half = nz / 2 + 1;
        let mut modes = Vec::new();
        for (a, b, c) in (0..nx * ny * half).map(|m| (m / (ny * half), m / half % ny, m % half)) {
            let mut sum = (0.0, 0.0);
            for (v, &value) in real.iter().enumerate() {
                let (i, j, k) = (v / (ny * nz), v / nz % ny, v % nz);
                let turns =
                    (a * i) as f64 / nx as f64 + (b * j) as f64 / ny as f64 + (c * k) as f64 / nz as f64;
                sum.0 += f64::from(value) * (TAU * turns).cos();
                sum.1 -= f64::from(value) * (TAU * turns).sin();
            }
            modes.push(sum);
        }
        modes
    }

    #[test]
    fn modes_are_the_plain_sums() {
        for cells in [[1, 1, 1], [2, 2, 2], [5, 3, 7], [4, 6, 10], [3, 1, 9], [2, 40, 36]] {
            let real = wavy(cells);
            let fast = Fft3::new(cells).forward(&real);
            let slow = slow_transform(&real, cells);
            let largest = slow.iter().map(|m| m.0.hypot(m.1)).fold(0.0, f64::max);
            assert_eq!(fast.len(), slow.len());
            for (mode, (re, im)) in fast.iter().zip(slow) {
                let miss = (f64::from(mode.re) - re).hypot(f64::from(mode.im) - im);
                assert!(miss <= FFT_REL * largest, "{cells:?}: {mode} against {re} + {im} i");
            }
        }
    }

    #[test]
    fn the_inverse_undoes_the_forward_transform() {
        for cells in [[1, 1, 1], [5, 3, 7], [12, 20, 34], [16, 16, 16], [7, 33, 2]] {
            let real = wavy(cells);
            let plan = Fft3::new(cells);
            let mut back = vec![0f32; real.len()];
            plan.inverse(&mut plan.forward(&real), &mut back);
            for (a, b) in real.iter().zip(&back) {
                assert!(f64::from((a - b).abs()) <= FFT_REL, "{cells:?}: {a} became {b}");
            }
        }
    }

    #[test]
    fn power_is_conserved() {
        for cells in [[6, 5, 8], [8, 9, 7]] {
            let real = wavy(cells);
            let half = cells[2] / 2 + 1;
            let spectrum = Fft3::new(cells).forward(&real);
            let modes: f64 = spectrum
                .iter()
                .enumerate()
                .map(|(m, mode)| {
                    let kz = m % half;
                    let twice = kz != 0 && 2 * kz != cells[2];
                    f64::from(mode.norm_sqr()) * if twice { 2.0 } else { 1.0 }
                })
                .sum();
            let voxels: f64 = real.iter().map(|&v| f64::from(v).powi(2)).sum();
            let ratio = modes / real.len() as f64 / voxels;
            assert!((ratio - 1.0).abs() < FFT_REL, "{cells:?}: {ratio}");
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let cells = [24, 18, 30];
        let real = wavy(cells);
        let plan = Fft3::new(cells);
        let with_threads = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let spectrum = plan.forward(&real);
                let mut back = vec![0f32; real.len()];
                plan.inverse(&mut spectrum.clone(), &mut back);
                (spectrum, back)
            })
        };
        let (spectrum, back) = with_threads(1);
        for threads in [2, 5] {
            let (other_spectrum, other_back) = with_threads(threads);
            assert!(spectrum == other_spectrum && back == other_back, "{threads} threads");
        }
    }

    #[test]
    fn frequencies_are_signed_with_a_positive_nyquist() {
        let of = |n| (0..n).map(|i| frequency(i, n)).collect::<Vec<_>>();
        assert_eq!(of(6), [0, 1, 2, 3, -2, -1]);
        assert_eq!(of(5), [0, 1, 2, -2, -1]);
    }
}
