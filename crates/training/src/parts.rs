//! The parts of a batch, and which rank computes which.

use crate::TrainingError;
use crate::noised_batch::NoisedBatch;
use crate::objective::Exercise;
use crate::teacher::Teacher;
use finescale_denoiser::Denoiser;
use finescale_ranks::Ranks;

/// What one rank computes of a batch: of its parts, those whose number leaves the rank's as the rest.
pub(crate) struct OwnParts {
    pub(crate) exercises: Vec<Exercise>,
    /// Parts of the batch on all ranks.
    pub(crate) of: usize,
}

impl OwnParts {
    /// This rank's of a batch in `count` equal parts.
    pub(crate) fn of_batch(
        denoiser: &Denoiser,
        batch: &NoisedBatch,
        count: usize,
        ranks: &Ranks,
    ) -> Result<Self, TrainingError> {
        Self::taught(denoiser, batch, count, ranks, None)
    }

    /// The same, of which the network is shown what a teacher makes of it.
    pub(crate) fn taught(
        denoiser: &Denoiser,
        batch: &NoisedBatch,
        count: usize,
        ranks: &Ranks,
        teacher: Option<&Teacher>,
    ) -> Result<Self, TrainingError> {
        let parts = batch.parts(count)?;
        let own = parts.iter().skip(ranks.rank()).step_by(ranks.count());
        let exercise = |part: &NoisedBatch| match teacher {
            Some(teacher) => Exercise::new(denoiser, &teacher.lesson(part)?, count),
            None => Exercise::new(denoiser, part, count),
        };
        Ok(Self { exercises: own.map(exercise).collect::<Result<_, _>>()?, of: count })
    }

    /// The first `count` parts of the batch, as if they were all.
    pub(crate) fn truncate(&mut self, count: usize, ranks: &Ranks) {
        self.of = self.of.min(count);
        self.exercises.truncate(turns(self.of, ranks));
    }
}

/// Which of the `items` of a batch lie in parts of this rank, if the batch is divided into `count` parts.
pub(crate) fn own_items(items: usize, count: usize, ranks: &Ranks) -> Vec<bool> {
    let part = items / count;
    (0..items).map(|item| item / part % ranks.count() == ranks.rank()).collect()
}

/// How many of `items` are this rank's, if ranks take turns.
fn turns(items: usize, ranks: &Ranks) -> usize {
    (ranks.rank()..items).step_by(ranks.count()).len()
}

/// The sum of what the parts of a batch have, made in the order of parts, so that its bits are those of one rank. Each rank adds up a
/// slice of it.
pub(crate) struct OrderedSum<'a> {
    ranks: &'a Ranks,
    /// Values of each part.
    length: usize,
    /// The sum so far of this rank's slice; none before the first part.
    slice: Option<Vec<f32>>,
}

impl<'a> OrderedSum<'a> {
    pub(crate) fn new(ranks: &'a Ranks, length: usize) -> Self {
        Self { ranks, length, slice: None }
    }

    /// Adds the next parts, one of each of the first `count` ranks; `own` is this rank's, if it is one of them.
    pub(crate) fn add(&mut self, own: Option<&[f32]>, count: usize) -> Result<(), TrainingError> {
        let slice = |rank| self.ranks.share_of(self.length, rank);
        let outgoing: Vec<_> = match own {
            Some(own) => (0..self.ranks.count()).map(|to| (to, &own[slice(to)])).collect(),
            None => Vec::new(),
        };
        let own_slice = slice(self.ranks.rank()).len();
        let incoming: Vec<_> = (0..count).map(|from| (from, own_slice)).collect();
        for part in self.ranks.exchange(&outgoing, &incoming)? {
            match &mut self.slice {
                None => self.slice = Some(part),
                Some(sum) => sum.iter_mut().zip(part).for_each(|(sum, value)| *sum += value),
            }
        }
        Ok(())
    }

    /// The whole sum, on all ranks.
    pub(crate) fn all(self) -> Result<Vec<f32>, TrainingError> {
        Ok(self.ranks.gather(&self.slice.unwrap_or_default())?.concat())
    }
}

/// What is known of each item by the rank whose turn it was, on all ranks in the order of the items.
pub(crate) fn in_turn(ranks: &Ranks, own: &[f64], items: usize) -> Result<Vec<f64>, TrainingError> {
    let all = ranks.gather(own)?;
    Ok((0..items).map(|item| all[item % ranks.count()][item / ranks.count()]).collect())
}
