//! Triangles of wavenumbers: their shapes, their shells, and how many of them a grid holds.

use crate::SpectraError;
use crate::binning::squared_mode_numbers;
use crate::even::EvenTransform;
use crate::wavenumbers::{fundamental_h_mpc, longest_mpc_h};
use finescale_field::Grid;

/// Triangles (k, k, k) in h/Mpc.
#[must_use]
pub fn equilateral(k_h_mpc: &[f64]) -> Vec<[f64; 3]> {
    k_h_mpc.iter().map(|&k| [k; 3]).collect()
}

/// Triangles of two fixed sides and angles `theta` between their vectors in radians:
/// k3² = k1² + k2² + 2 k1 k2 cos θ, so that θ = 0 is the largest k3.
///
/// # Source
/// Pylians `Pk_library.Bk`.
#[must_use]
pub fn triangles_by_angle(k1_h_mpc: f64, k2_h_mpc: f64, theta: &[f64]) -> Vec<[f64; 3]> {
    let third = |theta: f64| (k2_h_mpc * theta.sin()).hypot(k2_h_mpc * theta.cos() + k1_h_mpc);
    theta.iter().map(|&theta| [k1_h_mpc, k2_h_mpc, third(theta)]).collect()
}

/// Triangles (k, k, k3) of angles `theta` between the equal sides, as [`triangles_by_angle`].
#[must_use]
pub fn isosceles(k_h_mpc: f64, theta: &[f64]) -> Vec<[f64; 3]> {
    triangles_by_angle(k_h_mpc, k_h_mpc, theta)
}

/// Triangles (k_long, k, k) of one long wave and two short ones, in h/Mpc.
#[must_use]
pub fn squeezed(k_long_h_mpc: f64, k_short_h_mpc: &[f64]) -> Vec<[f64; 3]> {
    k_short_h_mpc.iter().map(|&k| [k_long_h_mpc, k, k]).collect()
}

/// Modes of low <= |k|/k_F < high, without k = 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shell {
    low: f64,
    high: f64,
    /// Largest mode number along each axis.
    pub(crate) limit: [usize; 3],
}

impl Shell {
    fn new(grid: &Grid, k_h_mpc: f64, half_width_h_mpc: f64) -> Self {
        let fundamental = fundamental_h_mpc(grid);
        let high = (k_h_mpc + half_width_h_mpc) / fundamental;
        let limit = grid.box_size_mpc_h().map(|l| (high * l / longest_mpc_h(grid)).ceil() as usize);
        Self {
            low: (k_h_mpc - half_width_h_mpc) / fundamental,
            high,
            limit: limit.map(|n| n.saturating_sub(1)),
        }
    }

    /// `square`: (|k|/k_F)².
    pub(crate) fn contains(&self, square: f64) -> bool {
        let n = square.sqrt();
        n >= self.low && n < self.high && n > 0.0
    }
}

/// Triangles one after the other that share their first two shells.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    pub(crate) sides: [Shell; 2],
    pub(crate) thirds: Vec<Shell>,
    /// The smallest grid on which no three modes close by its periodicity only.
    pub(crate) cells: [usize; 3],
}

/// Triangle bins on a grid: a bin is all ordered triples of modes k1 + k2 + k3 = 0, one out of each of three
/// shells [k_i − w, k_i + w). They are counted once, and measured in any number of fields.
///
/// Modes near 2/3 of Nyquist would form triangles that close only by the periodicity of the grid: those are
/// refused, where Pylians counts them.
#[derive(Clone, Debug)]
pub struct TriangleBins {
    pub(crate) grid: Grid,
    pub(crate) k_h_mpc: Vec<[f64; 3]>,
    pub(crate) families: Vec<Family>,
    pub(crate) counts: Vec<u64>,
}

impl TriangleBins {
    /// Counts the triangles of sides around `k_h_mpc`, of shells [k − w, k + w) with w = `half_width_h_mpc`;
    /// Pylians has w = [`fundamental_h_mpc`].
    ///
    /// Triangles that share their first two sides belong one after the other, which saves transforms.
    ///
    /// # Errors
    /// [`SpectraError::Triangle`] if a side is negative or not finite, a shell has no width or reaches Nyquist,
    /// or the largest mode numbers of the three shells sum to the cells of an axis or more.
    pub fn new(grid: &Grid, k_h_mpc: &[[f64; 3]], half_width_h_mpc: f64) -> Result<Self, SpectraError> {
        let mut families: Vec<Family> = Vec::new();
        for &sides in k_h_mpc {
            let bad = || {
                let cells = grid.cells();
                Err(SpectraError::Triangle { k_h_mpc: sides, half_width_h_mpc, cells })
            };
            let width_is_sound = half_width_h_mpc > 0.0 && half_width_h_mpc.is_finite();
            if !width_is_sound || sides.iter().any(|k| !k.is_finite() || *k < 0.0) {
                return bad();
            }
            let [first, second, third] = sides.map(|k| Shell::new(grid, k, half_width_h_mpc));
            let waves: [usize; 3] =
                std::array::from_fn(|a| first.limit[a] + second.limit[a] + third.limit[a]);
            let fits = |a: usize| {
                let below_nyquist = |shell: &Shell| 2 * shell.limit[a] < grid.cells()[a];
                waves[a] < grid.cells()[a] && [first, second, third].iter().all(below_nyquist)
            };
            if !(0..3).all(fits) {
                return bad();
            }
            let cells: [usize; 3] = std::array::from_fn(|a| fast_size(waves[a] + 1).min(grid.cells()[a]));
            match families.last_mut().filter(|family| family.sides == [first, second]) {
                Some(family) => {
                    family.thirds.push(third);
                    family.cells = std::array::from_fn(|a| family.cells[a].max(cells[a]));
                }
                None => families.push(Family { sides: [first, second], thirds: vec![third], cells }),
            }
        }
        let squares = squared_mode_numbers(grid);
        let counts = families.iter().flat_map(|family| count(family, &squares)).collect();
        Ok(Self { grid: *grid, k_h_mpc: k_h_mpc.to_vec(), families, counts })
    }

    /// Ordered triples of modes per bin; exact.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }
}

/// The smallest even number from `least` on that has no prime factor above 5.
fn fast_size(least: usize) -> usize {
    let is_fast = |&n: &usize| {
        let without =
            |n: usize, p: usize| (0..usize::BITS).fold(n, |n, _| if n % p == 0 { n / p } else { n });
        n % 2 == 0 && [2, 3, 5].into_iter().fold(n, without) == 1
    };
    (least.max(2)..).find(is_fast).expect("powers of two have no end")
}

/// Triangles by the sum over x of the product of the shells' transforms, which is their number times the cells.
fn count(family: &Family, squares: &[Vec<f64>; 3]) -> Vec<u64> {
    let transform = EvenTransform::new(family.cells);
    let of = |shell: &Shell| {
        transform
            .sum_over(|[x, y, z]| shell.contains(squares[0][x] + squares[1][y] + squares[2][z]), shell.limit)
    };
    let [first, second] = &family.sides;
    let a = of(first);
    let b = (second != first).then(|| of(second));
    let b = b.as_ref().unwrap_or(&a);
    let number = |third: &Shell| {
        let c = if third == first || third == second { None } else { Some(of(third)) };
        let c = c.as_ref().unwrap_or(if third == first { &a } else { b });
        transform.sum_of_products([&a, b, c]).round() as u64
    };
    family.thirds.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fft::frequency;

    /// All triples, one by one.
    fn slow_count(grid: &Grid, sides: [f64; 3], half_width: f64) -> u64 {
        let squares = squared_mode_numbers(grid);
        let [nx, ny, nz] = grid.cells();
        let signed: Vec<[i64; 3]> = (0..grid.voxels())
            .map(|m| [frequency(m / (ny * nz), nx), frequency(m / nz % ny, ny), frequency(m % nz, nz)])
            .collect();
        let inside = |k: [i64; 3], side: usize| {
            let index = |a: usize| k[a].rem_euclid(grid.cells()[a] as i64) as usize;
            let square = (0..3).map(|a| squares[a][index(a)]).sum::<f64>();
            let n = square.sqrt() * fundamental_h_mpc(grid);
            n > 0.0 && n >= sides[side] - half_width && n < sides[side] + half_width
        };
        let [first, second] =
            [0, 1].map(|side| signed.iter().copied().filter(|&k| inside(k, side)).collect::<Vec<_>>());
        let closes = |a: &[i64; 3], b: &[i64; 3]| inside(std::array::from_fn(|i| -a[i] - b[i]), 2);
        first.iter().map(|a| second.iter().filter(|b| closes(a, b)).count() as u64).sum()
    }

    #[test]
    fn counts_are_those_of_all_triples() {
        for grid in [Grid::cube(16, 20.0).unwrap(), Grid::new([15, 18, 24], [20.0, 25.0, 30.0]).unwrap()] {
            let k = fundamental_h_mpc(&grid);
            let mut triangles = triangles_by_angle(2.1 * k, 1.7 * k, &[0.1, 1.5, 3.0]);
            triangles.extend([[2.5 * k; 3], [1.2 * k, 3.3 * k, 3.3 * k], [2.5 * k, 2.5 * k, 1.0 * k]]);
            let bins = TriangleBins::new(&grid, &triangles, 0.8 * k).unwrap();
            for (&sides, &count) in triangles.iter().zip(bins.counts()) {
                assert_eq!(count, slow_count(&grid, sides, 0.8 * k), "{sides:?}");
                assert!(count > 0);
            }
            assert_eq!(bins.families.len(), 4);
        }
    }

    #[test]
    fn triangles_that_a_grid_cannot_hold_are_refused() {
        let grid = Grid::cube(24, 24.0).unwrap();
        let k = fundamental_h_mpc(&grid);
        // Half a width of 1/2 around 7: mode numbers up to 7, 21 waves in 24 cells; around 8: 24.
        assert!(TriangleBins::new(&grid, &equilateral(&[7.0 * k]), 0.5 * k).is_ok());
        for (sides, width) in [
            ([8.0 * k; 3], 0.5 * k),
            ([1.0 * k, 3.0 * k, 12.0 * k], 0.5 * k),
            ([3.0 * k; 3], 0.0),
            ([-k, k, k], k),
            ([f64::NAN; 3], k),
        ] {
            assert!(matches!(TriangleBins::new(&grid, &[sides], width), Err(SpectraError::Triangle { .. })));
        }
    }

    #[test]
    fn sizes_are_fast_ones() {
        assert_eq!([1, 2, 7, 11, 49, 97, 129].map(fast_size), [2, 2, 8, 12, 50, 100, 144]);
    }

    #[test]
    fn angles_are_between_the_vectors() {
        let found = triangles_by_angle(3.0, 4.0, &[0.0, std::f64::consts::FRAC_PI_2, std::f64::consts::PI]);
        for (sides, expected) in found.iter().zip([7.0, 5.0, 1.0]) {
            assert!((sides[2] - expected).abs() < 1e-12);
        }
    }
}
