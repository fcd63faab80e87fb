//! Attributes of an HDF5 group, of whatever type their writer chose.

use crate::SnapshotError;
use hdf5::types::{FixedAscii, FixedUnicode, TypeDescriptor, VarLenAscii, VarLenUnicode};
use std::path::Path;

/// Longest fixed-length text that is read, in bytes.
const LONGEST_FIXED_TEXT: usize = 4096;

/// The attributes of one group of a file.
pub(crate) struct Attributes<'a> {
    path: &'a Path,
    group: &'a hdf5::Group,
}

impl<'a> Attributes<'a> {
    pub(crate) fn of(path: &'a Path, group: &'a hdf5::Group) -> Self {
        Self { path, group }
    }

    /// Whether the attribute is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.group.attr(name).is_ok()
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
        let attribute = self.attribute(name, "a number")?;
        attribute.read_raw::<f64>().map_err(|error| self.wrong(name, "a number", error.to_string()))
    }

    /// All numbers of an attribute of any integer type; a negative one is an error.
    pub(crate) fn counts(&self, name: &str) -> Result<Vec<u64>, SnapshotError> {
        const EXPECTED: &str = "counts (integers, none negative)";
        let attribute = self.attribute(name, EXPECTED)?;
        let signed = attribute.dtype().is_ok_and(|kind| kind.is::<i64>() || kind.is::<i32>());
        let counts = if signed {
            let values =
                attribute.read_raw::<i64>().map_err(|e| self.wrong(name, EXPECTED, e.to_string()))?;
            let counts: Option<Vec<u64>> = values.iter().map(|&v| u64::try_from(v).ok()).collect();
            counts.ok_or_else(|| self.wrong(name, EXPECTED, format!("{values:?}")))?
        } else {
            attribute.read_raw::<u64>().map_err(|e| self.wrong(name, EXPECTED, e.to_string()))?
        };
        Ok(counts)
    }

    /// A text of fixed or variable length.
    pub(crate) fn text(&self, name: &str) -> Result<String, SnapshotError> {
        let attribute = self.attribute(name, "a text")?;
        let wrong = |error: hdf5::Error| self.wrong(name, "a text", error.to_string());
        let kind = attribute.dtype().and_then(|kind| kind.to_descriptor()).map_err(wrong)?;
        let text = match kind {
            TypeDescriptor::VarLenUnicode => {
                attribute.read_scalar::<VarLenUnicode>().map_err(wrong)?.as_str().to_owned()
            }
            TypeDescriptor::VarLenAscii => {
                attribute.read_scalar::<VarLenAscii>().map_err(wrong)?.as_str().to_owned()
            }
            TypeDescriptor::FixedUnicode(length) if length <= LONGEST_FIXED_TEXT => attribute
                .read_scalar::<FixedUnicode<LONGEST_FIXED_TEXT>>()
                .map_err(wrong)?
                .as_str()
                .to_owned(),
            TypeDescriptor::FixedAscii(length) if length <= LONGEST_FIXED_TEXT => {
                attribute.read_scalar::<FixedAscii<LONGEST_FIXED_TEXT>>().map_err(wrong)?.as_str().to_owned()
            }
            other => return Err(self.wrong(name, "a text", other.to_string())),
        };
        Ok(text)
    }

    /// A truth value: HDF5's boolean or a number.
    pub(crate) fn truth(&self, name: &str) -> Result<bool, SnapshotError> {
        let attribute = self.attribute(name, "true or false")?;
        match attribute.read_scalar::<bool>() {
            Ok(value) => Ok(value),
            Err(_) => self.number(name).map(|value| value != 0.0),
        }
    }

    fn attribute(&self, name: &str, expected: &'static str) -> Result<hdf5::Attribute, SnapshotError> {
        self.group.attr(name).map_err(|_| self.wrong(name, expected, "no such attribute".into()))
    }

    /// The error of an attribute that is not as it should be.
    pub(crate) fn wrong(&self, name: &str, expected: &'static str, found: String) -> SnapshotError {
        let (path, group, name) = (self.path.into(), self.group.name(), name.to_owned());
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
        let attributes = Attributes::of(&path, &file);
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
        ] {
            assert!(matches!(error, SnapshotError::Attribute { .. }), "{error}");
        }
    }
}
