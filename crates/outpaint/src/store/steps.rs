//! The state of a volume after each step of the sampler.

use super::{WorkFolder, is_there};
use crate::OutpaintError;
use crate::identity::key;
use crate::journal::Journal;
use crate::volume::{Shape, Volume};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

pub(super) const STATES: [&str; 2] = ["state-even.f32", "state-odd.f32"];
pub(super) const MEMORIES: [&str; 2] = ["memory-even.f32", "memory-odd.f32"];
pub(super) const ESTIMATE: &str = "estimate.f32";
pub(super) const PAUSED: &str = "paused.json";

/// A volume between two steps: its state, and what the solver remembers.
pub(crate) type StepVolumes = [Volume; 2];

/// The volumes of a sample that takes one step after another.
#[derive(Debug)]
pub(crate) struct StepStore {
    /// After even and after odd steps: while one is written the other one is whole.
    generations: [StepVolumes; 2],
    /// The clean estimate of the step in progress.
    estimate: Volume,
    journal: Option<Journal>,
    identity: Value,
    finished: usize,
    /// Windows whose estimates are in `estimate`, when work begins.
    estimated: usize,
    /// Where a pause is noted.
    pause: Option<PathBuf>,
}

/// What a stop in the middle of a step leaves: how many windows are in the estimate, and what it is then.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pause {
    step: usize,
    windows: usize,
    estimate: String,
    /// Of all that, and of what the work is of.
    check: String,
}

impl Pause {
    fn new(step: usize, windows: usize, estimate: &Volume, identity: &Value) -> Result<Self, OutpaintError> {
        let estimate = hex::encode(Volume::checksum(std::slice::from_ref(estimate))?);
        let check = hex::encode(Sha256::digest(format!("{} {step} {windows} {estimate}", key(identity))));
        Ok(Self { step, windows, estimate, check })
    }
}

impl StepStore {
    /// Volumes that are kept: state and memory of two steps, and the estimate.
    pub(crate) const VOLUMES: usize = 5;

    pub(super) fn in_memory(identity: Value, shape: Shape) -> Self {
        let volume = || Volume::in_memory(shape);
        let generations = [[volume(), volume()], [volume(), volume()]];
        let estimate = volume();
        Self { generations, estimate, journal: None, identity, finished: 0, estimated: 0, pause: None }
    }

    pub(super) fn open(folder: WorkFolder, shape: Shape) -> Result<Self, OutpaintError> {
        let open = |name: &str| Volume::in_file(&folder.path.join(name), shape, folder.begun());
        let generation = |parity: usize| -> Result<StepVolumes, OutpaintError> {
            Ok([open(STATES[parity])?, open(MEMORIES[parity])?])
        };
        let generations = [generation(0)?, generation(1)?];
        let estimate = open(ESTIMATE)?;
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
        let pause = folder.path.join(PAUSED);
        let estimated = paused_at(&pause, finished, &estimate, &folder.identity)?;
        let (journal, identity) = folder.begin(finished)?;
        let (journal, pause) = (Some(journal), Some(pause));
        Ok(Self { generations, estimate, journal, identity, finished, estimated, pause })
    }

    /// What the volume is of, and who computed it.
    pub(crate) fn identity(&self) -> &Value {
        &self.identity
    }

    /// Windows of the step in progress that an earlier run has left in the estimate.
    pub(crate) fn estimated(&self) -> usize {
        self.estimated
    }

    /// Says that the estimate is about to change: from here on, nothing of it counts until the step is finished or paused.
    pub(crate) fn go_on(&mut self) -> Result<usize, OutpaintError> {
        if let Some(path) = &self.pause
            && is_there(path)?
        {
            let folder = path.parent().unwrap_or(Path::new(""));
            finescale_durable::remove_file(path)
                .and_then(|()| finescale_durable::sync_folder(folder))
                .map_err(OutpaintError::io(path, "removing"))?;
        }
        Ok(std::mem::take(&mut self.estimated))
    }

    /// Keeps the estimates of the first `windows` of the step in progress for a later run.
    pub(crate) fn pause(&mut self, windows: usize) -> Result<(), OutpaintError> {
        let Some(path) = &self.pause else { return Ok(()) };
        self.estimate.sync()?;
        let pause = Pause::new(self.finished, windows, &self.estimate, &self.identity)?;
        let text = serde_json::to_string(&pause).expect("numbers and text are JSON");
        finescale_durable::write(path, |file| file.write_all(text.as_bytes()))
            .map_err(OutpaintError::io(path, "writing"))
    }

    /// Number of finished steps.
    pub(crate) fn finished(&self) -> usize {
        self.finished
    }

    /// The volume after the last finished step; before the first one, zeros until the start is written.
    pub(crate) fn present(&self) -> &StepVolumes {
        &self.generations[self.finished % 2]
    }

    /// The state before the first step.
    pub(crate) fn start(&mut self) -> &mut Volume {
        &mut self.generations[0][0]
    }

    /// The volume after the last finished step, and the clean estimate, to add to.
    pub(crate) fn estimating(&mut self) -> (&StepVolumes, &mut Volume) {
        (&self.generations[self.finished % 2], &mut self.estimate)
    }

    /// The volume after the last finished step, the clean estimate for it, and the volume after the next step, to write.
    pub(crate) fn advancing(&mut self) -> (&StepVolumes, &Volume, &mut StepVolumes) {
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

/// Windows that a paused step has in its estimate; none if it is another step's or damaged.
fn paused_at(path: &Path, step: usize, estimate: &Volume, identity: &Value) -> Result<usize, OutpaintError> {
    if !is_there(path)? {
        return Ok(0);
    }
    let text = finescale_durable::read_text(path).map_err(OutpaintError::io(path, "reading"))?;
    let pause: Option<Pause> = serde_json::from_str(&text).ok();
    let Some(pause) = pause.filter(|pause| pause.step == step) else { return Ok(0) };
    let found = Pause::new(step, pause.windows, estimate, identity)?;
    Ok(if found == pause { pause.windows } else { 0 })
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
        store.steps(json!({}), SHAPE).unwrap()
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
    fn a_pause_keeps_the_estimate_until_it_changes_and_only_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut open = store(folder.path());
        advance(&mut open, 1);
        let estimate = |store: &mut StepStore, value: f32| {
            store.estimating().1.write(&WHOLE, &[value; 20]).unwrap();
        };
        estimate(&mut open, 3.0);
        open.pause(7).unwrap();
        drop(open);
        let mut open = store(folder.path());
        assert_eq!((open.finished(), open.estimated()), (1, 7));
        assert_eq!(open.go_on().unwrap(), 7);
        // Killed after that: the estimate may be anything.
        drop(open);
        assert_eq!(store(folder.path()).estimated(), 0);

        let mut open = store(folder.path());
        open.pause(7).unwrap();
        estimate(&mut open, 4.0);
        drop(open);
        assert_eq!(store(folder.path()).estimated(), 0, "its values are not those of the pause");
        let mut open = store(folder.path());
        open.pause(7).unwrap();
        advance(&mut open, 2);
        drop(open);
        assert_eq!(store(folder.path()).estimated(), 0, "the pause was of another step");
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
