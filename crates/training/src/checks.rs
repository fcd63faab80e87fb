//! What must agree between a run and what it goes on from.

use crate::{RunConfig, Start, TrainingError};
use finescale_outpaint::{Difference, difference};
use serde_json::Value;
use std::path::Path;

/// A resumed run may train longer or at another rate, but not another network or on other data.
pub(crate) fn check_unchanged(out: &Path, now: &RunConfig, before: &RunConfig) -> Result<(), TrainingError> {
    check_section(out, "data", now.data == before.data)?;
    check_section(out, "network", now.network == before.network)?;
    check_section(out, "diffusion", now.diffusion == before.diffusion)?;
    check_section(out, "training.seed", now.training.seed == before.training.seed)?;
    check_section(out, "training.teacher", now.training.teacher == before.training.teacher)?;
    let same_steps = now.training.teacher.is_none() || now.generation.sampling == before.generation.sampling;
    check_section(out, "generation.sampling", same_steps)
}

/// A model that is trained further sees the same channels through the same network, on other data perhaps.
pub(crate) fn check_same_network(
    path: &Path,
    now: &RunConfig,
    before: &RunConfig,
) -> Result<(), TrainingError> {
    let (seen, known) = (now.data.channels(), before.data.channels());
    let surroundings = seen.surroundings_smoothing_cells == known.surroundings_smoothing_cells;
    let baseline = seen.baseline_smoothing_cells == known.baseline_smoothing_cells;
    check_section(path, "network", now.network == before.network)?;
    check_section(path, "data.surroundings_smoothing_cells", surroundings)?;
    check_section(path, "data.scalars", seen.scalars == known.scalars)?;
    check_section(path, "data.baseline_smoothing_cells", baseline)
}

/// A run that is resumed for its bits is computed by the program that began it.
pub(crate) fn check_program(
    out: &Path,
    program: &Value,
    found: &Value,
    start: Start,
) -> Result<(), TrainingError> {
    // Of cards, their kind says least where the run was begun on something else.
    let device = difference(&program["device"], &found["device"]);
    let device = device.map(|other| Difference { what: "device".to_owned(), ..other });
    let Some(Difference { what, expected, found }) = device.or_else(|| difference(program, found)) else {
        return Ok(());
    };
    let what = if what.is_empty() { "the program".to_owned() } else { what };
    if matches!(start, Start::Resume) {
        return Err(TrainingError::OtherProgram { path: out.into(), what, expected, found });
    }
    tracing::warn!(
        "{}: {what} was {found} when its state was saved, now it is {expected}: its last bits are those of neither",
        out.display()
    );
    Ok(())
}

pub(crate) fn check_section(path: &Path, section: &'static str, same: bool) -> Result<(), TrainingError> {
    if same { Ok(()) } else { Err(TrainingError::ConfigChanged { path: path.into(), section }) }
}
