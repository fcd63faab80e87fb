//! Joint sampling: one noisy volume, all of whose windows take each step together.
//!
//! At each step the volume is covered by a lattice of windows that has moved by a keyed shift. The network
//! denoises every window; the clean estimates are fused with weights that add up to one; and the solver updates the
//! whole volume with noise that belongs to its voxels. No window has noise of its own, so nothing that is averaged
//! loses variance, and no face stays where it was.

use crate::identity::identity;
use crate::job::{Listener, check_finite};
use crate::lattice::Lattice;
use crate::store::{Generation, StepStore};
use crate::volume::{Shape, Volume};
use crate::{Generated, Job, OutpaintError, Progress, Store};
use candle_core::{DType, Device, Tensor};
use finescale_diffusion::{Denoise, KeyedNoise, Next, Solver, WithKnown};
use finescale_field::{Field3, Grid, Region};
use rayon::prelude::*;

/// Voxels that the solver updates at once; a bound on memory that no bit depends on.
const SLAB_VOXELS: usize = 1 << 18;

/// Generates a volume; network units. The volume lies in the store: in memory are some windows, or some slabs.
///
/// # Source
/// Fusing what windows of one noisy image predict: Bar-Tal et al. 2023, arXiv:2302.08113 (MultiDiffusion), here in
/// clean estimates and with moving windows.
pub(crate) fn generate(
    job: &Job,
    store: &Store,
    listener: &mut Listener,
) -> Result<Generated, OutpaintError> {
    let joint = Joint::new(job)?;
    let shape = Shape { cells: job.region.shape, fields: job.fields() };
    let mut store = store.steps(identity(job)?, shape)?;
    let windows = |lattices: &[Lattice]| lattices.iter().map(Lattice::windows).sum();
    (listener.progress)(Progress::Begun {
        done: windows(&joint.lattices[..store.finished()]) + store.estimated(),
        evaluations: windows(&joint.lattices),
    });
    if store.finished() == 0 {
        joint.start(store.start())?;
    }
    while store.finished() < joint.lattices.len() {
        joint.estimate(&mut store, listener)?;
        joint.advance(&mut store)?;
        store.finish()?;
    }
    let [state, _] = store.present();
    let fields = job.fields_of(&state.read(&Region { start: [0; 3], shape: job.region.shape })?)?;
    Ok(Generated { fields, identity: store.identity().clone() })
}

/// What does not change from step to step.
struct Joint<'a> {
    job: &'a Job<'a>,
    grid: Grid,
    updates: Updates,
    /// The windows of each step.
    lattices: Vec<Lattice>,
    /// High-resolution values over the volume, NaN elsewhere.
    given: Option<Vec<Field3>>,
}

impl<'a> Joint<'a> {
    fn new(job: &'a Job) -> Result<Self, OutpaintError> {
        let sampling = &job.config.sampling;
        Ok(Self {
            job,
            grid: job.result_grid()?,
            updates: Updates {
                solver: sampling.sampler.solver(sampling.levels.levels()?),
                noise: VolumeNoise::of(job),
            },
            lattices: job.lattices()?,
            given: job.given_values()?,
        })
    }

    /// Unit noise at every voxel.
    fn start(&self, state: &mut Volume) -> Result<(), OutpaintError> {
        let noise = &self.updates.noise;
        let start = |slab: &Region| values(&noise.slab(slab)?.start()?);
        by_slabs(&self.grid, start, |slab, noise| state.write(slab, &noise))
    }

    /// The clean estimate of the volume: every window's, weighted, added up in the order of the windows. A stop keeps
    /// what is there of it.
    fn estimate(&self, store: &mut StepStore, listener: &mut Listener) -> Result<(), OutpaintError> {
        let step = store.finished();
        let lattice = &self.lattices[step];
        let done = store.go_on()?.min(lattice.windows());
        if done == 0 {
            store.estimating().1.clear()?;
        }
        let windows: Vec<usize> = (done..lattice.windows()).collect();
        for batch in windows.chunks(self.job.batch.max(1)) {
            let regions: Vec<Region> = batch.iter().map(|&window| lattice.region(window)).collect();
            let ([state, _], fused) = store.estimating();
            let clean = self.clean_windows(state, &regions, step)?;
            for ((&window, region), clean) in batch.iter().zip(&regions).zip(&clean) {
                check_finite(window, region, clean, self.grid.cells())?;
                let mut sum = fused.read(region)?;
                add_weighted(&mut sum, region, lattice.weights(window), clean);
                fused.write(region, &sum)?;
            }
            if let Err(stopped) = listener.evaluated(batch.len()) {
                store.pause(batch[batch.len() - 1] + 1)?;
                return Err(stopped);
            }
        }
        Ok(())
    }

    /// The network's clean estimates of some windows, flat, one field after another.
    fn clean_windows(
        &self,
        state: &Volume,
        regions: &[Region],
        step: usize,
    ) -> Result<Vec<Vec<f32>>, OutpaintError> {
        let job = self.job;
        let noise_level = self.updates.solver.noise_level(step, regions.len(), job.device)?;
        let noisy = regions.iter().map(|region| state.read(region)).collect::<Result<Vec<_>, _>>()?;
        let noisy = job.batch_of(noisy.concat(), regions.len())?; // (b, fields, w, w, w)
        let given = match &self.given {
            Some(given) => job.windows_of(given, regions)?,
            None => Tensor::full(f32::NAN, noisy.shape(), job.device)?,
        };
        let one = given.narrow(1, 0, 1)?;
        let unknown = one.ne(&one)?.to_dtype(DType::F32)?; // NaN is not even itself
        let denoiser = WithKnown::new(job.denoiser, &unknown, &given)?;
        let clean = denoiser.predict_clean(&noisy, &job.condition_of(regions)?, &noise_level)?;
        let voxels = job.fields() * regions[0].voxels();
        Ok(values(&clean)?.chunks_exact(voxels).map(<[f32]>::to_vec).collect())
    }

    /// Writes the volume after one update, slab by slab.
    fn advance(&self, store: &mut StepStore) -> Result<(), OutpaintError> {
        let step = store.finished();
        let (present, estimate, [next_state, next_memory]) = store.advancing();
        let updates = &self.updates;
        by_slabs(
            &self.grid,
            |slab| updates.slab(slab, present, estimate, step),
            |slab, next| {
                next_state.write(slab, &values(&next.state)?)?;
                next.memory.map_or(Ok(()), |memory| next_memory.write(slab, &values(&memory)?))
            },
        )
    }
}

/// The updates of the volume, which know no network.
struct Updates {
    solver: Solver,
    noise: VolumeNoise,
}

impl Updates {
    /// A slab after one update.
    fn slab(
        &self,
        slab: &Region,
        [state, memory]: &Generation,
        estimate: &Volume,
        step: usize,
    ) -> Result<Next, OutpaintError> {
        let [planes, ny, nz] = slab.shape;
        let tensor = |volume: &Volume| -> Result<Tensor, OutpaintError> {
            let shape = (1, self.noise.fields, planes, ny, nz);
            Ok(Tensor::from_vec(volume.read(slab)?, shape, &Device::Cpu)?)
        };
        let (mut state, clean) = (tensor(state)?, tensor(estimate)?);
        if step == 0 {
            state = self.solver.start(&state, &clean)?;
        }
        // Before the first step nothing is remembered; a solver that remembers nothing does not look.
        let memory = if step == 0 { None } else { Some(tensor(memory)?) };
        Ok(self.solver.step(&state, &clean, memory.as_ref(), step, &self.noise.slab(slab)?)?)
    }
}

/// Computes all slabs of whole planes of a grid, some at once, and writes them in their order.
fn by_slabs<T: Send>(
    grid: &Grid,
    compute: impl Fn(&Region) -> Result<T, OutpaintError> + Sync,
    mut write: impl FnMut(&Region, T) -> Result<(), OutpaintError>,
) -> Result<(), OutpaintError> {
    let [nx, ny, nz] = grid.cells();
    let planes = (SLAB_VOXELS / (ny * nz)).max(1);
    let slab = |x: usize| Region { start: [x as i64, 0, 0], shape: [planes.min(nx - x), ny, nz] };
    let slabs: Vec<Region> = (0..nx).step_by(planes).map(slab).collect();
    for some in slabs.chunks(2 * rayon::current_num_threads()) {
        let computed = some.par_iter().map(&compute).collect::<Result<Vec<T>, _>>()?;
        some.iter().zip(computed).try_for_each(|(slab, computed)| write(slab, computed))?;
    }
    Ok(())
}

/// sum += weight · clean of each field, over a window.
fn add_weighted(sum: &mut [f32], region: &Region, [wx, wy, wz]: [&[f32]; 3], clean: &[f32]) {
    let [nx, ny, nz] = region.shape;
    let rows = sum.chunks_exact_mut(nz).zip(clean.chunks_exact(nz));
    for (row, (sum, clean)) in rows.enumerate() {
        let weight = wx[row / ny % nx] * wy[row % ny];
        for ((sum, clean), wz) in sum.iter_mut().zip(clean).zip(wz) {
            *sum += weight * wz * clean;
        }
    }
}

/// The noise of the volume's voxels, keyed by their place in the condition's box.
struct VolumeNoise {
    seed: u64,
    cells: [usize; 3],
    start: [i64; 3],
    fields: usize,
}

impl VolumeNoise {
    fn of(job: &Job) -> Self {
        Self {
            seed: job.config.seed,
            cells: job.grid().cells(),
            start: job.region.start,
            fields: job.fields(),
        }
    }

    fn slab(&self, slab: &Region) -> Result<KeyedNoise, OutpaintError> {
        let start = [0, 1, 2].map(|axis| self.start[axis] + slab.start[axis]);
        let noise = KeyedNoise::new(self.seed, self.cells, vec![start], slab.shape, &Device::Cpu)?;
        Ok(noise.of_fields(self.fields))
    }
}

fn values(tensor: &Tensor) -> Result<Vec<f32>, OutpaintError> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}
