//! The state of a volume after each step of the sampler.

use super::WorkFolder;
use crate::OutpaintError;
use crate::journal::{Checksum, Journal};
use crate::values::Values;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A volume between two steps, one value per voxel each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Volume {
    pub(crate) state: Vec<f32>,
    /// What the solver remembers.
    pub(crate) memory: Option<Vec<f32>>,
}

/// The last two states in turn: while one is written the other one is whole.
#[derive(Debug)]
pub(crate) struct StepStore {
    voxels: usize,
    files: Option<Files>,
    finished: usize,
}

#[derive(Debug)]
struct Files {
    journal: Journal,
    /// State and memory of even and of odd steps.
    values: [[Values; 2]; 2],
}

impl StepStore {
    pub(super) fn in_memory(voxels: usize) -> Self {
        Self { voxels, files: None, finished: 0 }
    }

    pub(super) fn open(folder: WorkFolder, identity: &Value, voxels: usize) -> Result<Self, OutpaintError> {
        let open = |name: &str| {
            let path = folder.path.join(name);
            if folder.begun { Values::open(&path) } else { Values::create(&path, voxels) }
        };
        let values = [
            [open("state-even.f32")?, open("memory-even.f32")?],
            [open("state-odd.f32")?, open("memory-odd.f32")?],
        ];
        let mut finished = folder.checksums.len();
        // The last step, or the one before it if the last one's values are damaged.
        let oldest = finished.saturating_sub(2);
        while finished > oldest && !is_intact(&values, voxels, finished, &folder.checksums[finished - 1])? {
            finished -= 1;
        }
        if finished == oldest {
            finished = 0;
        }
        let journal = folder.begin(identity, finished)?;
        Ok(Self { voxels, files: Some(Files { journal, values }), finished })
    }

    /// Number of finished steps.
    pub(crate) fn finished(&self) -> usize {
        self.finished
    }

    /// The volume after the last finished step, if there is one.
    pub(crate) fn read(&self) -> Result<Option<Volume>, OutpaintError> {
        match &self.files {
            Some(files) if self.finished > 0 => Ok(Some(volume(&files.values, self.voxels, self.finished)?)),
            _ => Ok(None),
        }
    }

    /// Makes the volume after the next step durable.
    pub(crate) fn finish(&mut self, volume: &Volume) -> Result<(), OutpaintError> {
        if let Some(files) = &mut self.files {
            let [state, memory] = &mut files.values[(self.finished + 1) % 2];
            state.write(0, &volume.state)?;
            state.sync()?;
            // A solver that remembers nothing leaves the mark of it.
            let nothing = [f32::NAN];
            memory.write(0, volume.memory.as_deref().unwrap_or(&nothing))?;
            memory.sync()?;
            files.journal.append(self.finished, &checksum(volume))?;
        }
        self.finished += 1;
        Ok(())
    }
}

fn volume(values: &[[Values; 2]; 2], voxels: usize, finished: usize) -> Result<Volume, OutpaintError> {
    let read = |values: &Values| {
        let mut all = vec![0f32; voxels];
        values.read(0, &mut all).map(|()| all)
    };
    let [state, memory] = &values[finished % 2];
    let memory = Some(read(memory)?).filter(|memory| !memory[0].is_nan());
    Ok(Volume { state: read(state)?, memory })
}

fn is_intact(
    values: &[[Values; 2]; 2],
    voxels: usize,
    finished: usize,
    expected: &Checksum,
) -> Result<bool, OutpaintError> {
    Ok(checksum(&volume(values, voxels, finished)?) == *expected)
}

fn checksum(volume: &Volume) -> Checksum {
    let mut hash = Sha256::new();
    for values in [Some(&volume.state), volume.memory.as_ref()].into_iter().flatten() {
        for block in values.chunks(1 << 14) {
            let bytes: Vec<u8> = block.iter().flat_map(|value| value.to_le_bytes()).collect();
            hash.update(bytes);
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Existing, Store};
    use serde_json::json;

    fn after(step: usize) -> Volume {
        let values = |offset: f32| (0..10).map(|i| (100 * step + i) as f32 + offset).collect();
        Volume { state: values(0.0), memory: (step > 1).then(|| values(0.5)) }
    }

    fn store(folder: &std::path::Path) -> Store {
        Store::Folder { path: folder.join("work"), existing: Existing::Resume }
    }

    #[test]
    fn a_store_opens_where_it_was_left_and_damage_costs_one_step() {
        let folder = tempfile::tempdir().unwrap();
        let reopened = || store(folder.path()).steps(&json!({}), 10).unwrap();
        let found = || {
            let open = reopened();
            (open.finished(), open.read().unwrap())
        };
        for step in 1..6 {
            reopened().finish(&after(step)).unwrap();
            assert_eq!(found(), (step, Some(after(step))));
        }
        let damage = |name: &str| {
            let mut values = Values::open(&folder.path().join("work").join(name)).unwrap();
            values.write(7, &[-1.0]).unwrap();
        };
        damage("memory-odd.f32");
        assert_eq!(found(), (4, Some(after(4))));
        reopened().finish(&after(5)).unwrap();
        assert_eq!(found().1, Some(after(5)));
        damage("state-odd.f32");
        damage("state-even.f32");
        assert_eq!(found(), (0, None));
    }

    #[test]
    fn a_kill_while_a_step_is_written_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut open = store(folder.path()).steps(&json!({}), 10).unwrap();
        (1..4).for_each(|step| open.finish(&after(step)).unwrap());
        // Step 4 half written, without its line.
        open.files.as_mut().unwrap().values[0][0].write(0, &[f32::NAN; 4]).unwrap();
        drop(open);
        let open = store(folder.path()).steps(&json!({}), 10).unwrap();
        assert_eq!((open.finished(), open.read().unwrap()), (3, Some(after(3))));
    }

    #[test]
    fn in_memory_nothing_is_kept() {
        let mut open = Store::Memory.steps(&json!({}), 10).unwrap();
        open.finish(&after(1)).unwrap();
        assert_eq!((open.finished(), open.read().unwrap()), (1, None));
    }
}
