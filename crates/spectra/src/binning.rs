//! Sums over the independent modes in shells of |k| or in bands.
//!
//! Of a pair k, -k one is counted. The rules are those of Pylians (`Pk_library`): on the planes k_z = 0 and
//! k_z = Nyquist, which hold both of a pair, modes with k_x < 0 are left out, and where k_x is zero or Nyquist
//! too, those with k_y < 0.

use crate::Bands;
use crate::fft::frequency;
use crate::wavenumbers::{fundamental_h_mpc, longest_mpc_h};
use finescale_field::Grid;
use rayon::prelude::*;
use std::ops::Range;

/// Tasks, of one y each, whose sums are in memory at a time.
const TASKS_PER_THREAD: usize = 4;

/// Which modes go together.
#[derive(Clone, Copy)]
pub(crate) enum Binning<'a> {
    /// Shells floor(|k|/k_F), without k = 0 and without empty ones.
    Shells,
    /// Bands, empty ones too.
    Bands(&'a Bands),
}

/// Means over the modes of one bin.
pub(crate) struct Bin<const W: usize> {
    /// Mean |k| in h/Mpc; without modes, the centre of the band.
    pub(crate) k_h_mpc: f64,
    /// Means of value times weight; NaN without modes.
    pub(crate) means: [f64; W],
    pub(crate) modes: u64,
}

/// Means by bin of what `values(x, y, of the row's modes)` writes, each weighted in W ways by
/// `weigh(k_a² / k² for the three axes a)`; 0 for k = 0.
pub(crate) fn binned<const W: usize>(
    grid: &Grid,
    binning: Binning,
    values: &(impl Fn(usize, usize, &mut [f64]) + Sync),
    weigh: impl Fn([f64; 3]) -> [f64; W] + Sync,
) -> Vec<Bin<W>> {
    let bins = Bins::new(*grid, binning, weigh);
    let mut total = bins.zeros();
    bins.for_each_y(0..grid.cells()[1], values, |of_y| add(&mut total, &of_y));
    bins.means(&total)
}

/// Which modes go together, and how each of them counts.
pub(crate) struct Bins<'a, const W: usize, F> {
    grid: Grid,
    binning: Binning<'a>,
    squares: [Vec<f64>; 3],
    weigh: F,
}

impl<'a, const W: usize, F: Fn([f64; 3]) -> [f64; W] + Sync> Bins<'a, W, F> {
    pub(crate) fn new(grid: Grid, binning: Binning<'a>, weigh: F) -> Self {
        Self { grid, binning, squares: squared_mode_numbers(&grid), weigh }
    }

    /// Number of bins, empty ones too.
    pub(crate) fn count(&self) -> usize {
        match self.binning {
            Binning::Shells => {
                let largest = |axis: &Vec<f64>| axis.iter().copied().fold(0.0, f64::max);
                self.squares.iter().map(largest).sum::<f64>().sqrt() as usize + 1
            }
            Binning::Bands(bands) => bands.count(),
        }
    }

    /// Sums over no modes.
    pub(crate) fn zeros(&self) -> Vec<Sums<W>> {
        vec![Sums::ZERO; self.count()]
    }

    /// Hands `take` the sums by bin over the modes of each y, y after y. They are made in parallel, and each in a fixed order:
    /// same bits for any number of threads, and whoever has which y.
    pub(crate) fn for_each_y(
        &self,
        ys: Range<usize>,
        values: &(impl Fn(usize, usize, &mut [f64]) + Sync),
        mut take: impl FnMut(Vec<Sums<W>>),
    ) {
        let fundamental = fundamental_h_mpc(&self.grid);
        let of_y = |y: usize| match self.binning {
            // Through i32, for which SIMD has an instruction.
            Binning::Shells => self.sums(y, |n| n as i32 as u32, values),
            Binning::Bands(bands) => {
                let bin_of = |n: f64| bands.index(n * fundamental).unwrap_or(bands.count()) as u32;
                self.sums(y, bin_of, values)
            }
        };
        let at_once = TASKS_PER_THREAD * rayon::current_num_threads();
        for first in ys.clone().step_by(at_once) {
            let tasks = first..(first + at_once).min(ys.end);
            tasks.into_par_iter().map(of_y).collect::<Vec<_>>().into_iter().for_each(&mut take);
        }
    }

    /// The bins that a spectrum shows, of sums over all modes.
    pub(crate) fn means(&self, total: &[Sums<W>]) -> Vec<Bin<W>> {
        let fundamental = fundamental_h_mpc(&self.grid);
        match self.binning {
            Binning::Shells => {
                let filled = total.iter().skip(1).filter(|sum| sum.modes > 0);
                filled.map(|sum| sum.mean(fundamental)).collect()
            }
            Binning::Bands(bands) => {
                let with_centre = |(sum, centre): (&Sums<W>, f64)| match sum.modes {
                    0 => Bin { k_h_mpc: centre, means: [f64::NAN; W], modes: 0 },
                    _ => sum.mean(fundamental),
                };
                total.iter().zip(bands.centres_h_mpc()).map(with_centre).collect()
            }
        }
    }

    /// Sums over the modes of one y, in the order of x. `bin_of` maps |k| in units of the fundamental to a bin, or to their
    /// count for none.
    fn sums(
        &self,
        y: usize,
        bin_of: impl Fn(f64) -> u32,
        values: &impl Fn(usize, usize, &mut [f64]),
    ) -> Vec<Sums<W>> {
        let ([nx, ny, nz], squares) = (self.grid.cells(), &self.squares);
        let half = nz / 2 + 1;
        // Neighbours along z are added to one of two sums by turns: the second need not wait for the first.
        let mut sums = vec![[Sums::ZERO; 2]; self.count() + 1];
        let (mut numbers, mut products, mut bin) = (vec![0.0; half], vec![0.0; half], vec![0u32; half]);
        for x in 0..nx {
            let square = [squares[0][x], squares[1][y]];
            // Roots, bins and products in loops of their own, which the compiler makes SIMD of.
            for (number, square_z) in numbers.iter_mut().zip(&squares[2]) {
                *number = (square[0] + square[1] + square_z).sqrt();
            }
            for (bin, &number) in bin.iter_mut().zip(&numbers) {
                *bin = bin_of(number);
            }
            values(x, y, &mut products);
            let both_of_a_pair_on_planes = !is_independent(x, nx, y, ny);
            let start = usize::from(both_of_a_pair_on_planes);
            let end = half - usize::from(both_of_a_pair_on_planes && nz.is_multiple_of(2));
            for z in start..end.max(start) {
                let n = numbers[z];
                let per_square = if n > 0.0 { 1.0 / (n * n) } else { 0.0 };
                let weights = (self.weigh)([
                    square[0] * per_square,
                    square[1] * per_square,
                    squares[2][z] * per_square,
                ]);
                let sum = &mut sums[bin[z] as usize][z % 2];
                sum.n += n;
                for (sum, weight) in sum.weighted.iter_mut().zip(weights) {
                    *sum += products[z] * weight;
                }
                sum.modes += 1;
            }
        }
        sums.pop();
        let both = |[mut even, odd]: [Sums<W>; 2]| {
            even.add(&odd);
            even
        };
        sums.into_iter().map(both).collect()
    }
}

/// Adds sums bin by bin.
pub(crate) fn add<const W: usize>(total: &mut [Sums<W>], sums: &[Sums<W>]) {
    total.iter_mut().zip(sums).for_each(|(total, sums)| total.add(sums));
}

/// (k_a / k_F)² by axis and index; exact integers in a cube.
pub(crate) fn squared_mode_numbers(grid: &Grid) -> [Vec<f64>; 3] {
    let longest = longest_mpc_h(grid);
    std::array::from_fn(|axis| {
        let n = grid.cells()[axis];
        let stretch = longest / grid.box_size_mpc_h()[axis];
        (0..n).map(|i| (frequency(i, n) as f64 * stretch).powi(2)).collect()
    })
}

/// Sums over the modes of one bin.
#[derive(Clone, Copy)]
pub(crate) struct Sums<const W: usize> {
    /// |k| in units of the fundamental.
    pub(crate) n: f64,
    pub(crate) weighted: [f64; W],
    pub(crate) modes: u64,
}

impl<const W: usize> Sums<W> {
    pub(crate) const ZERO: Self = Self { n: 0.0, weighted: [0.0; W], modes: 0 };

    fn add(&mut self, other: &Self) {
        self.n += other.n;
        for (sum, value) in self.weighted.iter_mut().zip(other.weighted) {
            *sum += value;
        }
        self.modes += other.modes;
    }

    /// How many numbers a sum is.
    pub(crate) const NUMBERS: usize = W + 2;

    /// As numbers, to be sent. A number of modes below 2^53 is exact.
    pub(crate) fn as_numbers(&self) -> impl Iterator<Item = f64> {
        let modes = self.modes as f64;
        [self.n, modes].into_iter().chain(self.weighted)
    }

    /// Undoes [`Self::as_numbers`].
    ///
    /// # Panics
    /// If there are not W + 2.
    pub(crate) fn from_numbers(numbers: &[f64]) -> Self {
        let (head, weighted) = numbers.split_at(2);
        let weighted = weighted.try_into().expect("a sum has as many weights on all ranks");
        Self { n: head[0], modes: head[1] as u64, weighted }
    }

    fn mean(&self, fundamental_h_mpc: f64) -> Bin<W> {
        let modes = self.modes as f64;
        Bin {
            k_h_mpc: self.n / modes * fundamental_h_mpc,
            means: self.weighted.map(|sum| sum / modes),
            modes: self.modes,
        }
    }
}

/// On a plane that holds both of each pair k, -k: whether (x, y) is the one that is counted.
fn is_independent(x: usize, nx: usize, y: usize, ny: usize) -> bool {
    let kx = frequency(x, nx);
    kx >= 0 && (!is_self_conjugate(x, nx) || frequency(y, ny) >= 0)
}

/// Whether index `i` is its own negative: zero, or the Nyquist mode of an even axis.
fn is_self_conjugate(i: usize, n: usize) -> bool {
    i == 0 || 2 * i == n
}
