//! Cubes of numpy.

use crate::SnapshotError;
use crate::npy_header;
use finescale_field::{Field3, Grid, shown};
use ndarray::Array3;
use ndarray_npy::{ReadNpyError, ReadNpyExt, WriteNpyError, WriteNpyExt};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

/// Reads a three-dimensional `.npy` array of f32 or f64, in C or Fortran order, as it is: `box_size_mpc_h` per
/// axis in Mpc/h, values in whatever unit the file has.
///
/// # Errors
/// [`SnapshotError::NotFound`], [`SnapshotError::Npy`] if it holds something else or less than its shape promises,
/// [`SnapshotError::Field`] if the box has no volume or memory no room.
pub fn read_npy(path: &Path, box_size_mpc_h: [f64; 3]) -> Result<Field3, SnapshotError> {
    if !path.exists() {
        return Err(SnapshotError::NotFound { path: path.into() });
    }
    npy_header::check(path)?;
    let open = || File::open(path).map(BufReader::new).map_err(ReadNpyError::from);
    let values = match open().and_then(Array3::<f32>::read_npy) {
        Err(ReadNpyError::WrongDescriptor(_)) => open().and_then(Array3::<f64>::read_npy).map(to_f32),
        read => read,
    };
    let values = values
        .map_err(|error| SnapshotError::Npy { path: path.into(), detail: shown(&error.to_string()) })?;
    let grid = Grid::new(values.dim().into(), box_size_mpc_h).map_err(SnapshotError::field(path))?;
    Field3::new(grid, values).map_err(SnapshotError::field(path))
}

/// Writes the values as a `.npy` array of f32 in C order; it appears under `path` when it is whole.
///
/// # Errors
/// [`SnapshotError::Write`] if the file cannot be made or the disk is full.
pub fn write_npy(path: &Path, field: &Field3) -> Result<(), SnapshotError> {
    finescale_durable::write(path, |file| write_npy_to(file, field)).map_err(SnapshotError::write(path))
}

/// Writes the bytes of [`write_npy`] somewhere else, for a hash of them.
///
/// # Errors
/// Those of `out`.
pub fn write_npy_to(out: impl io::Write, field: &Field3) -> io::Result<()> {
    field.values().write_npy(out).map_err(|error| match error {
        WriteNpyError::Io(error) => error,
        other => io::Error::other(other),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "fields are f32; a density needs no more digits")]
fn to_f32(values: Array3<f64>) -> Array3<f32> {
    values.mapv(|value| value as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::ShapeBuilder;

    #[test]
    fn both_types_and_both_orders_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cube.npy");
        let values = Array3::from_shape_fn((2, 3, 4), |(i, j, k)| (100 * i + 10 * j + k) as f32);
        let mut fortran = Array3::<f64>::zeros((2, 3, 4).f());
        fortran.assign(&values.mapv(f64::from));
        fortran.write_npy(File::create(&path).unwrap()).unwrap();
        let field = read_npy(&path, [1.0, 2.0, 3.0]).unwrap();
        assert_eq!(field.values(), values);
        assert_eq!(field.grid().box_size_mpc_h(), [1.0, 2.0, 3.0]);
        write_npy(&path, &field).unwrap();
        assert_eq!(read_npy(&path, [1.0, 2.0, 3.0]).unwrap(), field);
    }

    #[test]
    fn other_arrays_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cube.npy");
        assert!(matches!(read_npy(&path, [1.0; 3]), Err(SnapshotError::NotFound { .. })));
        std::fs::write(&path, "no numpy").unwrap();
        assert!(matches!(read_npy(&path, [1.0; 3]), Err(SnapshotError::Npy { .. })));
        ndarray::Array2::<f32>::zeros((2, 2)).write_npy(File::create(&path).unwrap()).unwrap();
        assert!(matches!(read_npy(&path, [1.0; 3]), Err(SnapshotError::Npy { .. })));
        Array3::<f32>::zeros((2, 2, 2)).write_npy(File::create(&path).unwrap()).unwrap();
        assert!(matches!(read_npy(&path, [0.0; 3]), Err(SnapshotError::Field { .. })));
    }
}
