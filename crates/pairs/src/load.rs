//! Pairs from disk.

use crate::config::Cubes;
use crate::pair::UNKNOWN;
use crate::{Pair, PairError, PairFiles};
use finescale_field::Windows as _;
use finescale_snapshot::{CubeReader, GridFile, GridMeta, SnapshotError, Source, read_grid};
use std::path::Path;

/// Reads the files of a pair, and gives what somebody should know of how they are taken.
///
/// # Errors
/// [`PairError::Read`] names the file that cannot be read; [`PairError::Cubes`] one of which is not said what it is.
pub(crate) fn load(files: &PairFiles) -> Result<(Pair, Vec<String>), PairError> {
    let (mut notes, mut has_cubes) = (Vec::new(), false);
    let mut read = |path: &Path, quantity: &str| -> Result<GridFile, PairError> {
        match (Source::of(path)?, files.cubes()) {
            (Source::Cube, Some(cubes)) => {
                has_cubes = true;
                read_cube(path, quantity, cubes, &mut notes)
            }
            (Source::Cube, None) => Err(PairError::Cubes { path: path.to_owned() }),
            _ => Ok(read_density(path)?),
        }
    };
    let condition = read(files.condition().as_ref(), UNKNOWN)?;
    let names = files.truth();
    let quantity = |number: usize| match names.len() {
        1 => "truth".to_owned(),
        _ => format!("truth_{number}"),
    };
    let truth = names.iter().enumerate().map(|(number, path)| read(path, &quantity(number)));
    let truth = truth.collect::<Result<Vec<_>, _>>()?;
    if files.cubes().is_some() && !has_cubes {
        return Err(PairError::NoCubes { path: files.condition() });
    }
    Ok((Pair { files: files.clone(), condition, truth }, notes))
}

fn read_density(path: &Path) -> Result<GridFile, SnapshotError> {
    let grid = read_grid(path)?;
    grid.meta.check_density(path)?;
    Ok(grid)
}

fn read_cube(
    path: &Path,
    quantity: &str,
    cubes: &Cubes,
    notes: &mut Vec<String>,
) -> Result<GridFile, PairError> {
    let Cubes { box_size_mpc_h, values, index, redshift } = *cubes;
    let reader = CubeReader::open(path, [box_size_mpc_h; 3], index, values)?;
    let cells = reader.grid().cells();
    if cells.iter().any(|n| *n != cells[0]) {
        return Err(PairError::NotCubic { path: path.to_owned(), cells });
    }
    notes.extend(reader.note().map(str::to_owned));
    Ok(GridFile { field: reader.load()?, meta: GridMeta::new(quantity, redshift, None) })
}
