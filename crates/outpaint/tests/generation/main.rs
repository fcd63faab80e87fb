//! Whole volumes from denoisers with a closed form.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too")]

mod guidance;
mod ranks;

use candle_core::{Device, Result, Tensor};
use finescale_diffusion::{Denoise, Sampler, SamplingConfig, SamplingLevels};
use finescale_field::{Field3, Grid, Normalizer, Region, Transform, Windows};
use finescale_outpaint::{
    Boundary, Existing, GenerationConfig, Given, Job, OutpaintError, Progress, Store, Strategy, StrategyName,
    generate,
};
use finescale_ranks::Ranks;
use ndarray::Array3;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// y = ln(1 + n) - 12: no sample comes near an empty voxel.
const TRUTH: Normalizer =
    Normalizer { mean_count: 1.0, transform: Transform::Linear { mu: 12.0, s: 1.0, low: -12.0, high: 28.0 } };
const MEAN: f64 = -0.5;

/// Clean voxels are N(MEAN + condition, 1) along one axis, neighbours correlated by `correlation`, as a first-order
/// autoregressive chain; independent across that axis. Known voxels are taken from their channels.
struct Chain {
    axis: usize,
    correlation: f64,
}

impl Chain {
    /// E[clean | noisy and known] of one row: the Gaussian posterior mean.
    fn posterior(&self, noisy: &[f64], mean: &[f64], known: &[bool], alpha_bar: f64) -> Vec<f64> {
        let n = noisy.len();
        let covariance = |i: usize, j: usize| self.correlation.powi(i.abs_diff(j) as i32);
        let gain = |i: usize| if known[i] { 1.0 } else { alpha_bar.sqrt() };
        // Known voxels have next to no noise of their own.
        let noise = |i: usize| if known[i] { 1e-9 } else { 1.0 - alpha_bar };
        let mut matrix: Vec<Vec<f64>> = (0..n)
            .map(|i| {
                let row = (0..n).map(|j| gain(i) * covariance(i, j) * gain(j));
                let mut row: Vec<f64> = row.collect();
                row[i] += noise(i);
                row.push(noisy[i] - gain(i) * mean[i]);
                row
            })
            .collect();
        let weights = solve(&mut matrix);
        (0..n)
            .map(|i| mean[i] + (0..n).map(|j| covariance(i, j) * gain(j) * weights[j]).sum::<f64>())
            .collect()
    }
}

/// Solves the augmented system of a positive definite matrix, by Gauss-Jordan elimination.
fn solve(matrix: &mut [Vec<f64>]) -> Vec<f64> {
    let n = matrix.len();
    for pivot in 0..n {
        let row = matrix[pivot].clone();
        for (_, other) in matrix.iter_mut().enumerate().filter(|(i, _)| *i != pivot) {
            let factor = other[pivot] / row[pivot];
            other.iter_mut().zip(&row).for_each(|(entry, above)| *entry -= factor * above);
        }
    }
    (0..n).map(|i| matrix[i][n] / matrix[i][i]).collect()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

impl Denoise for Chain {
    fn predict_clean(&self, noisy: &Tensor, condition: &Tensor, noise_level: &Tensor) -> Result<Tensor> {
        let alpha_bar = f64::from(noise_level.to_vec1::<f32>()?[0]);
        let n = noisy.dim(2)?;
        let stride = n.pow(2 - self.axis as u32);
        let state = values(noisy);
        let [condition, known, held] =
            [0, 1, 2].map(|channel| values(&condition.narrow(1, channel, 1).unwrap()));
        let mut clean = vec![0f32; state.len()];
        for first in (0..state.len()).filter(|i| i / stride % n == 0) {
            let row: Vec<usize> = (0..n).map(|i| first + i * stride).collect();
            let is_known: Vec<bool> = row.iter().map(|&i| known[i] == 1.0).collect();
            assert!(row.iter().all(|&i| known[i] == 0.0 || state[i] == held[i]));
            let mean: Vec<f64> = row.iter().map(|&i| MEAN + f64::from(condition[i])).collect();
            let noisy: Vec<f64> = row.iter().map(|&i| f64::from(state[i])).collect();
            for (&i, value) in row.iter().zip(self.posterior(&noisy, &mean, &is_known, alpha_bar)) {
                clean[i] = value as f32;
            }
        }
        Tensor::from_vec(clean, noisy.shape(), &Device::Cpu)
    }

    fn takes_known_channels(&self) -> bool {
        true
    }
}

/// A channel that varies from voxel to voxel, within 0..2.
fn condition(cells: [usize; 3]) -> Vec<Field3> {
    let grid = Grid::new(cells, cells.map(|n| 0.5 * n as f64)).unwrap();
    let bumps = |i: usize, n: usize| 1.0 + (std::f64::consts::TAU * (i as f64 + 0.3) / n as f64).sin();
    let values = Array3::from_shape_fn(cells, |(x, y, z)| {
        (0.25 * (bumps(x, cells[0]) + bumps(y, cells[1]) + 2.0 * bumps(3 * z, cells[2]))) as f32
    });
    vec![Field3::new(grid, values).unwrap()]
}

static ALONE: LazyLock<Ranks> = LazyLock::new(Ranks::alone);

const CHAIN: Chain = Chain { axis: 2, correlation: 0.6 };

fn strategy(name: StrategyName, overlap_cells: usize, margin_cells: usize) -> Strategy {
    let mut strategy = Strategy::new(name, overlap_cells);
    if let Strategy::Sequential(sequential) = &mut strategy {
        sequential.overlap.margin_cells = margin_cells;
    }
    strategy
}

fn job<'a>(denoiser: &'a dyn Denoise, condition: &'a Vec<Field3>) -> Job<'a> {
    let levels = SamplingLevels::LogUniform { steps: 6, sigma_min: 0.01, sigma_max: 60.0 };
    let sampling = SamplingConfig { sampler: Sampler::Ddpm, levels };
    Job {
        denoiser,
        model_hash: "a chain",
        window_cells: 6,
        condition,
        boundary: Boundary::Periodic,
        truth_normalizers: &[TRUTH],
        region: Region::whole(condition[0].grid()),
        given: None,
        config: GenerationConfig {
            strategy: strategy(StrategyName::Joint, 2, 0),
            sampling,
            seed: 5,
            shared_noise: false,
        },
        batch: 1,
        device: &Device::Cpu,
        ranks: &ALONE,
        program: &serde_json::Value::Null,
    }
}

fn run_all(job: &Job, store: &Store) -> std::result::Result<Vec<Field3>, OutpaintError> {
    generate(job, store, &mut |_| {}, &AtomicBool::new(false))?.in_memory()
}

/// The first field.
fn run(job: &Job, store: &Store) -> std::result::Result<Field3, OutpaintError> {
    run_all(job, store).map(|mut fields| fields.remove(0))
}

fn bits(field: &Field3) -> Vec<u32> {
    field.as_slice().iter().map(|value| value.to_bits()).collect()
}

/// Residuals of y from its expected value.
fn residuals(sample: &Field3, condition: &Field3) -> Array3<f64> {
    let sample = TRUTH.normalize_field(sample);
    Array3::from_shape_fn(sample.grid().cells(), |at| {
        f64::from(sample.values()[at]) - MEAN - f64::from(condition.values()[at])
    })
}

/// Checks one-point and neighbour statistics of a periodic sample of 24^3 along the chain's axis, plane by plane.
/// `sampler` is the sampler's own error of the mean and of half the second moments.
fn check_chain(residuals: &Array3<f64>, chain: &Chain, sampler: f64) {
    let n = residuals.len() as f64;
    // Five standard errors: along a chain the variance of the mean grows by (1 + r) / (1 - r), that of the
    // variance by (1 + r^2) / (1 - r^2).
    let (r, axis) = (chain.correlation, chain.axis);
    let mean = residuals.sum() / n;
    assert!(mean.abs() < 5.0 * ((1.0 + r) / (1.0 - r) / n).sqrt() + sampler, "mean {mean}");
    let variance = residuals.mapv(|value| value * value).sum() / n;
    let spread = (2.0 * (1.0 + r * r) / (1.0 - r * r) / n).sqrt();
    assert!((variance - 1.0).abs() < 5.0 * spread + 2.0 * sampler, "variance {variance}");
    // Between each plane and the next, around the periodic end. 576 pairs a plane: the error of a sample
    // covariance is sqrt((1 + r^2) / 576).
    for plane in 0..24 {
        let here = residuals.index_axis(ndarray::Axis(axis), plane);
        let next = residuals.index_axis(ndarray::Axis(axis), (plane + 1) % 24);
        let covariance = (&here * &next).sum() / here.len() as f64;
        let error = ((1.0 + r * r) / here.len() as f64).sqrt();
        assert!(
            (covariance - r).abs() < 5.0 * error + 2.0 * sampler,
            "axis {axis}, plane {plane}: {covariance}"
        );
    }
}

#[test]
fn mean_variance_and_correlation_are_right_also_across_faces_and_the_closing() {
    let condition = condition([24; 3]);
    for axis in 0..3 {
        let chain = Chain { axis, correlation: 0.6 };
        let mut job = job(&chain, &condition);
        job.config.sampling = SamplingConfig::default();
        for name in [StrategyName::Raster, StrategyName::Colour] {
            job.config.strategy = strategy(name, 2, 0);
            let sample = run(&job, &Store::Memory).unwrap();
            check_chain(&residuals(&sample, &condition[0]), &chain, 0.01);
        }
    }
}

#[test]
fn joint_sampling_needs_no_known_voxels_for_the_same() {
    let condition = condition([24; 3]);
    let chain = Chain { axis: 1, correlation: 0.6 };
    let mut job = job(&chain, &condition);
    job.config.sampling = SamplingConfig::default();
    (job.window_cells, job.config.strategy, job.batch) = (12, strategy(StrategyName::Joint, 4, 0), 4);
    let sample = run(&job, &Store::Memory).unwrap();
    // A window does not see beyond its faces: two percent in place of one.
    check_chain(&residuals(&sample, &condition[0]), &chain, 0.02);
}

/// Draws the mean of the condition over a voxel and its neighbours along z, of which it sees those in its window.
struct Blur;

impl Denoise for Blur {
    fn predict_clean(&self, _: &Tensor, condition: &Tensor, _: &Tensor) -> Result<Tensor> {
        let condition = condition.narrow(1, 0, 1)?;
        let (padded, n) = (condition.pad_with_zeros(4, 1, 1)?, condition.dim(4)?);
        let sum = ((padded.narrow(4, 0, n)? + padded.narrow(4, 1, n)?)? + padded.narrow(4, 2, n)?)?;
        sum / 3.0
    }

    fn takes_known_channels(&self) -> bool {
        true
    }
}

#[test]
fn with_margins_every_voxel_is_drawn_by_a_window_that_sees_around_it() {
    let condition = condition([20; 3]);
    let blurred = |(x, y, z): (usize, usize, usize)| {
        [19, 0, 1].map(|offset| condition[0].values()[[x, y, (z + offset) % 20]]).iter().sum::<f32>() / 3.0
    };
    for name in &StrategyName::ALL[1..] {
        let wrong = |margin_cells: usize| {
            let mut job = job(&Blur, &condition);
            (job.window_cells, job.config.strategy) = (8, strategy(*name, 3, margin_cells));
            let sample = TRUTH.normalize_field(&run(&job, &Store::Memory).unwrap());
            let wrong = |(at, value): &((usize, usize, usize), &f32)| (*value - blurred(*at)).abs() > 1e-3;
            sample.values().indexed_iter().filter(wrong).count()
        };
        assert!(wrong(0) > 0, "{name:?}");
        assert_eq!(wrong(1), 0, "{name:?}");
    }
}

#[test]
fn a_run_stopped_anywhere_resumes_to_the_same_bits() {
    let condition = condition([12, 7, 12]);
    for name in StrategyName::ALL {
        let mut job = job(&CHAIN, &condition);
        (job.window_cells, job.config.strategy) = (7, strategy(name, 3, 1));
        let undisturbed = bits(&run(&job, &Store::Memory).unwrap());
        let evaluations = job.plan().unwrap().evaluations;
        for stop_at in (0..evaluations).step_by(7) {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::Folder { path: folder.path().join("work"), existing: Existing::Resume };
            let (cancel, mut told) = (AtomicBool::new(false), 0);
            let mut stop = |progress| {
                if matches!(progress, Progress::Evaluated { windows: 1 }) {
                    told += 1;
                    cancel.store(told > stop_at, Ordering::Relaxed);
                }
            };
            let error = generate(&job, &store, &mut stop, &cancel).unwrap_err();
            assert!(matches!(error, OutpaintError::Cancelled), "{error}");
            let (mut begun, mut again) = (0, 0);
            let resumed = generate(
                &job,
                &store,
                &mut |progress| match progress {
                    Progress::Begun { done, evaluations: all } => {
                        assert_eq!(all, evaluations);
                        begun = done;
                    }
                    Progress::Evaluated { windows } => again += windows,
                },
                &AtomicBool::new(false),
            );
            assert_eq!(bits(&resumed.unwrap().in_memory().unwrap()[0]), undisturbed, "{name:?}");
            // What is finished is not sampled again.
            assert_eq!(begun + again, evaluations);
            let longest = if name == StrategyName::Joint { evaluations / 6 + 20 } else { 6 };
            assert!(begun + longest > stop_at, "{name:?}: {begun} of {stop_at} were kept");
            store.remove().unwrap();
        }
    }
}

#[test]
fn any_threads_and_batch_give_the_same_bits_and_a_wavefront_those_of_a_raster() {
    let condition = condition([9, 7, 12]);
    let with = |boundary, name, threads, batch| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let run = || {
            let mut job = job(&CHAIN, &condition);
            (job.boundary, job.config.strategy, job.batch) = (boundary, strategy(name, 2, 0), batch);
            bits(&run(&job, &Store::Memory).unwrap())
        };
        // A denoiser is not asked from several threads, so it need not be made for them.
        pool.install(run)
    };
    // Windows of a wavefront run together in an open volume only.
    for boundary in [Boundary::Periodic, Boundary::Open] {
        for name in StrategyName::ALL {
            let plain = with(boundary, name, 1, 1);
            assert_eq!(plain, with(boundary, name, 2, 4), "{name:?}");
            assert_eq!(plain, with(boundary, name, 4, 3), "{name:?}");
        }
        let raster = with(boundary, StrategyName::Raster, 1, 1);
        assert_eq!(raster, with(boundary, StrategyName::Wavefront, 2, 3));
        assert_ne!(raster, with(boundary, StrategyName::Colour, 1, 1));
    }
    let mut open = job(&CHAIN, &condition);
    (open.boundary, open.config.strategy) = (Boundary::Open, strategy(StrategyName::Wavefront, 2, 0));
    let plan = open.plan().unwrap();
    assert!(plan.groups < plan.windows, "{} groups of {} windows", plan.groups, plan.windows);
}

#[test]
fn what_is_given_stays_to_the_bit_and_is_gone_on_from() {
    let condition = condition([24, 6, 24]);
    let chain = Chain { axis: 2, correlation: 0.95 };
    let job = job(&chain, &condition);
    // Far from the mean of 0.5: what lies beside it must follow.
    let (start, shape) = ([0, 0, 20], [24, 6, 6]);
    let grid = Grid::new(shape, shape.map(|n| 0.5 * n as f64)).unwrap();
    let given = Field3::new(grid, Array3::from_elem(shape, 15.3f32.exp())).unwrap();
    let fields: [&dyn Windows; 1] = [&given];
    let mean_beside = |sample: &Field3| {
        let plane = sample.extract(&Region { start: [0, 0, 2], shape: [24, 6, 1] }).unwrap();
        plane.mapv(f64::from).mean().unwrap().ln()
    };
    for name in StrategyName::ALL {
        let mut job = Job { window_cells: 6, ..job };
        job.config.strategy = strategy(name, 2, 0);
        let free = run(&job, &Store::Memory).unwrap();
        job.given = Some(Given { fields: &fields, start });
        let sample = run(&job, &Store::Memory).unwrap();
        let held = sample.extract(&Region { start, shape }).unwrap();
        assert_eq!(held, *given.values(), "{name:?}");
        let (free, beside) = (mean_beside(&free), mean_beside(&sample));
        assert!(beside > free + 1.0, "{name:?}: {beside} beside it, {free} without it");
    }
    let mut job = Job { given: Some(Given { fields: &fields, start }), ..job };
    job.boundary = Boundary::Open;
    assert!(matches!(run(&job, &Store::Memory), Err(OutpaintError::Region { .. })));
    let other = Field3::zeros(Grid::new([6; 3], [2.0; 3]).unwrap());
    let fields: [&dyn Windows; 1] = [&other];
    job.given = Some(Given { fields: &fields, start: [0; 3] });
    assert!(matches!(run(&job, &Store::Memory), Err(OutpaintError::GivenVoxel { .. })));
}

/// Two chains at once, which know nothing of each other.
struct TwoChains([Chain; 2]);

impl Denoise for TwoChains {
    fn predict_clean(&self, noisy: &Tensor, condition: &Tensor, noise_level: &Tensor) -> Result<Tensor> {
        // The condition, what is known, and the values of each field there.
        let [seen, known] = [0, 1].map(|channel| condition.narrow(1, channel, 1));
        let (seen, known) = (seen?, known?);
        let field = |field: usize| {
            let condition = Tensor::cat(&[&seen, &known, &condition.narrow(1, 2 + field, 1)?], 1)?;
            self.0[field].predict_clean(&noisy.narrow(1, field, 1)?, &condition, noise_level)
        };
        Tensor::cat(&[field(0)?, field(1)?], 1)
    }

    fn takes_known_channels(&self) -> bool {
        true
    }
}

#[test]
fn several_fields_are_generated_at_once_each_with_its_noise() {
    let condition = condition([9, 7, 12]);
    let both = TwoChains([CHAIN, Chain { axis: 0, correlation: 0.9 }]);
    let shape = [3, 7, 4];
    let grid = Grid::new(shape, shape.map(|n| 0.5 * n as f64)).unwrap();
    let given = [11.5f32, 12.5].map(|y| Field3::new(grid, Array3::from_elem(shape, y.exp())).unwrap());
    for name in StrategyName::ALL {
        let windows: [&dyn Windows; 2] = [&given[0], &given[1]];
        for (one, two) in [(None, None), (Some(&windows[..1]), Some(&windows[..]))] {
            let at = |fields| Given { fields, start: [7, 0, 2] };
            let mut alone = job(&CHAIN, &condition);
            (alone.config.strategy, alone.given) = (strategy(name, 2, 0), one.map(at));
            let alone_sample = run(&alone, &Store::Memory).unwrap();
            let pair =
                Job { denoiser: &both, truth_normalizers: &[TRUTH, TRUTH], given: two.map(at), ..alone };
            let fields = run_all(&Job { batch: 3, ..pair }, &Store::Memory).unwrap();
            // The first field has the bits that it has alone, and the second one nothing of it.
            assert_eq!(bits(&fields[0]), bits(&alone_sample), "{name:?}");
            let same = bits(&fields[0]).iter().zip(bits(&fields[1])).filter(|(a, b)| **a == *b).count();
            assert_eq!(same, 0, "{name:?}");
            let region = Region { start: [7, 0, 2], shape };
            for (field, given) in fields.iter().zip(two.map(|_| &given).into_iter().flatten()) {
                assert_eq!(field.extract(&region).unwrap(), *given.values());
            }

            let folder = tempfile::tempdir().unwrap();
            let store = Store::Folder { path: folder.path().join("work"), existing: Existing::Resume };
            let cancel = AtomicBool::new(false);
            let mut told = 0;
            let mut stop = |progress| {
                told += usize::from(matches!(progress, Progress::Evaluated { .. }));
                cancel.store(told > 20, Ordering::Relaxed);
            };
            assert!(matches!(generate(&pair, &store, &mut stop, &cancel), Err(OutpaintError::Cancelled)));
            assert_eq!(run_all(&pair, &store).unwrap(), fields, "{name:?}");
            let short = Job { given: Some(at(&windows[..1])), ..pair };
            assert!(matches!(run(&short, &Store::Memory), Err(OutpaintError::GivenFields { .. })));
        }
    }
}

#[test]
fn windows_that_do_not_see_each_other_are_known() {
    let independent = |cells, name, overlap_cells| {
        let condition = condition(cells);
        let mut job = job(&CHAIN, &condition);
        job.config.strategy = strategy(name, overlap_cells, 0);
        job.windows_are_independent().unwrap()
    };
    // Windows of 6: two of even number fill 12 cells, and leave a gap in 13.
    assert!(independent([12; 3], StrategyName::Colour, 2) && !independent([13; 3], StrategyName::Colour, 2));
    assert!(independent([12; 3], StrategyName::Raster, 0) && !independent([12; 3], StrategyName::Raster, 2));
    assert!(!independent([6; 3], StrategyName::Raster, 0) && !independent([12; 3], StrategyName::Joint, 0));
}

#[test]
fn resuming_with_another_condition_model_or_seed_is_refused() {
    let (mut condition, folder) = (condition([8; 3]), tempfile::tempdir().unwrap());
    let store = Store::Folder { path: folder.path().join("work"), existing: Existing::Resume };
    run(&job(&CHAIN, &condition), &store).unwrap();
    let mismatch = |job: &Job| match run(job, &store).unwrap_err() {
        OutpaintError::ResumeMismatch { what, .. } => what,
        other => panic!("{other}"),
    };
    let mut other = job(&CHAIN, &condition);
    other.model_hash = "another chain";
    assert_eq!(mismatch(&other), "model");
    other = job(&CHAIN, &condition);
    other.config.seed = 6;
    assert_eq!(mismatch(&other), "generation.seed");
    other = job(&CHAIN, &condition);
    other.region.start = [0, 1, 0];
    assert_eq!(mismatch(&other), "region.start");
    condition[0].as_slice_mut()[17] += 0.25;
    assert_eq!(mismatch(&job(&CHAIN, &condition)), "condition");
}

#[test]
fn regions_without_cells_or_beyond_all_numbers_are_refused() {
    let condition = condition([24, 12, 18]);
    for name in StrategyName::ALL {
        for boundary in [Boundary::Periodic, Boundary::Open] {
            for (start, shape) in [
                ([0; 3], [0; 3]),
                ([0; 3], [usize::MAX; 3]),
                ([i64::MAX, 0, 0], [8; 3]),
                ([i64::MAX; 3], [0; 3]),
            ] {
                let mut job = job(&CHAIN, &condition);
                (job.boundary, job.region) = (boundary, Region { start, shape });
                job.config.strategy = strategy(name, 2, 0);
                for refused in [job.plan().map(|_| ()), job.windows_are_independent().map(|_| ())] {
                    let Err(error) = refused else { continue };
                    let sound = matches!(
                        error,
                        OutpaintError::Region { .. } | OutpaintError::SmallerThanWindow { .. }
                    );
                    assert!(sound, "{start:?} {shape:?}: {error}");
                }
                assert!(job.plan().is_err(), "{start:?} {shape:?}");
            }
        }
    }
}

#[test]
fn a_region_has_the_noise_of_its_voxels_and_stays_inside_an_open_box() {
    let condition = condition([12; 3]);
    let mut job = job(&CHAIN, &condition);
    job.config.strategy = strategy(StrategyName::Raster, 2, 0);
    // One window of the whole volume's lattice, across the periodic face: its noise is that of its voxels, so the
    // region of the first window equals the first window of the whole.
    let whole = run(&job, &Store::Memory).unwrap();
    job.region = Region::cube([0; 3], 6);
    let first = run(&job, &Store::Memory).unwrap();
    assert_eq!(whole.extract(&job.region).unwrap(), *first.values());
    assert_eq!(first.grid().box_size_mpc_h(), [3.0; 3]);
    assert_eq!(job.result_boundary(), Boundary::Open);

    job.region = Region { start: [-3, 7, 2], shape: [10, 6, 7] };
    let part = run(&job, &Store::Memory).unwrap();
    assert_eq!(part.grid().cells(), [10, 6, 7]);
    let seen = Field3::new(*part.grid(), condition[0].extract(&job.region).unwrap()).unwrap();
    let mean = residuals(&part, &seen).mean().unwrap();
    assert!(mean.abs() < 5.0 * 2.0 / 420f64.sqrt(), "{mean}"); // five standard errors of a chain of r = 0.6

    job.boundary = Boundary::Open;
    assert!(matches!(run(&job, &Store::Memory), Err(OutpaintError::Region { .. })));
    job.region = Region::cube([0; 3], 13);
    assert!(matches!(run(&job, &Store::Memory), Err(OutpaintError::Region { .. })));
}

#[test]
fn conditions_share_no_noise_unless_that_is_asked_for() {
    let conditions = [condition([12; 3]), vec![condition([12; 3])[0].map(|value| value + 0.1)]];
    for name in [StrategyName::Joint, StrategyName::Colour] {
        let residuals_of = |condition: &Vec<Field3>, shared_noise: bool| {
            let mut job = job(&CHAIN, condition);
            job.config.strategy = strategy(name, 2, 0);
            job.config.shared_noise = shared_noise;
            residuals(&run(&job, &Store::Memory).unwrap(), &condition[0])
        };
        let correlation = |shared_noise: bool| {
            let [a, b] = [0, 1].map(|number| residuals_of(&conditions[number], shared_noise));
            (&a * &b).sum() / ((&a * &a).sum() * (&b * &b).sum()).sqrt()
        };
        // Five standard errors of residuals whose squared correlations add up to (1 + r^2) / (1 - r^2) = 2.1 voxels.
        let own = correlation(false);
        assert!(own.abs() < 5.0 * (2.1 / 1728f64).sqrt(), "{name:?}: {own}");
        let shared = correlation(true);
        assert!(shared > 0.99, "{name:?}: {shared}");
    }
}

/// Fails in its own way.
struct Broken;

impl Denoise for Broken {
    fn predict_clean(&self, noisy: &Tensor, _: &Tensor, _: &Tensor) -> Result<Tensor> {
        noisy.affine(f64::INFINITY, 0.0)
    }
}

/// Does not return a tensor at all.
struct Failing;

impl Denoise for Failing {
    fn predict_clean(&self, noisy: &Tensor, condition: &Tensor, _: &Tensor) -> Result<Tensor> {
        noisy.matmul(condition)?.reshape(1)
    }
}

#[test]
fn every_other_error() {
    let condition = condition([8; 3]);
    let error = |change: &dyn Fn(&mut Job)| {
        let mut job = job(&CHAIN, &condition);
        change(&mut job);
        run(&job, &Store::Memory).unwrap_err()
    };
    let found = error(&|job| job.window_cells = 9);
    assert!(matches!(found, OutpaintError::SmallerThanWindow { .. }), "{found}");
    let found = error(&|job| job.config.strategy = strategy(StrategyName::Joint, 6, 0));
    assert!(matches!(found, OutpaintError::Overlap { .. }), "{found}");
    let found =
        error(&|job| job.config.sampling = job.config.sampling.with_levels(Some(0), None, None).unwrap());
    assert!(matches!(found, OutpaintError::Diffusion(_)), "{found}");
    let found = error(&|job| job.denoiser = &Broken);
    assert!(matches!(found, OutpaintError::NotFinite { .. }), "{found}");
    let found = error(&|job| job.denoiser = &Failing);
    assert!(matches!(found, OutpaintError::Tensor(_)), "{found}");
    let mut holes = condition.clone();
    holes[0].as_slice_mut()[3] = f32::NAN;
    let found = run(&job(&CHAIN, &holes), &Store::Memory).unwrap_err();
    assert!(matches!(found, OutpaintError::NotFinite { .. }), "{found}");
    let channels = vec![condition[0].clone(), Field3::zeros(Grid::cube(9, 4.5).unwrap())];
    let found = run(&Job { condition: &channels, ..job(&CHAIN, &condition) }, &Store::Memory).unwrap_err();
    assert!(matches!(found, OutpaintError::Channels { .. }), "{found}");
}
