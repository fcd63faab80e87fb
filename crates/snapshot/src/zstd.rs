//! The filter of Zstandard (32015 of The HDF Group's register), which neither HDF5 nor its bindings bring.
//!
//! # Source
//! The format of a chunk is a single Zstandard frame: github.com/HDFGroup/hdf5_plugins, ZSTD.

#![allow(unsafe_code, reason = "a filter of the C library; each call has its reason beside it")]

use hdf5::sync::sync;
use hdf5_metno_sys::h5::{H5allocate_memory, H5free_memory};
use hdf5_metno_sys::h5z::{H5Z_CLASS_T_VERS, H5Z_FLAG_REVERSE, H5Z_class2_t, H5Z_filter_t, H5Zregister};
use std::cell::Cell;
use std::ffi::{c_uint, c_void};
use std::sync::LazyLock;

/// Its number.
pub(crate) const ZSTD: H5Z_filter_t = 32015;

thread_local! {
    /// Bytes of a chunk of the dataset that this thread reads.
    static EXPECTED: Cell<usize> = const { Cell::new(0) };
}

/// Reads of a dataset with chunks of so many bytes. HDF5 1.10 does not look whether a filter gave it as many, and reads on into
/// whatever lies behind.
pub(crate) fn while_chunks_have<T>(bytes: usize, read: impl FnOnce() -> T) -> T {
    let before = EXPECTED.replace(bytes);
    let read = read();
    EXPECTED.set(before);
    read
}

/// Makes HDF5 know the filter, for this process. Where it refuses, the filter stays unavailable.
pub(crate) fn register() {
    static REGISTERED: LazyLock<()> = LazyLock::new(|| {
        let class = H5Z_class2_t {
            version: H5Z_CLASS_T_VERS as _,
            id: ZSTD,
            encoder_present: 0,
            decoder_present: 1,
            name: c"zstd".as_ptr(),
            can_apply: None,
            set_local: None,
            filter: Some(unpack),
        };
        // SAFETY: HDF5 copies the class.
        sync(|| unsafe { H5Zregister((&raw const class).cast()) });
    });
    LazyLock::force(&REGISTERED);
}

/// Unpacks a chunk, as HDF5 asks its filters to; 0 is an error.
unsafe extern "C" fn unpack(
    flags: c_uint,
    _values: usize,
    _first_value: *const c_uint,
    bytes: usize,
    allocated: *mut usize,
    buffer: *mut *mut c_void,
) -> usize {
    if flags & H5Z_FLAG_REVERSE == 0 {
        return 0;
    }
    // SAFETY: HDF5 hands over a buffer of at least `bytes`.
    let packed = unsafe { std::slice::from_raw_parts((*buffer).cast::<u8>(), bytes) };
    let size = EXPECTED.get();
    if size == 0 {
        return 0;
    }
    // SAFETY: HDF5's own allocator, which gives zeros or nothing.
    let target = unsafe { H5allocate_memory(size, 1) };
    if target.is_null() {
        return 0;
    }
    // SAFETY: it was just given so many zeros.
    let values = unsafe { std::slice::from_raw_parts_mut(target.cast::<u8>(), size) };
    if zstd_safe::decompress(values, packed) != Ok(size) {
        // SAFETY: nobody else knows of it.
        unsafe { H5free_memory(target) };
        return 0;
    }
    // SAFETY: the filter's part is to put its buffer in the place of HDF5's.
    unsafe {
        H5free_memory(*buffer);
        *buffer = target;
        *allocated = size;
    }
    size
}

#[cfg(test)]
mod tests {
    use crate::{Snapshot, SnapshotError, Species, Wanted};
    use std::path::Path;

    /// Written by h5py with hdf5plugin: 64 particles, x = i + 0.5, y = 2, z = 3 in kpc/h, Coordinates by shuffle and zstd.
    #[test]
    fn what_others_packed_is_unpacked() {
        let read = |path: &Path| -> Result<Vec<[f64; 3]>, SnapshotError> {
            let mut positions = Vec::new();
            Snapshot::open(path)?.for_each_batch(
                &Species::DarkMatter.into(),
                &Wanted::default(),
                10,
                0,
                |batch| {
                    positions.extend(batch.positions_mpc_h);
                    Ok::<(), SnapshotError>(())
                },
            )?;
            Ok(positions)
        };
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/zstd.hdf5");
        let positions = read(&file).unwrap();
        assert_eq!(positions.len(), 64);
        for (i, position) in positions.iter().enumerate() {
            let expected = [i as f64 + 0.5, 2.0, 3.0].map(|x| 1e-3 * x);
            assert!((0..3).all(|axis| (position[axis] - expected[axis]).abs() < 1e-9), "{i}: {position:?}");
        }
        // A frame that is cut, one that lies of its length, and none; and one that is right, of a smaller chunk.
        let bytes = std::fs::read(&file).unwrap();
        let frame = bytes.windows(4).position(|four| four == [0x28, 0xb5, 0x2f, 0xfd]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (at, wrong) in [(frame, 0), (frame + 5, 0xff), (frame + 12, 0xff)] {
            let mut bytes = bytes.clone();
            bytes[at] = wrong;
            let path = folder.path().join("cut.hdf5");
            std::fs::write(&path, bytes).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("cut.hdf5") && error.contains("Coordinates"), "{error}");
        }
        let short =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/damaged/zstd_short_chunk.hdf5");
        let error = read(&short).unwrap_err().to_string();
        assert!(error.contains("zstd_short_chunk.hdf5") && error.contains("Coordinates"), "{error}");
    }
}
