//! Ranks on threads, and what a program without MPI says to a launcher.
#![expect(clippy::unwrap_used, reason = "helpers of tests, too")]

#[path = "support/bodies.rs"]
mod bodies;

use bodies::{BODIES, exchange_as, other_orders, pattern, sum_as};
use finescale_ranks::{Ranks, RanksError};
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn all_holds_for_any_number_of_ranks() {
    for count in [1, 2, 3, 4, 7] {
        for (name, body) in BODIES {
            eprintln!("{name}, {count} ranks");
            Ranks::on_threads(count, body);
        }
    }
}

#[test]
fn one_rank_is_alone() {
    let ranks = Ranks::alone();
    assert_eq!((ranks.rank(), ranks.count(), ranks.is_first()), (0, 1, true));
    assert_eq!(format!("{ranks:?}"), "rank 0 of 1");
    BODIES.iter().for_each(|(_, body)| body(&ranks));
}

#[test]
fn messages_may_be_cut_into_parts() {
    // Parts that end within a value, too.
    for bytes in [1, 7, 64, 1 << 30] {
        let lengths = vec![vec![5, 0, 100], vec![0, 1, 33], vec![8, 8, 0]];
        let all = Ranks::threads(3).into_iter().map(|ranks| ranks.with_parts_of(bytes)).collect::<Vec<_>>();
        std::thread::scope(|scope| {
            for ranks in all {
                let lengths = &lengths;
                scope.spawn(move || {
                    exchange_as(&ranks, lengths);
                    sum_as(&ranks, 100);
                });
            }
        });
    }
}

fn counted_pattern() -> impl Strategy<Value = bodies::Pattern> {
    (1usize..6).prop_flat_map(pattern)
}

proptest! {
    #[test]
    fn any_pattern_arrives(lengths in counted_pattern()) {
        Ranks::on_threads(lengths.len(), |ranks| exchange_as(ranks, &lengths));
    }

    #[test]
    fn any_sum_is_in_the_order_of_ranks(count in 1usize..8, length in 0usize..40) {
        Ranks::on_threads(count, |ranks| sum_as(ranks, length));
    }
}

#[test]
fn ranks_out_of_step_are_told() {
    for count in [2, 3, 5] {
        Ranks::on_threads(count, other_orders);
    }
}

#[test]
fn who_waits_for_a_rank_that_ended_is_told() {
    let errors = Ranks::on_threads(3, |ranks| (ranks.rank() != 1).then(|| ranks.barrier().unwrap_err()));
    let [Some(first), None, Some(last)] = &errors[..] else { panic!("{errors:?}") };
    // Who has been told ends, too, and the other one may hear of that.
    let of = |rank| RanksError::Ended { rank, ours: "barrier" };
    assert!(*first == of(1) || *first == of(2), "{first}");
    assert!(*last == of(1) || *last == of(0), "{last}");
    assert!(*first == of(1) || *last == of(1), "{first}; {last}");
}

#[test]
fn a_panic_ends_all() {
    let seen = std::sync::Mutex::new(Vec::new());
    let run = || {
        Ranks::on_threads(3, |ranks| {
            assert_ne!(ranks.rank(), 2, "as planned");
            let error = ranks.gather(&[0.0]).unwrap_err();
            seen.lock().unwrap().push(error);
        })
    };
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    let ended = RanksError::Ended { rank: 2, ours: "gather" };
    assert_eq!(seen.into_inner().unwrap(), [ended.clone(), ended]);
}

#[test]
fn plans_that_cannot_be_meant_are_refused() {
    let ranks = Ranks::alone();
    let panics = |plan: &dyn Fn(&Ranks)| catch_unwind(AssertUnwindSafe(|| plan(&ranks))).is_err();
    assert!(panics(&|ranks| drop(ranks.exchange(&[(1, &[0u8][..])], &[]))));
    assert!(panics(&|ranks| drop(ranks.exchange(&[(0, &[1u8][..]), (0, &[2])], &[]))));
    assert!(panics(&|ranks| drop(ranks.exchange::<u8>(&[], &[(0, 1), (0, 1)]))));
    assert!(panics(&|ranks| drop(ranks.share_of(10, 1))));
    // They were refused before anything began.
    ranks.barrier().unwrap();
}

#[test]
fn ranks_are_for_all_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Ranks>();
}

#[test]
fn errors_say_what_to_do() {
    let alone = RanksError::WithoutMpi { variable: "PMI_SIZE", ranks: 4 };
    let other = RanksError::OtherMpi { variable: "PMI_SIZE", launched: 4, library: "Open MPI v4.1.4".into() };
    let threading = RanksError::Threading { offered: "Single".into(), library: "Open MPI v4.1.4".into() };
    for (error, words) in [
        (&alone, ["4 or more copies", "PMI_SIZE", "--features mpi", "job array"]),
        (&other, ["started 4", "MPI knows of 1", "Open MPI v4.1.4", "MPICC="]),
        (&threading, ["Single", "Serialized", "Open MPI v4.1.4", "support for threads"]),
    ] {
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert!(error.is_input());
    }
    assert!(!RanksError::Started.is_input());
}
