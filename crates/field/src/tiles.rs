//! Particles sorted into tiles of rows, so that slabs of tiles can be written in parallel, each in a fixed order and in
//! cache.

use crate::Grid;
use crate::scheme::first_voxel;

/// Planes of a slab: the thicker, the less of what its tiles sum lies beyond them.
const MOST_PLANES: usize = 8;
/// Fewer slabs are too few to share among threads.
const FEWEST_SLABS: usize = 32;
/// Sums of a tile: what fits into a core's own cache.
const TILE_BYTES: usize = 1 << 18;
/// With more tiles than this, a chunk has few particles in each.
const MOST_TILES: usize = 1 << 13;

/// A position in a periodic box: the rest after division by the period, in `[0, period]`; without a division near the box, to the same
/// bits.
#[must_use]
#[inline]
pub fn wrapped(position: f64, period: f64) -> f64 {
    match position {
        inside if (0.0..period).contains(&inside) => inside,
        below if -period < below && below < 0.0 => below + period,
        above if (period..2.0 * period).contains(&above) => above - period,
        far => far.rem_euclid(period),
    }
}

/// A particle reduced to what the deposit needs.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cloud {
    /// First voxel it touches; x counts from the first plane of the slab.
    pub(crate) voxel: [u32; 3],
    /// Place within the stencil per axis: see [`first_voxel`].
    pub(crate) t: [f32; 3],
    pub(crate) weight: f32,
}

/// The cut of a grid's x-planes into slabs, each at least as thick as a stencil reaches beyond its first plane, and of each
/// slab into tiles of whole rows. So a particle whose stencil starts in slab s writes into slabs s and s + 1 only.
#[derive(Clone, Debug)]
pub(crate) struct Tiles {
    /// First plane of each slab, and the number of planes at the end.
    pub(crate) first_plane: Vec<usize>,
    /// Of each plane, the first tile of its slab and its place there.
    plane: Vec<(u32, u32)>,
    rows_of_tile: usize,
    /// Tiles of each slab.
    in_slab: usize,
    /// Of each row of a plane, its tile in the slab.
    tile_of: Vec<u32>,
    cells: [i64; 3],
    /// The last place within the grid in voxels.
    last_place: [f64; 3],
    box_size_mpc_h: [f64; 3],
    /// After which positions repeat: the sides of the grid, or longer ones.
    periods_mpc_h: [f64; 3],
    voxels_per_mpc_h: [f64; 3],
}

impl Tiles {
    pub(crate) fn new(grid: &Grid, periods_mpc_h: [f64; 3], order: usize) -> Self {
        let [planes, rows, row] = grid.cells();
        let thickness = (planes / FEWEST_SLABS).clamp(1, MOST_PLANES).max(order - 1);
        let slabs = (planes / thickness).max(1);
        let first_plane: Vec<usize> = (0..=slabs).map(|s| s * planes / slabs).collect();
        let in_cache = TILE_BYTES / (size_of::<f64>() * row * thickness);
        let rows_of_tile = in_cache.max((rows * slabs).div_ceil(MOST_TILES));
        let in_slab = rows.div_ceil(rows_of_tile);
        let mut plane = Vec::with_capacity(planes);
        for (slab, range) in first_plane.windows(2).enumerate() {
            plane.extend((0..range[1] - range[0]).map(|x| ((slab * in_slab) as u32, x as u32)));
        }
        Self {
            first_plane,
            plane,
            rows_of_tile,
            in_slab,
            tile_of: (0..rows).map(|y| (y / rows_of_tile) as u32).collect(),
            cells: grid.cells().map(|n| n as i64),
            last_place: grid.cells().map(|n| (n as f64).next_down()),
            box_size_mpc_h: grid.box_size_mpc_h(),
            periods_mpc_h,
            voxels_per_mpc_h: grid.voxel_mpc_h().map(|h| 1.0 / h),
        }
    }

    pub(crate) fn slabs(&self) -> usize {
        self.first_plane.len() - 1
    }

    /// The numbers of a slab's tiles.
    pub(crate) fn of_slab(&self, slab: usize) -> std::ops::Range<usize> {
        slab * self.in_slab..(slab + 1) * self.in_slab
    }

    /// The most planes, rows and voxels of a row that a tile has.
    pub(crate) fn largest(&self) -> [usize; 3] {
        let planes = self.first_plane.windows(2).map(|range| range[1] - range[0]).max().unwrap_or(0);
        [planes, self.rows_of_tile, self.cells[2] as usize]
    }

    /// The first row of a tile.
    pub(crate) fn first_row(&self, tile: usize) -> usize {
        tile % self.in_slab * self.rows_of_tile
    }

    /// First voxel touched along `axis`, wrapped, and the place within the stencil. None where the grid is shorter than the
    /// period, and the position beyond it.
    #[inline]
    fn locate<const ORDER: usize>(&self, axis: usize, position_mpc_h: f64) -> Option<(u32, f32)> {
        let wrapped = match (0.0..self.box_size_mpc_h[axis]).contains(&position_mpc_h) {
            true => position_mpc_h,
            false => self.wrap(axis, position_mpc_h)?,
        };
        // A position just below the side stays in the last voxel, whatever the product is rounded to.
        let place = (wrapped * self.voxels_per_mpc_h[axis]).min(self.last_place[axis]);
        let (first, t) = first_voxel::<ORDER>(place);
        let first = if first < 0 { first.rem_euclid(self.cells[axis]) } else { first };
        Some((first as u32, t as f32))
    }

    /// A position outside of the grid, moved by periods.
    #[cold]
    fn wrap(&self, axis: usize, position_mpc_h: f64) -> Option<f64> {
        let (size, period) = (self.box_size_mpc_h[axis], self.periods_mpc_h[axis]);
        let wrapped = wrapped(position_mpc_h, period);
        // What is rounded to the period is at its end, or at the next one's beginning.
        match () {
            () if wrapped < size => Some(wrapped),
            () if size < period => None,
            () => Some(0.0),
        }
    }

    /// The tile and what of the particle counts there, or nothing beyond the grid.
    #[inline]
    fn cloud<const ORDER: usize>(&self, position_mpc_h: [f64; 3], weight: f32) -> Option<(u32, Cloud)> {
        let (x, tx) = self.locate::<ORDER>(0, position_mpc_h[0])?;
        let (y, ty) = self.locate::<ORDER>(1, position_mpc_h[1])?;
        let (z, tz) = self.locate::<ORDER>(2, position_mpc_h[2])?;
        let (first_tile, plane) = self.plane[x as usize];
        let tile = first_tile + self.tile_of[y as usize];
        Some((tile, Cloud { voxel: [plane, y, z], t: [tx, ty, tz], weight }))
    }
}

/// A chunk of particles in the order of their tiles; within a tile they keep the order in which they came.
#[derive(Clone, Default)]
pub(crate) struct SortedChunk {
    clouds: Vec<Cloud>,
    start: Vec<u32>,
}

impl SortedChunk {
    /// Particles of `tile`.
    pub(crate) fn tile(&self, tile: usize) -> &[Cloud] {
        &self.clouds[self.start[tile] as usize..self.start[tile + 1] as usize]
    }

    /// Replaces the content by `positions`; the buffers are used again.
    ///
    /// # Errors
    /// The index of the first particle with a position or weight that is not finite.
    pub(crate) fn fill<const ORDER: usize, T: Into<f64> + Copy>(
        &mut self,
        tiles: &Tiles,
        positions_mpc_h: &[[T; 3]],
        weights: Option<&[f32]>,
        unsorted: &mut Vec<(u32, Cloud)>,
    ) -> Result<(), usize> {
        // Count the particles of each tile.
        unsorted.clear();
        self.start.clear();
        self.start.resize(tiles.slabs() * tiles.in_slab + 1, 0);
        for (i, position) in positions_mpc_h.iter().enumerate() {
            let position: [f64; 3] = position.map(Into::into);
            let weight = weights.map_or(1.0, |weights| weights[i]);
            if !position.iter().all(|x| x.is_finite()) || !weight.is_finite() {
                return Err(i);
            }
            if let Some((tile, cloud)) = tiles.cloud::<ORDER>(position, weight) {
                self.start[tile as usize] += 1;
                unsorted.push((tile, cloud));
            }
        }
        let mut sum = 0;
        for start in &mut self.start {
            sum += std::mem::replace(start, sum);
        }
        // Put each where it belongs; `start` runs ahead to the next tile's start and is moved back after.
        self.clouds.resize(unsorted.len(), Cloud::default());
        for &(tile, cloud) in &*unsorted {
            let start = &mut self.start[tile as usize];
            self.clouds[*start as usize] = cloud;
            *start += 1;
        }
        self.start.rotate_right(1);
        self.start[0] = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn positions_are_wrapped_to_the_bits_of_the_remainder(boxes in -4.0f64..4.0, period in 1e-3f64..1e6, steps in -3i64..4) {
            let near = (0..steps.abs()).fold((boxes.round() * period, steps), |(x, left), _| {
                (if left > 0 { x.next_up() } else { x.next_down() }, left)
            });
            for position in [boxes * period, near.0, 0.0, -0.0, period, -period, 2.0 * period] {
                prop_assert_eq!(wrapped(position, period).to_bits(), position.rem_euclid(period).to_bits(), "{}", position);
            }
        }
    }
}
