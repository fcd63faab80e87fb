//! From a job to its volume.

use crate::given::GivenValues;
use crate::progress::Listener;
use crate::store::{StepStore, WindowStore};
use crate::volume::Volume;
use crate::{Job, OutpaintError, Progress, Store, Strategy, joint, outpainting};
use finescale_field::{Field3, Grid, Normalizer, Region, WindowError, Windows, check_memory};
use ndarray::Array3;
use serde_json::Value;
use std::fmt;
use std::sync::atomic::AtomicBool;

/// A volume that is generated. Its values stay where the work was, to be read window by window.
pub struct Generated<'a> {
    values: Values,
    grid: Grid,
    normalizers: &'a [Normalizer],
    given: Option<GivenValues<'a>>,
}

/// The work of a volume, done.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of them")]
enum Values {
    Steps(StepStore),
    Windows(WindowStore),
}

/// One field of a volume that is generated: the density 1 + delta.
#[derive(Clone, Copy)]
pub struct GeneratedField<'a> {
    generated: &'a Generated<'a>,
    field: usize,
}

/// Generates a volume. The result has the same bits for any number of threads and any batch, and however often the work
/// was interrupted and resumed, on one kind of instruction set and device. In memory are some windows and blocks; the
/// volume lies in the store.
///
/// # Errors
/// [`OutpaintError::Cancelled`] soon after `cancel` is set; [`OutpaintError::NotFinite`] if the network fails;
/// [`OutpaintError::Region`], [`OutpaintError::GivenVoxel`] and [`OutpaintError::GivenFields`] if the region or what is
/// given is no part of the condition's box; [`OutpaintError::Channels`] if the condition's channels, or the fields that
/// are given, are on different grids; [`OutpaintError::Read`] if they cannot be read;
/// [`OutpaintError::Field`] if memory has no room for a volume that is kept there;
/// [`OutpaintError::SmallerThanWindow`] and [`OutpaintError::Overlap`] if windows do not fit;
/// [`OutpaintError::Unfinished`], [`OutpaintError::ResumeMismatch`], [`OutpaintError::OtherProgram`],
/// [`OutpaintError::ForeignFolder`], [`OutpaintError::Busy`],
/// [`OutpaintError::Header`] and [`OutpaintError::Io`] by the store. What is finished stays in the store then.
pub fn generate<'a>(
    job: &Job<'a>,
    store: &Store,
    progress: &mut dyn FnMut(Progress),
    cancel: &AtomicBool,
) -> Result<Generated<'a>, OutpaintError> {
    let plan = job.plan()?;
    if *store == Store::Memory {
        check_memory(format_args!("a result of {:?} cells", plan.cells), plan.work_bytes as u128)?;
    }
    let mut listener = Listener { progress, cancel };
    let values = match job.config.strategy {
        Strategy::Joint(joint) => Values::Steps(joint::generate(job, joint, store, &mut listener)?),
        Strategy::Sequential(sequential) => {
            Values::Windows(outpainting::generate(job, sequential, store, &mut listener)?)
        }
    };
    let (grid, normalizers, given) = (job.result_grid()?, job.truth_normalizers, job.given_values());
    Ok(Generated { values, grid, normalizers, given })
}

impl fmt::Debug for Generated<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Generated").field("grid", &self.grid).finish_non_exhaustive()
    }
}

impl Generated<'_> {
    /// What the fields are of, as [`identity`](crate::identity()) says, and all programs that worked on them.
    #[must_use]
    pub fn identity(&self) -> &Value {
        match &self.values {
            Values::Steps(store) => store.identity(),
            Values::Windows(store) => store.identity(),
        }
    }

    /// The fields, window by window.
    pub fn fields(&self) -> impl Iterator<Item = GeneratedField<'_>> {
        (0..self.normalizers.len()).map(|field| GeneratedField { generated: self, field })
    }

    /// The fields, in memory.
    ///
    /// # Errors
    /// [`OutpaintError::Read`] if they cannot be read, or memory has no room for them.
    pub fn in_memory(&self) -> Result<Vec<Field3>, OutpaintError> {
        self.fields().map(|field| Field3::read_from(&field).map_err(OutpaintError::Read)).collect()
    }

    /// Network units.
    fn values(&self) -> &Volume {
        match &self.values {
            Values::Steps(store) => &store.present()[0],
            Values::Windows(store) => store.values(),
        }
    }
}

impl Windows for GeneratedField<'_> {
    fn grid(&self) -> &Grid {
        &self.generated.grid
    }

    fn read(&self, region: &Region) -> Result<Array3<f32>, WindowError> {
        let Generated { grid, normalizers, given, .. } = self.generated;
        region.check_fits(grid.cells())?;
        let mut density = vec![0.0; region.voxels()];
        self.generated.values().read_field(self.field, region, &mut density)?;
        for density in &mut density {
            *density = normalizers[self.field].denormalize(*density);
        }
        // What was given stays as it was, to the bit.
        given.map_or(Ok(()), |given| given.lay_density_over(self.field, region, &mut density))?;
        Ok(Array3::from_shape_vec(region.shape, density)?)
    }
}
