//! Cubes of numpy.

use crate::SnapshotError;
use crate::npy_header::{self, Kind, Layout};
use crate::path_kind::PathKind;
use finescale_field::{Field3, Grid, Region, WindowError, Windows, blocks, shown};
use ndarray::Array3;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Voxels of the rows that are written at once.
const ROW_VOXELS: usize = 1 << 18;

/// Reads a three-dimensional `.npy` array of floats or integers, in C or Fortran order, as it is: `box_size_mpc_h` per
/// axis in Mpc/h, values in whatever unit the file has.
///
/// # Errors
/// [`SnapshotError::NotFound`], [`SnapshotError::Npy`] if it holds something else or less than its shape promises,
/// [`SnapshotError::Field`] if the box has no volume or memory no room.
pub fn read_npy(path: &Path, box_size_mpc_h: [f64; 3]) -> Result<Field3, SnapshotError> {
    let reader = NpyReader::open(path, box_size_mpc_h)?;
    Field3::read_from(&reader).map_err(|error| match error.downcast::<SnapshotError>() {
        Ok(error) => *error,
        Err(error) => SnapshotError::Npy { path: path.into(), detail: shown(&error.to_string()) },
    })
}

/// A three-dimensional `.npy` array of floats or integers, in C or Fortran order, read window by window.
#[derive(Debug)]
pub struct NpyReader {
    path: PathBuf,
    file: File,
    layout: Layout,
    grid: Grid,
}

impl NpyReader {
    /// Opens `path`, whose values fill a box of `box_size_mpc_h` per axis, and reads what it is, not yet its values.
    ///
    /// # Errors
    /// [`SnapshotError::NotFound`], [`SnapshotError::Npy`] if it holds something else or less than its shape promises,
    /// [`SnapshotError::Field`] if the box has no volume.
    pub fn open(path: &Path, box_size_mpc_h: [f64; 3]) -> Result<Self, SnapshotError> {
        Self::open_cube(path, box_size_mpc_h, None)
    }

    /// The same of cube `index` of a stack of them, such as the multifield cubes of CAMELS: an array of four axes, of which
    /// the first counts the cubes.
    ///
    /// # Errors
    /// As [`Self::open`], and [`SnapshotError::Npy`] if there is no such cube.
    pub fn open_cube(
        path: &Path,
        box_size_mpc_h: [f64; 3],
        index: Option<usize>,
    ) -> Result<Self, SnapshotError> {
        if PathKind::of(path)? == PathKind::Nothing {
            return Err(SnapshotError::NotFound { path: path.into() });
        }
        let layout = npy_header::layout(path, index)?;
        let grid = Grid::new(layout.cells, box_size_mpc_h).map_err(SnapshotError::field(path))?;
        let io = |source| SnapshotError::Io { path: path.into(), doing: "opening", source };
        Ok(Self { path: path.into(), file: finescale_durable::open_to_read(path).map_err(io)?, layout, grid })
    }

    /// How many cubes its file holds.
    #[must_use]
    pub fn cubes(&self) -> usize {
        self.layout.cubes
    }

    /// Fills a row of consecutive values from flat index `first` on.
    fn read_row(&self, first: usize, row: &mut [f32]) -> io::Result<()> {
        let Layout { width, kind, big_endian, values_at, .. } = self.layout;
        let mut bytes = vec![0; row.len() * width];
        self.file.read_exact_at(&mut bytes, values_at + (first * width) as u64)?;
        for (value, bytes) in row.iter_mut().zip(bytes.chunks_exact_mut(width)) {
            if big_endian {
                bytes.reverse();
            }
            *value = number(kind, bytes);
        }
        Ok(())
    }
}

impl Windows for NpyReader {
    fn grid(&self) -> &Grid {
        &self.grid
    }

    fn read(&self, region: &Region) -> Result<Array3<f32>, WindowError> {
        let Region { start, shape } = *region;
        region.check_fits(self.grid.cells())?;
        // In Fortran order the file holds the array with its axes reversed.
        let reversed = |[x, y, z]: [usize; 3]| if self.layout.fortran { [z, y, x] } else { [x, y, z] };
        let cells = reversed(self.grid.cells());
        let start = if self.layout.fortran { [start[2], start[1], start[0]] } else { start };
        let region = Region { start, shape: reversed(shape) };
        let mut values = vec![0.0; region.voxels()];
        let mut read = Ok(());
        region.for_each_run(cells, |to, from, length| {
            if read.is_ok() {
                read = self.read_row(from, &mut values[to..to + length]);
            }
        });
        read.map_err(|source| SnapshotError::Io { path: self.path.clone(), doing: "reading", source })?;
        let values = Array3::from_shape_vec(region.shape, values)?;
        Ok(if self.layout.fortran {
            values.reversed_axes().as_standard_layout().into_owned()
        } else {
            values
        })
    }
}

/// The number in some little-endian bytes, as an f32.
fn number(kind: Kind, bytes: &[u8]) -> f32 {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    match (kind, bytes) {
        (Kind::Float, &[a, b]) => half::f16::from_le_bytes([a, b]).to_f32(),
        (Kind::Float, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
        (Kind::Float, _) => narrowed(f64::from_le_bytes(wide)),
        (Kind::Unsigned, _) => u64::from_le_bytes(wide) as f32,
        (Kind::Signed, _) => {
            // The sign is the highest bit of the last byte there is.
            if bytes.last().is_some_and(|byte| byte & 0x80 != 0) {
                wide[bytes.len()..].fill(0xff);
            }
            i64::from_le_bytes(wide) as f32
        }
    }
}

/// Writes the values as a `.npy` array of f32 in C order; it appears under `path` when it is whole.
///
/// # Errors
/// [`SnapshotError::Write`] if the file cannot be made or the disk is full.
pub fn write_npy(path: &Path, field: &Field3) -> Result<(), SnapshotError> {
    finescale_durable::write(path, |file| write_npy_to(file, field)).map_err(SnapshotError::write(path))
}

/// Writes the bytes of [`write_npy`] somewhere else, some rows at a time.
///
/// # Errors
/// Those of `out`, and those of `source` as [`io::Error::other`].
pub fn write_npy_to(mut out: impl io::Write, source: &dyn Windows) -> io::Result<()> {
    let [nx, ny, nz] = source.grid().cells();
    out.write_all(&npy_header::header([nx, ny, nz])?)?;
    let rows = (ROW_VOXELS.div_euclid(nz)).clamp(1, ny);
    for block in blocks([nx, ny, nz], [1, rows, nz]) {
        let values = source.read(&block).map_err(io::Error::other)?;
        out.write_all(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "fields are f32; a density needs no more digits")]
pub(crate) fn narrowed(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::ShapeBuilder;
    use ndarray_npy::WriteNpyExt;

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
        let window = Region { start: [1, -1, 3], shape: [2, 2, 3] };
        let read = || NpyReader::open(&path, [1.0; 3]).unwrap().read(&window).unwrap();
        assert_eq!(read(), field.extract(&window).unwrap());
        write_npy(&path, &field).unwrap();
        assert_eq!(read_npy(&path, [1.0, 2.0, 3.0]).unwrap(), field);
        assert_eq!(read(), field.extract(&window).unwrap());
        // The bytes are those of numpy's own writer.
        let mut plain = Vec::new();
        field.values().write_npy(&mut plain).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), plain);
    }

    #[test]
    fn every_kind_of_number_and_stacks_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cube.npy");
        let write = |kind: &str, shape: &str, values: &[u8]| {
            let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
            let length = u16::try_from(header.len()).unwrap().to_le_bytes();
            std::fs::write(&path, [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), values].concat())
                .unwrap();
        };
        let read = |index| -> Result<Vec<f32>, SnapshotError> {
            let reader = NpyReader::open_cube(&path, [1.0; 3], index)?;
            Ok(Field3::read_from(&reader).unwrap().as_slice().to_vec())
        };
        for (kind, bytes) in [
            ("<f2", [0x00, 0x3c, 0x00, 0xc0].as_slice()),
            (">f2", &[0x3c, 0x00, 0xc0, 0x00]),
            ("|i1", &[1, 0xfe]),
            ("<i2", &[1, 0, 0xfe, 0xff]),
            (">i4", &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe]),
        ] {
            write(kind, "(1, 1, 2)", bytes);
            assert_eq!(read(None).unwrap(), [1.0, -2.0], "{kind}");
        }
        write("<u2", "(1, 1, 2)", &[1, 0, 0xfe, 0xff]);
        assert_eq!(read(None).unwrap(), [1.0, 65534.0]);
        // A stack of two cubes, and one of one.
        write("|u1", "(2, 1, 1, 2)", &[1, 2, 3, 4]);
        assert_eq!((read(Some(0)).unwrap(), read(Some(1)).unwrap()), (vec![1.0, 2.0], vec![3.0, 4.0]));
        assert!(read(None).unwrap_err().to_string().contains("a stack of 2 cubes; say which with --index"));
        assert!(read(Some(2)).unwrap_err().to_string().contains("it holds 2 cubes"));
        write("|u1", "(1, 1, 1, 2)", &[1, 2]);
        assert_eq!(read(None).unwrap(), [1.0, 2.0]);
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
