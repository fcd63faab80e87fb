//! The Fourier modes of fields that are larger than memory: shared by ranks, or in a file.

mod low_modes;
mod rows;
mod statistics;
mod tiles;

pub use statistics::CrossSpectra;

use crate::SpectraError;
use crate::fft::{Complex32, Fft3, pack_row, unpack_row};
use crate::modes::{Sampling, checked_mean, correction, over};
use crate::taper::Taper;
use finescale_field::{Boundary, Grid, Scheme};
use finescale_ranks::Ranks;
use std::fmt;
use std::path::PathBuf;
use tiles::Tiles;

/// Modes in memory are worked on in this many parts at least.
const PARTS: usize = 8;

/// Where the modes of a rank lie, and how much of them is worked on at a time. The same on all ranks, but for the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// The folder of a file without a name, for what is larger than memory; without one, modes lie in memory.
    pub folder: Option<PathBuf>,
    /// Bytes of a block of modes: beside the modes themselves, that and two planes of the field are in memory. A block has
    /// one plane or one row of each field at least. It changes no result.
    pub block_bytes: usize,
}

impl Workspace {
    /// Bytes of a block that keeps many threads busy.
    pub const BLOCK_BYTES: usize = 256 << 20;

    /// In memory.
    #[must_use]
    pub fn memory() -> Self {
        Self { folder: None, block_bytes: Self::BLOCK_BYTES }
    }

    /// In a file without a name in `folder`, with blocks of `block_bytes` in memory.
    #[must_use]
    pub fn folder(folder: impl Into<PathBuf>, block_bytes: usize) -> Self {
        Self { folder: Some(folder.into()), block_bytes }
    }
}

/// The modes of [`Modes`](crate::Modes), and its statistics to the bit, for fields larger than the memory of a process: each
/// rank holds the modes of some y, in memory or in a file.
///
/// Whatever is asked of it, all ranks ask, in the same order. A rank that has an error of its own alone, such as a full disk,
/// leaves the others waiting: see [`finescale_ranks`].
///
/// Memory: of each rank, in memory or in a file, 8 nx ny (nz/2 + 1) bytes over the number of ranks, and a block (see
/// [`Workspace`]).
///
/// # Examples
/// Three ranks have the bits of one process.
/// ```
/// use finescale_field::{Boundary, Field3, Grid};
/// use finescale_ranks::Ranks;
/// use finescale_spectra::{ModeSlabs, Modes, SpectraError, Workspace};
/// use ndarray::Array3;
///
/// let grid = Grid::cube(16, 100.0)?; // 16³ cells over (100 Mpc/h)³
/// let density = Array3::from_shape_fn(grid.cells(), |(x, y, z)| 0.5 + ((7 * x + 5 * y * y + 3 * z) % 11) as f32 / 10.0);
/// let field = Field3::new(grid, density)?; // 1 + δ
/// let power = Modes::new(&field, None)?.power();
///
/// let of_ranks = Ranks::on_threads(3, |ranks| -> Result<_, SpectraError> {
///     let plane = |x: usize, plane: &mut [f32]| {
///         plane.copy_from_slice(&field.as_slice()[x * 256..][..256]);
///         Ok::<(), SpectraError>(())
///     };
///     ModeSlabs::from_planes(ranks, grid, None, Boundary::Periodic, &Workspace::memory(), plane)?.power()
/// });
/// assert!(of_ranks.into_iter().all(|found| found == Ok(power.clone())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ModeSlabs<'a> {
    ranks: &'a Ranks,
    grid: Grid,
    fft: Fft3,
    /// Unnormalised transform of δ of our y, half-space k_z >= 0.
    tiles: Tiles,
    /// Whether rows have yet to be transformed along x when they are read.
    is_left_along_x: bool,
    /// Window correction by axis and index.
    correction: [Vec<f64>; 3],
    sampling: Sampling,
    block_bytes: usize,
}

impl<'a> ModeSlabs<'a> {
    /// As [`Modes::from_planes`](crate::Modes::from_planes), of a field that `ranks` read together: `fill(x, plane)` is
    /// called for each x of this rank's share of the planes, [`Ranks::share`], in order, with room for ny nz values.
    ///
    /// Each rank transforms its planes along z and y, and the ranks change tiles, so that each has all x of its share of the y.
    /// What lies in memory is transformed along x at once. What lies in a file is, block by block, whenever it is read:
    /// to write it back would cost more.
    ///
    /// # Errors
    /// [`SpectraError::NotADensity`] on all ranks alike if the mean over all planes is not positive and finite;
    /// [`SpectraError::Storage`] if the disk has no room; [`SpectraError::Ranks`]; whatever `fill` returns.
    pub fn from_planes<E: From<SpectraError>>(
        ranks: &'a Ranks,
        grid: Grid,
        window: Option<Scheme>,
        boundary: Boundary,
        workspace: &Workspace,
        mut fill: impl FnMut(usize, &mut [f32]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let fft = Fft3::new(grid.cells());
        let tiles = Tiles::zeros(ranks, fft.spectrum_shape(), workspace.folder.as_deref())?;
        let mut modes = Self {
            ranks,
            grid,
            fft,
            tiles,
            is_left_along_x: true,
            correction: correction(grid.cells(), window),
            sampling: Sampling::Single,
            block_bytes: block_bytes(ranks, &grid, workspace),
        };
        let sums = modes.transform_planes(&Taper::new(grid.cells(), boundary), &mut fill)?;
        // In the order of planes, whoever has them.
        let sums = ranks.gather(&sums).map_err(SpectraError::from)?.concat();
        checked_mean(sums.iter().sum::<f64>() / grid.voxels() as f64)?;
        modes.tiles.transpose(ranks, modes.block_bytes)?;
        if workspace.folder.is_none() {
            modes.transform_along_x()?;
        }
        Ok(modes)
    }

    /// Transforms our planes along z and y; returns the sum of the field over each.
    fn transform_planes<E: From<SpectraError>>(
        &mut self,
        taper: &Taper,
        fill: &mut impl FnMut(usize, &mut [f32]) -> Result<(), E>,
    ) -> Result<Vec<f64>, E> {
        let [_, ny, nz] = self.grid.cells();
        let (half, contrast, xs) = (nz / 2 + 1, over(1.0), self.tiles.xs());
        let at_once = (self.block_bytes / (ny * half * size_of::<Complex32>())).clamp(1, xs.len().max(1));
        let mut plane = vec![0f32; ny * nz];
        let mut planes = vec![Complex32::ZERO; at_once * ny * half];
        let mut sums = Vec::with_capacity(xs.len());
        for first in xs.clone().step_by(at_once) {
            let block = &mut planes[..at_once.min(xs.end - first) * ny * half];
            for (x, packed) in (first..).zip(block.chunks_exact_mut(ny * half)) {
                fill(x, &mut plane)?;
                sums.push(plane.iter().map(|&value| f64::from(value)).sum::<f64>());
                for (row, values) in packed.chunks_exact_mut(half).zip(plane.chunks_exact(nz)) {
                    pack_row(values, row);
                }
            }
            self.fft.forward_planes(block, first, |row, packed, pencil| {
                unpack_row(packed, pencil);
                pencil.iter_mut().for_each(|value| *value = contrast(*value));
                taper.apply(row, pencil);
            });
            self.tiles.write_planes(first, block)?;
        }
        Ok(sums)
    }

    /// The last part of the transform, kept where the modes lie.
    fn transform_along_x(&mut self) -> Result<(), SpectraError> {
        let [nx, _, half] = self.fft.spectrum_shape();
        let ys = self.tiles.ys();
        let at_once = (self.block_bytes / (nx * half * size_of::<Complex32>())).clamp(1, ys.len().max(1));
        let mut rows = Vec::new();
        for first in ys.clone().step_by(at_once) {
            let ys = first..(first + at_once).min(ys.end);
            rows.resize(nx * ys.len() * half, Complex32::ZERO);
            self.tiles.read_rows(&ys, &mut rows)?;
            self.fft.forward_along_x(&mut rows);
            self.tiles.write_rows(&ys, &rows)?;
        }
        self.is_left_along_x = false;
        Ok(())
    }

    /// As [`Modes::divided_by`](crate::Modes::divided_by).
    #[must_use]
    pub fn divided_by(self, window: Option<Scheme>) -> Self {
        Self { correction: correction(self.grid.cells(), window), ..self }
    }

    /// The grid of the field.
    #[must_use]
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Bytes of the modes of a grid that one of these ranks holds, in memory or in a file.
    #[must_use]
    pub fn bytes(ranks: &Ranks, grid: &Grid) -> u128 {
        let [nx, ny, nz] = grid.cells();
        Tiles::bytes(ranks, [nx, ny, nz / 2 + 1])
    }

    fn check_grid(&self, other: &Self) -> Result<(), SpectraError> {
        if self.grid == other.grid {
            return Ok(());
        }
        Err(SpectraError::Grids { expected: Box::new(self.grid), found: Box::new(other.grid) })
    }
}

/// Bytes of a block, the same on all ranks: of modes in memory not more than a part that hardly counts beside them.
fn block_bytes(ranks: &Ranks, grid: &Grid, workspace: &Workspace) -> usize {
    let [nx, ny, nz] = grid.cells();
    let slab = nx * ny * (nz / 2 + 1) * size_of::<Complex32>() / ranks.count();
    match workspace.folder {
        None => workspace.block_bytes.min(slab / PARTS),
        Some(_) => workspace.block_bytes,
    }
}

impl fmt::Debug for ModeSlabs<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (grid, ys) = (&self.grid, self.tiles.ys());
        formatter.debug_struct("ModeSlabs").field("grid", grid).field("ys", &ys).finish_non_exhaustive()
    }
}
