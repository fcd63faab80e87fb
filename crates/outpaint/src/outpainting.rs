//! Outpainting: each window is conditioned on the voxels that earlier windows filled.

use crate::checks::check_finite;
use crate::given::GivenValues;
use crate::job::identity;
use crate::progress::Listener;
use crate::store::WindowStore;
use crate::{Job, Order, OutpaintError, Progress, Sequential, Store};
use finescale_diffusion::{KeyedNoise, Next, WithKnown};
use finescale_field::Region;
use ndarray::Array3;

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
    let given = job.given_values();
    let order = job.order(sequential)?;
    let noise_seed = job.noise_seed()?;
    let mut store = store.windows(identity(job)?, &order, job.fields())?;
    let steps = job.config.sampling.levels.levels()?.len();
    (listener.progress)(Progress::Begun {
        done: store.finished() * steps,
        evaluations: order.windows() * steps,
    });
    for group in order.groups() {
        let mut start = group.start.max(store.finished());
        while start < group.end {
            let positions: Vec<usize> = (start..group.end.min(start + job.batch.max(1))).collect();
            sample_windows(job, &order, &positions, given.as_ref(), noise_seed, &mut store, listener)?;
            start += positions.len();
        }
    }
    store.check(&order)?;
    Ok(store)
}

/// Samples the unknown voxels of some windows, given the others, and finishes the windows.
fn sample_windows(
    job: &Job,
    order: &Order,
    positions: &[usize],
    given: Option<&GivenValues>,
    noise_seed: u64,
    store: &mut WindowStore,
    listener: &mut Listener,
) -> Result<(), OutpaintError> {
    // What is known: the condition, and the voxels that are filled.
    let regions: Vec<Region> = positions.iter().map(|&position| order.region(position)).collect();
    let unknown: Vec<Array3<f32>> = positions.iter().map(|&position| order.unknown(position)).collect();
    let condition = job.condition_of(&regions)?;
    let values = regions.iter().map(|region| known_values(store, given, region));
    let values = job.batch_of(values.collect::<Result<Vec<_>, _>>()?.concat(), regions.len())?;
    let mask = job.batch_of(unknown.iter().flatten().copied().collect(), regions.len())?;
    let denoiser = WithKnown::new(job.denoiser, &mask, &values)?;

    // From noise to clean windows.
    let sampling = &job.config.sampling;
    let solver = sampling.sampler.solver(sampling.levels.levels()?);
    let starts = regions.iter().map(|region| job.in_box(region).start).collect();
    let cells = job.grid().cells();
    let noise =
        KeyedNoise::new(noise_seed, cells, starts, regions[0].shape, job.device)?.with_fields(job.fields());
    let from = Next::noise(noise.start()?); // (b, fields, w, w, w)
    let clean = solver.integrate(&denoiser, from, &condition, solver.steps(), &noise, || {
        listener.evaluated(positions.len())
    })?;

    let values: Vec<f32> = clean.flatten_all()?.to_vec1()?;
    let of_windows = values.chunks_exact(job.fields() * regions[0].voxels());
    for ((&position, region), values) in positions.iter().zip(&regions).zip(of_windows) {
        check_finite(position, region, values, job.region.shape)?;
        store.finish(region, &order.filled(position), values)?;
    }
    Ok(())
}

/// The values of a window's fields: those that are given, and those that are filled.
fn known_values(
    store: &WindowStore,
    given: Option<&GivenValues>,
    region: &Region,
) -> Result<Vec<f32>, OutpaintError> {
    let mut values = store.values().read(region)?;
    given.map_or(Ok(()), |given| given.lay_values_over(region, &mut values))?;
    Ok(values)
}
