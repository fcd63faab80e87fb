//! HDF5 files that are written through drafts.

use crate::error::io_error;
use finescale_durable::Draft;
use hdf5::file::LibraryVersion;
use std::io;
use std::path::Path;

/// Starts an HDF5 file for `target`: one that HDF5 makes itself, and only where there is none.
///
/// In the format of HDF5 1.10, which has a checksum in every header and index; older ones have none. HDF5's own lock is
/// left out: nobody knows the draft's name, and some network file systems refuse it.
pub(crate) fn create(target: &Path) -> io::Result<(Draft, hdf5::File)> {
    Draft::create(target, |path| {
        let mut options = hdf5::File::with_options();
        options.with_fapl(|access| {
            access.file_locking(false).libver_bounds(LibraryVersion::V110, LibraryVersion::V110)
        });
        options.create_excl(path).map_err(|error| io_error(&error))
    })
}
