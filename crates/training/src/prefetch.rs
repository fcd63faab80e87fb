//! What the next update needs, made while the network computes.
//!
//! For two patches of 32^3 it takes 2 ms, where the demo's network takes two seconds on two shared cores: no
//! gain that could be measured there. It is for cards: eight patches of 48^3 take 15 ms, a fifth of an update on a fast one.

use crate::TrainingError;
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

/// What `make` makes for each of `steps`, in their order, on a thread of its own. It is a function of the step, so
/// that bits do not depend on when it is made. The thread ends with `steps`, or when the receiver is
/// dropped.
pub(crate) fn prefetch<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    steps: Range<u32>,
    make: &'scope (impl Fn(u32) -> Result<T, TrainingError> + Sync),
) -> Receiver<Result<T, TrainingError>> {
    // No room in the channel: the thread holds the one batch that is ahead.
    let (sender, receiver) = sync_channel(0);
    scope.spawn(move || {
        for step in steps {
            if sender.send(make(step)).is_err() {
                break;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::noised_batch::NoisedBatch;
    use crate::patch_source::PatchSource;
    use finescale_ranks::Ranks;

    fn values(batch: &NoisedBatch) -> Vec<Vec<f32>> {
        let NoisedBatch { condition, clean, noise, mask, .. } = batch;
        [condition, clean, noise, mask].map(|t| t.flatten_all().unwrap().to_vec1().unwrap()).into()
    }

    #[test]
    fn batches_made_ahead_are_those_of_their_steps() {
        let config = fixtures::config();
        let pairs = fixtures::pairs(config.data.normalization()).unwrap();
        let source = PatchSource::new(&config, &pairs, &Ranks::alone()).unwrap();
        let make = |step| source.training(step);
        let found: Vec<NoisedBatch> =
            std::thread::scope(|scope| prefetch(scope, 2..5, &make).iter().map(Result::unwrap).collect());
        assert_eq!(found.len(), 3);
        for (step, found) in (2..).zip(&found) {
            let expected = source.training(step).unwrap();
            assert_eq!((values(found), &found.alpha_bars), (values(&expected), &expected.alpha_bars));
        }
        assert_ne!(values(&found[0]), values(&found[1]));
    }

    #[test]
    fn a_run_that_ends_early_ends_its_thread() {
        let config = fixtures::config();
        let pairs = fixtures::pairs(config.data.normalization()).unwrap();
        let source = PatchSource::new(&config, &pairs, &Ranks::alone()).unwrap();
        let make = |step| source.training(step);
        // The scope would wait for ever for a thread that makes all of these.
        std::thread::scope(|scope| prefetch(scope, 0..u32::MAX, &make).recv().unwrap().unwrap());
    }
}
