//! What a `.npy` file promises, before its values are read.

use crate::SnapshotError;
use crate::path_kind::first_bytes;
use finescale_field::shown;
use ndarray_npy::WritableElement;
use ndarray_npy::npy::header::{Header, Layout as Order};
use std::io::{self, Read};
use std::path::Path;

/// Longest header that is read, as numpy has it.
const LONGEST_HEADER: usize = 10_000;
/// Brackets and braces in it: one around all, and some for a type of several fields.
const MOST_BRACKETS: usize = 8;
/// The bytes before the version, by which a file is known.
const MAGIC: &[u8] = b"\x93NUMPY";
/// Bytes of magic, version and length of the header at most.
const PREFIX_BYTES: usize = 12;

/// What the bytes of a value are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Float,
    Signed,
    Unsigned,
}

/// Where the values of a cube lie, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// How many there are in the file.
    pub(crate) cubes: usize,
    pub(crate) cells: [usize; 3],
    /// Whether x is fastest in the file.
    pub(crate) fortran: bool,
    /// Bytes of a value.
    pub(crate) width: usize,
    pub(crate) kind: Kind,
    pub(crate) big_endian: bool,
    /// The first byte of the values.
    pub(crate) values_at: u64,
}

/// Whether a file begins as numpy's do.
///
/// # Errors
/// [`SnapshotError::Io`] if it cannot be read.
pub(crate) fn is_npy(path: &Path) -> Result<bool, SnapshotError> {
    Ok(first_bytes(path, MAGIC.len())? == MAGIC)
}

/// The bytes before the values of a cube of f32 in C order.
pub(crate) fn header(cells: [usize; 3]) -> io::Result<Vec<u8>> {
    let header =
        Header { type_descriptor: f32::type_descriptor(), layout: Order::Standard, shape: cells.to_vec() };
    header.to_bytes().map_err(io::Error::other)
}

/// Reads where the values lie, of a stack of cubes those of number `index`, and checks that the file is as long as its shape
/// promises.
///
/// # Errors
/// [`SnapshotError::Npy`] if it is shorter, or holds no cube of numbers, or a stack of which nobody says which.
pub(crate) fn layout(path: &Path, index: Option<usize>) -> Result<Layout, SnapshotError> {
    let io = |source| SnapshotError::Io { path: path.into(), doing: "reading", source };
    let wrong = |detail: String| SnapshotError::Npy { path: path.into(), detail: shown(&detail) };
    let file = finescale_durable::open_to_read(path).map_err(io)?;
    let file_bytes = file.metadata().map_err(io)?.len();
    let mut start = Vec::new();
    file.take((PREFIX_BYTES + LONGEST_HEADER) as u64).read_to_end(&mut start).map_err(io)?;
    let header_end = header_end(&start).map_err(wrong)?;
    // numpy's types nest in fields of fields. What is read here has none, and the parser's time doubles with each.
    let nested = start[..header_end].iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    if nested > MOST_BRACKETS {
        return Err(wrong(format!("its header has {nested} brackets")));
    }
    let header = Header::from_reader(&mut &start[..header_end]).map_err(|error| wrong(error.to_string()))?;
    let kind = header.type_descriptor.as_string().map_or("", String::as_str);
    let (cubes, [nx, ny, nz]) = match header.shape[..] {
        [nx, ny, nz] => (1, [nx, ny, nz]),
        [cubes, nx, ny, nz] if !header.layout.is_fortran() => (cubes, [nx, ny, nz]),
        ref other => return Err(wrong(format!("it has {} axes", other.len()))),
    };
    let number = match (index, cubes) {
        (None, 1) => 0,
        (None, _) => {
            return Err(wrong(format!("it is a stack of {cubes} cubes; say which with --index, from 0 on")));
        }
        (Some(index), _) if index < cubes => index,
        (Some(index), _) => {
            return Err(wrong(format!("--index {index}: it holds {cubes} cubes, counted from 0")));
        }
    };
    let (order, kind) = kind.split_at_checked(1).unwrap_or_default();
    let (kind, width) = match kind {
        "f2" => (Kind::Float, 2),
        "f4" => (Kind::Float, 4),
        "f8" => (Kind::Float, 8),
        "i1" => (Kind::Signed, 1),
        "i2" => (Kind::Signed, 2),
        "i4" => (Kind::Signed, 4),
        "i8" => (Kind::Signed, 8),
        "u1" => (Kind::Unsigned, 1),
        "u2" => (Kind::Unsigned, 2),
        "u4" => (Kind::Unsigned, 4),
        "u8" => (Kind::Unsigned, 8),
        _ => return Err(wrong(format!("its values are of the type {order}{kind}, no real numbers"))),
    };
    let big_endian = order == ">";
    let count = header.shape.iter().fold(1u128, |product, &n| product.saturating_mul(n as u128));
    let (promised, there) =
        (count.saturating_mul(width as u128), u128::from(file_bytes) - header_end as u128);
    if promised > there {
        let shape = &header.shape;
        return Err(wrong(format!("its shape {shape:?} needs {promised} bytes, it has {there} of them")));
    }
    Ok(Layout {
        cubes,
        cells: [nx, ny, nz],
        fortran: header.layout.is_fortran(),
        width,
        kind,
        big_endian,
        values_at: header_end as u64 + (number * nx * ny * nz * width) as u64,
    })
}

/// Where the header ends that begins with `start`.
fn header_end(start: &[u8]) -> Result<usize, String> {
    let rest = start.strip_prefix(MAGIC).ok_or("it is no .npy file")?;
    let (prefix, length) = match rest {
        [1, _, low, high, ..] => (10, usize::from(u16::from_le_bytes([*low, *high]))),
        [2 | 3, _, a, b, c, d, ..] => (12, u32::from_le_bytes([*a, *b, *c, *d]) as usize),
        _ => return Err("its version is not 1, 2 or 3".to_owned()),
    };
    match length {
        0..=LONGEST_HEADER if start.len() >= prefix + length => Ok(prefix + length),
        0..=LONGEST_HEADER => Err("it ends within its header".to_owned()),
        _ => Err(format!("its header would have {length} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of a file of version 1 with this header and so many bytes of values.
    fn checked(header: &str, value_bytes: usize) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cube.npy");
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        let bytes = [MAGIC, &[1, 0], &length, header.as_bytes(), &vec![0; value_bytes]].concat();
        std::fs::write(&path, bytes).unwrap();
        layout(&path, None).map(|_| ()).map_err(|error| error.to_string())
    }

    fn text(kind: &str, shape: &str) -> String {
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n")
    }

    #[test]
    fn shapes_are_compared_with_the_file_before_anything_is_read() {
        assert_eq!(checked(&text("<f4", "(2, 3, 4)"), 96), Ok(()));
        assert_eq!(checked(&text(">f8", "(2, 3, 4)"), 192), Ok(()));
        for (kind, shape, bytes) in [
            ("<f4", "(2, 3, 4)", 95),
            ("<f8", "(2, 3, 4)", 191),
            ("<f4", "(10000000000000, 1, 1)", 8),
            ("<f4", "(4294967296, 4294967296, 4294967296)", 8),
        ] {
            let error = checked(&text(kind, shape), bytes).unwrap_err();
            assert!(error.contains("bytes, it has"), "{kind} {shape}: {error}");
        }
        for kind in ["|V3", "<M8", "<c8", "f4"] {
            let error = checked(&text(kind, "(2, 2, 2)"), 96).unwrap_err();
            assert!(error.contains("no real numbers"), "{kind}: {error}");
        }
    }

    #[test]
    fn headers_that_are_none_are_short_errors() {
        let brackets = format!("{{'descr': {}", "[".repeat(9000));
        for (header, problem) in [
            (text("<f4", "(4, 4)"), "it has 2 axes"),
            (text("<f4", "4"), "a three-dimensional .npy array"),
            ("x".repeat(9000), "a three-dimensional .npy array"),
            ("x".repeat(20_000), "its header would have 20000 bytes"),
            (brackets, "a three-dimensional .npy array"),
        ] {
            let error = checked(&header, 64).unwrap_err();
            assert!(error.contains(problem) && error.len() < 500, "{error}");
        }
        for (bytes, problem) in [
            (b"\x93NUMPY\x01\x00\xff\x00{'descr'".as_slice(), "ends within its header"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "would have 4294967295 bytes"),
            (b"\x93NUMPY\x09\x00\x01\x00 ", "its version"),
            (b"\x93NUM", "no .npy file"),
        ] {
            let error = header_end(bytes).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }
}
