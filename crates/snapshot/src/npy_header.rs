//! What a `.npy` file promises, before its values are read.

use crate::SnapshotError;
use finescale_field::{check_memory, shown};
use ndarray_npy::npy::header::Header;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Longest header that is read, as numpy has it.
const LONGEST_HEADER: usize = 10_000;
/// Brackets and braces in it: one around all, and some for a type of several fields.
const MOST_BRACKETS: usize = 8;
/// The bytes before the version, by which a file is known.
const MAGIC: &[u8] = b"\x93NUMPY";
/// Bytes of magic, version and length of the header at most.
const PREFIX_BYTES: usize = 12;

/// Checks that the file is as long as its shape promises, and that memory has room for its values.
///
/// # Errors
/// [`SnapshotError::Npy`] or, if it is larger than memory, [`SnapshotError::Field`].
pub(crate) fn check(path: &Path) -> Result<(), SnapshotError> {
    let io = |source| SnapshotError::Io { path: path.into(), doing: "reading", source };
    let wrong = |detail: String| SnapshotError::Npy { path: path.into(), detail: shown(&detail) };
    let file = File::open(path).map_err(io)?;
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
    // The last part of what numpy calls `<f4`; of other types a value has one byte or more.
    let width: u128 = kind.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(1);
    let count = header.shape.iter().fold(1u128, |product, &n| product.saturating_mul(n as u128));
    let (promised, there) = (count.saturating_mul(width), u128::from(file_bytes) - header_end as u128);
    if header.shape.len() != 3 {
        return Err(wrong(format!("it has {} axes", header.shape.len())));
    }
    if promised > there {
        let shape = &header.shape;
        return Err(wrong(format!("its shape {shape:?} needs {promised} bytes, it has {there} of them")));
    }
    // As it is, and in f32.
    check_memory(format_args!("reading {:?} values", header.shape), promised.saturating_add(4 * count))
        .map_err(SnapshotError::field(path))
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
        check(&path).map_err(|error| error.to_string())
    }

    fn header(kind: &str, shape: &str) -> String {
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n")
    }

    #[test]
    fn shapes_are_compared_with_the_file_before_anything_is_read() {
        assert_eq!(checked(&header("<f4", "(2, 3, 4)"), 96), Ok(()));
        assert_eq!(checked(&header(">f8", "(2, 3, 4)"), 192), Ok(()));
        for (kind, shape, bytes) in [
            ("<f4", "(2, 3, 4)", 95),
            ("<f8", "(2, 3, 4)", 191),
            ("<f4", "(10000000000000, 1, 1)", 8),
            ("<f4", "(4294967296, 4294967296, 4294967296)", 8),
            ("|V3", "(9, 9, 9)", 8),
        ] {
            let error = checked(&header(kind, shape), bytes).unwrap_err();
            assert!(error.contains("bytes, it has"), "{kind} {shape}: {error}");
        }
    }

    #[test]
    fn headers_that_are_none_are_short_errors() {
        let brackets = format!("{{'descr': {}", "[".repeat(9000));
        for (text, problem) in [
            (header("<f4", "(4, 4)"), "it has 2 axes"),
            (header("<f4", "4"), "a three-dimensional .npy array"),
            ("x".repeat(9000), "a three-dimensional .npy array"),
            ("x".repeat(20_000), "its header would have 20000 bytes"),
            (brackets, "a three-dimensional .npy array"),
        ] {
            let error = checked(&text, 64).unwrap_err();
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
