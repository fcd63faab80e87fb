//! The state of a volume after each step of the sampler.

use super::{WorkFolder, is_there, told};
use crate::OutpaintError;
use crate::identity::key;
use crate::journal::{Checksum, Journal};
use crate::values::Number;
use crate::volume::{Shape, Volume};
use finescale_ranks::Ranks;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub(super) const STATES: [&str; 2] = ["state-even.f32", "state-odd.f32"];
pub(super) const MEMORIES: [&str; 2] = ["memory-even.f32", "memory-odd.f32"];
pub(super) const ESTIMATE: &str = "estimate.i64";
pub(super) const PAUSED: &str = "paused.json";

/// A volume between two steps: its state, and what the solver remembers.
pub(crate) type StepVolumes = [Volume; 2];

/// The volumes of a sample that takes one step after another. Each rank has its slab of them; where they lie in files, each
/// reads and writes its planes of the files of all.
#[derive(Debug)]
pub(crate) struct StepStore {
    /// After even and after odd steps: while one is written the other one is whole.
    generations: [StepVolumes; 2],
    /// The clean estimate of the step in progress: sums of [`crate::sums`].
    estimate: Volume<i64>,
    /// Of rank 0, which speaks for all.
    journal: Option<Journal>,
    identity: Value,
    finished: usize,
    /// Windows whose estimates are in `estimate`, when work begins.
    estimated: Vec<usize>,
    /// Where a pause is noted.
    pause: Option<PathBuf>,
}

/// What a stop in the middle of a step leaves: which windows are in the estimate, and what it is then.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pause {
    step: usize,
    windows: Vec<usize>,
    estimate: String,
    /// Of all that, and of what the work is of.
    check: String,
}

impl Pause {
    fn new(step: usize, windows: Vec<usize>, estimate: &Checksum, identity: &Value) -> Self {
        let estimate = hex::encode(estimate);
        let check = format!("{} {step} {windows:?} {estimate}", key(identity));
        Self { step, windows, estimate, check: hex::encode(Sha256::digest(check)) }
    }
}

/// What rank 0 found in a work folder, and tells the others.
#[derive(Serialize, Deserialize)]
struct Found {
    checksums: Vec<Checksum>,
    pause: Option<Pause>,
    identity: Value,
}

impl StepStore {
    /// Volumes of f32 that there is room for: state and memory of two steps, and an estimate of twice the bytes.
    pub(crate) const VOLUMES: usize = 6;

    pub(super) fn in_memory(identity: Value, shape: Shape, ranks: &Ranks) -> Self {
        let slab = ranks.share(shape.cells[0]);
        let volume = || Volume::some_in_memory(shape, slab.clone());
        let generations = [[volume(), volume()], [volume(), volume()]];
        let estimate = Volume::some_in_memory(shape, slab.clone());
        Self {
            generations,
            estimate,
            journal: None,
            identity,
            finished: 0,
            estimated: Vec::new(),
            pause: None,
        }
    }

    /// Opens what is in the folder `path`, of which rank 0 has opened the rest.
    pub(super) fn open(
        path: &Path,
        folder: Option<WorkFolder>,
        shape: Shape,
        ranks: &Ranks,
    ) -> Result<Self, OutpaintError> {
        let pause = path.join(PAUSED);
        let found = folder.as_ref().map(|folder| {
            let pause = read_pause(&pause)?;
            let (checksums, identity) = (folder.checksums.clone(), folder.identity.clone());
            Ok::<_, OutpaintError>(Found { checksums, pause, identity })
        });
        // Rank 0 makes the files that are missing before the others open them.
        let volumes = folder.as_ref().map(|folder| volumes(path, shape, Some(folder.begun()))).transpose()?;
        let found = told(ranks, found.transpose()?)?;
        let (generations, estimate) = match volumes {
            Some(volumes) => volumes,
            None => self::volumes(path, shape, None)?,
        };
        let mut finished = found.checksums.len();
        // The last step, or the one before it if the last one's values are damaged.
        let oldest = finished.saturating_sub(2);
        while finished > oldest
            && Volume::checksum(&generations[finished % 2], ranks)? != found.checksums[finished - 1]
        {
            finished -= 1;
        }
        if finished == oldest {
            finished = 0;
        }
        let estimated = estimated(found.pause, finished, &estimate, &found.identity, ranks)?;
        let begun = folder.map(|folder| folder.begin(finished)).transpose()?;
        ranks.barrier()?;
        let (journal, identity) = begun.map_or((None, found.identity), |(journal, of)| (Some(journal), of));
        Ok(Self { generations, estimate, journal, identity, finished, estimated, pause: Some(pause) })
    }

    /// What the volume is of, and who computed it.
    pub(crate) fn identity(&self) -> &Value {
        &self.identity
    }

    /// How many windows of the step in progress an earlier run has left in the estimate.
    pub(crate) fn estimated(&self) -> usize {
        self.estimated.len()
    }

    /// Says that the estimate is about to change: from here on, nothing of it counts until the step is finished or paused.
    /// Returns the windows that are in it.
    pub(crate) fn go_on(&mut self, ranks: &Ranks) -> Result<Vec<usize>, OutpaintError> {
        if let Some(path) = self.pause.as_ref().filter(|_| ranks.is_first())
            && is_there(path)?
        {
            let folder = path.parent().unwrap_or(Path::new(""));
            finescale_durable::remove_file(path)
                .and_then(|()| finescale_durable::sync_folder(folder))
                .map_err(OutpaintError::io(path, "removing"))?;
        }
        ranks.barrier()?;
        let estimated = std::mem::take(&mut self.estimated);
        if estimated.is_empty() {
            self.estimate.clear(ranks.share(self.estimate.shape().cells[0]))?;
        }
        Ok(estimated)
    }

    /// Keeps the estimates of some `windows` of the step in progress for a later run.
    pub(crate) fn pause(&mut self, windows: Vec<usize>, ranks: &Ranks) -> Result<(), OutpaintError> {
        let Some(path) = &self.pause else { return Ok(()) };
        self.estimate.sync()?;
        let estimate = Volume::checksum(std::slice::from_ref(&self.estimate), ranks)?;
        if ranks.is_first() {
            let pause = Pause::new(self.finished, windows, &estimate, &self.identity);
            let text = serde_json::to_string(&pause).expect("numbers and text are JSON");
            finescale_durable::write(path, |file| file.write_all(text.as_bytes()))
                .map_err(OutpaintError::io(path, "writing"))?;
        }
        Ok(ranks.barrier()?)
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
    pub(crate) fn estimating(&mut self) -> (&StepVolumes, &mut Volume<i64>) {
        (&self.generations[self.finished % 2], &mut self.estimate)
    }

    /// The volume after the last finished step, the clean estimate for it, and the volume after the next step, to write.
    pub(crate) fn advancing(&mut self) -> (&StepVolumes, &Volume<i64>, &mut StepVolumes) {
        let [even, odd] = &mut self.generations;
        let (present, next) = if self.finished.is_multiple_of(2) { (even, odd) } else { (odd, even) };
        (present, &self.estimate, next)
    }

    /// Makes the volume after the next step durable.
    pub(crate) fn finish(&mut self, ranks: &Ranks) -> Result<(), OutpaintError> {
        if self.pause.is_some() {
            let next = &self.generations[(self.finished + 1) % 2];
            next.iter().try_for_each(Volume::sync)?;
            let checksum = Volume::checksum(next, ranks)?;
            if let Some(journal) = &mut self.journal {
                journal.append(self.finished, &checksum)?;
            }
            // Nobody writes over the step before until this one counts.
            ranks.barrier()?;
        }
        self.finished += 1;
        Ok(())
    }
}

/// The files of a folder: of rank 0, which makes those that are missing, whether there was work; of the others, none.
fn volumes(
    folder: &Path,
    shape: Shape,
    begun: Option<bool>,
) -> Result<([StepVolumes; 2], Volume<i64>), OutpaintError> {
    fn open<T: Number>(path: &Path, shape: Shape, begun: Option<bool>) -> Result<Volume<T>, OutpaintError> {
        match begun {
            Some(begun) => Volume::in_file(path, shape, begun),
            None => Volume::in_existing_file(path, shape),
        }
    }
    let generation = |parity: usize| -> Result<StepVolumes, OutpaintError> {
        let [state, memory] = [STATES[parity], MEMORIES[parity]].map(|name| folder.join(name));
        Ok([open(&state, shape, begun)?, open(&memory, shape, begun)?])
    };
    Ok(([generation(0)?, generation(1)?], open(&folder.join(ESTIMATE), shape, begun)?))
}

/// What the file of a pause says; nothing if it is not there, or damaged.
fn read_pause(path: &Path) -> Result<Option<Pause>, OutpaintError> {
    if !is_there(path)? {
        return Ok(None);
    }
    match finescale_durable::read_text(path) {
        Ok(text) => Ok(serde_json::from_str(&text).ok()),
        Err(error) if error.kind() == ErrorKind::InvalidData => Ok(None), // no text
        Err(error) => Err(OutpaintError::io(path, "reading")(error)),
    }
}

/// Windows that a paused step has in its estimate; none if it is another step's or damaged.
fn estimated(
    pause: Option<Pause>,
    step: usize,
    estimate: &Volume<i64>,
    identity: &Value,
    ranks: &Ranks,
) -> Result<Vec<usize>, OutpaintError> {
    let Some(pause) = pause.filter(|pause| pause.step == step) else { return Ok(Vec::new()) };
    let found = Volume::checksum(std::slice::from_ref(estimate), ranks)?;
    let expected = Pause::new(step, pause.windows.clone(), &found, identity);
    Ok(if expected == pause { pause.windows } else { Vec::new() })
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
        store.finish(&Ranks::alone()).unwrap();
    }

    fn store(folder: &std::path::Path) -> StepStore {
        let store = Store::Folder { path: folder.join("work"), existing: Existing::Resume };
        store.steps(json!({}), SHAPE, &Ranks::alone()).unwrap()
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
        let ranks = Ranks::alone();
        let folder = tempfile::tempdir().unwrap();
        let mut open = store(folder.path());
        advance(&mut open, 1);
        let estimate = |store: &mut StepStore, value: i64| {
            store.estimating().1.write(&WHOLE, &[value; 20]).unwrap();
        };
        estimate(&mut open, 3);
        open.pause(vec![0, 1, 2, 5], &ranks).unwrap();
        drop(open);
        let mut open = store(folder.path());
        assert_eq!((open.finished(), open.estimated()), (1, 4));
        assert_eq!(open.go_on(&ranks).unwrap(), [0, 1, 2, 5]);
        // Killed after that: the estimate may be anything.
        drop(open);
        assert_eq!(store(folder.path()).estimated(), 0);

        let mut open = store(folder.path());
        open.pause(vec![0, 1, 2, 5], &ranks).unwrap();
        estimate(&mut open, 4);
        drop(open);
        assert_eq!(store(folder.path()).estimated(), 0, "its values are not those of the pause");
        let mut open = store(folder.path());
        open.pause(vec![0, 1, 2, 5], &ranks).unwrap();
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
