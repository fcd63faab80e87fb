//! Pairs from disk.

use crate::{Pair, PairError, PairFiles};
use finescale_snapshot::read_grid;

/// Reads the two grid files of a pair.
///
/// # Errors
/// [`PairError::Read`] names the file that cannot be read.
pub(crate) fn load(files: &PairFiles) -> Result<Pair, PairError> {
    let (condition, truth) = (read_grid(&files.condition())?, read_grid(&files.truth())?);
    Ok(Pair { files: files.clone(), condition, truth })
}
