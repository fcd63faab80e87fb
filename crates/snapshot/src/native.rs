//! What HDF5 knows of links, virtual datasets and types of attributes, and its safe interface does not tell.
//!
//! Every function holds HDF5's lock while it calls the library, hands it handles that are open as long as the borrow
//! they come from, and copies what it gets into values of its own.

#![allow(unsafe_code, reason = "calls of the C library; each has its reason beside it")]

use hdf5::sync::sync;
use hdf5_metno_sys::h5i::hid_t;
use hdf5_metno_sys::{h5a, h5l, h5p, h5s, h5t};
use std::ffi::{CStr, CString, c_char, c_int};
use std::mem::MaybeUninit;

/// Longest target of a soft link that is read.
const LONGEST_TARGET: usize = 4096;
/// Most values of a filter that are looked at.
const MOST_FILTER_VALUES: usize = 64;
/// Most axes that HDF5 has.
const MOST_AXES: usize = 32;

/// How a name leads to an object.
#[derive(Debug, PartialEq)]
pub(crate) enum Link {
    /// There is no such name.
    Missing,
    /// To an object of the same file.
    Hard,
    /// To another name, from this group or, if it begins with a slash, from the file's root.
    Soft(String),
    /// To another file, or in a way that a program defines.
    Elsewhere,
}

/// The link `name`, one part of a path, of `group`.
pub(crate) fn link(group: &hdf5::Group, name: &str) -> hdf5::Result<Link> {
    let name = c_string(name)?;
    sync(|| {
        // SAFETY: the group is open, and the name ends with a zero byte.
        let found = unsafe { h5l::H5Lexists(group.id(), name.as_ptr(), h5p::H5P_DEFAULT) };
        // A group that is damaged may hold the name, or not.
        check(found, "the names in a group")?;
        if found == 0 {
            return Ok(Link::Missing);
        }
        match link_type(group.id(), &name)? {
            0 => Ok(Link::Hard),
            1 => soft_target(group.id(), &name).map(Link::Soft),
            _ => Ok(Link::Elsewhere),
        }
    })
}

/// The number of the link's type. A file may hold any, also one that the enumeration of the bindings does not have:
/// it is never made a value of that.
fn link_type(group: hid_t, name: &CStr) -> hdf5::Result<c_int> {
    #[cfg(not(hdf5_1_12))]
    use h5l::H5Lget_info1 as get_info;
    #[cfg(hdf5_1_12)]
    use h5l::H5Lget_info2 as get_info;
    let mut info = MaybeUninit::<h5l::H5L_info_t>::zeroed();
    // SAFETY: the group is open, the name ends with a zero byte, and the structure is the one that this version of the
    // library fills.
    check(unsafe { get_info(group, name.as_ptr(), info.as_mut_ptr(), h5p::H5P_DEFAULT) }, "a link")?;
    // SAFETY: the type is the structure's first field, a C enumeration: an initialised int, whatever its value.
    Ok(unsafe { info.as_ptr().cast::<c_int>().read() })
}

fn soft_target(group: hid_t, name: &CStr) -> hdf5::Result<String> {
    let mut target = vec![0u8; LONGEST_TARGET + 1];
    // SAFETY: the buffer has one byte more than the library is told of: it ends with a zero byte, whatever is written.
    let read = unsafe {
        h5l::H5Lget_val(group, name.as_ptr(), target.as_mut_ptr().cast(), LONGEST_TARGET, h5p::H5P_DEFAULT)
    };
    check(read, "a soft link")?;
    let target = CStr::from_bytes_until_nul(&target).map_err(|_| failed("a soft link"))?;
    target.to_str().map(str::to_owned).map_err(|_| failed("a soft link whose target is not UTF-8"))
}

/// Whether a group or dataset has the attribute `name`; an error where damage keeps HDF5 from telling.
pub(crate) fn has_attribute(location: &hdf5::Location, name: &str) -> hdf5::Result<bool> {
    let name = c_string(name)?;
    // SAFETY: the location is open, and the name ends with a zero byte.
    let found = sync(|| unsafe { h5a::H5Aexists(location.id(), name.as_ptr()) });
    check(found, "the attributes of an object").map(|()| found > 0)
}

/// The filters of a dataset with this creation list: their numbers, and the values that they get.
pub(crate) fn filters(list: &hdf5::plist::DatasetCreate) -> hdf5::Result<Vec<(i32, Vec<u32>)>> {
    let list = list.id();
    sync(|| {
        // SAFETY: the list is open, and of this class.
        let count = unsafe { h5p::H5Pget_nfilters(list) };
        check(count, "filters")?;
        let filter = |index: c_int| {
            let index = index.unsigned_abs();
            let mut flags = 0;
            let mut values = vec![0; MOST_FILTER_VALUES];
            let mut found = values.len();
            // SAFETY: the list is open, the index below its count; there is room for as many values as the library is told
            // of, the name is not asked for, and neither is what the filter can do.
            let id = unsafe {
                h5p::H5Pget_filter2(
                    list,
                    index,
                    &raw mut flags,
                    &raw mut found,
                    values.as_mut_ptr(),
                    0,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                )
            };
            check(id, "a filter")?;
            values.truncate(found);
            Ok((id, values))
        };
        (0..count).map(filter).collect()
    })
}

/// Number of files outside of HDF5 that hold the values of a dataset with this creation list.
pub(crate) fn external_files(list: &hdf5::plist::DatasetCreate) -> hdf5::Result<usize> {
    // SAFETY: the list is open, and of this class.
    let count = sync(|| unsafe { h5p::H5Pget_external_count(list.id()) });
    usize::try_from(count).map_err(|_| failed("external files"))
}

/// A part of a virtual dataset.
#[derive(Debug)]
pub(crate) struct Source {
    /// File that holds it, as the virtual one names it; `.` is the virtual file itself.
    pub(crate) file: String,
    /// Path of the dataset in it.
    pub(crate) dataset: String,
    /// Values that come from it, if that is a fixed number.
    pub(crate) values: Option<u64>,
    /// Shape that it should have at least; empty if all of it is taken, whatever its shape.
    pub(crate) shape: Vec<u64>,
}

/// The parts of a virtual dataset with this creation list.
pub(crate) fn sources(list: &hdf5::plist::DatasetCreate) -> hdf5::Result<Vec<Source>> {
    let list = list.id();
    sync(|| {
        let mut count = 0;
        // SAFETY: the list is open and of this class; the number is ours.
        check(unsafe { h5p::H5Pget_virtual_count(list, &raw mut count) }, "virtual sources")?;
        let source = |index: usize| {
            // SAFETY, four times: the list is open, and the index below the count that it gave.
            let file = text(|to, size| unsafe { h5p::H5Pget_virtual_filename(list, index, to, size) })?;
            let dataset = text(|to, size| unsafe { h5p::H5Pget_virtual_dsetname(list, index, to, size) })?;
            let selected = Space::new(unsafe { h5p::H5Pget_virtual_vspace(list, index) })?;
            let extent = Space::new(unsafe { h5p::H5Pget_virtual_srcspace(list, index) })?;
            Ok(Source { file, dataset, values: selected.selected(), shape: extent.shape()? })
        };
        (0..count).map(source).collect()
    })
}

/// A dataspace that is closed when it is dropped, under the lock that its maker holds.
struct Space(hid_t);

impl Space {
    fn new(id: hid_t) -> hdf5::Result<Self> {
        if id < 0 { Err(failed("a dataspace")) } else { Ok(Self(id)) }
    }

    /// Values selected, if that is a fixed number.
    fn selected(&self) -> Option<u64> {
        // SAFETY: the dataspace is open.
        u64::try_from(unsafe { h5s::H5Sget_select_npoints(self.0) }).ok()
    }

    fn shape(&self) -> hdf5::Result<Vec<u64>> {
        // SAFETY: the dataspace is open.
        let axes = unsafe { h5s::H5Sget_simple_extent_ndims(self.0) };
        let axes = usize::try_from(axes).map_err(|_| failed("a dataspace"))?;
        let mut shape = vec![0; axes.max(MOST_AXES)];
        // SAFETY: there is room for as many axes as the dataspace has; the largest sizes are not asked for.
        let read =
            unsafe { h5s::H5Sget_simple_extent_dims(self.0, shape.as_mut_ptr(), std::ptr::null_mut()) };
        check(read, "a dataspace")?;
        shape.truncate(axes);
        Ok(shape)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // SAFETY: the dataspace is open, nobody else has it, and the lock is held. That it cannot be closed is no
        // harm.
        let _ = unsafe { h5s::H5Sclose(self.0) };
    }
}

/// What an attribute holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Integers, with a sign or without.
    Integer { signed: bool },
    /// Numbers with a point.
    Float,
    /// One of some integers that have names; a truth value is that.
    Enumeration,
    /// A text of fixed length.
    FixedText { bytes: usize, unicode: bool },
    /// A text of any length.
    VariableText { unicode: bool },
    /// Something else.
    Other,
}

/// The kind of a type. Names within the type, which may be any bytes, are not read.
pub(crate) fn kind(datatype: &hdf5::Datatype) -> Kind {
    let (id, bytes) = (datatype.id(), datatype.size());
    // SAFETY, four times: the type is open. The enumerations have a name for every value that the format has bits for.
    sync(|| match unsafe { h5t::H5Tget_class(id) } {
        h5t::H5T_class_t::H5T_INTEGER => {
            Kind::Integer { signed: unsafe { h5t::H5Tget_sign(id) } == h5t::H5T_sign_t::H5T_SGN_2 }
        }
        h5t::H5T_class_t::H5T_FLOAT => Kind::Float,
        h5t::H5T_class_t::H5T_ENUM => Kind::Enumeration,
        h5t::H5T_class_t::H5T_STRING => {
            let unicode = unsafe { h5t::H5Tget_cset(id) } == h5t::H5T_cset_t::H5T_CSET_UTF8;
            match unsafe { h5t::H5Tis_variable_str(id) } {
                0 => Kind::FixedText { bytes, unicode },
                _ => Kind::VariableText { unicode },
            }
        }
        _ => Kind::Other,
    })
}

/// A text of the library: asked for its length, then for its bytes.
fn text(get: impl Fn(*mut c_char, usize) -> isize) -> hdf5::Result<String> {
    let length = usize::try_from(get(std::ptr::null_mut(), 0)).map_err(|_| failed("a name"))?;
    let mut bytes = vec![0u8; length + 1];
    if get(bytes.as_mut_ptr().cast(), bytes.len()) < 0 {
        return Err(failed("a name"));
    }
    let text = CStr::from_bytes_until_nul(&bytes).map_err(|_| failed("a name"))?;
    text.to_str().map(str::to_owned).map_err(|_| failed("a name that is not UTF-8"))
}

fn c_string(name: &str) -> hdf5::Result<CString> {
    CString::new(name).map_err(|_| failed("a name with a zero byte"))
}

fn check(status: c_int, what: &str) -> hdf5::Result<()> {
    if status < 0 { Err(failed(what)) } else { Ok(()) }
}

fn failed(what: &str) -> hdf5::Error {
    hdf5::Error::from(format!("HDF5 cannot read {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    #[test]
    fn every_kind_of_link_is_told_from_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = hdf5::File::create(folder.path().join("links.hdf5")).unwrap();
        file.create_group("group").unwrap();
        file.link_soft("/group", "soft").unwrap();
        file.link_external("other.hdf5", "/field", "external").unwrap();
        assert_eq!(link(&file, "group").unwrap(), Link::Hard);
        assert_eq!(link(&file, "soft").unwrap(), Link::Soft("/group".to_owned()));
        assert_eq!(link(&file, "external").unwrap(), Link::Elsewhere);
        assert_eq!(link(&file, "nothing").unwrap(), Link::Missing);
        assert!(link(&file, "zero\0byte").is_err());
    }

    #[test]
    fn every_kind_of_attribute_is_told_from_the_others() {
        use hdf5::types::{FixedAscii, FixedUnicode, VarLenAscii, VarLenUnicode};
        let folder = tempfile::tempdir().unwrap();
        let file = hdf5::File::create(folder.path().join("kinds.hdf5")).unwrap();
        let kind_of = |name: &str| kind(&file.attr(name).unwrap().dtype().unwrap());
        fn write<T: hdf5::H5Type>(file: &hdf5::File, name: &str, value: T) {
            file.new_attr::<T>().create(name).unwrap().write_scalar(&value).unwrap();
        }
        write(&file, "i16", -3i16);
        write(&file, "u64", 3u64);
        write(&file, "f32", 0.5f32);
        write(&file, "bool", true);
        write(&file, "ascii", FixedAscii::<7>::from_ascii("seven").unwrap());
        write(&file, "unicode", FixedUnicode::<9>::from_str("nüne").unwrap());
        write(&file, "any", VarLenUnicode::from_str("ü").unwrap());
        write(&file, "any ascii", VarLenAscii::from_ascii("u").unwrap());
        assert_eq!(kind_of("i16"), Kind::Integer { signed: true });
        assert_eq!(kind_of("u64"), Kind::Integer { signed: false });
        assert_eq!(kind_of("f32"), Kind::Float);
        assert_eq!(kind_of("bool"), Kind::Enumeration);
        assert_eq!(kind_of("ascii"), Kind::FixedText { bytes: 7, unicode: false });
        assert_eq!(kind_of("unicode"), Kind::FixedText { bytes: 9, unicode: true });
        assert_eq!(kind_of("any"), Kind::VariableText { unicode: true });
        assert_eq!(kind_of("any ascii"), Kind::VariableText { unicode: false });
    }
}
