//! The state of a volume after each step of the sampler.

use super::WorkFolder;
use crate::OutpaintError;
use crate::journal::Journal;
use crate::volume::{Shape, Volume};
use serde_json::Value;

/// A volume between two steps: its state, and what the solver remembers.
pub(crate) type Generation = [Volume; 2];

/// The volumes of a sample that takes one step after another.
#[derive(Debug)]
pub(crate) struct StepStore {
    /// After even and after odd steps: while one is written the other one is whole.
    generations: [Generation; 2],
    /// The clean estimate of the step in progress.
    estimate: Volume,
    journal: Option<Journal>,
    finished: usize,
}

impl StepStore {
    pub(super) fn in_memory(shape: Shape) -> Self {
        let volume = || Volume::in_memory(shape);
        let generations = [[volume(), volume()], [volume(), volume()]];
        Self { generations, estimate: volume(), journal: None, finished: 0 }
    }

    pub(super) fn open(folder: WorkFolder, identity: &Value, shape: Shape) -> Result<Self, OutpaintError> {
        let open = |name: &str| Volume::in_file(&folder.path.join(name), shape, folder.begun);
        let generations = [
            [open("state-even.f32")?, open("memory-even.f32")?],
            [open("state-odd.f32")?, open("memory-odd.f32")?],
        ];
        let estimate = open("estimate.f32")?;
        let mut finished = folder.checksums.len();
        // The last step, or the one before it if the last one's values are damaged.
        let oldest = finished.saturating_sub(2);
        while finished > oldest
            && Volume::checksum(&generations[finished % 2])? != folder.checksums[finished - 1]
        {
            finished -= 1;
        }
        if finished == oldest {
            finished = 0;
        }
        let journal = Some(folder.begin(identity, finished)?);
        Ok(Self { generations, estimate, journal, finished })
    }

    /// Number of finished steps.
    pub(crate) fn finished(&self) -> usize {
        self.finished
    }

    /// The volume after the last finished step; before the first one, zeros until the start is written.
    pub(crate) fn present(&self) -> &Generation {
        &self.generations[self.finished % 2]
    }

    /// The state before the first step.
    pub(crate) fn start(&mut self) -> &mut Volume {
        &mut self.generations[0][0]
    }

    /// The volume after the last finished step, and the clean estimate, to add to.
    pub(crate) fn estimating(&mut self) -> (&Generation, &mut Volume) {
        (&self.generations[self.finished % 2], &mut self.estimate)
    }

    /// The volume after the last finished step, the clean estimate for it, and the volume after the next step, to write.
    pub(crate) fn advancing(&mut self) -> (&Generation, &Volume, &mut Generation) {
        let [even, odd] = &mut self.generations;
        let (present, next) = if self.finished.is_multiple_of(2) { (even, odd) } else { (odd, even) };
        (present, &self.estimate, next)
    }

    /// Makes the volume after the next step durable.
    pub(crate) fn finish(&mut self) -> Result<(), OutpaintError> {
        if let Some(journal) = &mut self.journal {
            let next = &self.generations[(self.finished + 1) % 2];
            next.iter().try_for_each(Volume::sync)?;
            journal.append(self.finished, &Volume::checksum(next)?)?;
        }
        self.finished += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Existing, Store};
    use finescale_field::Region;
    use serde_json::json;

    const SHAPE: Shape = Shape { cells: [1, 2, 5], fields: 2 };
    const WHOLE: Region = Region { start: [0; 3], shape: SHAPE.cells };

    /// State and memory.
    fn after(step: usize) -> [Vec<f32>; 2] {
        [0.0, 0.5].map(|offset| (0..20).map(|i| (100 * step + i) as f32 + offset).collect())
    }

    fn found(store: &StepStore) -> (usize, [Vec<f32>; 2]) {
        (store.finished(), [0, 1].map(|part| store.present()[part].read(&WHOLE).unwrap()))
    }

    fn advance(store: &mut StepStore, step: usize) {
        let (_, _, next) = store.advancing();
        for (volume, values) in next.iter_mut().zip(after(step)) {
            volume.write(&WHOLE, &values).unwrap();
        }
        store.finish().unwrap();
    }

    fn store(folder: &std::path::Path) -> StepStore {
        let store = Store::Folder { path: folder.join("work"), existing: Existing::Resume };
        store.steps(&json!({}), SHAPE).unwrap()
    }

    #[test]
    fn a_store_opens_where_it_was_left_and_damage_costs_one_step() {
        let folder = tempfile::tempdir().unwrap();
        for step in 1..6 {
            advance(&mut store(folder.path()), step);
            assert_eq!(found(&store(folder.path())), (step, after(step)));
        }
        let damage = |name: &str| {
            let mut volume = Volume::in_file(&folder.path().join("work").join(name), SHAPE, true).unwrap();
            volume.write(&Region { start: [0, 1, 2], shape: [1; 3] }, &[-1.0, -1.0]).unwrap();
        };
        damage("memory-odd.f32");
        assert_eq!(found(&store(folder.path())), (4, after(4)));
        advance(&mut store(folder.path()), 5);
        assert_eq!(found(&store(folder.path())), (5, after(5)));
        damage("state-odd.f32");
        damage("state-even.f32");
        assert_eq!(store(folder.path()).finished(), 0);
    }

    #[test]
    fn a_kill_while_a_step_is_written_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut open = store(folder.path());
        (1..4).for_each(|step| advance(&mut open, step));
        // Step 4 half written, without its line.
        let (_, _, [state, _]) = open.advancing();
        state.write(&Region { start: [0; 3], shape: [1, 1, 4] }, &[f32::NAN; 8]).unwrap();
        drop(open);
        assert_eq!(found(&store(folder.path())), (3, after(3)));
    }
}
