//! Spectra of fields whose spectra are known.

use finescale_field::{Depositor, Field3, Grid, Region, Scheme};
use finescale_spectra::{
    Bands, Modes, SpectraError, correlation_of, fundamental_h_mpc, nyquist_h_mpc, power_spectrum,
};
use ndarray::Array3;
use proptest::prelude::*;
use std::f64::consts::{PI, TAU};

/// f32 transforms of a few thousand values.
const FFT_REL: f64 = 1e-5;
/// Wrong units of length would move a power by 0.7^3 or more, a lost mode by a percent.
const ROUNDED_ONCE: f64 = 1e-6;

fn from_formula(grid: Grid, density: impl Fn(usize, usize, usize) -> f64) -> Field3 {
    let values = Array3::from_shape_fn(grid.cells(), |(i, j, k)| density(i, j, k) as f32);
    Field3::new(grid, values).expect("the grid's own shape")
}

/// A rough field, the same everywhere.
fn rough(cells: [usize; 3], box_size_mpc_h: [f64; 3]) -> Field3 {
    let grid = Grid::new(cells, box_size_mpc_h).expect("cells and sizes");
    from_formula(grid, |i, j, k| 0.3 + ((i * i * 31 + j * 17 + k * k * k * 7 + i * j * k) % 61) as f64 / 61.0)
}

/// Uniform numbers in [0, 1) (SplitMix64).
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[test]
fn one_cosine_is_one_spike() {
    // δ = A cos(k·x) has |δ_k|² = A²/4 in the one independent mode of its pair: P sums to V A²/4.
    let (cells, length, amplitude) = ([16, 16, 16], 50.0, 0.4);
    let grid = Grid::new(cells, [length; 3]).unwrap();
    for (n, shell) in [([3, 0, 0], 3), ([0, -2, 1], 2), ([1, 2, 2], 3), ([-5, 3, 0], 5)] {
        let field = from_formula(grid, |i, j, k| {
            let turns = (n[0] * i as i32 + n[1] * j as i32 + n[2] * k as i32) as f64 / 16.0;
            1.0 + amplitude * (TAU * turns).cos()
        });
        let spectrum = power_spectrum(&field, None).unwrap();
        let total: f64 = spectrum.power.iter().zip(&spectrum.modes).map(|(p, &m)| p * m as f64).sum();
        let spike = spectrum.power[shell - 1] * spectrum.modes[shell - 1] as f64;
        let expected = length.powi(3) * amplitude * amplitude / 4.0; // (Mpc/h)^3
        assert!((spike / expected - 1.0).abs() < ROUNDED_ONCE, "{n:?}: {spike} for {expected}");
        assert!((total / expected - 1.0).abs() < FFT_REL, "{n:?}: power outside of the spike");
        let k = spectrum.k_h_mpc[shell - 1] / fundamental_h_mpc(&grid);
        assert!(k >= shell as f64 && k < shell as f64 + 1.0);
    }
}

#[test]
fn a_cosine_in_a_box_of_three_sizes_lies_at_its_wavenumber() {
    let grid = Grid::new([8, 12, 20], [25.0, 40.0, 100.0]).unwrap();
    let field = from_formula(grid, |_, j, _| 1.0 + 0.5 * (TAU * 2.0 * j as f64 / 12.0).cos());
    let spectrum = power_spectrum(&field, None).unwrap();
    // 2 waves on 40 Mpc/h are 5 fundamentals of the longest side.
    let peak = (0..spectrum.len()).max_by(|&a, &b| spectrum.power[a].total_cmp(&spectrum.power[b])).unwrap();
    let shell = TAU / 100.0 * 5.0..TAU / 100.0 * 6.0;
    assert!(shell.contains(&(spectrum.k_h_mpc[peak] + 1e-12)), "{}", spectrum.k_h_mpc[peak]);
    let spike = spectrum.power[peak] * spectrum.modes[peak] as f64;
    assert!((spike / (1e5 * 0.25 / 4.0) - 1.0).abs() < ROUNDED_ONCE);
    assert!(spectrum.k_h_mpc.windows(2).all(|k| k[0] < k[1]));
}

#[test]
fn independent_modes_are_half_of_all() {
    for (cells, self_conjugate) in
        [([8, 8, 8], 8), ([7, 7, 7], 1), ([8, 6, 5], 4), ([5, 6, 8], 4), ([9, 4, 3], 2), ([1, 1, 6], 2)]
    {
        let field = rough(cells, [30.0; 3]);
        let all: usize = cells.iter().product();
        let counted: u64 = power_spectrum(&field, None).unwrap().modes.iter().sum();
        // Self-conjugate modes count once, the others in pairs; k = 0 is left out.
        assert_eq!(counted as usize, (all - self_conjugate) / 2 + self_conjugate - 1, "{cells:?}");
    }
}

#[test]
fn poisson_points_are_flat_shot_noise() {
    const POINTS: usize = 40_000;
    let (cells, length) = (32, 80.0);
    let grid = Grid::cube(cells, length).unwrap();
    let mut uniform = Uniform(1);
    let positions: Vec<[f64; 3]> =
        (0..POINTS).map(|_| std::array::from_fn(|_| length * uniform.next())).collect();
    let shot_noise = length.powi(3) / POINTS as f64; // V/N in (Mpc/h)^3
    for (scheme, window, k_max) in [
        // A top hat's aliases add up to what it smoothes away: flat as it is.
        (Scheme::Ngp, None, 2.0 * PI * cells as f64 / length),
        // Smooth clouds have no aliases well below Nyquist: flat after correction.
        (Scheme::Tsc, Some(Scheme::Tsc), 0.5 * PI * cells as f64 / length),
        (Scheme::Pcs, Some(Scheme::Pcs), 0.6 * PI * cells as f64 / length),
    ] {
        let mut depositor = Depositor::new(grid, scheme).unwrap();
        depositor.add(&positions, None).unwrap();
        let spectrum = power_spectrum(&depositor.finish_overdensity().unwrap(), window).unwrap();
        let (mut chi2, mut bins) = (0.0, 0.0);
        for (b, &k) in spectrum.k_h_mpc.iter().enumerate().filter(|(_, k)| **k < k_max) {
            // |δ_k|² of a mode is exponential: its relative variance is 1.
            chi2 += spectrum.modes[b] as f64 * (spectrum.power[b] / shot_noise - 1.0).powi(2);
            bins += 1.0;
            assert!(k > 0.0);
        }
        let deviation = (chi2 - bins) / (2.0_f64 * bins).sqrt();
        assert!(bins > 5.0 && deviation.abs() < 3.5, "{scheme}: chi2 {chi2} of {bins} bins");
    }
}

#[test]
fn windows_are_undone_by_their_correction() {
    // One wave smoothed by hand: the correction is (x/sin x)^p per axis.
    let grid = Grid::cube(12, 10.0).unwrap();
    let (n, amplitude) = ([2.0, 3.0, -1.0], 0.2);
    for scheme in Scheme::ALL {
        let x = n.map(|n: f64| PI * n / 12.0);
        let smoothing: f64 = x.iter().map(|x| (x.sin() / x).powi(scheme.order() as i32)).product();
        let field = from_formula(grid, |i, j, k| {
            let turns = (n[0] * i as f64 + n[1] * j as f64 + n[2] * k as f64) / 12.0;
            1.0 + smoothing * amplitude * (TAU * turns).cos()
        });
        let spectrum = power_spectrum(&field, Some(scheme)).unwrap();
        let spike = spectrum.power[2] * spectrum.modes[2] as f64;
        assert!((spike / (1e3 * amplitude * amplitude / 4.0) - 1.0).abs() < FFT_REL, "{scheme}");
    }
}

#[test]
fn bands_hold_all_modes_and_the_mean_of_the_shells() {
    let field = rough([16, 16, 16], [20.0; 3]);
    let modes = Modes::new(&field, None).unwrap();
    let shells = modes.power();
    let whole =
        fundamental_h_mpc(&field.grid().clone()) * 0.999..nyquist_h_mpc(field.grid()) * 3f64.sqrt() * 1.001;
    let bands = Bands::logarithmic(whole.start, whole.end, 5).unwrap();
    let banded = modes.power_in(&bands);
    assert_eq!(banded.modes.iter().sum::<u64>(), shells.modes.iter().sum::<u64>());
    let weighted = |s: &finescale_spectra::Spectrum| -> f64 {
        s.power.iter().zip(&s.modes).map(|(p, &m)| p * m as f64).sum()
    };
    assert!((weighted(&banded) / weighted(&shells) - 1.0).abs() < 1e-12);
    assert_eq!(modes.cross_in(&modes, &bands).unwrap(), banded);
    // A band without modes says so.
    let empty = modes.power_in(&Bands::logarithmic(1e-3, 1e-2, 2).unwrap());
    assert!(empty.modes == [0, 0] && empty.power.iter().all(|p| p.is_nan()));
}

#[test]
fn correlation_and_transfer_of_a_scaled_and_of_a_reversed_field() {
    let field = rough([12, 12, 12], [30.0; 3]);
    let mean = field.mean() as f32;
    let modes = Modes::new(&field, None).unwrap();
    let half = Modes::new(&field.map(|v| mean + 0.5 * (v - mean)), None).unwrap();
    let mirrored = Modes::new(&field.map(|v| 2.0 * mean - v), None).unwrap();
    let correlation =
        |other: &Modes| correlation_of(&modes.cross(other).unwrap(), &modes.power(), &other.power());
    for r in correlation(&half) {
        assert!((r - 1.0).abs() < FFT_REL, "{r}");
    }
    for r in correlation(&mirrored) {
        assert!((r + 1.0).abs() < FFT_REL, "{r}");
    }
    for t in half.power().transfer(&modes.power()) {
        assert!((t - 0.5).abs() < FFT_REL, "{t}");
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let field = rough([20, 14, 18], [30.0, 20.0, 25.0]);
    let with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| power_spectrum(&field, Some(Scheme::Tsc)).unwrap())
    };
    assert_eq!(with_threads(1), with_threads(4));
}

#[test]
fn fields_that_cannot_be_compared_are_refused() {
    let (a, b) = (rough([8, 8, 8], [10.0; 3]), rough([8, 8, 8], [20.0; 3]));
    let [of_a, of_b] = [&a, &b].map(|field| Modes::new(field, None).unwrap());
    assert!(matches!(of_a.cross(&of_b), Err(SpectraError::Grids { .. })));
    for bad in [a.map(|_| f32::NAN), a.map(|_| 0.0), a.map(|v| -v)] {
        assert!(matches!(power_spectrum(&bad, None), Err(SpectraError::NotADensity { .. })));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn a_periodic_shift_leaves_the_power_alone(start in prop::array::uniform3(-20i64..20)) {
        let field = rough([9, 8, 10], [10.0, 12.0, 9.0]);
        let shifted = field.extract(&Region { start, shape: [9, 8, 10] }).unwrap();
        let shifted = Field3::new(*field.grid(), shifted).unwrap();
        let (before, after) = (power_spectrum(&field, None).unwrap(), power_spectrum(&shifted, None).unwrap());
        for (ratio, modes) in before.ratio(&after).iter().zip(&before.modes) {
            prop_assert!((ratio - 1.0).abs() < FFT_REL, "{} in a shell of {} modes", ratio, modes);
        }
    }
}
