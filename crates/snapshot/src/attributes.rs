//! Attributes of an HDF5 group, of whatever type their writer chose.

use crate::SnapshotError;
use crate::error::one_line;
use crate::native::{self, Kind};
use finescale_field::shown;
use hdf5::types::{FixedAscii, FixedUnicode, VarLenAscii, VarLenUnicode};
use std::path::Path;

/// Longest fixed-length text that is read, in bytes.
const LONGEST_FIXED_TEXT: usize = 4096;

/// Most values of an attribute of numbers: some per particle type, or per axis.
const MOST_NUMBERS: usize = 4096;

/// The attributes of one group of a file.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'a> {
    path: &'a Path,
    group: &'a hdf5::Location,
}

impl<'a> Attributes<'a> {
    pub(crate) fn new(path: &'a Path, group: &'a hdf5::Location) -> Self {
        Self { path, group }
    }

    /// Whether the attribute is there, or may be: where something before it is damaged, HDF5 cannot tell, and reading it
    /// gives the error.
    pub(crate) fn has(&self, name: &str) -> bool {
        !matches!(native::has_attribute(self.group, name), Ok(false))
    }

    /// A number; an array of one number counts.
    pub(crate) fn number(&self, name: &str) -> Result<f64, SnapshotError> {
        let values = self.numbers(name)?;
        match values[..] {
            [value] => Ok(value),
            _ => Err(self.wrong(name, "one number", format!("{} numbers", values.len()))),
        }
    }

    /// A number, or nothing where there is no such attribute.
    pub(crate) fn optional_number(&self, name: &str) -> Result<Option<f64>, SnapshotError> {
        if self.has(name) { self.number(name).map(Some) } else { Ok(None) }
    }

    /// All numbers of an attribute, in f64.
    pub(crate) fn numbers(&self, name: &str) -> Result<Vec<f64>, SnapshotError> {
        let attribute = self.few(name, "a number")?;
        attribute.read_raw::<f64>().map_err(|error| self.unreadable(name, "a number", &error))
    }

    /// All numbers of an attribute of any integer type; a negative one is an error.
    pub(crate) fn counts(&self, name: &str) -> Result<Vec<u64>, SnapshotError> {
        const EXPECTED: &str = "counts (integers, none negative)";
        let attribute = self.few(name, EXPECTED)?;
        let counts = if self.kind(&attribute, name, EXPECTED)? == (Kind::Integer { signed: true }) {
            let values = attribute.read_raw::<i64>().map_err(|e| self.unreadable(name, EXPECTED, &e))?;
            let counts: Option<Vec<u64>> = values.iter().map(|&v| u64::try_from(v).ok()).collect();
            counts.ok_or_else(|| self.wrong(name, EXPECTED, shown(&format!("{values:?}"))))?
        } else {
            attribute.read_raw::<u64>().map_err(|e| self.unreadable(name, EXPECTED, &e))?
        };
        Ok(counts)
    }

    /// The same of 32-bit words of larger counts, which a signed type shows as negative.
    #[expect(clippy::cast_possible_truncation, reason = "words below 2^32 are whole numbers in f64")]
    pub(crate) fn low_words(&self, name: &str) -> Result<Vec<u64>, SnapshotError> {
        let values = self.numbers(name)?;
        let wrapped = |value: &f64| (f64::from(i32::MIN)..0.0).contains(value);
        if !values.iter().any(wrapped) {
            return self.counts(name);
        }
        let word = |value: &f64| if wrapped(value) { value + 2f64.powi(32) } else { *value };
        let words: Option<Vec<u64>> = values
            .iter()
            .map(word)
            .map(|v| ((0.0..2f64.powi(32)).contains(&v)).then_some(v as u64))
            .collect();
        words.ok_or_else(|| self.wrong(name, "counts", shown(&format!("{values:?}"))))
    }

    /// A number, or a text that is one.
    pub(crate) fn number_or_text(&self, name: &str) -> Result<f64, SnapshotError> {
        let Ok(text) = self.text(name) else { return self.number(name) };
        text.trim().parse().map_err(|_| self.wrong(name, "a number", shown(&text)))
    }

    /// A text of fixed or variable length.
    pub(crate) fn text(&self, name: &str) -> Result<String, SnapshotError> {
        String::from_utf8(self.bytes(name)?).map_err(|error| {
            let found = format!("{:?}", shown(&String::from_utf8_lossy(error.as_bytes())));
            self.wrong(name, "a text in UTF-8", found)
        })
    }

    /// A text in which bytes that are no UTF-8 become question marks in black diamonds.
    pub(crate) fn text_or_what_resembles_it(&self, name: &str) -> Result<String, SnapshotError> {
        self.bytes(name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The bytes of a text of fixed or variable length, whatever they are. HDF5 and its bindings believe what the file
    /// says of their encoding.
    fn bytes(&self, name: &str) -> Result<Vec<u8>, SnapshotError> {
        const EXPECTED: &str = "a text";
        let attribute = self.attribute(name, EXPECTED)?;
        let bytes = match self.kind(&attribute, name, EXPECTED)? {
            Kind::VariableText { unicode: true } => {
                attribute.read_scalar::<VarLenUnicode>().map(|text| text.as_bytes().to_vec())
            }
            Kind::VariableText { unicode: false } => {
                attribute.read_scalar::<VarLenAscii>().map(|text| text.as_bytes().to_vec())
            }
            Kind::FixedText { bytes, unicode: true } if bytes <= LONGEST_FIXED_TEXT => attribute
                .read_scalar::<FixedUnicode<LONGEST_FIXED_TEXT>>()
                .map(|text| text.as_bytes().to_vec()),
            Kind::FixedText { bytes, unicode: false } if bytes <= LONGEST_FIXED_TEXT => {
                attribute.read_scalar::<FixedAscii<LONGEST_FIXED_TEXT>>().map(|text| text.as_bytes().to_vec())
            }
            other => return Err(self.wrong(name, EXPECTED, format!("{other:?}"))),
        };
        bytes.map_err(|error| self.unreadable(name, EXPECTED, &error))
    }

    /// A truth value: HDF5's boolean, which is an enumeration of 0 and 1, or a number.
    pub(crate) fn truth(&self, name: &str) -> Result<bool, SnapshotError> {
        const EXPECTED: &str = "true or false";
        let attribute = self.few(name, EXPECTED)?;
        let is_truth_value = self.kind(&attribute, name, EXPECTED)? == Kind::Enumeration;
        let value = if is_truth_value {
            let values = attribute.read_raw::<i64>().map_err(|e| self.unreadable(name, EXPECTED, &e))?;
            values.first().filter(|_| values.len() == 1).map_or(f64::NAN, |&value| value as f64)
        } else {
            self.number(name)?
        };
        match value {
            0.0 => Ok(false),
            1.0 => Ok(true),
            other if other.is_finite() && !is_truth_value => Ok(true),
            other => Err(self.wrong(name, EXPECTED, other.to_string())),
        }
    }

    fn kind(
        &self,
        attribute: &hdf5::Attribute,
        name: &str,
        expected: &'static str,
    ) -> Result<Kind, SnapshotError> {
        attribute.dtype().map(|kind| native::kind(&kind)).map_err(|e| self.unreadable(name, expected, &e))
    }

    /// An attribute of a number of values that headers have.
    fn few(&self, name: &str, expected: &'static str) -> Result<hdf5::Attribute, SnapshotError> {
        let attribute = self.attribute(name, expected)?;
        match attribute.size() {
            size if size <= MOST_NUMBERS => Ok(attribute),
            size => Err(self.wrong(name, expected, format!("{size} values"))),
        }
    }

    fn attribute(&self, name: &str, expected: &'static str) -> Result<hdf5::Attribute, SnapshotError> {
        let attribute = self.group.attr(name).map_err(|error| match self.has(name) {
            true => self.unreadable(name, expected, &error),
            false => self.wrong(name, expected, "no such attribute".into()),
        })?;
        // What HDF5 reads of an attribute without values is whatever was in memory.
        match attribute.space() {
            Ok(space) if space.size() > 0 => Ok(attribute),
            _ => Err(self.wrong(name, expected, "no value".into())),
        }
    }

    fn unreadable(&self, name: &str, expected: &'static str, error: &hdf5::Error) -> SnapshotError {
        self.wrong(name, expected, one_line(error))
    }

    /// The error of an attribute that is not as it should be.
    pub(crate) fn wrong(&self, name: &str, expected: &'static str, found: String) -> SnapshotError {
        let group = shown(&String::from_utf8_lossy(self.group.name().as_bytes()));
        let (path, name) = (self.path.into(), name.to_owned());
        SnapshotError::Attribute { path, group, name, expected, found }
    }
}

/// Writes a scalar attribute.
pub(crate) fn write_scalar<T: hdf5::H5Type>(group: &hdf5::Group, name: &str, value: T) -> hdf5::Result<()> {
    group.new_attr::<T>().create(name)?.write_scalar(&value)
}

/// Writes an array attribute.
pub(crate) fn write_array<T: hdf5::H5Type>(
    group: &hdf5::Group,
    name: &str,
    values: &[T],
) -> hdf5::Result<()> {
    group.new_attr::<T>().shape([values.len()]).create(name)?.write_raw(values)
}

/// Writes a UTF-8 text of variable length.
pub(crate) fn write_text(group: &hdf5::Group, name: &str, text: &str) -> hdf5::Result<()> {
    let text: VarLenUnicode = text.parse().map_err(|error| hdf5::Error::from(format!("{name}: {error}")))?;
    write_scalar(group, name, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_damage_hides_is_not_missing() {
        let damaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/damaged");
        let path = damaged.join("attribute_hidden.hdf5");
        let group = hdf5::File::open(&path).unwrap().group("Config").unwrap();
        let attributes = Attributes::new(&path, &group);
        assert!(attributes.has("LONG_Z"));
        let error = attributes.optional_number("LONG_Z").unwrap_err().to_string();
        assert!(!error.contains("no such attribute"), "{error}");
        let path = damaged.join("group_hidden.hdf5");
        let file = hdf5::File::open(&path).unwrap();
        assert!(crate::objects::group(&path, &file, "Config").is_err());
        assert!(crate::objects::group(&path, &file, "Units").unwrap().is_none());
        // What has the name and is something else is not damaged.
        assert!(crate::objects::group(&path, &file, "PartType1/Coordinates").unwrap().is_none());
        for name in ["blosc_two_values.hdf5", "blosc_odd_compressor.hdf5"] {
            let path = damaged.join(name);
            let file = hdf5::File::open(&path).unwrap();
            let error =
                crate::objects::dataset(&path, &file, "PartType1/Coordinates").unwrap_err().to_string();
            assert!(error.contains("blosc"), "{error}");
        }
    }

    #[test]
    fn every_type_that_codes_write_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attributes.hdf5");
        let file = hdf5::File::create(&path).unwrap();
        write_scalar(&file, "f32", 2.5f32).unwrap();
        write_array(&file, "one", &[7i32]).unwrap();
        write_array(&file, "u32", &[1u32, 2_740_098_112]).unwrap();
        write_array(&file, "u64", &[u64::MAX]).unwrap();
        write_array(&file, "negative", &[-1i32]).unwrap();
        write_text(&file, "text", "größer").unwrap();
        write_scalar(&file, "ascii", FixedAscii::<7>::from_ascii("unknown").unwrap()).unwrap();
        write_scalar(&file, "true", true).unwrap();
        write_scalar(&file, "zero", 0i32).unwrap();
        let attributes = Attributes::new(&path, &file);
        assert_eq!(attributes.number("f32").unwrap(), 2.5);
        assert_eq!(attributes.number("one").unwrap(), 7.0);
        assert_eq!(attributes.counts("one").unwrap(), [7]);
        assert_eq!(attributes.counts("u32").unwrap(), [1, 2_740_098_112]);
        assert_eq!(attributes.counts("u64").unwrap(), [u64::MAX]);
        assert_eq!(attributes.text("text").unwrap(), "größer");
        assert_eq!(attributes.text("ascii").unwrap(), "unknown");
        assert!(attributes.truth("true").unwrap());
        assert!(!attributes.truth("zero").unwrap());
        assert_eq!(attributes.optional_number("none").unwrap(), None);
        for error in [
            attributes.counts("negative").unwrap_err(),
            attributes.number("u32").unwrap_err(),
            attributes.number("text").unwrap_err(),
            attributes.text("one").unwrap_err(),
            attributes.truth("none").unwrap_err(),
            attributes.truth("text").unwrap_err(),
            attributes.counts("text").unwrap_err(),
        ] {
            assert!(matches!(error, SnapshotError::Attribute { .. }), "{error}");
        }
    }

    /// A file with `wrong` bytes in place of the `right` ones that it was written with.
    fn patched(path: &Path, write: impl FnOnce(&hdf5::File), right: &[u8], wrong: &[u8]) -> hdf5::File {
        let file = hdf5::File::create(path).unwrap();
        write(&file);
        file.close().unwrap();
        let mut bytes = std::fs::read(path).unwrap();
        let places: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(right)).collect();
        assert!(!places.is_empty(), "the file does not hold {right:?}");
        places.iter().for_each(|&at| bytes[at..at + wrong.len()].copy_from_slice(wrong));
        std::fs::write(path, bytes).unwrap();
        hdf5::File::open(path).unwrap()
    }

    #[test]
    fn texts_that_are_no_utf_8_are_errors_that_show_what_can_be_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("texts.hdf5");
        let ascii = VarLenAscii::from_ascii("MARKED").unwrap();
        let fixed: FixedUnicode<6> = "MARKED".parse().unwrap();
        for kind in 0..4 {
            let write = |file: &hdf5::File| match kind {
                0 => write_text(file, "text", "MARKED").unwrap(),
                1 => write_scalar(file, "text", ascii.clone()).unwrap(),
                2 => write_scalar(file, "text", fixed).unwrap(),
                _ => write_scalar(file, "text", FixedAscii::<6>::from_ascii("MARKED").unwrap()).unwrap(),
            };
            let file = patched(&path, write, b"MARKED", b"a\xff\xf0\x9f\x1bb");
            let attributes = Attributes::new(&path, &file);
            let error = attributes.text("text").unwrap_err();
            let found = "expected a text in UTF-8, found \"a\u{fffd}\u{fffd}\\\\u{1b}b\"";
            assert!(error.to_string().ends_with(found), "{kind}: {error}");
            let resembling = attributes.text_or_what_resembles_it("text").unwrap();
            assert_eq!(resembling, "a\u{fffd}\u{fffd}\u{1b}b", "{kind}");
            file.close().unwrap();
            // The last byte begins a character that never comes.
            let file = patched(&path, write, b"MARKED", b"truth\xf0");
            assert!(Attributes::new(&path, &file).text("text").is_err(), "{kind}");
            file.close().unwrap();
        }
    }

    #[test]
    fn a_truth_value_that_is_neither_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.hdf5");
        let bytes_of = |value: bool| {
            let file = hdf5::File::create(&path).unwrap();
            write_scalar(&file, "periodic", value).unwrap();
            file.close().unwrap();
            std::fs::read(&path).unwrap()
        };
        let (mut bytes, other) = (bytes_of(true), bytes_of(false));
        let places: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != other[at]).collect();
        let &[place] = &places[..] else { panic!("the value is one byte, not those at {places:?}") };
        for (byte, expected) in [(0, Some(false)), (1, Some(true)), (2, None), (6, None), (255, None)] {
            bytes[place] = byte;
            std::fs::write(&path, &bytes).unwrap();
            let file = hdf5::File::open(&path).unwrap();
            let truth = Attributes::new(&path, &file).truth("periodic");
            file.close().unwrap();
            assert_eq!(truth.as_ref().ok().copied(), expected, "{byte}: {truth:?}");
            assert!(expected.is_some() || matches!(truth, Err(SnapshotError::Attribute { .. })));
        }
    }

    #[test]
    fn attributes_without_a_value_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.hdf5");
        let file = hdf5::File::create(&path).unwrap();
        file.new_attr::<VarLenUnicode>().shape(hdf5::Extents::Null).create("text").unwrap();
        file.new_attr::<f64>().shape(hdf5::Extents::Null).create("number").unwrap();
        let attributes = Attributes::new(&path, &file);
        for error in [
            attributes.text("text").unwrap_err(),
            attributes.text_or_what_resembles_it("text").unwrap_err(),
            attributes.number("number").unwrap_err(),
            attributes.counts("number").unwrap_err(),
            attributes.truth("number").unwrap_err(),
        ] {
            assert!(error.to_string().ends_with("found no value"), "{error}");
        }
    }

    #[test]
    fn attributes_of_absurd_sizes_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sizes.hdf5");
        let file = hdf5::File::create(&path).unwrap();
        write_array(&file, "many", &vec![1u8; MOST_NUMBERS + 1]).unwrap();
        let attributes = Attributes::new(&path, &file);
        assert!(attributes.counts("many").unwrap_err().to_string().ends_with("found 4097 values"));
        assert!(attributes.numbers("many").is_err());
    }
}
