//! Judges exact draws of a lognormal universe, and wrong ones, and counts false alarms.
//!
//! ```sh
//! cargo run --release -p finescale-judge --example sandbox -- CELLS BOXES SAMPLES RUNS
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example may print")]

#[path = "../tests/support/sandbox.rs"]
mod sandbox;

use finescale_judge::{Comparison, Outcome};
use sandbox::{Sampler, compare};

/// The keys of the goals with such an outcome.
fn keys(comparison: &Comparison, outcome: Outcome) -> Vec<&'static str> {
    comparison.goals.iter().filter(|goal| goal.outcome == outcome).map(|goal| goal.key).collect()
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [cells, boxes, samples, runs] = numbers[..] else {
        eprintln!("give CELLS BOXES SAMPLES RUNS, such as 48 16 8 10");
        std::process::exit(2);
    };
    let compare = |sampler, seed| compare(sampler, cells as usize, boxes, samples, seed);
    let (mut alarms, mut judged) = (0, 0);
    for run in 1..=runs {
        let found = compare(Sampler::Exact, run);
        let (missed, undecided) = (keys(&found, Outcome::Miss), keys(&found, Outcome::Undecided));
        alarms += missed.len();
        judged += found.goals.len();
        println!(
            "exact, run {run}: {} pass, missed {missed:?}, undecided {undecided:?}, not measured {:?}",
            keys(&found, Outcome::Pass).len(),
            keys(&found, Outcome::NotMeasured)
        );
        if run == 1 {
            for goal in &found.goals {
                let (found, error) = (goal.found, goal.standard_error);
                println!("    {:<24} {found:?} ± {error:?} of {} at {:?}", goal.key, goal.wanted, goal.at);
            }
        }
    }
    println!("false alarms: {alarms} of {judged} goals");
    for sampler in Sampler::WRONG {
        let found = compare(sampler, 100);
        println!(
            "{sampler:?}: missed {:?}, undecided {:?}",
            keys(&found, Outcome::Miss),
            keys(&found, Outcome::Undecided)
        );
    }
}
