use super::*;
use crate::Grid;
use proptest::prelude::*;

/// f32 rounding of y and of the density.
const F32_REL: f64 = 1e-6;

fn reference() -> Normalizer {
    // A mean count of 1 leaves raw counts as they are.
    Normalizer { mean_count: 1.0, transform: Transform::REFERENCE_TRUTH }
}

fn field(values: &[f32]) -> Field3 {
    let grid = Grid::new([values.len(), 1, 1], [1.0; 3]).unwrap();
    Field3::new(grid, Array3::from_shape_vec(grid.cells(), values.to_vec()).unwrap()).unwrap()
}

/// Numbers by `2 / (1 + math.exp(-(math.log1p(n) - mu) / s)) - 1` in Python.
#[test]
fn the_reference_transform_gives_its_numbers() {
    let truth = [(0.0, -0.794_568_777), (1.0, -0.738_003_241), (849.0, 0.250_139_951), (1e5, 0.834_320_929)];
    let condition = [(0.0, -0.058_751_170), (0.114, 0.016_218_329), (10.0, 0.922_849_975)];
    for (n, y) in truth {
        assert!((f64::from(reference().normalize(n)) - y).abs() < F32_REL, "n = {n}");
    }
    for (n, y) in condition {
        let normalizer = Normalizer { mean_count: 1.0, transform: Transform::REFERENCE_CONDITION };
        assert!((f64::from(normalizer.normalize(n)) - y).abs() < F32_REL, "n = {n}");
    }
    // y = 0 at log1p(n) = mu, also where n is a mean count times a density.
    let at_mu = 5.458_093_875_124_589_5f64.exp_m1();
    let counts = Normalizer { mean_count: 849.0, ..reference() };
    assert!(f64::from(counts.normalize((at_mu / 849.0) as f32)).abs() < F32_REL);
    assert!((f64::from(counts.denormalize(0.0)) - at_mu / 849.0).abs() < F32_REL);
}

#[test]
fn a_linear_fit_has_mean_zero_and_deviation_one_half() {
    let (a, b) = (field(&[0.0, 0.5, 1.0, 3.0]), field(&[0.1, 40.0]));
    let normalizer = Normalizer::fit_linear(&[&a, &b], 8.0).unwrap();
    let y: Vec<f64> = [&a, &b]
        .iter()
        .flat_map(|f| normalizer.normalize_field(f).as_slice().to_vec())
        .map(f64::from)
        .collect();
    let mean = y.iter().sum::<f64>() / 6.0;
    let variance = y.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 6.0;
    assert!(mean.abs() < F32_REL && (variance.sqrt() - 0.5).abs() < F32_REL);
    // The bounds: an empty voxel, and 5 % of the range above the densest.
    let (low, high) = normalizer.range();
    assert_eq!(low, normalizer.normalize(0.0));
    let top = normalizer.normalize(40.0);
    assert!((high - (top + 0.05 * (top - low))).abs() < 1e-5);
}

#[test]
fn the_inverse_is_finite_at_and_beyond_the_bounds() {
    let linear = Normalizer::fit_linear(&[&field(&[0.0, 1.0, 2.0])], 8.0).unwrap();
    for normalizer in [reference(), linear] {
        for y in [-1e30, -5.0, -1.0, 1.0, 5.0, 1e30, f32::INFINITY, f32::NEG_INFINITY] {
            let density = normalizer.denormalize(y);
            assert!(density.is_finite() && density >= 0.0, "{normalizer:?}: {density} at {y}");
        }
        assert_eq!(normalizer.denormalize(-5.0), 0.0);
    }
    assert_eq!(linear.denormalize(1e30), linear.denormalize(linear.range().1));
}

#[test]
fn json_keeps_every_bit_and_refuses_unknown_keys() {
    let fitted = |i: u8| Normalizer::fit_linear(&[&field(&[0.0, 0.3, f32::from(i)])], 849.2).unwrap();
    for normalizer in (1..=200).map(fitted).chain([reference()]) {
        let text = serde_json::to_string(&normalizer).unwrap();
        assert_eq!(serde_json::from_str::<Normalizer>(&text).unwrap(), normalizer, "{text}");
    }
    let text = r#"{"mean_count": 8.0, "transform": {"kind": "sigmoid", "mu": 1.0, "s": 2.0}}"#;
    assert!(serde_json::from_str::<Normalizer>(text).is_ok());
    for (from, to) in [("\"s\"", "\"low\": 0.0, \"s\""), ("\"mean_count\"", "\"mean\": 1.0, \"mean_count\"")]
    {
        let error = serde_json::from_str::<Normalizer>(&text.replace(from, to)).unwrap_err();
        assert!(error.to_string().contains("unknown field"), "{error}");
    }
}

#[test]
fn impossible_normalizers_and_densities_are_refused() {
    let wrong = |r: Result<Normalizer, FieldError>| matches!(r, Err(FieldError::Normalizer { .. }));
    let fit = |fields: &[&dyn Windows], mean_count| {
        Normalizer::fit_linear(fields, mean_count).map_err(|error| *error.downcast::<FieldError>().unwrap())
    };
    assert!(wrong(fit(&[&field(&[1.0, 1.0])], 8.0)));
    assert!(wrong(fit(&[], 8.0)));
    assert!(wrong(fit(&[&field(&[1.0, 2.0])], 0.0)));
    for transform in [
        Transform::Sigmoid { mu: 0.0, s: 0.0 },
        Transform::Sigmoid { mu: f64::NAN, s: 1.0 },
        Transform::Linear { mu: 0.0, s: 1.0, low: 1.0, high: 1.0 },
    ] {
        let normalizer = Normalizer { mean_count: 1.0, transform };
        assert!(wrong(normalizer.check().map(|()| normalizer)), "{normalizer:?}");
    }
    assert!(reference().check().is_ok());

    let grid = Grid::new([2, 3, 4], [1.0; 3]).unwrap();
    for value in [-0.25, f32::NAN, f32::INFINITY] {
        let mut values = Array3::ones(grid.cells());
        values[[1, 2, 3]] = value;
        values[[1, 0, 2]] = value;
        let error = check_density(&Field3::new(grid, values).unwrap()).unwrap_err();
        assert!(matches!(error, FieldError::Density { voxel: [1, 0, 2], .. }), "{error}");
    }
}

proptest! {
    #[test]
    fn densities_come_back(density in 0f32..1e3) {
        let linear = Normalizer {
            mean_count: 8.0, transform: Transform::Linear { mu: 1.8, s: 2.1, low: -1.8 / 2.1, high: 5.0 },
        };
        let sigmoid = Normalizer { mean_count: 849.0, ..reference() };
        // An error of 6e-8 in y is s times as much in the logarithm; the sigmoid's ends steepen it:
        // dL/dy = 2 s / (1 - y^2) is 70 at the densest.
        for (normalizer, slope) in [(linear, 2.1), (sigmoid, 70.0)] {
            let back = f64::from(normalizer.denormalize(normalizer.normalize(density)));
            let allowed = slope * 1.2e-7 * (f64::from(density) + 1.0 / normalizer.mean_count) + F32_REL * f64::from(density);
            prop_assert!((back - f64::from(density)).abs() < allowed, "{} for {}", back, density);
        }
    }
}

#[test]
fn sums_over_slabs_are_those_of_the_whole() {
    // Two planes are a slab, and the last one is another; no chunk ends where they do.
    let grid = Grid::new([3, 1300, 1300], [1.0; 3]).unwrap();
    let values =
        Array3::from_shape_fn(grid.cells(), |(x, y, z)| ((7 * x + 13 * y + 31 * z) % 1009) as f32 / 300.0);
    let mut field = Field3::new(grid, values).unwrap();
    let square = |value: f32| f64::from(value).powi(2);
    let chunks = field.as_slice().chunks(CHUNK).map(|chunk| chunk.iter().map(|&v| square(v)).sum::<f64>());
    assert_eq!(sum(&[&field], square).unwrap(), chunks.sum::<f64>());
    assert_eq!(density_mean(&field).unwrap(), field.mean());
    field.as_slice_mut()[2 * 1300 * 1300 + 1303] = -1.0;
    let error = density_mean(&field).unwrap_err().downcast::<FieldError>().unwrap();
    assert!(matches!(*error, FieldError::Density { voxel: [2, 1, 3], .. }), "{error}");
}
