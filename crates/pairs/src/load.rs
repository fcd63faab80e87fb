//! Pairs from disk.

use crate::{Pair, PairError, PairFiles};
use finescale_snapshot::{GridFile, SnapshotError, read_grid};
use std::path::Path;

/// Reads the grid files of a pair.
///
/// # Errors
/// [`PairError::Read`] names the file that cannot be read.
pub(crate) fn load(files: &PairFiles) -> Result<Pair, PairError> {
    let condition = read_density(files.condition().as_ref())?;
    let truth = files.truth().iter().map(|path| read_density(path.as_ref())).collect::<Result<_, _>>()?;
    Ok(Pair { files: files.clone(), condition, truth })
}

fn read_density(path: &Path) -> Result<GridFile, SnapshotError> {
    let grid = read_grid(path)?;
    grid.meta.check_density(path)?;
    Ok(grid)
}
