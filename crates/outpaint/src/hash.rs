//! Hashes of fields that may be more than memory holds.

use crate::OutpaintError;
use finescale_field::{FILE_BLOCK, FieldError, Region, Windows, blocks};
use ndarray::Array3;
use sha2::{Digest, Sha256};

/// SHA-256 of a grid and its values, which may be more than memory holds; each block of them is checked.
pub(crate) fn hash_of_values(
    source: &dyn Windows,
    check: impl Fn(&Region, &Array3<f32>) -> Result<(), OutpaintError>,
) -> Result<String, OutpaintError> {
    let grid = source.grid();
    let mut hash = Sha256::new();
    hash.update(format!("{:?} {:?}", grid.cells(), grid.box_size_mpc_h()));
    for block in blocks(grid.cells(), FILE_BLOCK) {
        let values = source.read(&block).map_err(OutpaintError::Read)?;
        check(&block, &values)?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        hash.update(bytes);
    }
    Ok(hex::encode(hash.finalize()))
}

/// A seed of its own for what is called `name`.
pub(crate) fn seed_of(seed: u64, name: &str) -> u64 {
    let hash = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize();
    u64::from_le_bytes(hash[..8].try_into().expect("a hash has 32 bytes"))
}

/// SHA-256 of a density in units of its mean, of its cells and box: with it begins the entry `condition` of an identity.
///
/// # Errors
/// [`OutpaintError::Read`] if it cannot be read, [`OutpaintError::Field`] with the first voxel that is no density.
pub fn hash_of_density(source: &dyn Windows) -> Result<String, OutpaintError> {
    hash_of_values(source, |block, values| {
        match values.indexed_iter().find(|(_, value)| !(value.is_finite() && **value >= 0.0)) {
            None => Ok(()),
            Some(((x, y, z), &value)) => {
                let voxel = [x, y, z];
                let voxel = [0, 1, 2].map(|axis| block.wrapped(axis, voxel[axis], source.grid().cells()));
                Err(FieldError::Density { voxel, value }.into())
            }
        }
    })
}
