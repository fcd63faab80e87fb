//! Boxes with and without seams.

mod support;

use finescale_field::{Field3, Grid, Region};
use finescale_seed::{KeyedStream, Purpose};
use finescale_spectra::{SeamScore, Seams, TileFaces, seams};
use support::gaussian;

const CELLS: usize = 48;
const TILE: usize = 12;
const BOX_MPC_H: f64 = 72.0;
/// Correlation over a few voxels of 1.5 Mpc/h.
const RADIUS_MPC_H: f64 = 2.5;
const SEEDS: u64 = 60;
/// One seamless field in 20 is outside of a 95 % range: of 60, more than 8 are in two cases of 1000.
const FALSE_ALARMS: usize = 8;

fn faces() -> TileFaces {
    TileFaces::every(TILE, 0, [CELLS; 3])
}

fn look(field: &Field3, faces: &TileFaces) -> Seams {
    seams(field, faces, KeyedStream::new(5, Purpose::Bootstrap)).expect("sound fields")
}

fn lognormal(gaussian: &Field3) -> Field3 {
    gaussian.map(|g| (0.8 * g - 0.32).exp())
}

fn seamless(seed: u64) -> Field3 {
    gaussian(Grid::cube(CELLS, BOX_MPC_H).expect("cells and a size"), RADIUS_MPC_H, seed)
}

/// Each tile from a box of its own.
fn independent_tiles(seed: u64) -> Field3 {
    let small = Grid::cube(2 * TILE, BOX_MPC_H * (2 * TILE) as f64 / CELLS as f64).expect("cells and a size");
    let mut field = Field3::zeros(Grid::cube(CELLS, BOX_MPC_H).expect("cells and a size"));
    let across = CELLS / TILE;
    for tile in 0..across.pow(3) {
        let of_its_own = gaussian(small, RADIUS_MPC_H, 1000 * (seed + 1) + tile as u64);
        let start = [tile / across.pow(2), tile / across % across, tile % across].map(|t| (t * TILE) as i64);
        let values = of_its_own.extract(&Region::cube([3; 3], TILE)).expect("a tile within its box");
        field.insert(&Region::cube(start, TILE), values.view()).expect("a tile within the box");
    }
    field
}

/// Applies `change` to the voxels at both sides of the faces.
fn at_faces(field: &Field3, change: impl Fn(f32) -> f32) -> Field3 {
    let is_near = |i: usize| i.is_multiple_of(TILE) || i % TILE == TILE - 1;
    let mut changed = field.clone();
    for (at, value) in changed.as_slice_mut().iter_mut().enumerate() {
        if [at / (CELLS * CELLS), at / CELLS % CELLS, at % CELLS].into_iter().any(is_near) {
            *value = change(*value);
        }
    }
    changed
}

fn alarms<'a>(scores: impl Iterator<Item = &'a SeamScore>) -> usize {
    scores.filter(|score| !score.is_expected()).count()
}

#[test]
fn seamless_boxes_pass_and_boxes_of_independent_tiles_fail() {
    let without: Vec<Seams> = (0..SEEDS).map(|seed| look(&lognormal(&seamless(seed)), &faces())).collect();
    let counts = [
        alarms(without.iter().map(|s| &s.gradient)),
        alarms(without.iter().map(|s| &s.variance)),
        alarms(without.iter().filter_map(|s| s.harmonics.as_ref())),
    ];
    assert!(counts.iter().all(|&count| count <= FALSE_ALARMS), "{counts:?} of {SEEDS}");
    let mean = without.iter().map(|s| s.gradient.at_faces).sum::<f64>() / SEEDS as f64;
    assert!((mean - 1.0).abs() < 0.01, "{mean}");
    // Another seamless box is a truth to compare with, too.
    let pairs = without.iter().zip(without.iter().skip(1));
    let unlike = pairs.filter(|(one, truth)| !one.gradient.is_expected_of(&truth.gradient)).count();
    assert!(unlike <= FALSE_ALARMS, "{unlike} of {SEEDS}");

    for seed in 0..6 {
        let tiled = lognormal(&independent_tiles(seed));
        let found = look(&tiled, &faces());
        assert!(!found.gradient.is_expected() && found.gradient.at_faces > 1.3, "{:?}", found.gradient);
        assert!(!found.gradient.is_expected_of(&without[seed as usize].gradient));
        // Every axis on its own is far above all that seamless boxes have.
        let highest = without.iter().map(|s| s.gradient.expected[1]).fold(0.0, f64::max);
        assert!(found.gradient.axes.iter().all(|axis| axis.unwrap() > 1.2 * highest), "{:?}", found.gradient);
        // One cell beside the faces there is nothing.
        let beside = look(&tiled, &TileFaces::every(TILE, 1, [CELLS; 3]));
        assert!(beside.gradient.at_faces < 1.05, "{:?}", beside.gradient);
    }
}

#[test]
fn tiles_that_blur_towards_their_faces_fail_by_variance() {
    for seed in 0..6 {
        // In the logarithm about its mean: 15 % less contrast.
        let blurred = lognormal(&at_faces(&seamless(seed), |g| 0.85 * g));
        let score = look(&blurred, &faces()).variance;
        assert!(!score.is_expected() && score.at_faces < 0.9, "{score:?}");
    }
}

#[test]
fn a_profile_that_repeats_from_tile_to_tile_fails_by_its_harmonics() {
    for seed in 0..6 {
        let profiled = lognormal(&at_faces(&seamless(seed), |g| g + 0.1));
        let score = look(&profiled, &faces()).harmonics.unwrap();
        assert!(!score.is_expected() && score.at_faces > 2.0, "{score:?}");
    }
}

#[test]
fn scores_need_no_cube_and_do_not_depend_on_threads() {
    let grid = Grid::new([24, 36, 20], [36.0, 54.0, 30.0]).unwrap();
    let field = lognormal(&gaussian(grid, RADIUS_MPC_H, 7));
    let faces = TileFaces::every(12, 5, grid.cells());
    let with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| look(&field, &faces))
    };
    let found = with_threads(1);
    assert_eq!(found, with_threads(4));
    // 20 cells have no two equal tiles of 12, but faces.
    assert!(found.gradient.axes.iter().all(Option::is_some));
    assert_eq!(found.harmonics.unwrap().axes.map(|axis| axis.is_some()), [true, true, false]);
}
