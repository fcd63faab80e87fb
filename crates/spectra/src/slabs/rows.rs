//! Rows of modes, in memory or in a file.

use crate::SpectraError;
use crate::fft::Complex32;
use finescale_durable::WorkFile;
use std::path::{Path, PathBuf};

/// Numbers that are read and written by their places.
pub(crate) enum Numbers {
    Memory(Vec<Complex32>),
    /// Without a name: it goes with the process.
    File {
        file: WorkFile,
        folder: PathBuf,
    },
}

impl Numbers {
    /// Zeros: in a file in `folder`, or in memory.
    pub(crate) fn zeros(count: usize, folder: Option<&Path>) -> Result<Self, SpectraError> {
        let Some(folder) = folder else { return Ok(Self::Memory(vec![Complex32::ZERO; count])) };
        let file = WorkFile::unnamed(folder, bytes_of(count.max(1)))
            .map_err(SpectraError::storage(folder, "making"))?;
        Ok(Self::File { file, folder: folder.into() })
    }

    pub(crate) fn read(&self, first: usize, out: &mut [Complex32]) -> Result<(), SpectraError> {
        match self {
            Self::Memory(numbers) => out.copy_from_slice(&numbers[first..first + out.len()]),
            Self::File { file, folder } => file
                .read(bytes_of(first), bytemuck::cast_slice_mut(out))
                .map_err(SpectraError::storage(folder, "reading"))?,
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, first: usize, numbers: &[Complex32]) -> Result<(), SpectraError> {
        match self {
            Self::Memory(own) => own[first..first + numbers.len()].copy_from_slice(numbers),
            Self::File { file, folder } => file
                .write(bytes_of(first), bytemuck::cast_slice(numbers))
                .map_err(SpectraError::storage(folder, "writing"))?,
        }
        Ok(())
    }
}

fn bytes_of(numbers: usize) -> u64 {
    numbers as u64 * size_of::<Complex32>() as u64
}
