//! A volume to generate.

use crate::lattice::Lattice;
use crate::{Boundary, GenerationConfig, Order, OutpaintError, Plan, Strategy};
use candle_core::{Device, Tensor};
use finescale_diffusion::Denoise;
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
    /// The channels of the condition in network units, one or more, each over the whole box that the result lies in.
    pub condition: &'a [Field3],
    /// Whether the condition's box is periodic.
    pub boundary: Boundary,
    /// From network units to the density generated.
    pub truth_normalizer: Normalizer,
    /// The part of the condition's box to generate.
    pub region: Region,
    /// What is there already, if anything.
    pub given: Option<Given<'a>>,
    /// Windows, sampler, seed.
    pub config: GenerationConfig,
    /// Windows that the network evaluates at once; the result does not depend on it.
    pub batch: usize,
    /// Where the network lies.
    pub device: &'a Device,
}

/// High-resolution density 1 + delta that is there already. The result holds it to the bit, and what is generated goes
/// on from it.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// The density.
    pub field: &'a Field3,
    /// Its first cell in the condition's box.
    pub start: [i64; 3],
}

/// How far a generation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Told once, before the first evaluation.
    Begun {
        /// Evaluations of windows that earlier runs have made durable.
        done: usize,
        /// All evaluations.
        evaluations: usize,
    },
    /// The network has evaluated some more windows.
    Evaluated {
        /// How many.
        windows: usize,
    },
}

/// Who hears of progress, and may stop it.
pub(crate) struct Listener<'a> {
    pub(crate) progress: &'a mut dyn FnMut(Progress),
    pub(crate) cancel: &'a AtomicBool,
}

impl Listener<'_> {
    /// Tells of `windows` evaluations.
    ///
    /// # Errors
    /// [`OutpaintError::Cancelled`] if the user wants to stop.
    pub(crate) fn evaluated(&mut self, windows: usize) -> Result<(), OutpaintError> {
        (self.progress)(Progress::Evaluated { windows });
        if self.cancel.load(Ordering::Relaxed) { Err(OutpaintError::Cancelled) } else { Ok(()) }
    }
}

impl<'a> Job<'a> {
    /// Whether the result is periodic: that takes the whole of a periodic box.
    #[must_use]
    pub fn result_boundary(&self) -> Boundary {
        let whole = self.region.shape == self.grid().cells();
        if whole { self.boundary } else { Boundary::Open }
    }

    /// The grid of the condition's box.
    pub(crate) fn grid(&self) -> &Grid {
        self.condition.first().expect("a condition has a channel").grid()
    }

    /// What the generation will take.
    ///
    /// # Errors
    /// As [`generate`](crate::generate()) before its first evaluation.
    pub fn plan(&self) -> Result<Plan, OutpaintError> {
        self.check()?;
        Plan::new(&self.config, self.region.shape, self.window_cells, self.result_boundary())
    }

    /// The planes where windows end that see each other's output only, by axis, sorted: face x lies between the cells
    /// x − 1 and x. In joint sampling, those of the last step.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn faces(&self) -> Result<[Vec<usize>; 3], OutpaintError> {
        match self.config.strategy {
            Strategy::Joint => {
                let last = self.lattices()?.pop().expect("there is always a level");
                Ok(last.faces(self.region.shape, self.result_boundary()))
            }
            _ => Ok(self.order()?.faces().clone()),
        }
    }

    /// Checks what does not need the network.
    pub(crate) fn check(&self) -> Result<(), OutpaintError> {
        let grid = self.grid();
        if let Some(other) = self.condition.iter().map(Field3::grid).find(|&other| other != grid) {
            return Err(OutpaintError::Channels { expected: *grid, found: *other });
        }
        let Region { start, shape } = self.region;
        let cells = grid.cells();
        let inside = |start: [i64; 3], shape: [usize; 3]| {
            (0..3).all(|axis| match self.boundary {
                Boundary::Periodic => shape[axis] <= cells[axis],
                Boundary::Open => start[axis] >= 0 && start[axis] + shape[axis] as i64 <= cells[axis] as i64,
            })
        };
        if !inside(start, shape) {
            return Err(OutpaintError::Region { start, shape, cells });
        }
        if let Some(Given { field, start }) = self.given {
            let shape = field.grid().cells();
            if !inside(start, shape) {
                return Err(OutpaintError::Region { start, shape, cells });
            }
            let (expected, found) = (grid.voxel_mpc_h(), field.grid().voxel_mpc_h());
            if (0..3).any(|axis| (found[axis] / expected[axis] - 1.0).abs() > 1e-4) {
                return Err(OutpaintError::GivenVoxel { expected, found });
            }
            check_density(field)?;
        }
        Ok(())
    }

    /// The windows, for every strategy but joint sampling.
    pub(crate) fn order(&self) -> Result<Order<'static>, OutpaintError> {
        Order::of(&self.config, self.region.shape, self.window_cells, self.result_boundary())
    }

    /// The windows of each evaluation of joint sampling.
    pub(crate) fn lattices(&self) -> Result<Vec<Lattice>, OutpaintError> {
        let (cells, boundary) = (self.region.shape, self.result_boundary());
        Lattice::of_each_step(&self.config, cells, self.window_cells, boundary)
    }

    /// The grid of the result.
    pub(crate) fn result_grid(&self) -> Result<Grid, OutpaintError> {
        let voxel = self.grid().voxel_mpc_h();
        let shape = self.region.shape;
        Ok(Grid::new(shape, [0, 1, 2].map(|axis| shape[axis] as f64 * voxel[axis]))?)
    }

    /// Region `of` the volume in the condition's box.
    pub(crate) fn in_box(&self, of: &Region) -> Region {
        Region { start: [0, 1, 2].map(|axis| self.region.start[axis] + of.start[axis]), shape: of.shape }
    }

    /// What is given, over the volume, in network units; NaN where it is to be generated.
    pub(crate) fn given_values(&self) -> Result<Option<Field3>, OutpaintError> {
        let Some(given) = self.given_density()? else { return Ok(None) };
        Ok(Some(given.map(|density| {
            if density.is_nan() { f32::NAN } else { self.truth_normalizer.normalize(density) }
        })))
    }

    /// What is given, over the volume; NaN where it is to be generated.
    pub(crate) fn given_density(&self) -> Result<Option<Field3>, OutpaintError> {
        let Some(Given { field, start }) = self.given else { return Ok(None) };
        // Through the condition's box, which both lie in.
        let grid = *self.grid();
        let mut whole = Field3::new(grid, Array3::from_elem(grid.cells(), f32::NAN))?;
        whole.insert(&Region { start, shape: field.grid().cells() }, field.values().view())?;
        Ok(Some(Field3::new(self.result_grid()?, whole.extract(&self.region)?)?))
    }

    /// The condition of some windows of the volume, (b, c, w, w, w).
    pub(crate) fn condition_of(&self, regions: &[Region]) -> Result<Tensor, OutpaintError> {
        let channel =
            |channel: &Field3| self.windows(regions, |region| Ok(channel.extract(&self.in_box(region))?));
        let channels = self.condition.iter().map(channel).collect::<Result<Vec<_>, _>>()?;
        Ok(Tensor::cat(&channels, 1)?)
    }

    /// A batch of windows, (b, 1, w, w, w).
    pub(crate) fn windows(
        &self,
        regions: &[Region],
        window: impl Fn(&Region) -> Result<Array3<f32>, OutpaintError>,
    ) -> Result<Tensor, OutpaintError> {
        let windows = regions.iter().map(window).collect::<Result<Vec<_>, _>>()?;
        self.batch_of(&windows)
    }

    /// Windows of one size as a batch, (b, 1, w, w, w).
    pub(crate) fn batch_of(&self, windows: &[Array3<f32>]) -> Result<Tensor, OutpaintError> {
        let w = self.window_cells;
        let values: Vec<f32> = windows.iter().flat_map(|window| window.iter().copied()).collect();
        Ok(Tensor::from_vec(values, (windows.len(), 1, w, w, w), self.device)?)
    }
}

/// The first voxel of a window that is no number, as an error.
pub(crate) fn check_finite(
    window: usize,
    region: &Region,
    values: &[f32],
    cells: [usize; 3],
) -> Result<(), OutpaintError> {
    let [_, ny, nz] = region.shape;
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(flat) => {
            let at = [flat / (ny * nz), flat / nz % ny, flat % nz];
            let voxel = [0, 1, 2].map(|axis| region.wrapped(axis, at[axis], cells));
            Err(OutpaintError::NotFinite { window, voxel })
        }
    }
}
