//! Mass assignment: from particles to a grid.

use crate::scheme::shares;
use crate::sums::Sums;
use crate::tiles::{Cloud, SortedChunk, Tiles};
use crate::{Field3, FieldError, Grid, Scheme, check_memory};
use ndarray::Array3;
use rayon::prelude::*;

/// Particles sorted by one task.
const CHUNK: usize = 1 << 15;
/// Chunks sorted before they are written to the grid: 128 x 32,768 particles x 28 bytes = 117 MB.
const CHUNKS_AT_ONCE: usize = 128;
/// A tile with more than one particle in so many voxels is summed in a block of its own.
const WORTH_A_BLOCK: usize = 256;

/// What sorting takes, with where the tiles begin in each chunk.
const SORTING_BYTES: u128 = 130_000_000;
/// A sum in f64 and, at the end, its value in f32.
const BYTES_PER_VOXEL: u128 = 12;

/// Gathers particles on a periodic grid; particles may come in any number of pieces.
///
/// Sums are kept in f64 (8 bytes per voxel): in f32, equal masses added to a full voxel are all rounded the same
/// way. The same calls give the same bits for any number of threads, since every voxel gets its particles in the
/// same order.
pub struct Depositor {
    grid: Grid,
    periods_mpc_h: [f64; 3],
    scheme: Scheme,
    tiles: Tiles,
    sums: Sums,
    total: f64,
    chunks: Vec<SortedChunk>,
}

impl Depositor {
    /// An empty grid that will take particles by `scheme`.
    ///
    /// # Errors
    /// [`FieldError::Memory`] if there is no room for it.
    pub fn new(grid: Grid, scheme: Scheme) -> Result<Self, FieldError> {
        Self::in_window(grid, grid.box_size_mpc_h(), scheme)
    }

    /// An empty grid that is a window at the origin of a larger box with sides `periods_mpc_h`, after which positions repeat;
    /// particles beyond the window count in [`total`](Self::total) only. Along axes on which it is shorter than the box, what
    /// is assigned beyond one face of it comes in at the other: its outermost voxels, as many as the scheme has, are not
    /// whole.
    ///
    /// # Errors
    /// [`FieldError::Memory`] if there is no room for it.
    pub fn in_window(grid: Grid, periods_mpc_h: [f64; 3], scheme: Scheme) -> Result<Self, FieldError> {
        check_memory(format_args!("gridding on {:?} cells", grid.cells()), Self::memory_bytes(&grid))?;
        let tiles = Tiles::new(&grid, periods_mpc_h, scheme.order());
        let sums = Sums::zeros(grid.voxels())?;
        Ok(Self { grid, periods_mpc_h, scheme, tiles, sums, total: 0.0, chunks: Vec::new() })
    }

    /// What one takes.
    #[must_use]
    pub fn memory_bytes(grid: &Grid) -> u128 {
        BYTES_PER_VOXEL * grid.voxels() as u128 + SORTING_BYTES
    }

    /// The sums of weights so far, one for each voxel, and of all particles: what [`resume`](Self::resume) takes.
    #[must_use]
    pub fn state(&self) -> (&[f64], f64) {
        (&self.sums, self.total)
    }

    /// Goes on from the [`state`](Self::state) of a depositor of the same grid and scheme, to the same bits; `read` fills the
    /// sums.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn resume<E>(&mut self, total: f64, read: impl FnOnce(&mut [f64]) -> Result<(), E>) -> Result<(), E> {
        self.total = total;
        read(&mut self.sums)
    }

    /// Adds particles at `positions_mpc_h`, each with its weight (a mass, say) or, without weights, with 1.
    /// Positions outside of [0, box size) wrap around.
    ///
    /// # Errors
    /// [`FieldError::Weights`] if there are not as many weights as particles; [`FieldError::NotFinite`] names the
    /// first particle with a position or weight that is not finite. Earlier particles of the call may have been
    /// added by then: a depositor that gave this error is of no further use.
    pub fn add<T: Into<f64> + Copy + Sync>(
        &mut self,
        positions_mpc_h: &[[T; 3]],
        weights: Option<&[f32]>,
    ) -> Result<(), FieldError> {
        if let Some(found) = weights.map(<[f32]>::len).filter(|&n| n != positions_mpc_h.len()) {
            return Err(FieldError::Weights { particles: positions_mpc_h.len(), weights: found });
        }
        match self.scheme {
            Scheme::Ngp => self.add_by_order::<1, T>(positions_mpc_h, weights),
            Scheme::Cic => self.add_by_order::<2, T>(positions_mpc_h, weights),
            Scheme::Tsc => self.add_by_order::<3, T>(positions_mpc_h, weights),
            Scheme::Pcs => self.add_by_order::<4, T>(positions_mpc_h, weights),
        }
    }

    /// Adds cells of gas, of these sides in Mpc/h: one that is larger than a voxel is divided into cubes that are not, and each
    /// of them is added as a particle with its share of the weight, so that voxels inside of a cell are not empty. A cell that
    /// is smaller than a voxel is added as a particle.
    ///
    /// Sides of more than a box count as the box.
    ///
    /// # Errors
    /// As [`add`](Self::add); a side that is negative or not finite is not finite, either.
    pub fn add_cells(
        &mut self,
        positions_mpc_h: &[[f64; 3]],
        sides_mpc_h: &[f32],
        weights: Option<&[f32]>,
    ) -> Result<(), FieldError> {
        let particles = positions_mpc_h.len();
        for found in [Some(sides_mpc_h.len()), weights.map(<[f32]>::len)].into_iter().flatten() {
            if found != particles {
                return Err(FieldError::Weights { particles, weights: found });
            }
        }
        let is_finite = |index: &usize| {
            let weight = weights.map_or(1.0, |weights| weights[*index]);
            let side = sides_mpc_h[*index];
            positions_mpc_h[*index].iter().all(|x| x.is_finite())
                && weight.is_finite()
                && side.is_finite()
                && side >= 0.0
        };
        if let Some(index) = (0..particles).find(|index| !is_finite(index)) {
            return Err(FieldError::NotFinite { index });
        }
        let (voxel, size) = (self.grid.voxel_mpc_h(), self.periods_mpc_h);
        let cells = [0, 1, 2].map(|axis| (size[axis] / voxel[axis]).ceil() as usize);
        let (mut cubes, mut shares) = (Vec::new(), Vec::new());
        let before = self.total;
        for (index, (position, &side)) in positions_mpc_h.iter().zip(sides_mpc_h).enumerate() {
            let side = f64::from(side);
            let parts = [0, 1, 2].map(|axis| ((side / voxel[axis]).ceil() as usize).clamp(1, cells[axis]));
            let weight = f64::from(weights.map_or(1.0, |weights| weights[index]));
            let share = (weight / parts.iter().product::<usize>() as f64) as f32;
            let along = |axis: usize, part: usize| {
                let side = side.min(size[axis]);
                position[axis] + side * ((part as f64 + 0.5) / parts[axis] as f64 - 0.5)
            };
            for x in 0..parts[0] {
                for y in 0..parts[1] {
                    cubes.extend((0..parts[2]).map(|z| [along(0, x), along(1, y), along(2, z)]));
                    shares.resize(cubes.len(), share);
                    // A large cell is many cubes.
                    if cubes.len() >= CHUNK * CHUNKS_AT_ONCE {
                        self.add(&cubes, Some(&shares))?;
                        cubes.clear();
                        shares.clear();
                    }
                }
            }
        }
        self.add(&cubes, Some(&shares))?;
        // What was divided is summed as it was whole.
        let whole = weights.map_or(particles as f64, |w| w.iter().map(|&weight| f64::from(weight)).sum());
        self.total = before + whole;
        Ok(())
    }

    /// Its grid.
    #[must_use]
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Sum of the weights of all particles so far.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.total
    }

    /// The summed weights per voxel: counts or masses.
    #[must_use]
    pub fn finish(self) -> Field3 {
        self.finish_scaled(1.0)
    }

    /// The density in units of its mean in the whole box, 1 + delta.
    ///
    /// # Errors
    /// [`FieldError::NoMass`] if the weights do not sum to something positive.
    pub fn finish_overdensity(self) -> Result<Field3, FieldError> {
        let total = self.total;
        self.finish_over(total)
    }

    /// The summed weights per voxel over what it would have if `total` were spread evenly over the whole box.
    ///
    /// # Errors
    /// [`FieldError::NoMass`] if `total` is not positive.
    pub fn finish_over(self, total: f64) -> Result<Field3, FieldError> {
        if total > 0.0 && total.is_finite() {
            let voxel = self.grid.voxel_mpc_h();
            let (size, period) = (self.grid.box_size_mpc_h(), self.periods_mpc_h);
            let along = |axis: usize| match size[axis] == period[axis] {
                true => self.grid.cells()[axis] as f64,
                false => period[axis] / voxel[axis],
            };
            let voxels: f64 = (0..3).map(along).product();
            Ok(self.finish_scaled(voxels / total))
        } else {
            Err(FieldError::NoMass { total })
        }
    }

    fn finish_scaled(self, factor: f64) -> Field3 {
        let values: Vec<f32> = self.sums.par_iter().map(|sum| (sum * factor) as f32).collect();
        let values = Array3::from_shape_vec(self.grid.cells(), values).expect("one sum per voxel");
        Field3::new(self.grid, values).expect("the values have the grid's shape")
    }

    fn add_by_order<const ORDER: usize, T: Into<f64> + Copy + Sync>(
        &mut self,
        positions_mpc_h: &[[T; 3]],
        weights: Option<&[f32]>,
    ) -> Result<(), FieldError> {
        for (batch, positions) in positions_mpc_h.chunks(CHUNK * CHUNKS_AT_ONCE).enumerate() {
            let first = batch * CHUNK * CHUNKS_AT_ONCE;
            let weights = weights.map(|w| &w[first..first + positions.len()]);
            self.sort::<ORDER, T>(positions, weights)
                .map_err(|index| FieldError::NotFinite { index: first + index })?;
            self.write::<ORDER>(positions.len().div_ceil(CHUNK));
            self.total += weights.map_or(positions.len() as f64, |w| {
                let sums: Vec<f64> =
                    w.par_chunks(CHUNK).map(|part| part.iter().map(|&v| f64::from(v)).sum()).collect();
                sums.iter().sum()
            });
        }
        Ok(())
    }

    fn sort<const ORDER: usize, T: Into<f64> + Copy + Sync>(
        &mut self,
        positions_mpc_h: &[[T; 3]],
        weights: Option<&[f32]>,
    ) -> Result<(), usize> {
        let needed = positions_mpc_h.len().div_ceil(CHUNK);
        if self.chunks.len() < needed {
            self.chunks.resize(needed, SortedChunk::default());
        }
        let tiles = &self.tiles;
        let not_finite = self.chunks[..needed]
            .par_iter_mut()
            .zip(positions_mpc_h.par_chunks(CHUNK))
            .enumerate()
            .map_init(Vec::new, |unsorted, (c, (chunk, positions))| {
                let first = c * CHUNK;
                let weights = weights.map(|w| &w[first..first + positions.len()]);
                chunk.fill::<ORDER, T>(tiles, positions, weights, unsorted).err().map(|index| first + index)
            })
            .flatten()
            .min();
        not_finite.map_or(Ok(()), Err)
    }

    /// Adds the sorted particles. A slab's particles write into the slab and the next one, so pairs of slabs
    /// are shared out in two rounds; the last pair of an odd number of slabs, across the box's face, is a third.
    fn write<const ORDER: usize>(&mut self, chunks: usize) {
        let (chunks, cells, tiles) = (&self.chunks[..chunks], self.grid.cells(), &self.tiles);
        let (count, plane) = (tiles.slabs(), cells[1] * cells[2]);
        let start = |slab: usize| tiles.first_plane[slab] * plane;
        let rounds: [Vec<usize>; 3] = [
            (0..count - 1).step_by(2).collect(),
            (1..count - count % 2).step_by(2).collect(),
            if count % 2 == 1 { vec![count - 1] } else { vec![] },
        ];
        for round in rounds {
            // The first slab is the next one of the last.
            let (mut first, mut rest) = self.sums.split_at_mut(start(round.first().copied().unwrap_or(0)));
            let mut at = first.len();
            let mut pairs = Vec::new();
            for slab in round {
                let end = start((slab + 2).min(count));
                let own;
                (own, rest) = std::mem::take(&mut rest).split_at_mut(end - at);
                at = end;
                let over = if slab + 1 == count { std::mem::take(&mut first) } else { &mut [] };
                pairs.push((slab, Target { own, over, cells }));
            }
            let block = || Block::new(tiles.largest(), ORDER);
            pairs.into_par_iter().for_each_init(block, |block, (slab, mut target)| {
                for tile in tiles.of_slab(slab) {
                    let clouds = || chunks.iter().flat_map(|chunk| chunk.tile(tile));
                    let particles: usize = chunks.iter().map(|chunk| chunk.tile(tile).len()).sum();
                    if particles > block.sums.len() / WORTH_A_BLOCK {
                        let first_row = tiles.first_row(tile);
                        clouds().for_each(|cloud| block.add::<ORDER>(cloud, first_row));
                        block.move_to(&mut target, first_row);
                    } else {
                        clouds().for_each(|cloud| target.add::<ORDER>(cloud));
                    }
                }
            });
        }
    }
}

/// Sums of a tile and of what its particles reach beyond its last plane, row and voxel. It stays in a core's own cache: a
/// tile's particles come in any order, and the sums of the whole grid are read and written in theirs.
struct Block {
    sums: Vec<f64>,
    rows: usize,
    width: usize,
}

impl Block {
    fn new([planes, rows, row]: [usize; 3], order: usize) -> Self {
        let (rows, width) = (rows + order - 1, row + order - 1);
        Self { sums: vec![0.0; (planes + order - 1) * rows * width], rows, width }
    }

    fn add<const ORDER: usize>(&mut self, cloud: &Cloud, first_row: usize) {
        let [x, y, z] = cloud.voxel.map(|v| v as usize);
        let [share_x, share_y, share_z] = cloud.t.map(|t| shares::<ORDER>(f64::from(t)));
        let first = (x * self.rows + y - first_row) * self.width + z;
        for (i, share_x) in share_x.into_iter().enumerate() {
            let amount = f64::from(cloud.weight) * share_x;
            for (j, share_y) in share_y.into_iter().enumerate() {
                let amount = amount * share_y;
                let at = first + (i * self.rows + j) * self.width;
                let row: &mut [f64; ORDER] = self.sums[at..].first_chunk_mut().expect("the block holds it");
                for (sum, share_z) in row.iter_mut().zip(share_z) {
                    *sum += amount * share_z;
                }
            }
        }
    }

    /// Adds its sums to those of the grid, and begins anew.
    fn move_to(&mut self, target: &mut Target<'_>, first_row: usize) {
        let [_, ny, nz] = target.cells;
        for (x, plane) in self.sums.chunks_exact_mut(self.rows * self.width).enumerate() {
            let to = target.plane(x);
            for (y, row) in plane.chunks_exact_mut(self.width).enumerate() {
                let to = &mut to[(first_row + y) % ny * nz..][..nz];
                for part in row.chunks_mut(nz) {
                    to.iter_mut().zip(&*part).for_each(|(to, sum)| *to += sum);
                    part.fill(0.0);
                }
            }
        }
    }
}

/// A slab and the one after it, where they lie side by side.
struct Target<'a> {
    own: &'a mut [f64],
    /// After the last slab: the first. A grid of a single slab has none, its planes wrap onto themselves.
    over: &'a mut [f64],
    cells: [usize; 3],
}

impl Target<'_> {
    fn add<const ORDER: usize>(&mut self, cloud: &Cloud) {
        let [_, ny, nz] = self.cells;
        let [x, y, z] = cloud.voxel.map(|v| v as usize);
        let [share_x, share_y, share_z] = cloud.t.map(|t| shares::<ORDER>(f64::from(t)));
        for (i, share_x) in share_x.into_iter().enumerate() {
            let plane = self.plane(x + i);
            for (j, share_y) in share_y.into_iter().enumerate() {
                let amount = f64::from(cloud.weight) * share_x * share_y;
                let row = if y + j < ny { y + j } else { (y + j) % ny } * nz;
                for (k, share_z) in share_z.into_iter().enumerate() {
                    let z = if z + k < nz { z + k } else { (z + k) % nz };
                    plane[row + z] += amount * share_z;
                }
            }
        }
    }

    fn plane(&mut self, x: usize) -> &mut [f64] {
        let size = self.cells[1] * self.cells[2];
        let start = x * size;
        if start < self.own.len() {
            &mut self.own[start..start + size]
        } else if self.over.is_empty() {
            let start = start % self.own.len();
            &mut self.own[start..start + size]
        } else {
            let start = start - self.own.len();
            &mut self.over[start..start + size]
        }
    }
}

#[cfg(test)]
mod tests;
