//! The values of a volume, in memory or in a raw file.

use crate::OutpaintError;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const BYTES: usize = size_of::<f32>();
/// Zeros written at once when a file is made.
const BLOCK: usize = 1 << 20;

/// One f32 per voxel, little endian on disk.
#[derive(Debug)]
pub(crate) enum Values {
    Memory(Vec<f32>),
    Disk { path: PathBuf, file: File },
}

impl Values {
    /// A file of `voxels` zeros, written out so that a disk without room for them says so now.
    pub(crate) fn create(path: &Path, voxels: usize) -> Result<Self, OutpaintError> {
        let mut file = File::create(path).map_err(OutpaintError::io(path, "making the file"))?;
        let mut left = voxels * BYTES;
        let zeros = vec![0; BLOCK];
        while left > 0 {
            let length = left.min(BLOCK);
            file.write_all(&zeros[..length]).map_err(OutpaintError::io(path, "reserving room"))?;
            left -= length;
        }
        file.sync_all().map_err(OutpaintError::io(path, "reserving room"))?;
        Self::open(path)
    }

    /// The values in a file.
    pub(crate) fn open(path: &Path) -> Result<Self, OutpaintError> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(OutpaintError::io(path, "opening"))?;
        Ok(Self::Disk { path: path.into(), file })
    }

    /// Fills `out` with the values from voxel `index` on.
    pub(crate) fn read(&self, index: usize, out: &mut [f32]) -> Result<(), OutpaintError> {
        match self {
            Self::Memory(values) => out.copy_from_slice(&values[index..index + out.len()]),
            Self::Disk { path, file } => {
                let mut bytes = vec![0; out.len() * BYTES];
                let offset = (index * BYTES) as u64;
                file.read_exact_at(&mut bytes, offset).map_err(OutpaintError::io(path, "reading"))?;
                for (value, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *value = f32::from_le_bytes(*bytes);
                }
            }
        }
        Ok(())
    }

    /// Overwrites the values from voxel `index` on.
    pub(crate) fn write(&mut self, index: usize, new: &[f32]) -> Result<(), OutpaintError> {
        match self {
            Self::Memory(values) => values[index..index + new.len()].copy_from_slice(new),
            Self::Disk { path, file } => {
                let bytes: Vec<u8> = new.iter().flat_map(|value| value.to_le_bytes()).collect();
                let offset = (index * BYTES) as u64;
                file.write_all_at(&bytes, offset).map_err(OutpaintError::io(path, "writing"))?;
            }
        }
        Ok(())
    }

    /// Waits until all that was written survives a power cut.
    pub(crate) fn sync(&self) -> Result<(), OutpaintError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Disk { path, file } => file.sync_data().map_err(OutpaintError::io(path, "writing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_and_memory_hold_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = Values::create(&folder.path().join("values"), 300_000).unwrap();
        let mut memory = Values::Memory(vec![0.0; 300_000]);
        let mut read = [[1f32; 5]; 2];
        for (values, read) in [&mut disk, &mut memory].into_iter().zip(&mut read) {
            values.write(299_996, &[1.5, f32::MIN_POSITIVE, -0.0]).unwrap();
            values.sync().unwrap();
            values.read(299_995, read).unwrap();
        }
        assert_eq!(read[0].map(f32::to_bits), read[1].map(f32::to_bits));
        assert_eq!(read[0], [0.0, 1.5, f32::MIN_POSITIVE, -0.0, 0.0]);
    }

    #[test]
    fn a_full_disk_is_found_at_the_start() {
        let error = Values::create(Path::new("/dev/full"), 10).unwrap_err();
        assert!(matches!(&error, OutpaintError::Io { doing: "reserving room", .. }), "{error}");
        assert!(error.to_string().contains("/dev/full"));
    }
}
