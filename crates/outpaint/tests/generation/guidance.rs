//! Samples that are held to the mass of their condition.

use super::*;
use finescale_outpaint::{Condition, Joint, MassGuidance};

/// n = e^y - 1.
const LOG: Normalizer =
    Normalizer { mean_count: 1.0, transform: Transform::Linear { mu: 0.0, s: 1.0, low: 0.0, high: 28.0 } };
/// n = 1.55 e^(y / 2) - 1, of the fine field: about as much as the condition has.
const TRUTH_LOG: Normalizer =
    Normalizer { mean_count: 1.0, transform: Transform::Linear { mu: 0.44, s: 0.5, low: -0.88, high: 28.0 } };
const CELLS: [usize; 3] = [24, 14, 24];

/// The channels of [`condition`](super::condition), of which the first is the logarithm of a density.
struct Density(Vec<Field3>);

impl Condition for Density {
    fn grid(&self) -> &Grid {
        Condition::grid(&self.0)
    }

    fn count(&self) -> usize {
        Condition::count(&self.0)
    }

    fn channels(&self, region: &Region) -> std::result::Result<Vec<f32>, OutpaintError> {
        self.0.channels(region)
    }

    fn density_normalizer(&self) -> Option<Normalizer> {
        Some(LOG)
    }

    fn hash(&self) -> std::result::Result<String, OutpaintError> {
        self.0.hash()
    }
}

static DENSITY: LazyLock<Density> = LazyLock::new(|| Density(condition(CELLS)));
static NONE: LazyLock<Vec<Field3>> = LazyLock::new(|| condition(CELLS));

/// Held over so many cells, or not at all, by the default's solver.
fn guided(smoothing_cells: Option<f64>) -> Job<'static> {
    let mut job = Job { condition: &*DENSITY, truth_normalizers: &[TRUTH_LOG], ..job(&CHAIN, &NONE) };
    let mass_guidance = smoothing_cells.map(MassGuidance::over);
    job.config.strategy = Strategy::Joint(Joint { overlap_cells: 2, mass_guidance, ..Joint::default() });
    let levels = SamplingLevels::LogUniform { steps: 12, sigma_min: 0.01, sigma_max: 60.0 };
    job.config.sampling = SamplingConfig { sampler: Sampler::DpmSolverPlusPlus2M, levels };
    job
}

/// Largest difference of the smoothed sample from the smoothed condition, in units of it.
fn off(sample: &Field3, cells: f64) -> f32 {
    let condition = LOG.denormalize_field(&DENSITY.0[0]);
    let [sample, condition] = [sample, &condition].map(|field| field.smoothed(cells, Boundary::Periodic));
    let off = sample.as_slice().iter().zip(condition.as_slice()).map(|(s, c)| (s / c - 1.0).abs());
    off.fold(0.0, f32::max)
}

#[test]
fn a_guided_sample_has_the_mass_of_its_condition_and_small_scales_of_its_own() {
    let [free, held] = [None, Some(5.0)].map(|cells| run(&guided(cells), &Store::Memory).unwrap());
    let (free_is_off, held_is_off) = (off(&free, 5.0), off(&held, 5.0));
    assert!(
        free_is_off > 0.3 && held_is_off < 0.2 * free_is_off,
        "{free_is_off} without, {held_is_off} with guidance"
    );
    let mean = |field: &Field3| field.values().mean().unwrap();
    let condition = mean(&LOG.denormalize_field(&DENSITY.0[0]));
    let ratio = mean(&held) / condition;
    assert!((ratio - 1.0).abs() < 0.02, "{ratio} of the mass");
    // What is smaller than the smoothing is that of the free sample, in other units.
    let fluctuations = |field: &Field3| {
        let smooth = field.smoothed(2.0, Boundary::Periodic);
        let pairs = field.as_slice().iter().zip(smooth.as_slice());
        pairs.map(|(value, smooth)| value / smooth - 1.0).collect::<Vec<f32>>()
    };
    let [free, held] = [&free, &held].map(fluctuations);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    let correlation = dot(&free, &held) / (dot(&free, &free) * dot(&held, &held)).sqrt();
    assert!(correlation > 0.95, "{correlation}");
}

#[test]
fn a_part_of_an_open_box_is_held_to_what_the_condition_has_there() {
    let region = Region { start: [3, 0, 7], shape: [20, 14, 15] };
    let job = |cells| Job { region, boundary: Boundary::Open, ..guided(cells) };
    let condition = LOG.denormalize_field(&DENSITY.0[0]).cut(&region).unwrap().smoothed(5.0, Boundary::Open);
    let off = |cells| {
        let sample = run(&job(cells), &Store::Memory).unwrap().smoothed(5.0, Boundary::Open);
        let off = sample.as_slice().iter().zip(condition.as_slice()).map(|(s, c)| (s / c - 1.0).abs());
        off.fold(0.0, f32::max)
    };
    let (free_is_off, held_is_off) = (off(None), off(Some(5.0)));
    assert!(
        free_is_off > 0.3 && held_is_off < 0.2 * free_is_off,
        "{free_is_off} without, {held_is_off} with guidance"
    );
}

#[test]
fn guided_samples_have_one_set_of_bits_for_ranks_threads_stops_and_files() {
    let alone = bits(&run(&guided(Some(4.0)), &Store::Memory).unwrap());
    for count in [2, 5, 30] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::Folder { path: folder.path().join("work"), existing: Existing::Resume };
        // Stopped once, and gone on with by others.
        let mut fields = Vec::new();
        for (ranks, stop_at) in [(count, 40 / count), (count + 1, usize::MAX)] {
            fields = Ranks::on_threads(ranks, |ranks| {
                let job = Job { ranks, batch: 2, ..guided(Some(4.0)) };
                let (cancel, mut told) = (AtomicBool::new(false), 0);
                let mut progress = |progress| {
                    told += usize::from(matches!(progress, Progress::Evaluated { .. }));
                    cancel.store(ranks.is_first() && told > stop_at, Ordering::Relaxed);
                };
                generate(&job, &store, &mut progress, &cancel).ok().map(|made| made.for_first().unwrap())
            });
            assert_eq!(fields[0].is_some(), stop_at == usize::MAX, "stops where it is told to");
        }
        assert_eq!(bits(&fields[0].as_ref().unwrap()[0]), alone, "{count} ranks");
    }
}

#[test]
fn what_is_given_stays_in_a_guided_sample_and_nobody_pays_for_its_mass() {
    let (start, shape) = ([3, 0, 20], [10, 14, 9]);
    let grid = Grid::new(shape, shape.map(|n| 0.5 * n as f64)).unwrap();
    let given = Field3::new(grid, Array3::from_elem(shape, 30.0)).unwrap();
    let fields: [&dyn Windows; 1] = [&given];
    let with = |cells| {
        run(&Job { given: Some(Given { fields: &fields, start }), ..guided(cells) }, &Store::Memory).unwrap()
    };
    let held = with(Some(4.0));
    assert_eq!(held.extract(&Region { start, shape }).unwrap(), *given.values());
    // Paid for, it would leave them less than half.
    let beside = Region { start: [3, 0, 12], shape: [10, 14, 8] };
    let mean = |field: &Field3| field.extract(&beside).unwrap().mean().unwrap();
    let ratio = mean(&held) / mean(&LOG.denormalize_field(&DENSITY.0[0]));
    assert!((0.8..1.25).contains(&ratio), "{ratio} of the condition's mass beside what is given");
}

#[test]
fn guidance_without_a_density_or_of_several_fields_is_refused() {
    let unknown = Job { condition: &*NONE, ..guided(Some(4.0)) };
    let error = run(&unknown, &Store::Memory).unwrap_err();
    assert!(
        error.to_string().contains("mass_guidance: found 4 cells; it must be left out (--mass-guidance 0)"),
        "{error}"
    );
    let several = Job { truth_normalizers: &[LOG, LOG], ..guided(Some(4.0)) };
    let error = run(&several, &Store::Memory).unwrap_err();
    assert!(error.to_string().contains("this model draws several fields"), "{error}");
    let mut never = guided(Some(4.0));
    let Strategy::Joint(joint) = &mut never.config.strategy else { unreachable!() };
    joint.mass_guidance = Some(MassGuidance { smoothing_cells: 4.0, below_sigma: 0.001 });
    let error = never.plan().unwrap_err();
    assert!(error.to_string().contains("no step of this sampler has less noise"), "{error}");
    let sigmoid = Normalizer { transform: Transform::REFERENCE_TRUTH, ..LOG };
    let reference = Job { truth_normalizers: &[sigmoid], ..guided(Some(4.0)) };
    assert!(reference.plan().unwrap_err().to_string().contains("sigmoid"));
    let mut small = guided(Some(0.5));
    assert!(matches!(small.plan(), Err(OutpaintError::Setting { .. })));
    small = guided(Some(1.0));
    assert!(small.plan().unwrap().buffer_bytes > guided(None).plan().unwrap().buffer_bytes);
}
