//! A periodic cubic mesh: wavenumbers, derivatives in Fourier space, and interpolation to particles.

use crate::deposit;
use finescale_spectra::Complex32;
use finescale_spectra::fft::{Fft3, frequency};
use rayon::prelude::*;

/// Particles per task: enough to hide the scheduler, few enough to balance.
const TASK: usize = 1 << 14;

/// A mesh of `cells`³ nodes with its Fourier transform planned.
///
/// Deposit and interpolation have node i at (i + 1/2) · box / cells: a lattice of particles then starts between
/// the nodes, where cloud-in-cell is smooth in a small displacement, and not on its kinks.
pub(crate) struct Mesh {
    cells: usize,
    box_size_mpc_h: f64,
    fft: Fft3,
}

impl Mesh {
    pub(crate) fn new(cells: usize, box_size_mpc_h: f64) -> Self {
        Self { cells, box_size_mpc_h, fft: Fft3::new([cells; 3]) }
    }

    pub(crate) fn cells(&self) -> usize {
        self.cells
    }

    /// Nodes of the mesh.
    pub(crate) fn nodes(&self) -> usize {
        self.cells.pow(3)
    }

    /// 2π / box in h/Mpc.
    pub(crate) fn fundamental(&self) -> f64 {
        std::f64::consts::TAU / self.box_size_mpc_h
    }

    /// Nodes per Mpc/h.
    pub(crate) fn per_mpc_h(&self) -> f32 {
        (self.cells as f64 / self.box_size_mpc_h) as f32
    }

    /// The row of nodes along z below `position`.
    pub(crate) fn row(&self, position: &[f32; 3]) -> usize {
        let node = |x: f32| deposit::cell(deposit::coordinate(x, self.cells, self.per_mpc_h()), self.cells).0;
        node(position[0]) * self.cells + node(position[1])
    }

    /// Values of a field's spectrum.
    pub(crate) fn modes(&self) -> usize {
        self.fft.spectrum_shape().iter().product()
    }

    /// Writes 1 + δ of particles by cloud-in-cell to `out`, in node order.
    pub(crate) fn density(&self, positions: &[[f32; 3]], out: &mut [f32]) {
        let mean = positions.len() as f64 / self.nodes() as f64;
        deposit::cloud_in_cell(positions, self.cells, self.per_mpc_h(), (1.0 / mean) as f32, out);
    }

    /// Writes the modes of `values`, as sums over nodes, to `spectrum`.
    pub(crate) fn forward(&self, values: &[f32], spectrum: &mut [Complex32]) {
        self.fft.forward_into(values, spectrum);
    }

    /// Divides each mode by k² in (h/Mpc)² and multiplies it by `window[|mode|]` of each axis; the mean becomes zero.
    pub(crate) fn inverse_laplacian(&self, spectrum: &mut [Complex32], window: &[f32]) {
        let (n, row) = (self.cells, self.cells / 2 + 1);
        let unit = self.fundamental().powi(-2) as f32;
        spectrum.par_chunks_mut(row).enumerate().for_each(|(line, modes)| {
            let [x, y] = [line / n, line % n].map(|i| frequency(i, n).unsigned_abs() as usize);
            let (plane, factor) = ((x * x + y * y) as f32, unit * window[x] * window[y]);
            for (z, (mode, window)) in modes.iter_mut().zip(window).enumerate() {
                *mode *= factor * window / (plane + (z as u32).pow(2) as f32).max(1.0);
            }
        });
        spectrum[0] = Complex32::new(0.0, 0.0);
    }

    /// Writes ∂/∂x_axis of the field of `spectrum` to `out`; `work` is overwritten.
    pub(crate) fn derivative(
        &self,
        spectrum: &[Complex32],
        axis: usize,
        work: &mut [Complex32],
        out: &mut [f32],
    ) {
        let (n, row) = (self.cells, self.cells / 2 + 1);
        let wavenumber = |mode: i64| {
            if self.is_nyquist(mode) { 0.0 } else { (self.fundamental() * mode as f64) as f32 }
        };
        let along_z: Vec<f32> = (0..row).map(|z| wavenumber(z as i64)).collect();
        work.par_chunks_mut(row).zip(spectrum.par_chunks(row)).enumerate().for_each(|(line, (to, from))| {
            let multiplied = |mode: Complex32, k: f32| Complex32::new(-k * mode.im, k * mode.re);
            if axis == 2 {
                for ((to, &from), &k) in to.iter_mut().zip(from).zip(&along_z) {
                    *to = multiplied(from, k);
                }
            } else {
                let k = wavenumber(frequency(if axis == 0 { line / n } else { line % n }, n));
                for (to, &from) in to.iter_mut().zip(from) {
                    *to = multiplied(from, k);
                }
            }
        });
        self.fft.inverse(work, out);
    }

    /// The real field of `spectrum` after each mode is multiplied by `kernel(mode)`; `work` and `out` are
    /// overwritten. A kernel returns (real part, imaginary part).
    pub(crate) fn inverse_with(
        &self,
        spectrum: &[Complex32],
        work: &mut [Complex32],
        out: &mut [f32],
        kernel: impl Fn([i64; 3]) -> Complex32 + Sync,
    ) {
        let (n, row) = (self.cells, self.cells / 2 + 1);
        work.par_chunks_mut(row).zip(spectrum.par_chunks(row)).enumerate().for_each(|(line, (to, from))| {
            let (x, y) = (frequency(line / n, n), frequency(line % n, n));
            for (z, (to, &from)) in to.iter_mut().zip(from).enumerate() {
                *to = from * kernel([x, y, z as i64]);
            }
        });
        self.fft.inverse(work, out);
    }

    /// Whether a mode is the mesh's Nyquist frequency on an axis, where an odd derivative has no sign.
    pub(crate) fn is_nyquist(&self, mode: i64) -> bool {
        2 * mode.unsigned_abs() as usize == self.cells
    }

    /// Kernel of −∂/∂x_axis ∇⁻²: i k_axis / k².
    pub(crate) fn descent_kernel(&self, axis: usize) -> impl Fn([i64; 3]) -> Complex32 + Sync {
        let unit = 1.0 / self.fundamental();
        move |mode| {
            let squared: i64 = mode.iter().map(|m| m * m).sum();
            if squared == 0 || self.is_nyquist(mode[axis]) {
                return Complex32::new(0.0, 0.0);
            }
            Complex32::new(0.0, (unit * mode[axis] as f64 / squared as f64) as f32)
        }
    }

    /// Kernel that moves the sites of a field by `shift` spacings along all axes: e^(i k·s). Not at Nyquist frequencies, whose
    /// phase a mesh does not hold.
    pub(crate) fn shift_kernel(&self, shift: f64) -> impl Fn([i64; 3]) -> Complex32 + Sync {
        let angle = std::f64::consts::TAU * shift / self.cells as f64;
        move |mode| {
            if shift == 0.0 {
                return Complex32::new(1.0, 0.0);
            }
            if mode.iter().any(|&m| self.is_nyquist(m)) {
                return Complex32::new(0.0, 0.0);
            }
            let (sin, cos) = (angle * mode.iter().sum::<i64>() as f64).sin_cos();
            Complex32::new(cos as f32, sin as f32)
        }
    }

    /// Calls `update(particle, value)` with `field` interpolated by cloud-in-cell to each of `positions`.
    pub(crate) fn gather<T: Send>(
        &self,
        field: &[f32],
        positions: &[[f32; 3]],
        particles: &mut [T],
        update: impl Fn(&mut T, f32) + Sync,
    ) {
        let (n, per_mpc_h) = (self.cells, self.per_mpc_h());
        particles.par_chunks_mut(TASK).zip(positions.par_chunks(TASK)).for_each(|(particles, positions)| {
            for (particle, &position) in particles.iter_mut().zip(positions) {
                update(
                    particle,
                    interpolate(field, n, position.map(|x| deposit::coordinate(x, n, per_mpc_h))),
                );
            }
        });
    }
}

/// Trilinear interpolation at the coordinates `at`.
fn interpolate(field: &[f32], n: usize, at: [f32; 3]) -> f32 {
    let [(x, x1, fx), (y, y1, fy), (z, z1, fz)] = at.map(|u| deposit::cell(u, n));
    let along_z = |x: usize, y: usize| {
        let row = (x * n + y) * n;
        field[row + z] * (1.0 - fz) + field[row + z1] * fz
    };
    let low = along_z(x, y) * (1.0 - fy) + along_z(x, y1) * fy;
    let high = along_z(x1, y) * (1.0 - fy) + along_z(x1, y1) * fy;
    low * (1.0 - fx) + high * fx
}
