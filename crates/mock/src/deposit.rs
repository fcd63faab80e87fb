//! Cloud-in-cell deposit on nodes for the time steps: parallel, and the same bits for any number of threads.
//!
//! Each chunk of particles is ordered by the slab (first index) it lies in; then each plane of the mesh sums the
//! particles of its own slab and of the one below, chunk after chunk, so that no two threads share a cell.

use rayon::prelude::*;

/// Particles ordered together. Fixed, since it sets the order of summation.
const CHUNK: usize = 1 << 16;

/// Coordinate of position `x` in units of nodes, in 0..=n; node i is at (i + 1/2) / per_mpc_h.
#[inline]
pub(crate) fn coordinate(x: f32, n: usize, per_mpc_h: f32) -> f32 {
    let u = x * per_mpc_h - 0.5;
    if u < 0.0 { u + n as f32 } else { u }
}

/// (node, next node, fraction of the way) of coordinate `u` in 0..=n.
#[inline]
pub(crate) fn cell(u: f32, n: usize) -> (usize, usize, f32) {
    let floor = u as usize;
    let fraction = u - floor as f32;
    let node = if floor >= n { floor - n } else { floor }; // a tiny negative u + n rounds up to n
    (node, if node + 1 == n { 0 } else { node + 1 }, fraction)
}

/// Writes to `mesh` the sum of `weight` per particle on the n³ nodes, `per_mpc_h` nodes to a Mpc/h, of positions inside the box.
pub(crate) fn cloud_in_cell(positions: &[[f32; 3]], n: usize, per_mpc_h: f32, weight: f32, mesh: &mut [f32]) {
    let chunks: Vec<SlabOrder> =
        positions.par_chunks(CHUNK).map(|chunk| SlabOrder::new(chunk, n, per_mpc_h)).collect();
    mesh.par_chunks_mut(n * n).enumerate().for_each(|(plane, sums)| {
        sums.fill(0.0);
        let below = if plane == 0 { n - 1 } else { plane - 1 };
        for (slab, above) in [(below, true), (plane, false)] {
            for (chunk, order) in positions.chunks(CHUNK).zip(&chunks) {
                for &index in order.in_slab(slab) {
                    let [x, y, z] = chunk[index as usize].map(|x| coordinate(x, n, per_mpc_h));
                    let fx = cell(x, n).2;
                    let share = weight * if above { fx } else { 1.0 - fx };
                    add_square(sums, n, cell(y, n), cell(z, n), share);
                }
            }
        }
    });
}

/// Spreads `share` over the four nodes of a plane around a point.
#[inline]
fn add_square(
    sums: &mut [f32],
    n: usize,
    (y, y1, fy): (usize, usize, f32),
    (z, z1, fz): (usize, usize, f32),
    share: f32,
) {
    let (near, far) = (share * (1.0 - fy), share * fy);
    sums[y * n + z] += near * (1.0 - fz);
    sums[y * n + z1] += near * fz;
    sums[y1 * n + z] += far * (1.0 - fz);
    sums[y1 * n + z1] += far * fz;
}

/// Indices of one chunk's particles, slab by slab.
struct SlabOrder {
    indices: Vec<u32>,
    starts: Vec<u32>,
}

impl SlabOrder {
    fn new(positions: &[[f32; 3]], n: usize, per_mpc_h: f32) -> Self {
        let slab = |position: &[f32; 3]| cell(coordinate(position[0], n, per_mpc_h), n).0;
        let mut starts = vec![0u32; n + 1];
        for position in positions {
            starts[slab(position) + 1] += 1;
        }
        for i in 0..n {
            starts[i + 1] += starts[i];
        }
        let (mut next, mut indices) = (starts.clone(), vec![0u32; positions.len()]);
        for (index, position) in positions.iter().enumerate() {
            let place = &mut next[slab(position)];
            indices[*place as usize] = index as u32;
            *place += 1;
        }
        Self { indices, starts }
    }

    fn in_slab(&self, slab: usize) -> &[u32] {
        &self.indices[self.starts[slab] as usize..self.starts[slab + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_seed::{KeyedStream, Purpose};

    fn cloud_in_cell(positions: &[[f32; 3]], n: usize, per_mpc_h: f32, weight: f32) -> Vec<f32> {
        let mut mesh = vec![f32::NAN; n * n * n]; // what was there does not count
        super::cloud_in_cell(positions, n, per_mpc_h, weight, &mut mesh);
        mesh
    }

    fn points(count: usize, end: f32) -> Vec<[f32; 3]> {
        let stream = KeyedStream::new(3, Purpose::Points);
        let at = |i| (stream.uniform(0, i) * f64::from(end)) as f32;
        (0..count as u64).map(|i| [at(3 * i), at(3 * i + 1), at(3 * i + 2)]).collect()
    }

    #[test]
    fn a_particle_between_nodes_is_shared_by_hand() {
        let mesh = cloud_in_cell(&[[0.0, 0.5, 1.75]], 4, 1.0, 8.0);
        let value = |x: usize, y: usize, z: usize| mesh[(x * 4 + y) * 4 + z];
        assert_eq!([value(3, 0, 1), value(0, 0, 1), value(3, 0, 2), value(0, 0, 2)], [3.0, 3.0, 1.0, 1.0]);
        assert_eq!(mesh.iter().sum::<f32>(), 8.0);
    }

    #[test]
    fn equals_the_plain_sum_and_any_thread_count_gives_the_same_bits() {
        const SUM_REL: f32 = 1e-5; // f32 sums of about 20 weights
        let (n, positions) = (8, points(70_000, 8.0));
        let mesh = cloud_in_cell(&positions, n, 1.0, 1.0);
        let mut plain = vec![0f64; n * n * n];
        for p in &positions {
            for corner in 0..8 {
                let mut index = 0;
                let mut share = 1.0;
                for (axis, &x) in p.iter().enumerate() {
                    let (node, next, f) = cell((x + 7.5) % 8.0, n);
                    let up = corner >> axis & 1 == 1;
                    index = index * n + if up { next } else { node };
                    share *= f64::from(if up { f } else { 1.0 - f });
                }
                plain[index] += share;
            }
        }
        for (a, b) in mesh.iter().zip(&plain) {
            assert!((a / *b as f32 - 1.0).abs() < SUM_REL, "{a} against {b}");
        }
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| cloud_in_cell(&positions, n, 1.0, 1.0)), mesh);
        }
    }
}
