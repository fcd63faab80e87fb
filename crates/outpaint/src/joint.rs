//! Joint sampling: one noisy volume, all of whose windows take each step together.
//!
//! At each step the volume is covered by a lattice of windows that has moved by a keyed shift. The network
//! denoises every window; the clean estimates are fused with weights that add up to one; and the solver updates the
//! whole volume with noise that belongs to its voxels. No window has noise of its own, so nothing that is averaged
//! loses variance, and no face stays where it was.

use crate::identity::identity;
use crate::job::{Listener, check_finite};
use crate::lattice::Lattice;
use crate::store::Volume;
use crate::{Job, OutpaintError, Progress, Store};
use candle_core::{DType, Device, Tensor};
use finescale_diffusion::{Denoise, KeyedNoise, Solver, WithKnown};
use finescale_field::{Field3, Grid, Region};
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
    let joint = Joint::new(job)?;
    let mut store = store.steps(&identity(job)?, joint.grid.voxels())?;
    let windows = |lattices: &[Lattice]| lattices.iter().map(Lattice::windows).sum();
    (listener.progress)(Progress::Begun {
        done: windows(&joint.lattices[..store.finished()]),
        evaluations: windows(&joint.lattices),
    });
    let mut volume = match store.read()? {
        Some(volume) => volume,
        None => joint.start()?,
    };
    while store.finished() < joint.lattices.len() {
        let clean = joint.fused_estimate(&volume, store.finished(), listener)?;
        volume = joint.advanced(&volume, clean.as_slice(), store.finished())?;
        store.finish(&volume)?;
    }
    Ok(joint.array(&volume.state))
}

/// What does not change from step to step.
struct Joint<'a> {
    job: &'a Job<'a>,
    grid: Grid,
    solver: Solver,
    /// The windows of each step.
    lattices: Vec<Lattice>,
    /// High-resolution values over the volume, NaN elsewhere.
    given: Option<Field3>,
    noise: VolumeNoise,
}

impl<'a> Joint<'a> {
    fn new(job: &'a Job) -> Result<Self, OutpaintError> {
        let sampling = &job.config.sampling;
        Ok(Self {
            job,
            grid: job.result_grid()?,
            solver: sampling.sampler.solver(sampling.levels.levels()?),
            lattices: job.lattices()?,
            given: job.given_values()?,
            noise: VolumeNoise::of(job),
        })
    }

    /// Unit noise at every voxel.
    fn start(&self) -> Result<Volume, OutpaintError> {
        let noise = &self.noise;
        let slabs = self.slabs().into_par_iter().map(|slab| values(&noise.slab(&slab)?.start()?));
        let slabs: Vec<Vec<f32>> = slabs.collect::<Result<_, OutpaintError>>()?;
        Ok(Volume { state: slabs.concat(), memory: None })
    }

    /// The clean estimate of the volume: every window's, weighted, added up in the order of the windows.
    fn fused_estimate(
        &self,
        volume: &Volume,
        step: usize,
        listener: &mut Listener,
    ) -> Result<Field3, OutpaintError> {
        let lattice = &self.lattices[step];
        let state = Field3::new(self.grid, self.array(&volume.state))?;
        let mut fused = Field3::zeros(self.grid);
        let windows: Vec<usize> = (0..lattice.windows()).collect();
        for batch in windows.chunks(self.job.batch.max(1)) {
            let regions: Vec<Region> = batch.iter().map(|&window| lattice.region(window)).collect();
            let clean = self.clean_windows(&state, &regions, step)?;
            for ((&window, region), clean) in batch.iter().zip(&regions).zip(&clean) {
                check_finite(window, region, clean, self.grid.cells())?;
                add_weighted(&mut fused, region, lattice.weights(window), clean);
            }
            listener.evaluated(batch.len())?;
        }
        Ok(fused)
    }

    /// The network's clean estimates of some windows, flat.
    fn clean_windows(
        &self,
        state: &Field3,
        regions: &[Region],
        step: usize,
    ) -> Result<Vec<Vec<f32>>, OutpaintError> {
        let job = self.job;
        let noise_level = self.solver.noise_level(step, regions.len(), job.device)?;
        let noisy = job.windows(regions, |region| Ok(state.extract(region)?))?; // (b, 1, w, w, w)
        let given = job.windows(regions, |region| match &self.given {
            Some(given) => Ok(given.extract(region)?),
            None => Ok(Array3::from_elem(region.shape, f32::NAN)),
        })?;
        let unknown = given.ne(&given)?.to_dtype(DType::F32)?; // NaN is not even itself
        let denoiser = WithKnown::new(job.denoiser, &unknown, &given)?;
        let clean = denoiser.predict_clean(&noisy, &job.condition_of(regions)?, &noise_level)?;
        Ok(values(&clean)?.chunks_exact(regions[0].voxels()).map(<[f32]>::to_vec).collect())
    }

    /// The volume after one update, slab by slab.
    fn advanced(&self, volume: &Volume, clean: &[f32], step: usize) -> Result<Volume, OutpaintError> {
        let [_, ny, nz] = self.grid.cells();
        let (noise, solver) = (&self.noise, &self.solver);
        let slabs = self.slabs().into_par_iter().map(|slab| {
            let first = slab.start[0] as usize * ny * nz;
            let tensor = |values: &[f32]| {
                let [planes, ny, nz] = slab.shape;
                let values = &values[first..first + slab.voxels()];
                Tensor::from_slice(values, (1, 1, planes, ny, nz), &Device::Cpu)
            };
            let memory = volume.memory.as_deref().map(tensor).transpose()?;
            let (mut state, clean) = (tensor(&volume.state)?, tensor(clean)?);
            if step == 0 {
                state = solver.start(&state, &clean)?;
            }
            let next = solver.step(&state, &clean, memory.as_ref(), step, &noise.slab(&slab)?)?;
            Ok((values(&next.state)?, next.memory.as_ref().map(values).transpose()?))
        });
        let slabs: Vec<(Vec<f32>, Option<Vec<f32>>)> = slabs.collect::<Result<_, OutpaintError>>()?;
        let (states, memories): (Vec<_>, Vec<_>) = slabs.into_iter().unzip();
        let memories: Option<Vec<Vec<f32>>> = memories.into_iter().collect();
        Ok(Volume { state: states.concat(), memory: memories.map(|memories| memories.concat()) })
    }

    /// Slabs of whole planes that make up the volume.
    fn slabs(&self) -> Vec<Region> {
        let [nx, ny, nz] = self.grid.cells();
        let planes = (SLAB_VOXELS / (ny * nz)).max(1);
        let slab = |x: usize| Region { start: [x as i64, 0, 0], shape: [planes.min(nx - x), ny, nz] };
        (0..nx).step_by(planes).map(slab).collect()
    }

    fn array(&self, values: &[f32]) -> Array3<f32> {
        let values = Array3::from_shape_vec(self.grid.cells(), values.to_vec());
        values.expect("one value per voxel of the volume")
    }
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
