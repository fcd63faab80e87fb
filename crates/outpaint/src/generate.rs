//! From a job to its volume.

use crate::job::Listener;
use crate::{Job, OutpaintError, Progress, Store, Strategy, joint, outpainting};
use finescale_field::{Field3, check_memory};
use serde_json::Value;
use std::sync::atomic::AtomicBool;

/// Copies of the result in memory at the end: as it lies in the store, as fields, and as densities.
const COPIES: usize = 3;

/// What a generation gives.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The density 1 + delta of each field.
    pub fields: Vec<Field3>,
    /// What they are of, as [`identity`](crate::identity()) says, and all programs that worked on them.
    pub identity: Value,
}

/// Generates the density 1 + delta of each field of a volume. The result has the same bits for any number of threads
/// and any batch, and however often the work was interrupted and resumed, on one kind of instruction set and device.
///
/// # Errors
/// [`OutpaintError::Cancelled`] soon after `cancel` is set; [`OutpaintError::NotFinite`] if the network fails;
/// [`OutpaintError::Region`], [`OutpaintError::GivenVoxel`] and [`OutpaintError::GivenFields`] if the region or what is
/// given is no part of the condition's box; [`OutpaintError::Channels`] if the condition's channels, or the fields that
/// are given, are on different grids;
/// [`OutpaintError::Field`] if memory has no room for the result;
/// [`OutpaintError::SmallerThanWindow`] and [`OutpaintError::Overlap`] if windows do not fit;
/// [`OutpaintError::Unfinished`], [`OutpaintError::ResumeMismatch`], [`OutpaintError::OtherProgram`],
/// [`OutpaintError::ForeignFolder`], [`OutpaintError::Busy`],
/// [`OutpaintError::Header`] and [`OutpaintError::Io`] by the store. What is finished stays in the store then.
pub fn generate(
    job: &Job,
    store: &Store,
    progress: &mut dyn FnMut(Progress),
    cancel: &AtomicBool,
) -> Result<Generated, OutpaintError> {
    job.check()?;
    let cells = job.region.shape;
    let count = (cells.iter().product::<usize>() as u128).saturating_mul(job.fields() as u128);
    let bytes = count.saturating_mul((COPIES * size_of::<f32>()) as u128);
    check_memory(format_args!("a result of {cells:?} cells"), bytes)?;
    let mut listener = Listener { progress, cancel };
    let Generated { fields: values, identity } = match job.config.strategy {
        Strategy::Joint => joint::generate(job, store, &mut listener)?,
        _ => outpainting::generate(job, store, &mut listener)?,
    };
    let mut fields: Vec<Field3> =
        values.iter().zip(job.truth_normalizers).map(|(y, to)| to.denormalize_field(y)).collect();
    // What was given stays as it was, to the bit.
    for (field, given) in fields.iter_mut().zip(job.given_density()?.into_iter().flatten()) {
        for (density, &given) in field.as_slice_mut().iter_mut().zip(given.as_slice()) {
            if !given.is_nan() {
                *density = given;
            }
        }
    }
    Ok(Generated { fields, identity })
}
