//! The values of a volume, in memory or in a raw file.

use crate::OutpaintError;
use bytemuck::Pod;
use finescale_durable::{Draft, WorkFile};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A number with one form on every disk: little endian.
pub(crate) trait Number: Pod + Default + Send + Sync {
    const BYTES: usize = size_of::<Self>();

    fn push_to(self, bytes: &mut Vec<u8>);

    /// From its first bytes.
    fn of(bytes: &[u8]) -> Self;
}

macro_rules! number {
    ($number:ty) => {
        impl Number for $number {
            fn push_to(self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }

            fn of(bytes: &[u8]) -> Self {
                Self::from_le_bytes(*bytes.first_chunk().expect("as many bytes as the number has"))
            }
        }
    };
}

number!(f32);
number!(i64);

/// The bytes of some numbers.
pub(crate) fn bytes_of<T: Number>(values: &[T]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * T::BYTES);
    values.iter().for_each(|value| value.push_to(&mut bytes));
    bytes
}

/// One number per voxel.
#[derive(Debug)]
pub(crate) enum Values<T = f32> {
    Memory(Vec<T>),
    Disk { path: PathBuf, file: WorkFile },
}

impl<T: Number> Values<T> {
    /// A file of `voxels` zeros, written out so that a disk without room for them says so now.
    pub(crate) fn create(path: &Path, voxels: usize) -> Result<Self, OutpaintError> {
        let file = WorkFile::create(path, (voxels * T::BYTES) as u64);
        let file = file.map_err(OutpaintError::io(path, "reserving room"))?;
        Ok(Self::Disk { path: path.into(), file })
    }

    /// A file of `voxels` zeros without a name beside the file `path`, for this run only.
    pub(crate) fn unnamed(path: &Path, voxels: usize) -> Result<Self, OutpaintError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let file = WorkFile::unnamed(folder, (voxels * T::BYTES) as u64);
        let file = file.map_err(OutpaintError::io(path, "reserving room beside it"))?;
        Ok(Self::Disk { path: path.into(), file })
    }

    /// The same with a name, which other ranks open it by, until the draft is dropped.
    pub(crate) fn draft(path: &Path, voxels: usize) -> Result<(Self, Draft), OutpaintError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".condition");
        let made = WorkFile::draft(Path::new(&name), (voxels * T::BYTES) as u64);
        let (file, draft) = made.map_err(OutpaintError::io(path, "reserving room beside it"))?;
        Ok((Self::Disk { path: path.into(), file }, draft))
    }

    /// The values in a file of `voxels`. One that is gone or has another size is made anew: its values are damaged, which
    /// their checksums tell.
    pub(crate) fn open(path: &Path, voxels: usize) -> Result<Self, OutpaintError> {
        match WorkFile::open(path, (voxels * T::BYTES) as u64) {
            Ok(file) => Ok(Self::Disk { path: path.into(), file }),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => {
                tracing::warn!("{}: {error}; its values are generated again", path.display());
                Self::create(path, voxels)
            }
            Err(error) => Err(OutpaintError::io(path, "opening")(error)),
        }
    }

    /// The values in a file of `voxels` that must be there.
    pub(crate) fn open_existing(path: &Path, voxels: usize) -> Result<Self, OutpaintError> {
        let file = WorkFile::open(path, (voxels * T::BYTES) as u64);
        let file = file.map_err(OutpaintError::io(path, "opening what rank 0 has made"))?;
        Ok(Self::Disk { path: path.into(), file })
    }

    /// Fills `out` with the values from voxel `index` on.
    pub(crate) fn read(&self, index: usize, out: &mut [T]) -> Result<(), OutpaintError> {
        match self {
            Self::Memory(values) => out.copy_from_slice(&values[index..index + out.len()]),
            Self::Disk { path, file } => {
                let mut bytes = vec![0; out.len() * T::BYTES];
                let offset = (index * T::BYTES) as u64;
                file.read(offset, &mut bytes).map_err(OutpaintError::io(path, "reading"))?;
                for (value, bytes) in out.iter_mut().zip(bytes.chunks_exact(T::BYTES)) {
                    *value = T::of(bytes);
                }
            }
        }
        Ok(())
    }

    /// Overwrites the values from voxel `index` on.
    pub(crate) fn write(&mut self, index: usize, new: &[T]) -> Result<(), OutpaintError> {
        match self {
            Self::Memory(values) => values[index..index + new.len()].copy_from_slice(new),
            Self::Disk { path, file } => {
                let offset = (index * T::BYTES) as u64;
                file.write(offset, &bytes_of(new)).map_err(OutpaintError::io(path, "writing"))?;
            }
        }
        Ok(())
    }

    /// Waits until all that was written survives a power cut.
    pub(crate) fn sync(&self) -> Result<(), OutpaintError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Disk { path, file } => file.sync().map_err(OutpaintError::io(path, "writing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_and_memory_hold_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = Values::<f32>::create(&folder.path().join("values"), 300_000).unwrap();
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
    fn a_file_that_is_too_short_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("values");
        Values::<f32>::create(&path, 3).unwrap().write(0, &[1.5, 2.5, 3.5]).unwrap();
        let mut read = [0f32; 3];
        Values::open(&path, 3).unwrap().read(0, &mut read).unwrap();
        assert_eq!(read, [1.5, 2.5, 3.5]);
        std::fs::write(&path, "short").unwrap();
        Values::open(&path, 3).unwrap().read(0, &mut read).unwrap();
        assert_eq!(read, [0.0; 3]);
    }

    #[test]
    fn a_full_disk_is_found_at_the_start() {
        let error = Values::<f32>::create(Path::new("/dev/full"), 10).unwrap_err();
        assert!(matches!(&error, OutpaintError::Io { doing: "reserving room", .. }), "{error}");
        assert!(error.to_string().contains("/dev/full"));
    }
}
