//! From a job to its volume.

use crate::generated::{Generated, Values};
use crate::identity::difference;
use crate::job::identity;
use crate::progress::Listener;
use crate::{Job, OutpaintError, Progress, Store, Strategy, joint, outpainting};
use finescale_field::check_memory;
use std::sync::atomic::AtomicBool;

/// Generates a volume. The result has the same bits for any number of ranks and threads and any batch, and however often the work
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
/// [`OutpaintError::RanksDiffer`] if ranks have different jobs;
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
    check_ranks(job)?;
    let mut listener = Listener { progress, cancel };
    let values = match job.config.strategy {
        Strategy::Joint(joint) => Values::Steps(joint::generate(job, joint, store, &mut listener)?),
        Strategy::Sequential(sequential) => {
            Values::Windows(outpainting::generate(job, sequential, store, &mut listener)?)
        }
    };
    let (grid, normalizers, given) = (job.result_grid()?, job.truth_normalizers, job.given_values());
    Ok(Generated { values, grid, normalizers, given, ranks: job.ranks })
}

/// Makes sure that all ranks have the same job.
fn check_ranks(job: &Job) -> Result<(), OutpaintError> {
    if job.ranks.count() == 1 {
        return Ok(());
    }
    let ours = identity(job)?;
    let all = job.ranks.gather(ours.to_string().as_bytes())?;
    for (rank, theirs) in all.iter().enumerate() {
        let theirs = serde_json::from_slice(theirs).unwrap_or_default();
        let first = serde_json::from_slice(&all[0]).unwrap_or_default();
        if let Some(difference) = difference(&first, &theirs) {
            return Err(OutpaintError::RanksDiffer { rank, what: difference.what });
        }
    }
    Ok(())
}
