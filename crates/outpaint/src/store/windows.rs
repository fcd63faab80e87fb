//! The values of windows that are finished one after another.

use super::WorkFolder;
use crate::journal::{Checksum, Journal};
use crate::volume::{Shape, Volume};
use crate::{Order, OutpaintError};
use finescale_field::Region;
use ndarray::Array3;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub(super) const VALUES: &str = "values.f32";

/// The values of each field so far, and how many windows are finished.
#[derive(Debug)]
pub(crate) struct WindowStore {
    volume: Volume,
    journal: Option<Journal>,
    identity: Value,
    finished: usize,
    /// Of the finished windows, where they are in a file.
    checksums: Vec<Checksum>,
}

impl WindowStore {
    pub(super) fn in_memory(identity: Value, order: &Order, fields: usize) -> Self {
        let shape = Shape { cells: order.tiling().cells(), fields };
        let (volume, checksums) = (Volume::in_memory(shape), Vec::new());
        Self { volume, journal: None, identity, finished: 0, checksums }
    }

    pub(super) fn open(folder: WorkFolder, order: &Order, fields: usize) -> Result<Self, OutpaintError> {
        let shape = Shape { cells: order.tiling().cells(), fields };
        let volume = Volume::in_file(&folder.path.join(VALUES), shape, folder.begun())?;
        let mut store =
            Self { volume, journal: None, identity: Value::Null, finished: 0, checksums: Vec::new() };
        let recorded = folder.checksums.len().min(order.windows());
        while store.finished < recorded
            && store.is_intact(order, store.finished, &folder.checksums[store.finished])?
        {
            store.finished += 1;
        }
        let checksums = folder.checksums[..store.finished].to_vec();
        let (journal, identity) = folder.begin(store.finished)?;
        Ok(Self { journal: Some(journal), identity, checksums, ..store })
    }

    /// What the values are of, and who computed them.
    pub(crate) fn identity(&self) -> &Value {
        &self.identity
    }

    fn is_intact(&self, order: &Order, window: usize, expected: &Checksum) -> Result<bool, OutpaintError> {
        let values = self.volume.read(&order.region(window))?;
        Ok(checksum(&order.filled(window), &values) == *expected)
    }

    /// Checks, after the work of `order` is done, that the values of its windows are still what was written.
    pub(crate) fn check(&self, order: &Order) -> Result<(), OutpaintError> {
        for (window, expected) in self.checksums.iter().enumerate() {
            if !self.is_intact(order, window, expected)? {
                return Err(OutpaintError::Damaged { window });
            }
        }
        Ok(())
    }

    /// Number of finished windows: those at positions 0, 1, ... of the order.
    pub(crate) fn finished(&self) -> usize {
        self.finished
    }

    /// The values of all fields; those of voxels that no finished window filled are arbitrary.
    pub(crate) fn values(&self) -> &Volume {
        &self.volume
    }

    /// Adds the next window: writes the voxels that it fills, then its journal line. The `values` are those of its
    /// fields, one after another.
    pub(crate) fn finish(
        &mut self,
        region: &Region,
        filled: &Array3<f32>,
        values: &[f32],
    ) -> Result<(), OutpaintError> {
        self.volume.write_where(region, values, |voxel| flat(filled)[voxel] == 1.0)?;
        if let Some(journal) = &mut self.journal {
            self.volume.sync()?;
            let checksum = checksum(filled, values);
            journal.append(self.finished, &checksum)?;
            self.checksums.push(checksum);
        }
        self.finished += 1;
        Ok(())
    }
}

fn checksum(filled: &Array3<f32>, values: &[f32]) -> Checksum {
    let new = flat(filled).iter().cycle().zip(values).filter(|(filled, _)| **filled == 1.0);
    let bytes: Vec<u8> = new.flat_map(|(_, value)| value.to_le_bytes()).collect();
    Sha256::digest(&bytes).into()
}

pub(super) fn flat(window: &Array3<f32>) -> &[f32] {
    window.as_slice().expect("windows are made in standard layout")
}
