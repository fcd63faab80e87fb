//! Pairs in memory: patches, symmetries, splits, normalisation and channels.
#![expect(clippy::unwrap_used, reason = "a test may panic, in its helpers, too")]

use finescale_field::{Boundary, Channels, Field3, Grid, Normalizer, Region, Scalar, ScalarName, Transform};
use finescale_pairs::{Density, Normalization, Normalizers, Pair, PairError, PairSet, Scale};
use ndarray::Array3;
use std::sync::Arc;

/// Identity on log1p(1 + delta): what a test wrote it finds again.
fn plain() -> Normalization {
    plain_for(1)
}

fn plain_for(fields: usize) -> Normalization {
    let transform = Transform::Linear { mu: 0.0, s: 1.0, low: 0.0, high: 10.0 };
    let normalizer = Normalizer { mean_count: 1.0, transform };
    Normalization::from(Normalizers { condition: normalizer, truth: vec![normalizer; fields] })
}

/// A density with a different value in each voxel, mean near 1.
fn density(cells: [usize; 3], offset: f32) -> Field3 {
    let grid = Grid::new(cells, cells.map(|n| n as f64)).unwrap();
    let count = grid.voxels() as f32;
    let values =
        Array3::from_shape_fn(cells, |(i, j, k)| offset + ((i * cells[1] + j) * cells[2] + k) as f32 / count);
    Field3::new(grid, values).unwrap()
}

/// The values of a density.
fn field(density: &Density) -> Field3 {
    Field3::read_from(&*density.values).unwrap()
}

fn pair(cells: [usize; 3]) -> Pair {
    Pair::new(density(cells, 0.25), vec![density(cells, 0.5)])
}

fn set(hold_out: Option<Region>) -> PairSet {
    PairSet::new(vec![pair([10; 3]), pair([10, 12, 9])], vec![], hold_out, plain(), Channels::default())
        .unwrap()
}

/// The density under a value of a batch.
fn back(y: f32) -> f32 {
    f64::from(y).exp_m1() as f32
}

#[test]
fn a_batch_is_a_function_of_seed_and_step() {
    let set = set(None);
    let batch = set.training_batch(3, 7, 4, 5).unwrap();
    assert_eq!((batch.size, batch.patch_cells, batch.truth.len()), (4, 5, 4 * 125));
    assert_eq!(batch, set.training_batch(3, 7, 4, 5).unwrap());
    for other in [set.training_batch(3, 8, 4, 5).unwrap(), set.training_batch(4, 7, 4, 5).unwrap()] {
        for sample in 0..4 {
            let range = sample * 125..(sample + 1) * 125;
            assert_ne!(batch.truth[range.clone()], other.truth[range]);
        }
    }
}

#[test]
fn a_patch_does_not_depend_on_its_batch_nor_on_threads() {
    let set = set(None);
    let four = set.training_batch(3, 7, 4, 5).unwrap();
    let two = set.training_batch(3, 7, 2, 5).unwrap();
    assert_eq!(four.truth[..250], two.truth);
    assert_eq!(four.condition[..250], two.condition);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(pool.install(|| set.training_batch(3, 7, 4, 5).unwrap()), four);
}

#[test]
fn condition_and_truth_are_of_the_same_place() {
    // The truth is the condition plus 1/4 in every voxel.
    let batch = set(None).training_batch(1, 1, 32, 6).unwrap();
    for (condition, truth) in batch.condition.iter().zip(&batch.truth) {
        assert!((back(*truth) - back(*condition) - 0.25).abs() < 1e-5);
    }
}

#[test]
fn a_baseline_is_a_second_channel_of_the_same_place() {
    let pair = pair([10; 3]);
    let smooth = field(&pair.condition).smoothed(0.8, Boundary::Periodic);
    let channels = Channels { baseline_smoothing_cells: Some(0.8), ..Channels::default() };
    // The fields count voxels along z, so a value says where it is: here the channels must agree about that.
    let set = PairSet::new(vec![pair.clone()], vec![], None, plain(), channels).unwrap();
    let batch = set.training_batch(1, 1, 4, 5).unwrap();
    assert_eq!((batch.condition.len(), batch.truth.len()), (4 * 2 * 125, 4 * 125));
    let densities: Vec<f32> = field(&pair.condition).as_slice().to_vec();
    for patch in batch.condition.chunks_exact(2 * 125) {
        for (density, baseline) in patch[..125].iter().zip(&patch[125..]) {
            let nearest = |&a: &usize, &b: &usize| {
                let distance = |i: usize| (densities[i] - back(*density)).abs();
                distance(a).total_cmp(&distance(b))
            };
            let voxel = (0..densities.len()).min_by(nearest).unwrap();
            assert!((back(*baseline) - smooth.as_slice()[voxel]).abs() < 1e-5);
        }
    }
    assert_eq!(set.validation_part(10).unwrap(), None);
}

#[test]
fn patches_wrap_around_and_every_voxel_is_met() {
    let set = PairSet::new(vec![pair([6; 3])], vec![], None, plain(), Channels::default()).unwrap();
    let mut met = vec![0u32; 216];
    let mut wrapped = false;
    for step in 0..60 {
        let batch = set.training_batch(5, step, 4, 3).unwrap();
        for patch in batch.truth.chunks(27) {
            let voxels: Vec<usize> =
                patch.iter().map(|&y| ((back(y) - 0.5) * 216.0).round() as usize).collect();
            voxels.iter().for_each(|&v| met[v] += 1);
            let planes = voxels.iter().map(|v| v / 36);
            wrapped |= planes.clone().min() == Some(0) && planes.max() == Some(5);
        }
    }
    assert!(wrapped);
    assert!(met.iter().all(|&count| count > 0));
}

#[test]
fn open_boxes_do_not_wrap() {
    let mut open = pair([6; 3]);
    open.truth[0].meta.boundary = Boundary::Open;
    let set = PairSet::new(vec![open], vec![], None, plain(), Channels::default()).unwrap();
    for patch in set.training_batch(5, 0, 200, 4).unwrap().truth.chunks(64) {
        let planes = patch.iter().map(|&y| ((back(y) - 0.5) * 216.0).round() as usize / 36);
        assert_eq!(planes.clone().max().unwrap() - planes.min().unwrap(), 3);
    }
}

#[test]
fn a_symmetry_moves_both_fields_alike_and_all_occur() {
    // A box of one patch: what differs between patches is the shift and the symmetry.
    let set = PairSet::new(vec![pair([10; 3])], vec![], None, plain(), Channels::default()).unwrap();
    let batch = set.training_batch(2, 0, 500, 2).unwrap();
    // Signed direction of the steps along the patch's three axes names the symmetry, where the patch does not
    // wrap.
    let mut seen = std::collections::BTreeSet::new();
    for patch in batch.truth.chunks(8) {
        let at = |i: usize| (back(patch[i]) * 1000.0).round() as i64;
        let steps = [at(4) - at(0), at(2) - at(0), at(1) - at(0)];
        let mut sizes = steps.map(i64::abs);
        sizes.sort_unstable();
        if sizes == [1, 10, 100] {
            seen.insert(steps);
        }
    }
    assert_eq!(seen.len(), 48);
}

#[test]
fn held_out_voxels_are_validated_on_and_never_trained_on() {
    // The region crosses the upper x face and spans y and z half way.
    let region = Region { start: [8, 2, 1], shape: [5, 6, 7] };
    let set = PairSet::new(vec![pair([10; 3])], vec![], Some(region), plain(), Channels::default()).unwrap();
    assert!(set.has_validation());
    let held = |y: f32| {
        let index = ((back(y) - 0.5) * 1000.0).round() as i64;
        let voxel = [index / 100, index / 10 % 10, index % 10];
        (0..3).all(|a| (voxel[a] - region.start[a]).rem_euclid(10) < region.shape[a] as i64)
    };
    for step in 0..50 {
        let batch = set.training_batch(9, step, 8, 3).unwrap();
        assert!(!batch.truth.iter().any(|&y| held(y)));
    }
    let validation = set.validation_batch(0, 64, 3).unwrap();
    assert!(validation.truth.iter().all(|&y| held(y)));
}

#[test]
fn validation_patches_are_a_fixed_row() {
    let set =
        PairSet::new(vec![pair([10; 3])], vec![pair([8; 3])], None, plain(), Channels::default()).unwrap();
    let four = set.validation_batch(0, 4, 5).unwrap();
    let second = set.validation_batch(1, 2, 5).unwrap();
    assert_eq!(four.truth[250..], second.truth);
    assert_ne!(four.truth[..250], second.truth);
}

#[test]
fn fitted_normalizers_scale_the_training_pairs() {
    let normalization = Normalization { condition: Scale::Fit(2.0), truth: Scale::Fit(8.0) };
    let set = PairSet::new(vec![pair([10; 3])], vec![], None, normalization, Channels::default()).unwrap();
    let batch = set.training_batch(0, 0, 64, 10).unwrap();
    for (values, normalizer, mean_count) in [
        (&batch.condition, set.normalizers().condition, 2.0),
        (&batch.truth, set.normalizers().truth[0], 8.0),
    ] {
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 1e-5 && (variance.sqrt() - 0.5).abs() < 1e-5, "{mean} {variance}");
        assert_eq!(normalizer.mean_count, mean_count);
    }
    assert_eq!(set.grid().cells(), [10; 3]);
}

#[test]
fn pairs_that_do_not_belong_together_are_refused() {
    let make = |pairs: Vec<Pair>| {
        PairSet::new(pairs, vec![], None, plain(), Channels::default()).map(|_| ()).unwrap_err()
    };
    assert!(matches!(make(vec![]), PairError::NoTraining));

    let error = make(vec![Pair::new(density([4; 3], 0.5), vec![density([8; 3], 0.5)])]);
    assert!(matches!(error, PairError::NoPair { .. }), "{error}");
    let mut late = pair([4; 3]);
    late.truth[0].meta.redshift = 1.0;
    assert!(make(vec![late]).to_string().contains("redshifts are 0 and 1"));

    let wide = Field3::new(Grid::cube(8, 16.0).unwrap(), density([8; 3], 0.5).into_values()).unwrap();
    let error = make(vec![pair([8; 3]), Pair::new(wide.clone(), vec![wide])]);
    assert!(matches!(error, PairError::Unlike { .. }), "{error}");
    let mut other = pair([8; 3]);
    other.truth[0].meta.quantity = "stars".to_owned();
    let error = make(vec![pair([8; 3]), other]);
    assert!(error.to_string().contains("`stars` and `truth_0`"), "{error}");

    let two = |cells| Pair::new(density(cells, 0.25), vec![density(cells, 0.5), density(cells, 0.4)]);
    let error = make(vec![pair([8; 3]), two([8; 3])]);
    assert!(error.to_string().contains("they have 2 and 1 high-resolution fields"), "{error}");
    let mut twice = two([8; 3]);
    twice.truth[1].meta.quantity = "truth_0".to_owned();
    let error = make(vec![twice]);
    assert!(error.to_string().contains("two of its high-resolution fields are `truth_0`"), "{error}");

    for name in ["../../precious", "a b", "", "ga\u{1b}s"] {
        let mut named = pair([4; 3]);
        named.truth[0].meta.quantity = name.to_owned();
        assert!(matches!(make(vec![named]), PairError::Quantity { .. }), "{name}");
    }

    let error = make(vec![Pair::new(density([4; 3], -0.5), vec![density([4; 3], 0.5)])]);
    assert!(matches!(error, PairError::Density { .. }), "{error}");
    let error = make(vec![Pair::new(density([4; 3], 0.5), vec![density([4; 3], 849.0)])]);
    assert!(matches!(error, PairError::Mean { .. }), "{error}");
}

#[test]
fn impossible_splits_and_sizes_are_refused() {
    let region = |cells| Some(Region::cube([0; 3], cells));
    let new = |validation, hold_out| {
        PairSet::new(vec![pair([8; 3])], validation, hold_out, plain(), Channels::default())
    };
    assert!(matches!(new(vec![], region(9)), Err(PairError::Split { .. })));
    assert!(matches!(new(vec![pair([8; 3])], region(4)), Err(PairError::Split { .. })));

    let error = new(vec![], region(8)).unwrap().training_batch(0, 0, 1, 3).unwrap_err();
    assert!(matches!(error, PairError::NoRoom { set: "training", .. }), "{error}");
    let error = new(vec![], region(2)).unwrap().validation_batch(0, 1, 3).unwrap_err();
    assert!(error.to_string().contains("another hold_out"), "{error}");
    let error = new(vec![], None).unwrap().training_batch(0, 0, 1, 9).unwrap_err();
    assert!(matches!(error, PairError::NoRoom { patch_cells: 9, .. }), "{error}");
    let error = new(vec![], None).unwrap().validation_batch(0, 1, 3).unwrap_err();
    assert!(error.to_string().contains("data.validation"), "{error}");
}

#[test]
fn impossible_normalizations_are_refused() {
    let given = |s| {
        let normalizer = Normalizer { mean_count: 1.0, transform: Transform::Sigmoid { mu: 0.0, s } };
        Normalizers { condition: normalizer, truth: vec![normalizer] }
    };
    let ones = Field3::new(Grid::cube(4, 4.0).unwrap(), Array3::ones([4; 3])).unwrap();
    for (pair, normalization) in [
        (pair([4; 3]), Normalization::from(given(0.0))),
        (Pair::new(density([4; 3], 0.5), vec![ones]), Normalization::default()),
    ] {
        let error = PairSet::new(vec![pair], vec![], None, normalization, Channels::default()).unwrap_err();
        assert!(matches!(error, PairError::Normalizer { .. }), "{error}");
    }
}

#[test]
fn the_validation_part_is_what_was_given_with_its_surroundings() {
    /// f32 through a logarithm and back.
    const REL: f32 = 1e-5;
    let close = |found: &Field3, whole: &Field3, start: [usize; 3]| {
        for ((i, j, k), value) in found.values().indexed_iter() {
            let expected = whole.values()[[start[0] + i, start[1] + j, start[2] + k]];
            assert!((value - expected).abs() < REL * expected, "{value} instead of {expected}");
        }
    };
    // Denser than anything that the normalizers of the training box know.
    let mut dense = pair([10, 12, 9]);
    let mut denser = field(&dense.truth[0]);
    denser.as_slice_mut()[0] = 100.0;
    dense.truth[0].values = Arc::new(denser.clone());
    let new = |validation, hold_out, channels| {
        PairSet::new(vec![pair([10; 3])], validation, hold_out, Normalization::default(), channels).unwrap()
    };
    let set = new(vec![dense.clone()], None, Channels::default());
    let part = set.validation_part(10).unwrap().unwrap();
    assert_eq!(part.truth[0].grid().cells(), [10, 10, 9]);
    assert_eq!(part.truth[0].grid().voxel_mpc_h(), [1.0; 3]);
    assert!(!part.boundary.is_periodic() && set.validation_part(12).unwrap().unwrap().boundary.is_periodic());
    close(&part.truth[0], &denser, [0; 3]);
    let y = set.normalizers().condition.normalize_field(&field(&dense.condition));
    assert_eq!(part.condition.len(), 1);
    assert_eq!(*part.condition[0].values(), y.extract(&Region::whole(part.truth[0].grid())).unwrap());

    let region = Region { start: [2, 3, 4], shape: [5, 6, 4] };
    let surroundings = Channels { surroundings_smoothing_cells: Some(2.0), ..Channels::default() };
    let set = new(vec![], Some(region), surroundings);
    let part = set.validation_part(5).unwrap().unwrap();
    assert_eq!(part.truth[0].grid().cells(), [5, 5, 4]);
    close(&part.truth[0], &field(&pair([10; 3]).truth[0]), [2, 3, 4]);
    // Those of the whole box, not of the part.
    let wide = field(&pair([10; 3]).condition).smoothed(2.0, Boundary::Periodic);
    let wide = set.normalizers().condition.normalize_field(&wide);
    assert_eq!(*part.condition[1].values(), wide.extract(&Region { shape: [5, 5, 4], ..region }).unwrap());
    assert!(set_without_validation().validation_part(5).unwrap().is_none());
}

fn set_without_validation() -> PairSet {
    PairSet::new(vec![pair([10; 3])], vec![], None, plain(), Channels::default()).unwrap()
}

/// Boxes of these sigma_8, trained on with the scalar or without.
fn varied(sigma_8: [Option<f64>; 2], with: bool) -> Result<PairSet, PairError> {
    let box_of = |sigma_8: Option<f64>| {
        let mut pair = pair([6; 3]);
        sigma_8.into_iter().for_each(|value| pair.condition.meta.set_scalar(ScalarName::Sigma8, value));
        pair
    };
    let scalar = Scalar { name: ScalarName::Sigma8, centre: 0.8, width: 0.2 };
    let channels = Channels { scalars: if with { vec![scalar] } else { vec![] }, ..Channels::default() };
    PairSet::new(sigma_8.map(box_of).into(), vec![], None, plain(), channels)
}

#[test]
fn pairs_of_several_universes_say_which_in_a_channel() {
    let set = varied([Some(0.9), Some(0.7)], true).unwrap();
    assert_eq!(set.scalar_ranges(), [[0.7, 0.9]]);
    let batch = set.training_batch(3, 1, 64, 4).unwrap();
    let mut met = [0, 0];
    for patch in batch.condition.chunks_exact(2 * 64) {
        let value = patch[64];
        assert!(patch[64..].iter().all(|&other| other == value) && (value.abs() - 0.5).abs() < 1e-6);
        met[usize::from(value > 0.0)] += 1;
    }
    assert!(met[0] > 10 && met[1] > 10, "{met:?}");
    // Without the channel they are patches like any other.
    let plain = varied([Some(0.9), None], false).unwrap();
    assert_eq!(
        (plain.scalar_ranges().len(), plain.training_batch(3, 1, 2, 4).unwrap().condition.len()),
        (0, 128)
    );
}

#[test]
fn a_missing_scalar_is_named_with_its_file_and_remedy() {
    let error = varied([Some(0.9), None], true).unwrap_err();
    assert!(matches!(&error, PairError::NoScalar { scalar: ScalarName::Sigma8, .. }), "{error}");
    let text = error.to_string();
    for part in ["condition.hdf5", "its sigma_8", "finescale grid --scalar sigma_8=VALUE", "data.scalars"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn several_fields_are_channels_of_the_truth() {
    let pair = Pair::new(density([6; 3], 0.25), vec![density([6; 3], 0.5), density([6; 3], 0.75)]);
    let channels = Channels { baseline_smoothing_cells: Some(0.8), ..Channels::default() };
    let set = PairSet::new(vec![pair.clone()], vec![pair], None, plain_for(2), channels).unwrap();
    assert_eq!(set.truth_meta().len(), 2);
    let batch = set.training_batch(3, 7, 2, 4).unwrap();
    // Density and two baselines.
    assert_eq!((batch.condition.len(), batch.truth.len()), (2 * 3 * 64, 2 * 2 * 64));
    for fields in batch.truth.chunks(2 * 64) {
        // The same places under the same symmetry: densities that differ by a quarter.
        let (first, second) = fields.split_at(64);
        assert!(first.iter().zip(second).all(|(a, b)| (back(*b) - back(*a) - 0.25).abs() < 1e-5));
    }
    let part = set.validation_part(4).unwrap().unwrap();
    assert!((part.truth[1].mean() - part.truth[0].mean() - 0.25).abs() < 1e-5);
}

#[test]
fn pairs_of_one_universe_are_told_from_others() {
    let wave = |phase: f32| {
        let value = move |(i, j, k): (usize, usize, usize)| {
            1.0 + 0.5 * (0.7 * (i + 2 * j) as f32 + 0.3 * k as f32 + phase).sin()
        };
        Field3::new(Grid::cube(16, 16.0).unwrap(), Array3::from_shape_fn([16; 3], value)).unwrap()
    };
    let correlation = |truth| {
        let pairs = vec![Pair::new(wave(0.0), vec![truth])];
        let set = PairSet::new(pairs, vec![], None, plain(), Channels::default()).unwrap();
        set.correlations()[0].1
    };
    assert!((correlation(wave(0.0)) - 1.0).abs() < 1e-6);
    assert!(correlation(wave(std::f32::consts::FRAC_PI_2)).abs() < 0.2);
    // Blocks do not divide such a box.
    let set = PairSet::new(vec![pair([6; 3])], vec![], None, plain(), Channels::default()).unwrap();
    assert!(set.correlations().is_empty());
}
