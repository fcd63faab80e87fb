//! Particles sorted into slabs of x-planes, so that slabs can be written in parallel in a fixed order.

use crate::Grid;
use crate::scheme::first_voxel;

/// Slabs need this many planes for the writes to stay in cache; more makes fewer slabs to share among threads.
const LEAST_PLANES: usize = 2;

/// A particle reduced to what the deposit needs.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cloud {
    /// First voxel it touches; x counts from the first plane of the slab.
    pub(crate) voxel: [u32; 3],
    /// Place within the stencil per axis: see [`first_voxel`].
    pub(crate) t: [f32; 3],
    pub(crate) weight: f32,
}

/// The cut of a grid's x-planes into slabs, each at least as thick as a stencil reaches beyond its first plane.
/// So a particle whose stencil starts in slab s writes into slabs s and s + 1 only.
#[derive(Clone, Debug)]
pub(crate) struct Slabs {
    /// First plane of each slab, and the number of planes at the end.
    pub(crate) first_plane: Vec<usize>,
    /// Slab of each plane.
    slab_of: Vec<u32>,
    cells: [i64; 3],
    box_size_mpc_h: [f64; 3],
    /// After which positions repeat: the sides of the grid, or longer ones.
    periods_mpc_h: [f64; 3],
    voxels_per_mpc_h: [f64; 3],
}

impl Slabs {
    pub(crate) fn new(grid: &Grid, periods_mpc_h: [f64; 3], order: usize) -> Self {
        let planes = grid.cells()[0];
        let count = (planes / LEAST_PLANES.max(order - 1)).max(1);
        let first_plane: Vec<usize> = (0..=count).map(|s| s * planes / count).collect();
        let mut slab_of = vec![0; planes];
        for (slab, range) in first_plane.windows(2).enumerate() {
            slab_of[range[0]..range[1]].fill(slab as u32);
        }
        Self {
            first_plane,
            slab_of,
            cells: grid.cells().map(|n| n as i64),
            box_size_mpc_h: grid.box_size_mpc_h(),
            periods_mpc_h,
            voxels_per_mpc_h: grid.voxel_mpc_h().map(|h| 1.0 / h),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.first_plane.len() - 1
    }

    /// First voxel touched along `axis`, wrapped, and the place within the stencil. None where the grid is shorter than the
    /// period, and the position beyond it.
    fn locate<const ORDER: usize>(&self, axis: usize, position_mpc_h: f64) -> Option<(usize, f64)> {
        let (size, cells, period) = (self.box_size_mpc_h[axis], self.cells[axis], self.periods_mpc_h[axis]);
        let inside = (0.0..size).contains(&position_mpc_h);
        let wrapped = if inside { position_mpc_h } else { position_mpc_h.rem_euclid(period) };
        if wrapped >= size && size < period {
            return None;
        }
        // A position just below the side stays in the last voxel, whatever the product is rounded to.
        let place = wrapped * self.voxels_per_mpc_h[axis];
        let place = if wrapped < size { place.min((cells as f64).next_down()) } else { place };
        let (first, t) = first_voxel::<ORDER>(place);
        let first = if (0..cells).contains(&first) { first } else { first.rem_euclid(cells) };
        Some((first as usize, t))
    }
}

/// The slab of particles that lie beyond the grid.
const BEYOND: u32 = u32::MAX;

/// A chunk of particles in slab order; within a slab they keep the order in which they came.
#[derive(Clone, Default)]
pub(crate) struct SortedChunk {
    clouds: Vec<Cloud>,
    start: Vec<usize>,
    slab: Vec<u32>,
}

impl SortedChunk {
    /// Particles of `slab`.
    pub(crate) fn slab(&self, slab: usize) -> &[Cloud] {
        &self.clouds[self.start[slab]..self.start[slab + 1]]
    }

    /// Replaces the content by `positions`; the buffers are used again.
    ///
    /// # Errors
    /// The index of the first particle with a position or weight that is not finite.
    pub(crate) fn fill<const ORDER: usize, T: Into<f64> + Copy>(
        &mut self,
        slabs: &Slabs,
        positions_mpc_h: &[[T; 3]],
        weights: Option<&[f32]>,
    ) -> Result<(), usize> {
        // Count the particles of each slab.
        self.slab.clear();
        self.start.clear();
        self.start.resize(slabs.len() + 1, 0);
        for (i, position) in positions_mpc_h.iter().enumerate() {
            let finite = position.iter().all(|&x| x.into().is_finite());
            if !finite || weights.is_some_and(|w| !w[i].is_finite()) {
                return Err(i);
            }
            let position: [f64; 3] = std::array::from_fn(|axis| position[axis].into());
            let is_there = (1..3).all(|axis| slabs.locate::<ORDER>(axis, position[axis]).is_some());
            let plane = slabs.locate::<ORDER>(0, position[0]).filter(|_| is_there);
            let slab = plane.map_or(BEYOND, |(x, _)| slabs.slab_of[x]);
            self.slab.push(slab);
            if slab != BEYOND {
                self.start[slab as usize] += 1;
            }
        }
        let mut sum = 0;
        for start in &mut self.start {
            sum += std::mem::replace(start, sum);
        }
        // Put each where it belongs; `start` runs ahead to the next slab's start and is moved back after.
        self.clouds.resize(sum, Cloud::default());
        for (i, position) in positions_mpc_h.iter().enumerate() {
            let places: [Option<(usize, f64)>; 3] =
                std::array::from_fn(|axis| slabs.locate::<ORDER>(axis, position[axis].into()));
            let [Some((x, tx)), Some((y, ty)), Some((z, tz))] = places else { continue };
            let slab = self.slab[i] as usize;
            self.clouds[self.start[slab]] = Cloud {
                voxel: [(x - slabs.first_plane[slab]) as u32, y as u32, z as u32],
                t: [tx as f32, ty as f32, tz as f32],
                weight: weights.map_or(1.0, |w| w[i]),
            };
            self.start[slab] += 1;
        }
        self.start.rotate_right(1);
        self.start[0] = 0;
        Ok(())
    }
}
