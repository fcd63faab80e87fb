//! The values of windows that are finished one after another.

use super::WorkFolder;
use crate::journal::{Checksum, Journal};
use crate::values::Values;
use crate::{Order, OutpaintError};
use finescale_field::Region;
use ndarray::{Array3, ArrayView3};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub(super) const VALUES: &str = "values.f32";

/// The values so far, and how many windows are finished.
#[derive(Debug)]
pub(crate) struct WindowStore {
    cells: [usize; 3],
    values: Values,
    journal: Option<Journal>,
    finished: usize,
}

impl WindowStore {
    pub(super) fn in_memory(order: &Order) -> Self {
        let cells = order.tiling().cells();
        let values = Values::Memory(vec![0.0; cells.iter().product()]);
        Self { cells, values, journal: None, finished: 0 }
    }

    pub(super) fn open(folder: WorkFolder, identity: &Value, order: &Order) -> Result<Self, OutpaintError> {
        let (cells, path) = (order.tiling().cells(), folder.path.join(VALUES));
        let values =
            if folder.begun { Values::open(&path)? } else { Values::create(&path, cells.iter().product())? };
        let mut store = Self { cells, values, journal: None, finished: 0 };
        let recorded = folder.checksums.len().min(order.windows());
        while store.finished < recorded && store.is_intact(order, &folder.checksums[store.finished])? {
            store.finished += 1;
        }
        store.journal = Some(folder.begin(identity, store.finished)?);
        Ok(store)
    }

    fn is_intact(&self, order: &Order, expected: &Checksum) -> Result<bool, OutpaintError> {
        let unknown = order.unknown(self.finished);
        Ok(checksum(&unknown, flat(&self.read(&order.region(self.finished))?)) == *expected)
    }

    /// Number of finished windows: those at positions 0, 1, ... of the order.
    pub(crate) fn finished(&self) -> usize {
        self.finished
    }

    /// The values of a window; those of voxels that no finished window filled are arbitrary.
    pub(crate) fn read(&self, region: &Region) -> Result<Array3<f32>, OutpaintError> {
        let mut window = vec![0f32; region.voxels()];
        for (to, from, length) in self.runs(region) {
            self.values.read(from, &mut window[to..to + length])?;
        }
        Ok(Array3::from_shape_vec(region.shape, window).expect("one value per voxel of the window"))
    }

    /// Adds the next window: writes its unknown voxels, then its journal line.
    pub(crate) fn finish(
        &mut self,
        region: &Region,
        unknown: &Array3<f32>,
        values: ArrayView3<f32>,
    ) -> Result<(), OutpaintError> {
        let new = |offset: usize| flat(unknown)[offset] == 1.0;
        let values = values.as_standard_layout();
        let values = values.as_slice().expect("just made standard");
        for (from, to, length) in self.runs(region) {
            let mut offset = 0;
            while offset < length {
                let start = offset;
                let is_new = new(from + start);
                while offset < length && new(from + offset) == is_new {
                    offset += 1;
                }
                if is_new {
                    self.values.write(to + start, &values[from + start..from + offset])?;
                }
            }
        }
        if let Some(journal) = &mut self.journal {
            self.values.sync()?;
            journal.append(self.finished, &checksum(unknown, values))?;
        }
        self.finished += 1;
        Ok(())
    }

    /// Runs along z: (offset in the window, index in the volume, length).
    fn runs(&self, region: &Region) -> Vec<(usize, usize, usize)> {
        let mut runs = Vec::new();
        region.for_each_run(self.cells, |offset, index, length| runs.push((offset, index, length)));
        runs
    }
}

fn checksum(unknown: &Array3<f32>, values: &[f32]) -> Checksum {
    let new = flat(unknown).iter().zip(values).filter(|(unknown, _)| **unknown == 1.0);
    let bytes: Vec<u8> = new.flat_map(|(_, value)| value.to_le_bytes()).collect();
    Sha256::digest(&bytes).into()
}

pub(super) fn flat(window: &Array3<f32>) -> &[f32] {
    window.as_slice().expect("windows are made in standard layout")
}
