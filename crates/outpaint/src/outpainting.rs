//! Outpainting: each window is conditioned on the voxels that earlier windows filled.

use crate::identity::identity;
use crate::job::{Listener, check_finite};
use crate::store::WindowStore;
use crate::{Job, Order, OutpaintError, Progress, Store};
use finescale_diffusion::{Denoise, KeyedNoise, Next, WithKnown};
use finescale_field::{Field3, Region};
use ndarray::Array3;

/// Generates a volume window by window; network units.
///
/// # Source
/// The outpainting of arXiv:2311.05217, with periodic closing and any order of windows.
pub(crate) fn generate(
    job: &Job,
    store: &Store,
    listener: &mut Listener,
) -> Result<Array3<f32>, OutpaintError> {
    let given = job.given_values()?;
    let order = job.order()?.around(given.as_ref());
    let mut store = store.windows(&identity(job)?, &order)?;
    let steps = job.config.sampling.levels.levels()?.len();
    (listener.progress)(Progress::Begun {
        done: store.finished() * steps,
        evaluations: order.windows() * steps,
    });
    for group in order.groups() {
        let mut start = group.start.max(store.finished());
        while start < group.end {
            let positions: Vec<usize> = (start..group.end.min(start + job.batch.max(1))).collect();
            sample_windows(job, &order, &positions, given.as_ref(), &mut store, listener)?;
            start += positions.len();
        }
    }
    store.read(&Region { start: [0; 3], shape: job.region.shape })
}

/// Samples the unknown voxels of some windows, given the others, and finishes the windows.
fn sample_windows(
    job: &Job,
    order: &Order,
    positions: &[usize],
    given: Option<&Field3>,
    store: &mut WindowStore,
    listener: &mut Listener,
) -> Result<(), OutpaintError> {
    // What is known: the condition, and the voxels that are filled.
    let regions: Vec<Region> = positions.iter().map(|&position| order.region(position)).collect();
    let unknown: Vec<Array3<f32>> = positions.iter().map(|&position| order.unknown(position)).collect();
    let condition = job.condition_of(&regions)?;
    let values = job.windows(&regions, |region| known_values(store, given, region))?;
    let denoiser = WithKnown::new(job.denoiser, &job.batch_of(&unknown)?, &values)?;

    // From noise to clean windows.
    let sampling = &job.config.sampling;
    let solver = sampling.sampler.solver(sampling.levels.levels()?);
    let starts = regions.iter().map(|region| job.in_box(region).start).collect();
    let cells = job.grid().cells();
    let noise = KeyedNoise::new(job.config.seed, cells, starts, regions[0].shape, job.device)?;
    let mut at = Next::new(noise.start()?); // (b, 1, w, w, w)
    for step in 0..solver.steps() {
        let noise_level = solver.noise_level(step, positions.len(), job.device)?;
        let clean = denoiser.predict_clean(&at.state, &condition, &noise_level)?;
        if step == 0 {
            at.state = solver.start(&at.state, &clean)?;
        }
        at = solver.step(&at.state, &clean, at.memory.as_ref(), step, &noise)?;
        listener.evaluated(positions.len())?;
    }

    let values: Vec<f32> = at.state.flatten_all()?.to_vec1()?;
    let finished = positions.iter().zip(&regions).zip(&unknown).zip(values.chunks_exact(regions[0].voxels()));
    for (((&position, region), unknown), values) in finished {
        check_finite(position, region, values, job.region.shape)?;
        let values = ndarray::ArrayView3::from_shape(region.shape, values).expect("a window's values");
        store.finish(region, unknown, values)?;
    }
    Ok(())
}

/// The values of a window: those that are given, and those that are filled.
fn known_values(
    store: &WindowStore,
    given: Option<&Field3>,
    region: &Region,
) -> Result<Array3<f32>, OutpaintError> {
    let mut values = store.read(region)?;
    if let Some(given) = given {
        let given = given.extract(region)?;
        values.zip_mut_with(&given, |value, &given| {
            if !given.is_nan() {
                *value = given;
            }
        });
    }
    Ok(values)
}
