//! The updates of a volume by its solver, block by block.

use crate::OutpaintError;
use crate::store::StepVolumes;
use candle_core::{Device, Tensor};
use finescale_diffusion::{KeyedNoise, Next, Solver};
use finescale_field::{Grid, Region, blocks};
use rayon::prelude::*;
use std::ops::Range;

/// Voxels that the solver updates at once; a bound on memory that no bit depends on.
const BLOCK_VOXELS: usize = 1 << 16;
/// Blocks at once per thread: while some are computed others wait to be written.
const BLOCKS_PER_THREAD: usize = 2;
/// Tensors of a block that are alive while it is computed: state, estimate, memory, noise, and what a step makes of them.
const TENSORS_PER_BLOCK: usize = 8;

/// Bytes of the blocks that are alive during an update of some fields.
pub(crate) fn update_bytes(fields: usize) -> usize {
    let blocks = BLOCKS_PER_THREAD * rayon::current_num_threads();
    blocks * TENSORS_PER_BLOCK * BLOCK_VOXELS * fields * size_of::<f32>()
}

/// The updates of the volume, which know no network.
pub(crate) struct Updates {
    pub(crate) solver: Solver,
    pub(crate) noise: VolumeNoise,
}

impl Updates {
    /// A block after one update by its clean estimate, or by what it was `guided` to. How it was guided is not extrapolated: what the
    /// solver remembers of the last estimate is moved alike.
    pub(crate) fn block(
        &self,
        block: &Region,
        [state, memory]: &StepVolumes,
        clean: Vec<f32>,
        guided: Option<Vec<f32>>,
        step: usize,
    ) -> Result<Next, OutpaintError> {
        let [planes, ny, nz] = block.shape;
        let tensor = |values: Vec<f32>| -> Result<Tensor, OutpaintError> {
            Ok(Tensor::from_vec(values, (1, self.noise.fields, planes, ny, nz), &Device::Cpu)?)
        };
        let state = tensor(state.read(block)?)?;
        // A solver that remembers nothing does not look.
        let memory = if step == 0 { None } else { Some(tensor(memory.read(block)?)?) };
        let clean = tensor(clean)?;
        let (clean, memory) = match guided {
            None => (clean, memory),
            Some(guided) => {
                let guided = tensor(guided)?;
                let moved = memory.map(|memory| memory + (&guided - &clean)?);
                (guided, moved.transpose()?)
            }
        };
        let at = match memory {
            None => Next::noise(state),
            Some(memory) => Next::after(state, memory),
        };
        Ok(self.solver.advance(&at, &clean, step, &self.noise.block(block)?)?)
    }
}

/// Computes all blocks of some planes of a grid, some at once, and writes them in their order.
pub(crate) fn by_blocks<T: Send>(
    grid: &Grid,
    slab: Range<usize>,
    compute: impl Fn(&Region) -> Result<T, OutpaintError> + Sync,
    mut write: impl FnMut(&Region, T) -> Result<(), OutpaintError>,
) -> Result<(), OutpaintError> {
    let [_, ny, nz] = grid.cells();
    let nx = slab.len();
    if nx == 0 {
        return Ok(()); // more ranks than planes
    }
    // Whole planes, or whole rows of one plane: contiguous in a file.
    let planes = (BLOCK_VOXELS / (ny * nz)).clamp(1, nx);
    let rows = (BLOCK_VOXELS / nz).clamp(1, ny);
    let mut blocks = blocks([nx, ny, nz], [planes, rows, nz]);
    blocks.iter_mut().for_each(|block| block.start[0] += slab.start as i64);
    for some in blocks.chunks(BLOCKS_PER_THREAD * rayon::current_num_threads()) {
        let computed = some.par_iter().map(&compute).collect::<Result<Vec<T>, _>>()?;
        some.iter().zip(computed).try_for_each(|(block, computed)| write(block, computed))?;
    }
    Ok(())
}

/// The noise of the volume's voxels, keyed by their place in the condition's box.
pub(crate) struct VolumeNoise {
    pub(crate) seed: u64,
    pub(crate) cells: [usize; 3],
    pub(crate) start: [i64; 3],
    pub(crate) fields: usize,
}

impl VolumeNoise {
    pub(crate) fn block(&self, block: &Region) -> Result<KeyedNoise, OutpaintError> {
        let start = [0, 1, 2].map(|axis| self.start[axis] + block.start[axis]);
        let noise = KeyedNoise::new(self.seed, self.cells, vec![start], block.shape, &Device::Cpu)?;
        Ok(noise.with_fields(self.fields))
    }
}

pub(crate) fn values(tensor: &Tensor) -> Result<Vec<f32>, OutpaintError> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Shape, Volume};
    use finescale_diffusion::{Sampler, SamplingLevels};

    #[test]
    fn how_an_estimate_is_guided_is_taken_once_and_not_extrapolated() {
        let block = Region { start: [0; 3], shape: [2; 3] };
        let volume = |value: f32| {
            let mut volume = Volume::in_memory(Shape { cells: [2; 3], fields: 1 });
            volume.write(&block, &[value; 8]).unwrap();
            volume
        };
        let present = [volume(0.9), volume(0.2)];
        let levels = SamplingLevels::LogUniform { steps: 6, sigma_min: 0.01, sigma_max: 10.0 };
        // What guidance from 0.5 to 0.6 adds to the state after step 2.
        let added = |sampler: Sampler| {
            let noise = VolumeNoise { seed: 1, cells: [2; 3], start: [0; 3], fields: 1 };
            let updates = Updates { solver: sampler.solver(levels.levels().unwrap()), noise };
            let next = |guided| updates.block(&block, &present, vec![0.5; 8], guided, 2).unwrap();
            let (free, held) = (next(None), next(Some(vec![0.6; 8])));
            values(&held.state).unwrap()[0] - values(&free.state).unwrap()[0]
        };
        // A solver of first order extrapolates nothing.
        let (first, second) = (added(Sampler::Ddim), added(Sampler::DpmSolverPlusPlus2M));
        assert!(first > 0.01 && (second - first).abs() < 1e-5, "{second} instead of {first}");
    }
}
