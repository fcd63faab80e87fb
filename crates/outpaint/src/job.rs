//! A volume to generate.

use crate::checks::check_inside;
use crate::given::{GivenPlace, GivenValues};
use crate::hash::{hash_of_density, seed_of};
use crate::identity::PROGRAMS;
use crate::moving_lattice::MovingLattice;
use crate::{
    Boundary, Condition, GenerationConfig, Given, Joint, Order, OutpaintError, Place, Plan, RanksPlan,
    Sequential, Strategy,
};
use candle_core::{Device, Tensor};
use finescale_diffusion::Denoise;
use finescale_field::{Grid, Normalizer, Region, TileFaces};
use finescale_ranks::Ranks;
use serde_json::{Value, json};

/// Times that the windows of a batch are in memory beside what the network itself keeps: their noisy values, what is known
/// of them, their estimates and sums, as they are read and as tensors.
const FIELD_COPIES: usize = 6;
/// The same of their condition: as it is read, and put together.
const CONDITION_COPIES: usize = 2;

/// A volume to generate.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The network.
    pub denoiser: &'a dyn Denoise,
    /// What tells this network from others when work is resumed.
    pub model_hash: &'a str,
    /// Cells of the network's window per axis.
    pub window_cells: usize,
    /// What the network sees of the box that the result lies in.
    pub condition: &'a dyn Condition,
    /// Whether the condition's box is periodic.
    pub boundary: Boundary,
    /// From network units to the density of each field generated.
    pub truth_normalizers: &'a [Normalizer],
    /// The part of the condition's box to generate.
    pub region: Region,
    /// What is there already, if anything.
    pub given: Option<Given<'a>>,
    /// Windows, sampler, seed.
    pub config: GenerationConfig,
    /// Windows that the network evaluates at once; the result does not depend on it.
    pub batch: usize,
    /// The device that holds the network.
    pub device: &'a Device,
    /// The processes that generate it together: all have the same job.
    pub ranks: &'a Ranks,
    /// Who computes: what else the last bits depend on, such as version, device and instruction set.
    pub program: &'a Value,
}

impl<'a> Job<'a> {
    /// Whether the result is periodic: that takes the whole of a periodic box.
    #[must_use]
    pub fn result_boundary(&self) -> Boundary {
        self.boundary.of_part(self.region.shape, self.grid().cells())
    }

    /// Where the result lies in the condition's box.
    pub(crate) fn place(&self) -> Place {
        Place::part(self.region, self.grid().cells(), self.boundary)
    }

    /// The grid of the condition's box.
    pub(crate) fn grid(&self) -> &Grid {
        self.condition.grid()
    }

    /// What the generation will take.
    ///
    /// # Errors
    /// As [`generate`](crate::generate()) before its first evaluation.
    pub fn plan(&self) -> Result<Plan, OutpaintError> {
        self.check()?;
        let plan =
            Plan::new(&self.config, self.noise_seed()?, &self.place(), self.window_cells, self.fields())?;
        let of_window = FIELD_COPIES * self.fields() + CONDITION_COPIES * self.condition.count();
        let window_bytes = self.batch * self.window_cells.pow(3) * of_window * size_of::<f32>();
        let guidance = self.config.strategy.mass_guidance();
        let guidance_bytes = guidance.map_or(0, |guidance| guidance.bytes(self.region.shape));
        Ok(Plan { buffer_bytes: plan.buffer_bytes.max(window_bytes) + guidance_bytes, ..plan })
    }

    /// What it will take each of several ranks; none if windows follow each other.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn plan_on(&self, ranks: usize) -> Result<Option<RanksPlan>, OutpaintError> {
        self.check()?;
        RanksPlan::new(
            &self.config,
            self.noise_seed()?,
            &self.place(),
            self.window_cells,
            (self.fields(), ranks),
        )
    }

    /// Fields that are generated at once.
    pub(crate) fn fields(&self) -> usize {
        self.truth_normalizers.len()
    }

    /// Whether there are several windows and none sees voxels of another, so that seams are left. So it is without
    /// overlap, and in colour order where the windows of even number fill the volume alone, as two windows' width does.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn windows_are_independent(&self) -> Result<bool, OutpaintError> {
        let Strategy::Sequential(sequential) = self.config.strategy else { return Ok(false) };
        self.check()?;
        let order = self.order(sequential)?;
        let sees = |position: usize| {
            let unknown = order.unknown(position);
            unknown.iter().any(|&voxel| voxel == 0.0) && unknown.iter().any(|&voxel| voxel == 1.0)
        };
        Ok(order.windows() > 1 && !(0..order.windows()).any(sees))
    }

    /// The planes where windows end that see each other's output only, by axis, sorted: face x lies between the cells
    /// x − 1 and x. In joint sampling those of each step, the last one last; otherwise once.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn faces(&self) -> Result<Vec<TileFaces>, OutpaintError> {
        let planes = match self.config.strategy {
            Strategy::Joint(joint) => {
                self.lattices(joint)?.iter().map(|lattice| lattice.faces(&self.place())).collect()
            }
            Strategy::Sequential(sequential) => vec![self.order(sequential)?.faces().clone()],
        };
        Ok(planes.into_iter().map(TileFaces::new).collect())
    }

    /// Checks what does not need the network.
    pub(crate) fn check(&self) -> Result<(), OutpaintError> {
        self.config.check()?;
        if let Some(guidance) = self.config.strategy.mass_guidance() {
            let Some(density) = self.condition.density_normalizer() else {
                return guidance.refused("of this condition it is not known which density its values are");
            };
            guidance.check_model(&density, self.truth_normalizers, &self.config.sampling.levels.levels()?)?;
        }
        let grid = self.grid();
        let cells = grid.cells();
        check_inside(&self.region, cells, self.boundary)?;
        if let Some(Given { fields, start }) = self.given {
            if fields.len() != self.fields() {
                return Err(OutpaintError::GivenFields { expected: self.fields(), found: fields.len() });
            }
            for field in fields {
                check_inside(&Region { start, shape: field.grid().cells() }, cells, self.boundary)?;
                let (expected, found) = (grid.voxel_mpc_h(), field.grid().voxel_mpc_h());
                if (0..3).any(|axis| (found[axis] / expected[axis] - 1.0).abs() > 1e-4) {
                    return Err(OutpaintError::GivenVoxel { expected, found });
                }
                if field.grid() != fields[0].grid() {
                    return Err(OutpaintError::Channels {
                        expected: *fields[0].grid(),
                        found: *field.grid(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Whether what is given covers the whole volume, so that nothing is left to draw.
    #[must_use]
    pub fn is_covered(&self) -> bool {
        let mut there = 0;
        if let Some(given) = self.given_values() {
            let whole = Region { start: [0; 3], shape: self.region.shape };
            given.place.for_each_block(&whole, |_, part| there += part.voxels());
        }
        there == self.region.voxels()
    }

    /// What the noise and the places of the windows are drawn by: two conditions with one seed share nothing, and all parts
    /// of a box, in whatever windows, share all. So it is a hash of the seed and the whole condition, unless noise is to be
    /// shared.
    pub(crate) fn noise_seed(&self) -> Result<u64, OutpaintError> {
        let GenerationConfig { seed, shared_noise, .. } = self.config;
        if shared_noise { Ok(seed) } else { Ok(seed_of(seed, &self.condition.hash()?)) }
    }

    /// The windows that follow each other.
    pub(crate) fn order(&self, sequential: Sequential) -> Result<Order, OutpaintError> {
        let order = Order::new(sequential, self.region.shape, self.window_cells, self.place())?;
        Ok(order.around(self.given_values().map(|given| given.place)))
    }

    /// The windows of each evaluation of joint sampling.
    pub(crate) fn lattices(&self, joint: Joint) -> Result<Vec<MovingLattice>, OutpaintError> {
        let levels = self.config.sampling.levels.levels()?;
        MovingLattice::at_each_level(joint, &levels, self.noise_seed()?, &self.place(), self.window_cells)
    }

    /// The grid of the result.
    pub(crate) fn result_grid(&self) -> Result<Grid, OutpaintError> {
        Ok(self.grid().part(self.region.shape)?)
    }

    /// Region `of` the volume in the condition's box.
    pub(crate) fn in_box(&self, of: &Region) -> Region {
        let cells = self.grid().cells();
        // Wrapped first: the region of a periodic box may start at the end of i64.
        let start = |axis: usize| self.region.start[axis].rem_euclid(cells[axis] as i64) + of.start[axis];
        Region { start: [0, 1, 2].map(start), shape: of.shape }
    }

    /// What is given, where it lies in the volume.
    pub(crate) fn given_values(&self) -> Option<GivenValues<'a>> {
        let Given { fields, start } = self.given?;
        let period = self.grid().cells();
        let wrapped = |start: [i64; 3], axis: usize| start[axis].rem_euclid(period[axis] as i64);
        let start = [0, 1, 2].map(|axis| wrapped(start, axis) - wrapped(self.region.start, axis));
        let place = GivenPlace { start, shape: fields[0].grid().cells(), period };
        Some(GivenValues { place, fields, normalizers: self.truth_normalizers })
    }

    /// The condition of some windows of the volume, (b, c, w, w, w).
    pub(crate) fn condition_of(&self, regions: &[Region]) -> Result<Tensor, OutpaintError> {
        let windows = regions.iter().map(|region| self.condition.channels(&self.in_box(region)));
        self.batch_of(windows.collect::<Result<Vec<_>, _>>()?.concat(), regions.len())
    }

    /// The values of `size` windows, one after another, the channels of each together, as a batch (b, c, w, w, w).
    pub(crate) fn batch_of(&self, values: Vec<f32>, size: usize) -> Result<Tensor, OutpaintError> {
        let w = self.window_cells;
        Ok(Tensor::from_vec(values, (size, (), w, w, w), self.device)?)
    }
}

/// Everything that the bits of a job's result depend on, as a JSON object. Reads and hashes what is given.
///
/// # Errors
/// [`OutpaintError::Region`] and others if what is given is no part of the condition's box; [`OutpaintError::Field`] if it
/// is no density; [`OutpaintError::Read`] if it cannot be read.
pub fn identity(job: &Job) -> Result<Value, OutpaintError> {
    job.check()?;
    let given = |given: Given| -> Result<Value, OutpaintError> {
        let hashes = given.fields.iter().map(|field| hash_of_density(*field));
        Ok(json!({ "start": given.start, "fields": hashes.collect::<Result<Vec<_>, _>>()? }))
    };
    let identity = json!({
        "format": "finescale-generation",
        "version": 10,
        "model": job.model_hash,
        "condition": job.condition.hash()?,
        "region": job.region,
        "given": job.given.map(given).transpose()?,
        "boundary": job.boundary,
        "window_cells": job.window_cells,
        "generation": job.config,
        PROGRAMS: [job.program],
    });
    // Through text, so that what is read from a file is rounded alike.
    Ok(serde_json::from_str(&identity.to_string()).expect("what was JSON a moment ago is JSON"))
}
