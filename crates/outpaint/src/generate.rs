//! The loop over windows and sampler steps.

use crate::identity::identity;
use crate::store::OpenStore;
use crate::{Boundary, GenerationConfig, OutpaintError, Plan, Store, Tiling};
use candle_core::{Device, Tensor};
use finescale_diffusion::{Denoise, KeyedNoise, Levels, Next, WithKnown};
use finescale_field::{Field3, Grid, Normalizer, Region, check_density};
use ndarray::Array3;
use std::sync::atomic::{AtomicBool, Ordering};

/// A volume to generate.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The network.
    pub denoiser: &'a dyn Denoise,
    /// What tells this network from others when work is resumed.
    pub model_hash: &'a str,
    /// Cells of the network's window per axis.
    pub window_cells: usize,
    /// The low-resolution density 1 + delta, on the grid of the result.
    pub condition: &'a Field3,
    /// Whether the condition's box is periodic.
    pub boundary: Boundary,
    /// From the condition to network units.
    pub condition_normalizer: Normalizer,
    /// From network units to the density generated.
    pub truth_normalizer: Normalizer,
    /// The part of the condition's box to generate.
    pub region: Region,
    /// Windows, sampler, seed.
    pub config: GenerationConfig,
    /// Where the network lies.
    pub device: &'a Device,
}

/// How far a generation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A network evaluation of a window is done.
    Evaluation {
        /// The window.
        window: usize,
        /// The sampler's step.
        step: usize,
    },
    /// So many windows are finished and durable; told once at the start, too.
    Windows {
        /// Finished windows.
        finished: usize,
        /// All windows.
        windows: usize,
    },
}

impl Job<'_> {
    /// Whether the result is periodic: that takes the whole of a periodic box.
    #[must_use]
    pub fn result_boundary(&self) -> Boundary {
        let whole = self.region.shape == self.condition.grid().cells();
        if whole { self.boundary } else { Boundary::Open }
    }

    /// The windows.
    ///
    /// # Errors
    /// [`OutpaintError::Region`] if the region is not part of the condition's box; as [`Tiling::new`].
    pub fn tiling(&self) -> Result<Tiling, OutpaintError> {
        let Region { start, shape } = self.region;
        let cells = self.condition.grid().cells();
        let inside = |axis: usize| match self.boundary {
            Boundary::Periodic => shape[axis] <= cells[axis],
            Boundary::Open => start[axis] >= 0 && start[axis] + shape[axis] as i64 <= cells[axis] as i64,
        };
        if !(0..3).all(inside) {
            return Err(OutpaintError::Region { start, shape, cells });
        }
        Tiling::new(shape, self.window_cells, self.config.overlap_cells, self.result_boundary())
    }

    /// What the generation will take.
    ///
    /// # Errors
    /// As [`Job::tiling`] and [`Plan::new`].
    pub fn plan(&self) -> Result<Plan, OutpaintError> {
        Plan::new(&self.tiling()?, &self.config)
    }

    fn result_grid(&self) -> Result<Grid, OutpaintError> {
        let grid = self.condition.grid();
        let part = |axis: usize| self.region.shape[axis] as f64 / grid.cells()[axis] as f64;
        Ok(Grid::new(self.region.shape, [0, 1, 2].map(|axis| grid.box_size_mpc_h()[axis] * part(axis)))?)
    }
}

/// Generates the density 1 + delta of a volume, window by window in raster order; each window is conditioned on the
/// voxels that are filled. The result has the same bits however often the work was interrupted and resumed.
///
/// # Errors
/// [`OutpaintError::Cancelled`] soon after `cancel` is set; [`OutpaintError::NotFinite`] if the network fails; as
/// [`Job::tiling`]; [`OutpaintError::Unfinished`], [`OutpaintError::ResumeMismatch`], [`OutpaintError::Busy`],
/// [`OutpaintError::Header`] and [`OutpaintError::Io`] by the store. Finished windows stay in the store then.
/// # Source
/// The outpainting of arXiv:2311.05217, with periodic closing.
pub fn generate(
    job: &Job,
    store: &Store,
    progress: &mut dyn FnMut(Progress),
    cancel: &AtomicBool,
) -> Result<Field3, OutpaintError> {
    let tiling = job.tiling()?;
    let grid = job.result_grid()?;
    let levels = job.config.sampling.levels.levels()?;
    check_density(job.condition)?;
    let mut store = store.open(&identity(job), &tiling)?;
    let windows = tiling.windows();
    progress(Progress::Windows { finished: store.finished(), windows });
    while store.finished() < windows {
        let window = store.finished();
        let unknown = tiling.unknown(window, |other| other < window);
        let region = tiling.region(window);
        let mut evaluated = |step| {
            progress(Progress::Evaluation { window, step });
            if cancel.load(Ordering::Relaxed) {
                return Err(OutpaintError::Cancelled { finished: window, windows });
            }
            Ok(())
        };
        let values = sample_window(job, &levels, &store, &region, &unknown, &mut evaluated)?;
        check_finite(window, &region, &values, tiling.cells())?;
        store.finish(&region, &unknown, values.view())?;
        progress(Progress::Windows { finished: window + 1, windows });
    }
    let whole = store.read(&Region::whole(&grid))?;
    Ok(job.truth_normalizer.denormalize_field(&Field3::new(grid, whole)?))
}

/// Samples the unknown voxels of a window, given the others; network units, shape (w, w, w).
fn sample_window(
    job: &Job,
    levels: &Levels,
    store: &OpenStore,
    region: &Region,
    unknown: &Array3<f32>,
    evaluated: &mut dyn FnMut(usize) -> Result<(), OutpaintError>,
) -> Result<Array3<f32>, OutpaintError> {
    let tensor = |values: Array3<f32>| -> candle_core::Result<Tensor> {
        let (x, y, z) = values.dim();
        Tensor::from_vec(values.into_iter().collect(), (1, 1, x, y, z), job.device)
    };
    // What is known: the condition, and the voxels that are filled.
    let start = [0, 1, 2].map(|axis| job.region.start[axis] + region.start[axis]);
    let condition = job.condition.extract(&Region { start, shape: region.shape })?;
    let condition = tensor(condition.mapv(|density| job.condition_normalizer.normalize(density)))?;
    let denoiser = WithKnown::new(job.denoiser, &tensor(unknown.clone())?, &tensor(store.read(region)?)?)?;

    // From noise to a clean window.
    let cells = job.condition.grid().cells();
    let noise = KeyedNoise::new(job.config.seed, cells, vec![start], region.shape, job.device)?;
    let solver = job.config.sampling.sampler.solver(levels.clone());
    let mut at = Next::new(noise.start()?); // (1, 1, w, w, w)
    for evaluation in 0..solver.noise_levels().len() {
        let noise_level = solver.noise_level(evaluation, 1, job.device)?;
        let clean = denoiser.predict_clean(&at.state, &condition, &noise_level)?;
        at = solver.step(&at.state, &clean, at.memory.as_ref(), evaluation, &noise)?;
        evaluated(evaluation)?;
    }
    let values = at.state.flatten_all()?.to_vec1()?;
    Ok(Array3::from_shape_vec(region.shape, values).expect("a state has the shape of its window"))
}

fn check_finite(
    window: usize,
    region: &Region,
    values: &Array3<f32>,
    cells: [usize; 3],
) -> Result<(), OutpaintError> {
    match values.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((x, y, z), _)) => {
            let voxel =
                [region.wrapped(0, x, cells), region.wrapped(1, y, cells), region.wrapped(2, z, cells)];
            Err(OutpaintError::NotFinite { window, voxel })
        }
    }
}
