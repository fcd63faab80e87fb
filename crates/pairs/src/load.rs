//! Pairs from disk.

use crate::{Pair, PairError, PairFiles};
use finescale_snapshot::read_grid;

/// Reads the grid files of a pair.
///
/// # Errors
/// [`PairError::Read`] names the file that cannot be read.
pub(crate) fn load(files: &PairFiles) -> Result<Pair, PairError> {
    let condition = read_grid(&files.condition())?;
    let truth = files.truth().iter().map(|path| read_grid(path)).collect::<Result<_, _>>()?;
    Ok(Pair { files: files.clone(), condition, truth })
}
