//! Pairs from disk.

use crate::config::Cubes;
use crate::pair::UNKNOWN;
use crate::{Density, Pair, PairError, PairFiles};
use finescale_field::Windows as _;
use finescale_snapshot::{CubeReader, GridMeta, GridReader, SnapshotError, Source};
use std::path::Path;

/// Opens the files of a pair, and gives what somebody should know of how they are taken. Their values are read once, for damage.
///
/// # Errors
/// [`PairError::Read`] names the file that cannot be read; [`PairError::Cubes`] one of which is not said what it is.
pub(crate) fn open(files: &PairFiles) -> Result<(Pair, Vec<String>), PairError> {
    let (mut notes, mut has_cubes) = (Vec::new(), false);
    let mut open = |path: &Path, quantity: &str| -> Result<Density, PairError> {
        match (Source::of(path)?, files.cubes()) {
            (Source::Cube, Some(cubes)) => {
                has_cubes = true;
                open_cube(path, quantity, cubes, &mut notes)
            }
            (Source::Cube, None) => Err(PairError::Cubes { path: path.to_owned() }),
            _ => Ok(open_density(path)?),
        }
    };
    let condition = open(files.condition().as_ref(), UNKNOWN)?;
    let names = files.truth();
    let quantity = |number: usize| match names.len() {
        1 => "truth".to_owned(),
        _ => format!("truth_{number}"),
    };
    let truth = names.iter().enumerate().map(|(number, path)| open(path, &quantity(number)));
    let truth = truth.collect::<Result<Vec<_>, _>>()?;
    if files.cubes().is_some() && !has_cubes {
        return Err(PairError::NoCubes { path: files.condition() });
    }
    Ok((Pair { files: files.clone(), condition, truth }, notes))
}

fn open_density(path: &Path) -> Result<Density, SnapshotError> {
    let reader = GridReader::open(path)?;
    reader.meta().check_density(path)?;
    reader.check_values()?;
    let meta = reader.meta().clone();
    Ok(Density::new(reader, meta))
}

fn open_cube(
    path: &Path,
    quantity: &str,
    cubes: &Cubes,
    notes: &mut Vec<String>,
) -> Result<Density, PairError> {
    let Cubes { box_size_mpc_h, values, index, redshift } = *cubes;
    let reader = CubeReader::open(path, [box_size_mpc_h; 3], index, values)?;
    let cells = reader.grid().cells();
    if cells.iter().any(|n| *n != cells[0]) {
        return Err(PairError::NotCubic { path: path.to_owned(), cells });
    }
    notes.extend(reader.note().map(str::to_owned));
    Ok(Density::new(reader, GridMeta::new(quantity, redshift, None)))
}
