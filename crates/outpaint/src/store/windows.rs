//! The values of windows that are finished one after another.

use super::{WorkFolder, told};
use crate::journal::{Checksum, Journal};
use crate::slabs::{dealt, fetch, write_new};
use crate::volume::{Shape, Volume};
use crate::{Order, OutpaintError};
use finescale_field::Region;
use finescale_ranks::Ranks;
use ndarray::Array3;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::path::Path;

pub(super) const VALUES: &str = "values.f32";

/// Windows that each rank checks at once: a bound on memory.
const CHECKED_AT_ONCE: usize = 16;

/// The values of each field so far, and how many windows are finished. Each rank has its slab of the values; in a file, it
/// reads and writes its planes of the file of all.
#[derive(Debug)]
pub(crate) struct WindowStore {
    volume: Volume,
    /// Whether the values lie in a file.
    is_kept: bool,
    /// Of rank 0, which speaks for all.
    journal: Option<Journal>,
    identity: Value,
    finished: usize,
    /// Of the finished windows, where they are in a file.
    checksums: Vec<Checksum>,
}

impl WindowStore {
    pub(super) fn in_memory(identity: Value, order: &Order, fields: usize, ranks: &Ranks) -> Self {
        let shape = Shape { cells: order.tiling().cells(), fields };
        let volume = Volume::some_in_memory(shape, ranks.share(shape.cells[0]));
        Self { volume, is_kept: false, journal: None, identity, finished: 0, checksums: Vec::new() }
    }

    /// Opens what is in the folder `path`, of which rank 0 has opened the rest.
    pub(super) fn open(
        path: &Path,
        folder: Option<WorkFolder>,
        order: &Order,
        fields: usize,
        ranks: &Ranks,
    ) -> Result<Self, OutpaintError> {
        let shape = Shape { cells: order.tiling().cells(), fields };
        let path = path.join(VALUES);
        // Rank 0 makes the file, if it is missing, before the others open it.
        let volume =
            folder.as_ref().map(|folder| Volume::in_file(&path, shape, folder.begun())).transpose()?;
        let found = folder.as_ref().map(|folder| (folder.checksums.clone(), folder.identity.clone()));
        let (mut checksums, identity): (Vec<Checksum>, Value) = told(ranks, found)?;
        let volume = volume.map_or_else(|| Volume::in_existing_file(&path, shape), Ok)?;
        checksums.truncate(order.windows());
        let mut store = Self { volume, is_kept: true, journal: None, identity, finished: 0, checksums };
        if let Some(damaged) = store.first_damaged(order, ranks)? {
            store.checksums.truncate(damaged);
        }
        store.finished = store.checksums.len();
        let begun = folder.map(|folder| folder.begin(store.finished)).transpose()?;
        ranks.barrier()?;
        match begun {
            Some((journal, identity)) => Ok(Self { journal: Some(journal), identity, ..store }),
            None => Ok(store),
        }
    }

    /// What the values are of, and who computed them.
    pub(crate) fn identity(&self) -> &Value {
        &self.identity
    }

    /// The first window that is recorded and has other values than what was written.
    fn first_damaged(&self, order: &Order, ranks: &Ranks) -> Result<Option<usize>, OutpaintError> {
        let recorded: Vec<usize> = (0..self.checksums.len()).collect();
        for round in recorded.chunks(CHECKED_AT_ONCE * ranks.count()) {
            let regions = round.iter().map(|&window| order.region(window)).collect::<Vec<_>>();
            let of_ranks = dealt(&regions, ranks);
            let mut damaged = Vec::new();
            let ours = &round[ranks.share(round.len())];
            for (&window, values) in ours.iter().zip(fetch(ranks, &self.volume, &of_ranks)?) {
                if checksum(&order.filled(window), &values) != self.checksums[window] {
                    damaged.push(window as u64);
                }
            }
            if let Some(first) = ranks.gather(&damaged)?.concat().first() {
                return Ok(Some(*first as usize));
            }
        }
        Ok(None)
    }

    /// Checks, after the work of `order` is done, that the values of its windows are still what was written.
    pub(crate) fn check(&self, order: &Order, ranks: &Ranks) -> Result<(), OutpaintError> {
        match self.first_damaged(order, ranks)? {
            Some(window) => Err(OutpaintError::Damaged { window }),
            None => Ok(()),
        }
    }

    /// Number of finished windows: those at positions 0, 1, ... of the order.
    pub(crate) fn finished(&self) -> usize {
        self.finished
    }

    /// The values of all fields; those of voxels that no finished window filled are arbitrary.
    pub(crate) fn values(&self) -> &Volume {
        &self.volume
    }

    /// Adds the next `windows`, of which this rank has its share, with their values, one field after another: writes the voxels
    /// that they fill, then their journal lines.
    pub(crate) fn finish(
        &mut self,
        order: &Order,
        windows: Range<usize>,
        ours: &[&[f32]],
        ranks: &Ranks,
    ) -> Result<(), OutpaintError> {
        let windows: Vec<usize> = windows.collect();
        let regions: Vec<Region> = windows.iter().map(|&window| order.region(window)).collect();
        let filled: Vec<Array3<f32>> = windows.iter().map(|&window| order.filled(window)).collect();
        let is_new = |rank, nth| flat(&filled[ranks.share_of(windows.len(), rank)][nth]);
        write_new(ranks, &mut self.volume, &dealt(&regions, ranks), ours, is_new)?;
        if self.is_kept {
            self.volume.sync()?;
            let filled = &filled[ranks.share(windows.len())];
            let ours: Vec<Checksum> =
                filled.iter().zip(ours).map(|(filled, values)| checksum(filled, values)).collect();
            // Also waits until all ranks' values are durable.
            let checksums = ranks.gather(&ours)?.concat();
            if let Some(journal) = &mut self.journal {
                for (&window, checksum) in windows.iter().zip(&checksums) {
                    journal.append(window, checksum)?;
                }
            }
            self.checksums.extend(checksums);
        }
        self.finished += windows.len();
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
