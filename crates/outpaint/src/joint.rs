//! Joint sampling: one noisy volume, all of whose windows take each step together.
//!
//! At each evaluation the volume is covered by a lattice of windows that has moved by a keyed shift. The network
//! denoises every window; the clean estimates are fused with weights that add up to one; and the solver updates the
//! whole volume with noise that belongs to its voxels. No window has noise of its own, so nothing that is averaged
//! loses variance, and no face stays where it was.

use crate::identity::identity;
use crate::job::{Listener, check_finite};
use crate::lattice::Lattice;
use crate::store::Volume;
use crate::{Job, OutpaintError, Progress, Store};
use candle_core::{Device, Tensor};
use finescale_diffusion::{Denoise, KeyedNoise, Solver, WithKnown};
use finescale_field::{Field3, Region};
use ndarray::Array3;
use rayon::prelude::*;

/// Voxels that the solver updates at once; a bound on memory that no bit depends on.
const SLAB_VOXELS: usize = 1 << 18;

/// Generates a volume; network units.
///
/// # Source
/// Fusing what windows of one noisy image predict: Bar-Tal et al. 2023, arXiv:2302.08113 (MultiDiffusion), here in
/// clean estimates and with moving windows.
pub(crate) fn generate(
    job: &Job,
    store: &Store,
    listener: &mut Listener,
) -> Result<Array3<f32>, OutpaintError> {
    let lattices = job.lattices()?;
    let sampling = &job.config.sampling;
    let solver = sampling.sampler.solver(sampling.levels.levels()?);
    let grid = job.result_grid()?;
    let given = job.given_values()?;
    let mut store = store.steps(&identity(job)?, grid.voxels())?;
    let windows = |lattices: &[Lattice]| lattices.iter().map(Lattice::windows).sum();
    (listener.progress)(Progress::Begun {
        done: windows(&lattices[..store.finished()]),
        evaluations: windows(&lattices),
    });
    let mut volume = match store.read()? {
        Some(volume) => volume,
        None => start(job)?,
    };
    while store.finished() < lattices.len() {
        let evaluation = store.finished();
        let state = Field3::new(grid, to_array(job, std::mem::take(&mut volume.state)))?;
        let clean = fused_estimate(
            job,
            &*solver,
            evaluation,
            &lattices[evaluation],
            &state,
            given.as_ref(),
            listener,
        )?;
        volume.state = state.into_values().into_raw_vec_and_offset().0;
        volume = advance(job, &*solver, &volume, clean.as_slice(), evaluation)?;
        store.finish(&volume)?;
    }
    Ok(to_array(job, volume.state))
}

/// Unit noise at every voxel.
fn start(job: &Job) -> Result<Volume, OutpaintError> {
    let noise = VolumeNoise::of(job);
    let slabs = slabs(job).into_par_iter().map(|slab| values(&noise.slab(&slab)?.start()?));
    let slabs: Vec<Vec<f32>> = slabs.collect::<Result<_, OutpaintError>>()?;
    Ok(Volume { state: slabs.concat(), memory: None })
}

/// The clean estimate of the volume: every window's, weighted, added up in the order of the windows.
fn fused_estimate(
    job: &Job,
    solver: &dyn Solver,
    evaluation: usize,
    lattice: &Lattice,
    state: &Field3,
    given: Option<&Field3>,
    listener: &mut Listener,
) -> Result<Field3, OutpaintError> {
    let cells = job.region.shape;
    let mut fused = Field3::zeros(*state.grid());
    let windows: Vec<usize> = (0..lattice.windows()).collect();
    for batch in windows.chunks(job.batch.max(1)) {
        let regions: Vec<Region> = batch.iter().map(|&window| lattice.region(window)).collect();
        let noise_level = solver.noise_level(evaluation, batch.len(), job.device)?;
        let noisy = job.windows(&regions, |region| Ok(state.extract(region)?))?; // (b, 1, w, w, w)
        let values_there = job.windows(&regions, |region| match given {
            Some(given) => Ok(given.extract(region)?),
            None => Ok(Array3::from_elem(region.shape, f32::NAN)),
        })?;
        let unknown = values_there.ne(&values_there)?.to_dtype(candle_core::DType::F32)?;
        let denoiser = WithKnown::new(job.denoiser, &unknown, &values_there)?;
        let clean = values(&denoiser.predict_clean(&noisy, &job.condition_of(&regions)?, &noise_level)?)?;
        for ((&window, region), clean) in
            batch.iter().zip(&regions).zip(clean.chunks_exact(regions[0].voxels()))
        {
            check_finite(window, region, clean, cells)?;
            add_weighted(&mut fused, region, lattice.weights(window), clean);
        }
        listener.evaluated(batch.len())?;
    }
    Ok(fused)
}

/// fused += weight · clean, over a window.
fn add_weighted(fused: &mut Field3, region: &Region, [wx, wy, wz]: [&[f32]; 3], clean: &[f32]) {
    let cells = fused.grid().cells();
    let [_, ny, nz] = region.shape;
    let fused = fused.as_slice_mut();
    region.for_each_run(cells, |offset, index, length| {
        let (x, y, z) = (offset / (ny * nz), offset / nz % ny, offset % nz);
        let row = wx[x] * wy[y];
        let sums = fused[index..index + length].iter_mut();
        for ((sum, clean), weight) in sums.zip(&clean[offset..]).zip(&wz[z..]) {
            *sum += row * weight * clean;
        }
    });
}

/// One update of the whole volume, slab by slab.
fn advance(
    job: &Job,
    solver: &dyn Solver,
    volume: &Volume,
    clean: &[f32],
    evaluation: usize,
) -> Result<Volume, OutpaintError> {
    let [_, ny, nz] = job.region.shape;
    let noise = VolumeNoise::of(job);
    let slabs = slabs(job).into_par_iter().map(|slab| {
        let first = slab.start[0] as usize * ny * nz;
        let tensor = |values: &[f32]| {
            let [planes, ny, nz] = slab.shape;
            Tensor::from_slice(&values[first..first + slab.voxels()], (1, 1, planes, ny, nz), &Device::Cpu)
        };
        let memory = volume.memory.as_deref().map(tensor).transpose()?;
        let (state, clean) = (tensor(&volume.state)?, tensor(clean)?);
        let next = solver.step(&state, &clean, memory.as_ref(), evaluation, &noise.slab(&slab)?)?;
        Ok((values(&next.state)?, next.memory.as_ref().map(values).transpose()?))
    });
    let slabs: Vec<(Vec<f32>, Option<Vec<f32>>)> = slabs.collect::<Result<_, OutpaintError>>()?;
    let (states, memories): (Vec<_>, Vec<_>) = slabs.into_iter().unzip();
    let memories: Option<Vec<Vec<f32>>> = memories.into_iter().collect();
    Ok(Volume { state: states.concat(), memory: memories.map(|memories| memories.concat()) })
}

/// Slabs of whole planes that make up the volume.
fn slabs(job: &Job) -> Vec<Region> {
    let [nx, ny, nz] = job.region.shape;
    let planes = (SLAB_VOXELS / (ny * nz)).max(1);
    let slab = |x: usize| Region { start: [x as i64, 0, 0], shape: [planes.min(nx - x), ny, nz] };
    (0..nx).step_by(planes).map(slab).collect()
}

/// The noise of the volume's voxels, keyed by their place in the condition's box.
struct VolumeNoise {
    seed: u64,
    cells: [usize; 3],
    start: [i64; 3],
}

impl VolumeNoise {
    fn of(job: &Job) -> Self {
        Self { seed: job.config.seed, cells: job.grid().cells(), start: job.region.start }
    }

    fn slab(&self, slab: &Region) -> Result<KeyedNoise, OutpaintError> {
        let start = [0, 1, 2].map(|axis| self.start[axis] + slab.start[axis]);
        Ok(KeyedNoise::new(self.seed, self.cells, vec![start], slab.shape, &Device::Cpu)?)
    }
}

fn values(tensor: &Tensor) -> Result<Vec<f32>, OutpaintError> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

fn to_array(job: &Job, values: Vec<f32>) -> Array3<f32> {
    Array3::from_shape_vec(job.region.shape, values).expect("one value per voxel of the volume")
}
