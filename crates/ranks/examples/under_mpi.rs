//! What scripts/check_mpi.sh starts with mpirun: the checks that threads pass in `tests/main.rs`, ranks that are lost in
//! several ways, messages of more than 2 GiB, and how long messages take.
#![expect(clippy::unwrap_used, reason = "a check ends with what is wrong")]
#![expect(clippy::print_stdout, reason = "a program")]

#[path = "../tests/support/bodies.rs"]
mod bodies;

use bodies::{BODIES, exchange_as, other_orders, pattern, sum_as};
use finescale_ranks::{Ranks, RanksError};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::process::{Command, ExitCode, exit};
use std::time::{Duration, Instant};
use std::{env, thread};

const USAGE: &str =
    "usage: under_mpi count | checks PART_BYTES | lost panic|exit|kill|abort|return|busy | huge | speed";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ranks = match Ranks::start() {
        Ok(ranks) => ranks,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    match arguments[..] {
        ["count"] => println!("{ranks:?}"),
        ["checks", bytes] => checks(&ranks.with_parts_of(bytes.parse().unwrap())),
        ["lost", how] => return lost(&ranks, how),
        ["huge"] => huge(&ranks),
        ["speed"] => speed(&ranks),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// All that threads are asked, and a second start. What `other_orders` leaves, ends as well.
fn checks(ranks: &Ranks) {
    BODIES.iter().for_each(|(_, body)| body(ranks));
    // The same cases on all ranks.
    let mut cases = TestRunner::deterministic();
    for _ in 0..64 {
        exchange_as(ranks, &pattern(ranks.count()).new_tree(&mut cases).unwrap().current());
    }
    (0..40).for_each(|length| sum_as(ranks, length));
    assert_eq!(Ranks::start().unwrap_err(), RanksError::Started);
    if ranks.is_first() {
        println!("{} checks, {} ranks: all is well", BODIES.len(), ranks.count());
    }
    if ranks.count() > 1 {
        other_orders(ranks);
    }
}

/// The last rank is lost while the others wait for it.
fn lost(ranks: &Ranks, how: &str) -> ExitCode {
    ranks.barrier().unwrap();
    let last = ranks.rank() + 1 == ranks.count();
    match how {
        "busy" => busy(ranks, last),
        _ if !last => {
            let error = format!("{ranks:?}: {}\n", ranks.barrier().unwrap_err());
            eprint!("{error}");
            return ExitCode::from(4);
        }
        _ => thread::sleep(Duration::from_millis(300)),
    }
    match how {
        "panic" => panic!("as planned"),
        "exit" => exit(1),
        "kill" => drop(Command::new("sh").args(["-c", "kill -9 $PPID"]).status()),
        "abort" => ranks.abort(3),
        _ => {}
    }
    ExitCode::from(5)
}

/// On the last rank a thread gives up while another waits for the other ranks, which are busy.
fn busy(ranks: &Ranks, last: bool) {
    if !last {
        thread::sleep(Duration::from_secs(60));
    }
    thread::scope(|scope| {
        scope.spawn(|| ranks.barrier());
        thread::sleep(Duration::from_millis(300));
        ranks.abort(3);
    });
}

/// A message of more than 2 GiB from each rank to the next one.
fn huge(ranks: &Ranks) {
    const VALUES: usize = (2 << 30) / 8 + 1000;
    let (count, own) = (ranks.count(), ranks.rank());
    let before = (own + count - 1) % count;
    let sent: Vec<u64> = (0..VALUES as u64).map(|index| index * count as u64 + own as u64).collect();
    let received = ranks.exchange(&[((own + 1) % count, &sent[..])], &[(before, VALUES)]).unwrap();
    let right = |(index, value): (usize, &u64)| *value == (index * count + before) as u64;
    assert!(received[0].iter().enumerate().all(right));
    println!("{ranks:?}: {} bytes came", size_of_val(&sent[..]));
}

/// How long it takes to exchange messages with the next rank, and to sum.
fn speed(ranks: &Ranks) {
    let (count, own) = (ranks.count(), ranks.rank());
    let (next, before) = ((own + 1) % count, (own + count - 1) % count);
    for (bytes, times) in [(8, 10_000), (1 << 10, 10_000), (1 << 20, 500), (64 << 20, 20)] {
        let message = vec![1.0; bytes / 8];
        let exchange = || drop(ranks.exchange(&[(next, &message[..])], &[(before, message.len())]).unwrap());
        let mut sums = message.clone();
        let sum = || ranks.sum_f64(&mut sums).unwrap();
        let (exchange, sum) = (measure(ranks, times, exchange), measure(ranks, times, sum));
        if ranks.is_first() {
            let rate = bytes as f64 / exchange.as_secs_f64() / 1e9;
            println!("{bytes:9} bytes: exchange {exchange:.2?} ({rate:.2} GB/s each way), sum_f64 {sum:.2?}");
        }
    }
    let barrier = measure(ranks, 10_000, || ranks.barrier().unwrap());
    if ranks.is_first() {
        println!("barrier {barrier:.2?}");
    }
}

fn measure(ranks: &Ranks, times: u32, mut what: impl FnMut()) -> Duration {
    what();
    ranks.barrier().unwrap();
    let start = Instant::now();
    (0..times).for_each(|_| what());
    start.elapsed() / times
}
