//! The same volumes from several ranks.

use super::*;

/// The fields of a job that ranks do together, on rank 0.
fn run_on(count: usize, change: impl Fn(&mut Job) + Sync, store: &Store) -> Vec<Field3> {
    let condition = condition([12, 7, 12]);
    let fields = Ranks::on_threads(count, |ranks| {
        let mut job = Job { ranks, ..job(&CHAIN, &condition) };
        change(&mut job);
        generate(&job, store, &mut |_| {}, &AtomicBool::new(false)).unwrap().for_first().unwrap()
    });
    fields.into_iter().next().unwrap()
}

#[test]
fn any_number_of_ranks_gives_the_same_bits() {
    for name in StrategyName::ALL {
        for boundary in [Boundary::Periodic, Boundary::Open] {
            let change = |job: &mut Job| {
                (job.boundary, job.window_cells) = (boundary, 7);
                (job.config.strategy, job.batch) = (strategy(name, 3, 1), 2);
            };
            let alone = bits(&run_on(1, change, &Store::Memory)[0]);
            for count in [2, 3, 5, 13] {
                assert_eq!(bits(&run_on(count, change, &Store::Memory)[0]), alone, "{name:?}, {count} ranks");
                let folder = tempfile::tempdir().unwrap();
                let store = Store::Folder { path: folder.path().join("work"), existing: Existing::Refuse };
                assert_eq!(bits(&run_on(count, change, &store)[0]), alone, "{name:?}, {count} ranks");
            }
        }
    }
}

#[test]
fn ranks_go_on_with_what_others_left() {
    let condition = condition([12, 7, 12]);
    for name in StrategyName::ALL {
        let change = |job: &mut Job| (job.window_cells, job.config.strategy) = (7, strategy(name, 3, 1));
        let undisturbed = bits(&run_on(1, change, &Store::Memory)[0]);
        for (stop_at, counts) in [[2, 3, 1], [3, 1, 4], [1, 4, 2]].into_iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::Folder { path: folder.path().join("work"), existing: Existing::Resume };
            for (stop, count) in counts.into_iter().enumerate() {
                Ranks::on_threads(count, |ranks| {
                    let mut job = Job { ranks, ..job(&CHAIN, &condition) };
                    change(&mut job);
                    // Rank 0 is told to stop, now in the middle of a step, now of a window, and the others are not.
                    let (cancel, mut told) = (AtomicBool::new(false), 0);
                    let mut progress = |progress| {
                        told += usize::from(matches!(progress, Progress::Evaluated { .. }));
                        cancel.store(ranks.is_first() && told > 2 * (stop + stop_at), Ordering::Relaxed);
                    };
                    let stopped = generate(&job, &store, &mut progress, &cancel).unwrap_err();
                    assert!(matches!(stopped, OutpaintError::Cancelled), "{stopped}");
                });
            }
            assert_eq!(bits(&run_on(3, change, &store)[0]), undisturbed, "{name:?}, {counts:?}");
        }
    }
}

#[test]
fn ranks_with_other_jobs_are_told() {
    let condition = condition([12, 7, 12]);
    let errors = Ranks::on_threads(3, |ranks| {
        let mut job = Job { ranks, window_cells: 7, ..job(&CHAIN, &condition) };
        job.config.seed += u64::from(ranks.rank() == 2);
        generate(&job, &Store::Memory, &mut |_| {}, &AtomicBool::new(false)).unwrap_err()
    });
    for error in errors {
        let told = error.to_string();
        assert!(matches!(error, OutpaintError::RanksDiffer { rank: 2, .. }), "{told}");
        assert!(told.contains("generation.seed"), "{told}");
    }
}
