//! Files that are whole or not there.

use crate::ReportError;
use std::path::Path;
use std::{fs, io};

/// Writes `bytes` to `path` under a temporary name, then renames it; a failed attempt leaves nothing behind.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let attempt = || -> io::Result<()> {
        let mut file = fs::File::create(&partial)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    attempt().map_err(|source| {
        // The first error is the one to report; there may be nothing to remove.
        let _ = fs::remove_file(&partial);
        ReportError::Write { path: path.to_owned(), source }
    })
}
