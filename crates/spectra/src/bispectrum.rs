//! Bispectra by transforms of shells.

use crate::binning::squared_mode_numbers;
use crate::fft::{Complex32, Fft3, frequency};
use crate::triangles::{Family, Shell};
use crate::{Modes, SpectraError, TriangleBins, fundamental_h_mpc};
use finescale_field::{Field3, Grid, Scheme};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A bispectrum by triangle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bispectrum {
    /// Middles of the three shells in h/Mpc.
    pub k_h_mpc: Vec<[f64; 3]>,
    /// P over the modes of each of the three shells in (Mpc/h)³.
    pub power: Vec<[f64; 3]>,
    /// B in (Mpc/h)⁶; NaN without triangles.
    pub bispectrum: Vec<f64>,
    /// Q = B / (P1 P2 + P2 P3 + P3 P1).
    pub reduced: Vec<f64>,
    /// Number of ordered triples of modes.
    pub triangles: Vec<u64>,
}

impl Bispectrum {
    /// B / B_reference triangle by triangle, for bispectra in the same bins.
    #[must_use]
    pub fn ratio(&self, reference: &Self) -> Vec<f64> {
        self.bispectrum.iter().zip(&reference.bispectrum).map(|(mine, its)| mine / its).collect()
    }
}

/// B and Q of a density field at triangles of sides `k_h_mpc`, in shells one fundamental to each side as
/// Pylians has them; see [`TriangleBins`] for more than one field and for other widths.
///
/// # Errors
/// [`SpectraError::NotADensity`] as [`Modes::new`]; [`SpectraError::Triangle`] as [`TriangleBins::new`].
pub fn bispectrum(
    field: &Field3,
    window: Option<Scheme>,
    k_h_mpc: &[[f64; 3]],
) -> Result<Bispectrum, SpectraError> {
    let grid = field.grid();
    TriangleBins::new(grid, k_h_mpc, fundamental_h_mpc(grid))?.measure(&Modes::new(field, window)?)
}

impl TriangleBins {
    /// B = V² ⟨δ_k1 δ_k2 δ_k3⟩ over the triangles of each bin, no shot noise taken off.
    ///
    /// The fields of single shells are made on the smallest grid that holds their triangles, at most three of
    /// them at a time: beside the modes, three padded grids of at most the field's size.
    ///
    /// # Errors
    /// [`SpectraError::Grids`] if the modes are not on the grid of the bins.
    /// # Source
    /// The estimator of Sefusatti et al. 2016, arXiv:1512.07295, and of Pylians `Pk_library.Bk`; its value does
    /// not depend on the size of the shells' grid.
    pub fn measure(&self, modes: &Modes) -> Result<Bispectrum, SpectraError> {
        self.measure_cross([modes; 3])
    }

    /// B = V² ⟨α_k1 β_k2 γ_k3⟩ of three fields, the first with the modes of the first side, and so on; P and Q are made of the
    /// fields' own powers.
    ///
    /// # Errors
    /// As [`measure`](Self::measure).
    pub fn measure_cross(&self, modes: [&Modes; 3]) -> Result<Bispectrum, SpectraError> {
        self.check_grids(modes.map(|modes| &modes.grid))?;
        let waves = modes.map(WaveRows::all);
        Ok(assemble(self, self.families.iter().flat_map(|family| measure_family(family, waves))))
    }

    pub(crate) fn check_grids(&self, grids: [&Grid; 3]) -> Result<(), SpectraError> {
        match grids.into_iter().find(|grid| **grid != self.grid) {
            None => Ok(()),
            Some(other) => {
                Err(SpectraError::Grids { expected: Box::new(self.grid), found: Box::new(*other) })
            }
        }
    }

    /// Largest mode number of a side along each axis.
    pub(crate) fn limit(&self) -> [usize; 3] {
        let shells = self.families.iter().flat_map(|family| family.sides.iter().chain(&family.thirds));
        let limits = shells.map(|shell| shell.limit);
        limits.fold([0; 3], |most, limit| std::array::from_fn(|axis| most[axis].max(limit[axis])))
    }
}

/// Modes of a field, row by row: all of them, or those up to a mode number along each axis.
#[derive(Clone, Copy)]
pub(crate) struct WaveRows<'a> {
    grid: &'a Grid,
    correction: &'a [Vec<f64>; 3],
    rows: &'a [Complex32],
    /// Modes along x and y that are there.
    held: [usize; 2],
    /// Numbers from one x, and from one y, to the next.
    stride: [usize; 2],
}

impl<'a> WaveRows<'a> {
    fn all(modes: &'a Modes) -> Self {
        let [nx, ny, nz] = modes.grid.cells();
        let half = nz / 2 + 1;
        let (held, stride) = ([nx, ny], [ny * half, half]);
        Self { grid: &modes.grid, correction: &modes.correction, rows: &modes.spectrum, held, stride }
    }

    /// Of `rows` that hold the modes up to a mode number of `limit` along each axis, below Nyquist: y slowest, z fastest.
    pub(crate) fn up_to(
        limit: [usize; 3],
        grid: &'a Grid,
        correction: &'a [Vec<f64>; 3],
        rows: &'a [Complex32],
    ) -> Self {
        let cells = grid.cells();
        let held = [0, 1].map(|axis| cells[axis].min(2 * limit[axis] + 1));
        let along_z = (cells[2] / 2 + 1).min(limit[2] + 1);
        Self { grid, correction, rows, held, stride: [along_z, held[0] * along_z] }
    }

    /// The row of index x, y on the grid.
    fn row(&self, x: usize, y: usize) -> &'a [Complex32] {
        let at = |axis: usize, i: usize| {
            let n = frequency(i, self.grid.cells()[axis]);
            n.rem_euclid(self.held[axis] as i64) as usize * self.stride[axis]
        };
        &self.rows[at(0, x) + at(1, y)..]
    }

    fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.rows, other.rows) && std::ptr::eq(self.correction, other.correction)
    }
}

/// What is found of a triangle.
pub(crate) struct OfTriangle {
    /// Σ F_k1 F_k2 F_k3.
    pub(crate) sum: f64,
    /// P of its shells in (Mpc/h)³.
    pub(crate) power: [f64; 3],
}

/// The bispectrum of sums by triangle.
pub(crate) fn assemble(bins: &TriangleBins, sums: impl Iterator<Item = OfTriangle>) -> Bispectrum {
    let mut found = Bispectrum { k_h_mpc: bins.k_h_mpc.clone(), ..Bispectrum::default() };
    let voxels = bins.grid.voxels() as f64;
    let units = bins.grid.volume_mpc_h3().powi(2) / voxels.powi(3);
    for (OfTriangle { sum, power }, &count) in sums.zip(&bins.counts) {
        let bispectrum = units * sum / count as f64;
        let [p1, p2, p3] = power;
        found.power.push(power);
        found.bispectrum.push(bispectrum);
        found.reduced.push(bispectrum / (p1 * p2 + p2 * p3 + p3 * p1));
        found.triangles.push(count);
    }
    found
}

/// The part of a field that is made of the modes of one shell.
struct ShellField {
    /// Packed rows of Σ_k F_k e^(i k·x) / cells on the family's grid.
    values: Vec<Complex32>,
    /// P of the shell in (Mpc/h)³.
    power: f64,
}

/// Of the triangles of each bin.
pub(crate) fn measure_family(family: &Family, modes: [WaveRows; 3]) -> Vec<OfTriangle> {
    let fft = Fft3::new(family.cells);
    let squares = squared_mode_numbers(modes[0].grid);
    let of = |side: usize, shell: &Shell| shell_field(modes[side], &fft, &squares, shell);
    let same = |one: usize, other: usize| modes[one].is(&modes[other]);
    let [first, second] = &family.sides;
    let a = of(0, first);
    let b = (second != first || !same(0, 1)).then(|| of(1, second));
    let b = b.as_ref().unwrap_or(&a);
    let cells: f64 = family.cells.iter().map(|&n| n as f64).product();
    let of_triangle = |third: &Shell| {
        let (is_a, is_b) = (third == first && same(0, 2), third == second && same(1, 2));
        let c = if is_a || is_b { None } else { Some(of(2, third)) };
        let c = c.as_ref().unwrap_or(if is_a { &a } else { b });
        let plane = fft.spectrum_shape()[1] * fft.spectrum_shape()[2];
        let sum = sum_of_products([&a.values, &b.values, &c.values], plane);
        OfTriangle { sum: sum * cells * cells, power: [a.power, b.power, c.power] }
    };
    family.thirds.iter().map(of_triangle).collect()
}

fn shell_field(modes: WaveRows, fft: &Fft3, squares: &[Vec<f64>; 3], shell: &Shell) -> ShellField {
    let [mx, my, mz] = fft.cells();
    let [nx, ny, _] = modes.grid.cells();
    let half = mz / 2 + 1;
    let mut values = fft.zeros();
    // Copy the modes of the shell, row by row.
    let copy_row = |x: usize, y: usize, row: &mut [Complex32]| {
        let weight = modes.correction[0][x] * modes.correction[1][y];
        let square = squares[0][x] + squares[1][y];
        let fine_row = modes.row(x, y);
        let (mut power, mut count) = (0.0, 0u64);
        for (z, value) in row.iter_mut().enumerate().take(shell.limit[2] + 1) {
            if shell.contains(square + squares[2][z]) {
                *value = fine_row[z] * (weight * modes.correction[2][z]) as f32;
                // Beyond the plane k_z = 0 a mode stands for its conjugate, too.
                let both = if z > 0 { 2u32 } else { 1 };
                power += f64::from(both) * f64::from(value.norm_sqr());
                count += u64::from(both);
            }
        }
        (power, count)
    };
    let planes: Vec<(f64, u64)> = values
        .par_chunks_mut(my * half)
        .enumerate()
        .map(|(x, plane)| {
            let Some(x) = fine_index(x, mx, nx, shell.limit[0]) else { return (0.0, 0) };
            let rows = plane.chunks_exact_mut(half).enumerate();
            let sums =
                rows.filter_map(|(y, row)| Some(copy_row(x, fine_index(y, my, ny, shell.limit[1])?, row)));
            sums.fold((0.0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1))
        })
        .collect();
    fft.inverse_in_place(&mut values, shell.limit);
    let (power, count) = planes.into_iter().fold((0.0, 0), |sum, plane| (sum.0 + plane.0, sum.1 + plane.1));
    let voxels = modes.grid.voxels() as f64;
    ShellField { values, power: power / count as f64 * modes.grid.volume_mpc_h3() / (voxels * voxels) }
}

/// Index on `fine` cells of the mode of index `i` on `coarse` cells, up to a mode number of `limit`.
fn fine_index(i: usize, coarse: usize, fine: usize, limit: usize) -> Option<usize> {
    let n = frequency(i, coarse);
    let inside = n.unsigned_abs() as usize <= limit;
    inside.then(|| n.rem_euclid(fine as i64) as usize)
}

/// Σ a b c over packed fields: planes in parallel, then in order.
fn sum_of_products([a, b, c]: [&[Complex32]; 3], plane: usize) -> f64 {
    let of_plane = |((a, b), c): ((&[Complex32], &[Complex32]), &[Complex32])| -> f64 {
        let product = |a: f32, b: f32, c: f32| f64::from(a) * f64::from(b) * f64::from(c);
        let pairs = a.iter().zip(b).zip(c);
        let [even, odd] = pairs.fold([0.0; 2], |[even, odd], ((a, b), c)| {
            [even + product(a.re, b.re, c.re), odd + product(a.im, b.im, c.im)]
        });
        even + odd
    };
    let planes = a.par_chunks(plane).zip(b.par_chunks(plane)).zip(c.par_chunks(plane));
    let sums: Vec<f64> = planes.map(of_plane).collect();
    sums.iter().sum()
}
