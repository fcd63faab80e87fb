//! What must hold between ranks, whatever carries their messages: threads (`tests/main.rs`) or MPI (`examples/under_mpi.rs`).

use finescale_ranks::{Ranks, RanksError};
use proptest::prelude::*;

/// One check, which all ranks run together.
pub(crate) type Body = fn(&Ranks);

/// All checks that ranks survive: whoever passes one is in step.
pub(crate) const BODIES: [(&str, Body); 13] = [
    ("a barrier lets nobody through before all are there", barriers_are_passed),
    ("each rank has its share", shares_cover_the_items),
    ("rank 0's values come to all", broadcasts),
    ("everybody has what everybody passed", gathers),
    ("rank 0 has what everybody passed", gathers_on_the_first),
    ("all and any", votes),
    ("large messages in a ring, and to all", large_messages),
    ("no messages at all, and those to oneself", lonely_messages),
    ("lengths that differ are an error of all", differing_messages),
    ("who is not expected is an error of all", unexpected_messages),
    ("sums are added in the order of ranks", sums),
    ("sums of other lengths are an error of all", differing_sums),
    ("any thread may call", threads_take_turns),
];

/// A number that only `from` sends, and only to `to`, at `index`.
fn number(from: usize, to: usize, index: usize) -> i64 {
    ((from * 1000 + to) * 1_000_000 + index) as i64
}

fn message(from: usize, to: usize, length: usize) -> Vec<i64> {
    (0..length).map(|index| number(from, to, index)).collect()
}

fn barriers_are_passed(ranks: &Ranks) {
    for _ in 0..10 {
        ranks.barrier().unwrap();
    }
}

fn shares_cover_the_items(ranks: &Ranks) {
    for items in [0, 1, 7, 1000] {
        let shares = ranks.gather(&ranks.share(items).map(|item| item as u64).collect::<Vec<_>>()).unwrap();
        assert_eq!(shares.concat(), (0..items as u64).collect::<Vec<_>>());
        let lengths: Vec<_> = (0..ranks.count()).map(|rank| ranks.share_of(items, rank).len()).collect();
        assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
    }
}

fn broadcasts(ranks: &Ranks) {
    for length in [0, 1, 2, 5, 100_000] {
        let told = message(0, 0, length);
        // Whatever the others had before.
        let mut heard = if ranks.is_first() { told.clone() } else { vec![-1; ranks.rank()] };
        ranks.broadcast(&mut heard).unwrap();
        assert_eq!(heard, told);
    }
    let mut text = if ranks.is_first() { b"settings".to_vec() } else { Vec::new() };
    ranks.broadcast(&mut text).unwrap();
    assert_eq!(text, b"settings");
}

fn gathers(ranks: &Ranks) {
    let all = ranks.gather(&vec![ranks.rank() as f32; 3 * ranks.rank()]).unwrap();
    assert_eq!(all, (0..ranks.count()).map(|rank| vec![rank as f32; 3 * rank]).collect::<Vec<_>>());
    // Nobody has anything.
    assert_eq!(ranks.gather::<u8>(&[]).unwrap(), vec![Vec::new(); ranks.count()]);
}

fn gathers_on_the_first(ranks: &Ranks) {
    let length = |rank: usize| 50_000 * (ranks.count() - rank);
    let all = ranks.gather_first(&message(ranks.rank(), 0, length(ranks.rank()))).unwrap();
    let expected = (0..ranks.count()).map(|rank| message(rank, 0, length(rank)));
    assert_eq!(all, if ranks.is_first() { expected.collect() } else { Vec::new() });
}

fn votes(ranks: &Ranks) {
    let last = ranks.rank() + 1 == ranks.count();
    let [none, one, every] = [false, last, true].map(|so| (ranks.any(so).unwrap(), ranks.all(so).unwrap()));
    assert_eq!((none, every), ((false, false), (true, true)));
    assert_eq!(one, (true, ranks.count() == 1));
}

/// How many values each rank sends to each: `lengths[from][to]`; nothing for 0.
pub(crate) type Pattern = Vec<Vec<usize>>;

/// Any pattern, with many pairs that have nothing to say.
pub(crate) fn pattern(count: usize) -> impl Strategy<Value = Pattern> {
    let length = prop_oneof![2 => Just(0), 2 => 1usize..9, 1 => 1000usize..3000];
    prop::collection::vec(prop::collection::vec(length, count), count)
}

/// Exchanges messages as a pattern says, and looks at all that come.
pub(crate) fn exchange_as(ranks: &Ranks, lengths: &Pattern) {
    let (own, count) = (ranks.rank(), ranks.count());
    let sent: Vec<_> = (0..count).map(|to| message(own, to, lengths[own][to])).collect();
    let spoken = |length: &usize| *length > 0;
    let outgoing: Vec<_> =
        (0..count).filter(|to| spoken(&lengths[own][*to])).map(|to| (to, &sent[to][..])).collect();
    // Received in another order than sent.
    let senders = (0..count).rev().filter(|from| spoken(&lengths[*from][own]));
    let incoming: Vec<_> = senders.map(|from| (from, lengths[from][own])).collect();
    let received = ranks.exchange(&outgoing, &incoming).unwrap();
    assert_eq!(
        received,
        incoming.iter().map(|&(from, length)| message(from, own, length)).collect::<Vec<_>>()
    );
}

fn large_messages(ranks: &Ranks) {
    const LENGTH: usize = 400_000; // 3 MB: no MPI keeps as much before somebody receives it
    let count = ranks.count();
    let next = |from: usize, to: usize| if to == (from + 1) % count { LENGTH } else { 0 };
    exchange_as(ranks, &(0..count).map(|from| (0..count).map(|to| next(from, to)).collect()).collect());
    exchange_as(ranks, &vec![vec![LENGTH; count]; count]);
}

fn lonely_messages(ranks: &Ranks) {
    let count = ranks.count();
    exchange_as(ranks, &vec![vec![0; count]; count]);
    exchange_as(
        ranks,
        &(0..count).map(|from| (0..count).map(|to| if to == from { 5 } else { 0 }).collect()).collect(),
    );
    // A message without values may be named, by either side.
    let itself = ranks.rank();
    assert_eq!(ranks.exchange::<f64>(&[(itself, &[])], &[]).unwrap(), Vec::<Vec<f64>>::new());
    assert_eq!(ranks.exchange::<f64>(&[], &[(itself, 0)]).unwrap(), [[]]);
}

/// The last rank sends 3 values to rank 0, which expects others.
fn expect_from_last(ranks: &Ranks, expected: usize) -> RanksError {
    let last = ranks.count() - 1;
    let outgoing: &[(usize, &[i64])] = if ranks.rank() == last { &[(0, &[1, 2, 3])] } else { &[] };
    let incoming: &[(usize, usize)] = if ranks.is_first() { &[(last, expected)] } else { &[] };
    ranks.exchange(outgoing, incoming).unwrap_err()
}

fn differing_messages(ranks: &Ranks) {
    for expected in [2, 4] {
        let error =
            RanksError::Message { from: ranks.count() - 1, to: 0, sent: 24, expected: 8 * expected as u64 };
        assert_eq!(expect_from_last(ranks, expected), error);
    }
    // They may go on.
    ranks.barrier().unwrap();
}

fn unexpected_messages(ranks: &Ranks) {
    let error = RanksError::Message { from: ranks.count() - 1, to: 0, sent: 24, expected: 0 };
    assert_eq!(expect_from_last(ranks, 0), error);
    let missing = ranks.exchange::<u8>(&[], &[(0, 5)]).unwrap_err();
    assert_eq!(missing, RanksError::Message { from: 0, to: 0, sent: 0, expected: 5 });
    ranks.barrier().unwrap();
}

/// A value whose sum depends on the order in which it is added up.
fn addend(rank: usize, index: usize) -> f64 {
    let value = ((rank * 7919 + index * 104_729) % 1009) as f64 / 997.0 - 0.5;
    value * 10f64.powi((rank * 5 + index) as i32 % 17 - 8)
}

/// Sums so many values, and compares with sums in the order of ranks.
pub(crate) fn sum_as(ranks: &Ranks, length: usize) {
    let mut sums: Vec<_> = (0..length).map(|index| addend(ranks.rank(), index)).collect();
    ranks.sum_f64(&mut sums).unwrap();
    let in_order =
        |index| (0..ranks.count()).map(|rank| addend(rank, index)).reduce(|sum, value| sum + value);
    let expected: Vec<_> = (0..length).map(|index| in_order(index).unwrap().to_bits()).collect();
    assert_eq!(sums.iter().map(|sum| sum.to_bits()).collect::<Vec<_>>(), expected);
}

fn sums(ranks: &Ranks) {
    for length in [0, 1, 2, 3, 10, 1000, 300_001] {
        sum_as(ranks, length);
    }
    // Nothing is added to begin with: 0.0 + -0.0 is 0.0.
    let mut zero = [-0.0];
    ranks.sum_f64(&mut zero).unwrap();
    assert!(zero[0].is_sign_negative());
}

fn differing_sums(ranks: &Ranks) {
    let last = ranks.count() - 1;
    let mut values = vec![1.0; if ranks.rank() == last { 4 } else { 3 }];
    let result = ranks.sum_f64(&mut values);
    let error = match (last, ranks.rank() == last) {
        (0, _) => return assert_eq!(result, Ok(())),
        (_, true) => RanksError::Length { rank: 0, theirs: 3, ours: 4 },
        (_, false) => RanksError::Length { rank: last, theirs: 4, ours: 3 },
    };
    assert_eq!((result, &values[..3]), (Err(error), &[1.0; 3][..]));
    ranks.barrier().unwrap();
}

fn threads_take_turns(ranks: &Ranks) {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            // Which of the threads comes first does not matter: they call the same.
            scope.spawn(|| assert!(ranks.all(true).unwrap()));
        }
    });
    ranks.barrier().unwrap();
}

/// What ranks do not survive: they are out of step, and all know. For two ranks or more.
pub(crate) fn other_orders(ranks: &Ranks) {
    let last = ranks.count() - 1;
    let (error, again) = match ranks.rank() == last {
        true => (ranks.barrier().unwrap_err(), ranks.gather(&[1u8]).unwrap_err()),
        false => (ranks.any(true).unwrap_err(), ranks.barrier().unwrap_err()),
    };
    let expected = match ranks.rank() == last {
        true => RanksError::Order { rank: 0, theirs: "any", ours: "barrier" },
        false => RanksError::Order { rank: last, theirs: "barrier", ours: "any" },
    };
    assert_eq!((&error, &again), (&expected, &expected));
    assert!(!error.is_input());
}
