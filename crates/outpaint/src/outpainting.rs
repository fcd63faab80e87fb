//! Outpainting: each window is conditioned on the voxels that earlier windows filled.

use crate::checks::check_finite;
use crate::given::GivenValues;
use crate::job::identity;
use crate::progress::Listener;
use crate::slabs::{dealt, fetch};
use crate::store::WindowStore;
use crate::{Job, Order, OutpaintError, Progress, Sequential, Store};
use finescale_diffusion::{KeyedNoise, Next, WithKnown};
use finescale_field::Region;
use std::ops::Range;

/// Generates a volume window by window; network units.
///
/// # Source
/// The outpainting of arXiv:2311.05217, with periodic closing and any order of windows.
pub(crate) fn generate(
    job: &Job,
    sequential: Sequential,
    store: &Store,
    listener: &mut Listener,
) -> Result<WindowStore, OutpaintError> {
    let ranks = job.ranks;
    let windows = Windows {
        job,
        order: job.order(sequential)?,
        given: job.given_values(),
        noise_seed: job.noise_seed()?,
    };
    let order = &windows.order;
    let mut store = store.windows(identity(job)?, order, job.fields(), ranks)?;
    let steps = job.config.sampling.levels.levels()?.len();
    // One rank is as far as another.
    let evaluations = |windows: usize| windows.div_ceil(ranks.count()) * steps;
    (listener.progress)(Progress::Begun {
        done: evaluations(store.finished()),
        evaluations: evaluations(order.windows()),
    });
    for group in order.groups() {
        let mut start = group.start.max(store.finished());
        while start < group.end {
            let round = start..group.end.min(start + ranks.count() * job.batch.max(1));
            start = round.end;
            windows.sample(round, &mut store, listener)?;
        }
    }
    store.check(order, ranks)?;
    Ok(store)
}

/// What does not change from window to window.
struct Windows<'a> {
    job: &'a Job<'a>,
    order: Order,
    given: Option<GivenValues<'a>>,
    noise_seed: u64,
}

impl Windows<'_> {
    /// Samples the unknown voxels of the windows of a `round`, this rank those of its share, given the others, and finishes the
    /// windows. A rank that is to stop tells the others once they are done.
    fn sample(
        &self,
        round: Range<usize>,
        store: &mut WindowStore,
        listener: &mut Listener,
    ) -> Result<(), OutpaintError> {
        let (ranks, order) = (self.job.ranks, &self.order);
        let regions: Vec<Region> = round.clone().map(|position| order.region(position)).collect();
        let mut known = fetch(ranks, store.values(), &dealt(&regions, ranks))?;
        let share = ranks.share(regions.len());
        let positions: Vec<usize> = round.clone().skip(share.start).take(share.len()).collect();
        let regions = &regions[share];
        for (region, known) in regions.iter().zip(&mut known) {
            self.given.as_ref().map_or(Ok(()), |given| given.lay_values_over(region, known))?;
        }
        let sampled = match positions.is_empty() {
            true if listener.is_cancelled() => Err(OutpaintError::Cancelled),
            true => Ok(Vec::new()), // fewer windows than ranks
            false => self.sample_ours(&positions, regions, known.concat(), listener),
        };
        let stopped = match sampled {
            Err(OutpaintError::Cancelled) => true,
            Err(error) => return Err(error),
            Ok(_) => false,
        };
        if ranks.any(stopped)? {
            return Err(OutpaintError::Cancelled);
        }
        let values = sampled?;
        let ours: Vec<&[f32]> = match regions.first() {
            Some(region) => values.chunks_exact(self.job.fields() * region.voxels()).collect(),
            None => Vec::new(),
        };
        store.finish(order, round, &ours, ranks)
    }

    /// The values of this rank's windows, one after another, where `known` are those that earlier ones have filled.
    fn sample_ours(
        &self,
        positions: &[usize],
        regions: &[Region],
        known: Vec<f32>,
        listener: &mut Listener,
    ) -> Result<Vec<f32>, OutpaintError> {
        // What is known: the condition, and the voxels that are filled.
        let job = self.job;
        let unknown: Vec<f32> = positions.iter().flat_map(|&position| self.order.unknown(position)).collect();
        let condition = job.condition_of(regions)?;
        let known = job.batch_of(known, regions.len())?;
        let denoiser = WithKnown::new(job.denoiser, &job.batch_of(unknown, regions.len())?, &known)?;

        // From noise to clean windows.
        let sampling = &job.config.sampling;
        let solver = sampling.sampler.solver(sampling.levels.levels()?);
        let starts = regions.iter().map(|region| job.in_box(region).start).collect();
        let cells = job.grid().cells();
        let noise = KeyedNoise::new(self.noise_seed, cells, starts, regions[0].shape, job.device)?
            .with_fields(job.fields());
        let from = Next::noise(noise.start()?); // (b, fields, w, w, w)
        let clean = solver.integrate(&denoiser, from, &condition, solver.steps(), &noise, || {
            listener.evaluated(positions.len())
        })?;
        let values: Vec<f32> = clean.flatten_all()?.to_vec1()?;
        let of_windows = values.chunks_exact(job.fields() * regions[0].voxels());
        for ((&position, region), values) in positions.iter().zip(regions).zip(of_windows) {
            check_finite(position, region, values, job.region.shape)?;
        }
        Ok(values)
    }
}
