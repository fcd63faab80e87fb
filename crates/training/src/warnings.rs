//! What a user should know of the pairs before hours of training on them.

use finescale_pairs::{GridMeta, PairSet};
use std::path::Path;

/// Particles per voxel below which a density is mostly noise.
const NOISY_MEAN: f64 = 1.0;
/// A condition with so many times the particles of its truth is no low-resolution run of the same universe.
const SWAPPED_FACTOR: f64 = 1.5;
/// Correlation over an eighth of a box that runs of one universe are far above.
const UNRELATED: f64 = 0.5;

/// What is missing or doubtful in `pairs`, one thing a line.
pub(crate) fn warnings(pairs: &PairSet) -> Vec<String> {
    let mut warnings = pairs.notes().to_vec();
    if !pairs.has_validation() {
        warnings.push(
            "nothing will be validated, so nobody will see how the network does on what it never saw: name \
             boxes in data.validation, or a region in data.hold_out"
                .to_owned(),
        );
    }
    for truth in pairs.truth_meta() {
        warnings.extend(noise_warning(truth));
        warnings.extend(swap_warning(pairs.condition_meta(), truth));
    }
    let correlations = pairs.correlations().iter();
    warnings.extend(correlations.filter_map(|(condition, r)| phase_warning(condition, *r)));
    warnings
}

/// Ranks that wait, since the parts of a batch cannot be divided evenly among them.
pub(crate) fn idle_warning(parts: usize, ranks: usize) -> Option<String> {
    let idle = parts.next_multiple_of(ranks) - parts;
    (idle > 0).then(|| {
        format!(
            "training.accumulate is {parts}: {idle} of {ranks} ranks wait for the others in each update; a multiple of {ranks} \
             uses all"
        )
    })
}

fn phase_warning(condition: &Path, correlation: f64) -> Option<String> {
    (correlation < UNRELATED).then(|| {
        format!(
            "{}: on the largest scales it correlates by {correlation:.2} with its truth: are they two runs of one universe, \
             with the same box, phases and redshift?",
            condition.display()
        )
    })
}

fn noise_warning(truth: &GridMeta) -> Option<String> {
    let GridMeta { quantity, mean, .. } = truth;
    let mean = (*mean)?;
    (mean < NOISY_MEAN).then(|| {
        format!(
            "the truth, {quantity}, has {mean:.3} particles per voxel: most of its voids are shot noise, \
             which the network will learn; use fewer cells, or more particles"
        )
    })
}

fn swap_warning(condition: &GridMeta, truth: &GridMeta) -> Option<String> {
    let (of_condition, of_truth) = (condition.mean?, truth.mean?);
    (of_condition > SWAPPED_FACTOR * of_truth).then(|| {
        format!(
            "the condition, {}, has {:.3} particles per voxel, more than the {:.3} of the truth, {}: are they \
             in each other's place?",
            condition.quantity, of_condition, of_truth, truth.quantity
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn blind_noisy_and_swapped_pairs_are_told() {
        let sound = fixtures::pairs_for(&fixtures::config());
        assert_eq!(warnings(&sound), [""; 0]);
        let blind = warnings(&fixtures::training_pairs());
        assert!(blind.len() == 1 && blind[0].starts_with("nothing will be validated"), "{blind:?}");

        assert_eq!(phase_warning("a.hdf5".as_ref(), 0.97), None);
        assert!(phase_warning("a.hdf5".as_ref(), 0.03).unwrap().starts_with("a.hdf5: on the largest scales"));

        let with_mean = |mean: f64| GridMeta { mean: Some(mean), ..sound.truth_meta()[0].clone() };
        assert_eq!(noise_warning(&with_mean(1.0)), None);
        assert!(noise_warning(&with_mean(0.42)).unwrap().contains("0.420 particles per voxel"));
        assert_eq!(swap_warning(&with_mean(8.0), &with_mean(8.0)), None);
        let swapped = swap_warning(&with_mean(0.42), &with_mean(0.125)).unwrap();
        assert!(swapped.contains("0.420") && swapped.contains("0.125"), "{swapped}");
    }
}
