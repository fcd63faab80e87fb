//! Three-dimensional Fourier transforms of real fields.
//!
//! Each x-plane is transformed along z and y while it sits in cache; one sweep over x follows. Neighbouring
//! columns are gathered together, so that every cache line read is used whole. Each value depends on its own
//! pencil only: the bits do not depend on the number of threads.
//!
//! In place, a field and its spectrum share one padded grid of (nx, ny, nz/2 + 1) complex numbers: a row holds
//! the nz real values two by two. 1024³ cells take 8 · 1024² · 513 bytes = 4.3 GB; beyond that each thread
//! needs a pencil and 16 columns.

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

    /// A padded grid of zeros, of [`Self::spectrum_shape`].
    pub(crate) fn zeros(&self) -> Vec<Complex32> {
        vec![ZERO; self.spectrum_shape().iter().product()]
    }

    /// Spectrum of `real`, unnormalised: F_k = Σ_x f(x) e^(−i k·x), shape [`Self::spectrum_shape`].
    ///
    /// # Panics
    /// If `real` does not have nx ny nz values.
    #[must_use]
    pub fn forward(&self, real: &[f32]) -> Vec<Complex32> {
        let mut spectrum = self.zeros();
        self.forward_into(real, &mut spectrum);
        spectrum
    }

    /// [`Self::forward`] into memory of the caller.
    ///
    /// # Panics
    /// If `real` or `spectrum` has another length than planned for.
    pub fn forward_into(&self, real: &[f32], spectrum: &mut [Complex32]) {
        self.check_real(real.len());
        let nz = self.cells[2];
        self.forward_rows(spectrum, |row, _, pencil| pencil.copy_from_slice(&real[row * nz..(row + 1) * nz]));
    }

    /// Spectrum of the field that `load(row, what the grid holds there, pencil)` writes row by row,
    /// row = x ny + y.
    pub(crate) fn forward_rows(
        &self,
        grid: &mut [Complex32],
        load: impl Fn(usize, &[Complex32], &mut [f32]) + Sync,
    ) {
        self.check_modes(grid.len());
        self.forward_planes(grid, 0, load);
        self.forward_along_x(grid);
    }

    /// The first part of [`Self::forward_rows`], of some planes from `first_x` on: each along z, then along y.
    pub(crate) fn forward_planes(
        &self,
        planes: &mut [Complex32],
        first_x: usize,
        load: impl Fn(usize, &[Complex32], &mut [f32]) + Sync,
    ) {
        let [_, ny, nz] = self.cells;
        let half = nz / 2 + 1;
        planes.par_chunks_mut(ny * half).enumerate().for_each_init(
            || (vec![0f32; nz], self.real_to_complex.make_scratch_vec(), Columns::new(&self.forward[1])),
            |(pencil, scratch, columns), (plane, rows)| {
                let mut rows: Vec<_> = rows.chunks_exact_mut(half).collect();
                for (y, row) in rows.iter_mut().enumerate() {
                    load((first_x + plane) * ny + y, row, pencil);
                    self.real_to_complex
                        .process_with_scratch(pencil, row, scratch)
                        .expect("the lengths are those planned for");
                }
                columns.transform(&mut rows, half);
            },
        );
    }

    /// The second part of [`Self::forward_rows`], of the rows of all y or of some: (nx, of each x the rows, nz/2 + 1) numbers.
    pub(crate) fn forward_along_x(&self, rows: &mut [Complex32]) {
        let [_, ny, nz] = self.cells;
        self.along_x(rows, &self.forward[0], [ny, nz]);
    }

    /// Field of `spectrum`, normalised by 1/N so that it undoes [`Self::forward`]; `spectrum` is overwritten.
    ///
    /// The imaginary parts of the self-conjugate modes of each z-pencil are taken as zero.
    ///
    /// # Panics
    /// If `spectrum` or `out` has another length than planned for.
    pub fn inverse(&self, spectrum: &mut [Complex32], out: &mut [f32]) {
        self.check_real(out.len());
        self.check_modes(spectrum.len());
        let [_, ny, nz] = self.cells;
        self.along_x(spectrum, &self.inverse[0], [ny, nz]);
        spectrum.par_chunks_mut(ny * (nz / 2 + 1)).zip(out.par_chunks_mut(ny * nz)).for_each_init(
            || ToReal::new(self, nz),
            |worker, (plane, real_plane)| {
                worker.transform(plane, |y, _, pencil| {
                    real_plane[y * nz..(y + 1) * nz].copy_from_slice(pencil);
                });
            },
        );
    }

    /// [`Self::inverse`] in place, see [`pack_row`], of a spectrum that is zero beyond `limit` in the mode
    /// number of any axis.
    pub(crate) fn inverse_in_place(&self, grid: &mut [Complex32], limit: [usize; 3]) {
        self.check_modes(grid.len());
        let [_, ny, nz] = self.cells;
        self.along_x(grid, &self.inverse[0], [limit[1], limit[2]]);
        grid.par_chunks_mut(ny * (nz / 2 + 1)).for_each_init(
            || ToReal::new(self, limit[2]),
            |worker, plane| worker.transform(plane, |_, row, pencil| pack_row(pencil, row)),
        );
    }

    /// Transforms along x, in parallel over y: a worker owns the nx rows of its y. Only columns whose mode
    /// numbers in y and z are within `limit`; with a limit, the rows of all y.
    fn along_x(&self, spectrum: &mut [Complex32], fft: &Arc<dyn Fft<f32>>, limit: [usize; 2]) {
        let [nx, _, nz] = self.cells;
        let half = nz / 2 + 1;
        let ny = spectrum.len() / (nx * half);
        let mut rows_of_y: Vec<Vec<&mut [Complex32]>> = (0..ny).map(|_| Vec::with_capacity(nx)).collect();
        for (index, row) in spectrum.chunks_exact_mut(half).enumerate() {
            rows_of_y[index % ny].push(row);
        }
        rows_of_y
            .par_iter_mut()
            .enumerate()
            .filter(|(y, _)| frequency(*y, ny).unsigned_abs() as usize <= limit[0])
            .for_each_init(
                || Columns::new(fft),
                |columns, (_, rows)| {
                    columns.transform(rows, half.min(limit[1] + 1));
                },
            );
    }

    fn check_real(&self, found: usize) {
        assert_eq!(
            found,
            self.cells.iter().product::<usize>(),
            "values of a field of {:?} cells",
            self.cells
        );
    }

    fn check_modes(&self, found: usize) {
        assert_eq!(found, self.spectrum_shape().iter().product::<usize>(), "modes of {:?} cells", self.cells);
    }
}

impl std::fmt::Debug for Fft3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fft3").field("cells", &self.cells).finish_non_exhaustive()
    }
}

/// Packs the values of a row two by two: c holds values 2c and 2c + 1; what is left of the row becomes zero.
///
/// # Panics
/// If the row does not have values / 2 + 1 numbers.
pub(crate) fn pack_row(values: &[f32], row: &mut [Complex32]) {
    assert_eq!(row.len(), values.len() / 2 + 1, "a packed row of {} values", values.len());
    let pairs = values.chunks_exact(2);
    row[values.len() / 2] = Complex32::new(pairs.remainder().first().copied().unwrap_or(0.0), 0.0);
    for (packed, pair) in row.iter_mut().zip(pairs) {
        *packed = Complex32::new(pair[0], pair[1]);
    }
}

/// Undoes [`pack_row`].
///
/// # Panics
/// If the row does not have values / 2 + 1 numbers.
pub(crate) fn unpack_row(row: &[Complex32], values: &mut [f32]) {
    assert_eq!(row.len(), values.len() / 2 + 1, "a packed row of {} values", values.len());
    let mut pairs = values.chunks_exact_mut(2);
    for (packed, pair) in row.iter().zip(&mut pairs) {
        pair.copy_from_slice(&[packed.re, packed.im]);
    }
    if let (Some(last), Some(packed)) = (pairs.into_remainder().first_mut(), row.last()) {
        *last = packed.re;
    }
}

/// One worker's memory for the inverse transforms of planes along y, then z.
struct ToReal<'a> {
    fft: &'a Fft3,
    pencil: Vec<f32>,
    scratch: Vec<Complex32>,
    columns: Columns,
    /// Columns that are not zero.
    width: usize,
}

impl<'a> ToReal<'a> {
    fn new(fft: &'a Fft3, limit: usize) -> Self {
        let nz = fft.cells[2];
        Self {
            fft,
            pencil: vec![0f32; nz],
            scratch: fft.complex_to_real.make_scratch_vec(),
            columns: Columns::new(&fft.inverse[1]),
            width: (nz / 2 + 1).min(limit + 1),
        }
    }

    /// Hands `store` (y, the row, its nz normalised values) for each row of the plane.
    fn transform(&mut self, plane: &mut [Complex32], mut store: impl FnMut(usize, &mut [Complex32], &[f32])) {
        let half = self.fft.cells[2] / 2 + 1;
        let scale = (1.0 / self.fft.cells.iter().map(|&n| n as f64).product::<f64>()) as f32;
        let mut rows: Vec<_> = plane.chunks_exact_mut(half).collect();
        self.columns.transform(&mut rows, self.width);
        for (y, row) in rows.into_iter().enumerate() {
            row[0].im = 0.0;
            if self.fft.cells[2].is_multiple_of(2) {
                row[half - 1].im = 0.0;
            }
            self.fft
                .complex_to_real
                .process_with_scratch(row, &mut self.pencil, &mut self.scratch)
                .expect("the lengths are those planned for and the ends are real");
            self.pencil.iter_mut().for_each(|value| *value *= scale);
            store(y, row, &self.pencil);
        }
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

    /// Transforms the first `width` columns `(rows[0][c], rows[1][c], ...)` in place.
    fn transform(&mut self, rows: &mut [&mut [Complex32]], width: usize) {
        let length = rows.len();
        let stride = length + PADDING;
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
    fn in_place_gives_the_same_bits() {
        for cells in [[1, 1, 1], [5, 3, 7], [12, 20, 34], [7, 33, 2]] {
            let real = wavy(cells);
            let plan = Fft3::new(cells);
            let half = cells[2] / 2 + 1;
            let mut grid = vec![Complex32::new(9.0, 9.0); cells[0] * cells[1] * half];
            for (row, values) in grid.chunks_exact_mut(half).zip(real.chunks_exact(cells[2])) {
                pack_row(values, row);
            }
            plan.forward_rows(&mut grid, |_, packed, pencil| unpack_row(packed, pencil));
            assert!(grid == plan.forward(&real), "{cells:?}");

            let mut back = vec![0f32; real.len()];
            plan.inverse(&mut grid.clone(), &mut back);
            plan.inverse_in_place(&mut grid, cells);
            let mut values = vec![0f32; cells[2]];
            for (row, expected) in grid.chunks_exact(half).zip(back.chunks_exact(cells[2])) {
                unpack_row(row, &mut values);
                assert_eq!(values, expected, "{cells:?}");
            }
        }
    }

    #[test]
    fn columns_of_zeros_can_be_skipped() {
        let cells = [12, 10, 16];
        let plan = Fft3::new(cells);
        let mut spectrum = plan.forward(&wavy(cells));
        let limit = [2, 3, 4];
        for (m, mode) in spectrum.iter_mut().enumerate() {
            let n = [frequency(m / 90, 12), frequency(m / 9 % 10, 10), (m % 9) as i64];
            if n.iter().zip(limit).any(|(n, limit)| n.unsigned_abs() as usize > limit) {
                *mode = ZERO;
            }
        }
        let mut all = spectrum.clone();
        plan.inverse_in_place(&mut all, cells);
        plan.inverse_in_place(&mut spectrum, limit);
        assert!(all == spectrum);
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
