//! Joint sampling: one noisy volume, all of whose windows take each step together.
//!
//! At each step the volume is covered by a lattice of windows that has moved by a keyed shift. The network
//! denoises every window; the clean estimates are fused with weights that add up to one; and the solver updates the
//! whole volume with noise that belongs to its voxels. No window has noise of its own, so nothing that is averaged
//! loses variance, and no face stays where it was.

use crate::checks::check_finite;
use crate::given::GivenValues;
use crate::job::identity;
use crate::mass::{Factors, Mass};
use crate::moving_lattice::MovingLattice;
use crate::progress::Listener;
use crate::shares::Shares;
use crate::slabs::Halo;
use crate::store::StepStore;
use crate::sums::{add_weighted, number};
use crate::updates::{Updates, VolumeNoise, by_blocks, values};
use crate::volume::{Shape, Volume};
use crate::{Job, Joint, OutpaintError, Progress, Store};
use candle_core::DType;
use finescale_diffusion::{Denoise, WithKnown};
use finescale_field::{Grid, Region};
use std::collections::BTreeSet;
use std::ops::Range;

/// Generates a volume; network units. The volume lies in the store: in memory are some windows, or some slabs.
///
/// # Source
/// Fusing what windows of one noisy image predict: Bar-Tal et al. 2023, arXiv:2302.08113 (MultiDiffusion), here in
/// clean estimates and with moving windows.
pub(crate) fn generate(
    job: &Job,
    settings: Joint,
    store: &Store,
    listener: &mut Listener,
) -> Result<StepStore, OutpaintError> {
    let joint = JointSampling::new(job, settings)?;
    let shape = Shape { cells: job.region.shape, fields: job.fields() };
    let mut store = store.steps(identity(job)?, shape, job.ranks)?;
    // One rank is as far as another.
    let share = |windows: usize| windows.div_ceil(job.ranks.count());
    let windows = |lattices: &[MovingLattice]| lattices.iter().map(|lattice| share(lattice.windows())).sum();
    (listener.progress)(Progress::Begun {
        done: windows(&joint.lattices[..store.finished()]) + share(store.estimated()),
        evaluations: windows(&joint.lattices),
    });
    if store.finished() == 0 {
        joint.start(store.start())?;
    }
    while store.finished() < joint.lattices.len() {
        joint.estimate(&mut store, listener)?;
        joint.advance(&mut store)?;
        store.finish(job.ranks)?;
    }
    Ok(store)
}

/// What does not change from step to step.
struct JointSampling<'a> {
    job: &'a Job<'a>,
    grid: Grid,
    updates: Updates,
    /// The windows of each step.
    lattices: Vec<MovingLattice>,
    given: Option<GivenValues<'a>>,
    /// The condition's, if samples are held to it.
    mass: Option<Mass>,
}

impl<'a> JointSampling<'a> {
    fn new(job: &'a Job<'a>, settings: Joint) -> Result<Self, OutpaintError> {
        let sampling = &job.config.sampling;
        let levels = sampling.levels.levels()?;
        let slab = job.ranks.share(job.region.shape[0]);
        let mass = settings.mass_guidance.map(|guidance| Mass::of(job, guidance, &job.place(), slab));
        Ok(Self {
            job,
            grid: job.result_grid()?,
            updates: Updates {
                solver: sampling.sampler.solver(levels),
                noise: VolumeNoise {
                    seed: job.noise_seed()?,
                    cells: job.grid().cells(),
                    start: job.region.start,
                    fields: job.fields(),
                },
            },
            lattices: job.lattices(settings)?,
            given: job.given_values(),
            mass: mass.transpose()?,
        })
    }

    /// The planes of the volume that are this rank's.
    fn slab(&self) -> Range<usize> {
        self.job.ranks.share(self.job.region.shape[0])
    }

    /// Unit noise at every voxel.
    fn start(&self, state: &mut Volume) -> Result<(), OutpaintError> {
        let noise = &self.updates.noise;
        let start = |block: &Region| values(&noise.block(block)?.start()?);
        by_blocks(&self.grid, self.slab(), start, |block, noise| state.write(block, &noise))
    }

    /// The clean estimate of the volume: every window's, weighted, added up. A stop keeps what is there of it.
    fn estimate(&self, store: &mut StepStore, listener: &mut Listener) -> Result<(), OutpaintError> {
        let (ranks, cells, step) = (self.job.ranks, self.job.region.shape, store.finished());
        let lattice = &self.lattices[step];
        let mut done: BTreeSet<usize> = store.go_on(ranks)?.into_iter().collect();
        let is_left = |window| !done.contains(&window);
        let Shares { windows, halos } = Shares::new(lattice, is_left, cells, ranks);
        let ([state, _], sums) = store.estimating();
        let halo = Halo::fetch(ranks, state, &halos)?;
        let mut halo_sums = Halo::zeros(sums.shape(), &halos[ranks.rank()]);
        let mut stopped = Ok(());
        let mut evaluated = Vec::new();
        for batch in windows.chunks(self.job.batch.max(1)) {
            let regions: Vec<Region> = batch.iter().map(|&window| lattice.region(window)).collect();
            let noisy =
                regions.iter().map(|region| halo.read(state, region)).collect::<Result<Vec<_>, _>>()?;
            let clean = self.clean_windows(noisy.concat(), &regions, step)?;
            for ((&window, region), clean) in batch.iter().zip(&regions).zip(&clean) {
                check_finite(window, region, clean, self.grid.cells())?;
                let mut sum = halo_sums.read(sums, region)?;
                add_weighted(&mut sum, region.shape, lattice.weights(window), clean);
                halo_sums.write(sums, region, &sum)?;
                evaluated.push(window as u64);
            }
            stopped = listener.evaluated(batch.len());
            if stopped.is_err() {
                break;
            }
        }
        halo_sums.add_to_owners(ranks, sums, &halos)?;
        // A rank without windows is asked here.
        if ranks.any(stopped.is_err() || windows.is_empty() && listener.is_cancelled())? {
            let evaluated = ranks.gather(&evaluated)?;
            done.extend(evaluated.concat().into_iter().map(|window| window as usize));
            store.pause(done.into_iter().collect(), ranks)?;
            return Err(OutpaintError::Cancelled);
        }
        Ok(())
    }

    /// The network's clean estimates of some windows with these values, flat, one field after another.
    fn clean_windows(
        &self,
        noisy: Vec<f32>,
        regions: &[Region],
        step: usize,
    ) -> Result<Vec<Vec<f32>>, OutpaintError> {
        let job = self.job;
        let noise_level = self.updates.solver.noise_level(step, regions.len(), job.device)?;
        let noisy = job.batch_of(noisy, regions.len())?; // (b, fields, w, w, w)
        let mut given = vec![f32::NAN; noisy.elem_count()];
        if let Some(known) = &self.given {
            let windows = given.chunks_exact_mut(job.fields() * regions[0].voxels());
            windows.zip(regions).try_for_each(|(values, region)| known.lay_values_over(region, values))?;
        }
        let given = job.batch_of(given, regions.len())?;
        let one = given.narrow(1, 0, 1)?;
        let unknown = one.ne(&one)?.to_dtype(DType::F32)?; // NaN is not even itself
        let denoiser = WithKnown::new(job.denoiser, &unknown, &given)?;
        let condition = job.condition_of(regions)?;
        let noisy = match step {
            0 => self.updates.solver.first(&noisy, denoiser.first_guess(&condition)?.as_ref())?,
            _ => noisy,
        };
        let clean = denoiser.predict_clean(&noisy, &condition, &noise_level)?;
        let voxels = job.fields() * regions[0].voxels();
        Ok(values(&clean)?.chunks_exact(voxels).map(<[f32]>::to_vec).collect())
    }

    /// Writes the volume after one update, slab by slab.
    fn advance(&self, store: &mut StepStore) -> Result<(), OutpaintError> {
        let step = store.finished();
        let (present, estimate, [next_state, next_memory]) = store.advancing();
        let factors = self.factors(estimate, step)?;
        let Self { job: Job { truth_normalizers, .. }, updates, given, .. } = self;
        let update = |block: &Region| {
            let clean: Vec<f32> = estimate.read(block)?.into_iter().map(number).collect();
            let guided = factors.as_ref().map(|factors| {
                let mut guided = clean.clone();
                factors.apply(block, &mut guided, &truth_normalizers[0]);
                given.map_or(Ok(()), |given| given.lay_values_over(block, &mut guided)).map(|()| guided)
            });
            updates.block(block, present, clean, guided.transpose()?, step)
        };
        by_blocks(&self.grid, self.slab(), update, |block, next| {
            next_state.write(block, &values(&next.state)?)?;
            next.memory.map_or(Ok(()), |memory| next_memory.write(block, &values(&memory)?))
        })
    }

    /// What the estimated density is multiplied by to have the condition's mass, in the steps that are guided by it.
    fn factors(&self, estimate: &Volume<i64>, step: usize) -> Result<Option<Factors<'_>>, OutpaintError> {
        let Some(mass) = self.mass.as_ref().filter(|mass| mass.guides(step)) else { return Ok(None) };
        let normalizer = &self.job.truth_normalizers[0];
        let density = |block: &Region| -> Result<Vec<f32>, OutpaintError> {
            let sums = estimate.read(block)?.into_iter();
            Ok(sums.map(|sum| normalizer.denormalize(number(sum))).collect())
        };
        mass.factors(self.job.ranks, &self.grid, self.slab(), density).map(Some)
    }
}
