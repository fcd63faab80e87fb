//! Goals judged where the posterior is known: exact draws miss none, wrong ones some. `examples/sandbox.rs` does the same with
//! more and larger boxes.

#[path = "support/sandbox.rs"]
mod sandbox;

use finescale_judge::Outcome;
use sandbox::{Sampler, compare};

/// The keys of the goals that are missed.
fn missed(sampler: Sampler) -> Vec<&'static str> {
    let found = compare(sampler, 32, 8, 4, 1);
    found.goals.iter().filter(|goal| goal.outcome == Outcome::Miss).map(|goal| goal.key).collect()
}

#[test]
fn exact_draws_miss_nothing() {
    assert!(missed(Sampler::Exact).is_empty(), "{:?}", missed(Sampler::Exact));
}

#[test]
fn wrong_draws_miss_what_they_are_wrong_in() {
    for sampler in Sampler::WRONG {
        let expected = match sampler {
            Sampler::OverdispersedInVoids
            | Sampler::UnderdispersedInVoids
            | Sampler::PhasesShared
            | Sampler::PosteriorMean => "environment_spread",
            Sampler::BiasedInVoids => "environment_mass",
            Sampler::SeamsInOneStep => "seams",
            Sampler::OtherUniverse => "environment_mass",
            Sampler::Anisotropic => "coverage",
            Sampler::SmoothVoids => "environment_steps",
            Sampler::Smooth => "power_small_scales",
            Sampler::FilledVoids => "nearly_empty",
            // So little needs more and larger boxes than a test has.
            Sampler::Mass | Sampler::Skewed | Sampler::ClippedPeaks => continue,
            Sampler::Exact => unreachable!("it is not wrong"),
        };
        let missed = missed(sampler);
        assert!(missed.contains(&expected), "{sampler:?}: {missed:?}");
    }
}
