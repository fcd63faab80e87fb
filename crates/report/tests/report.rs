//! A report of small fields whose statistics are known.

use finescale_field::{Field3, Grid};
use finescale_report::{Comparison, Labelled, ReportError};
use ndarray::Array3;
use serde_json::{Value, json};
use std::f64::consts::TAU;
use std::fs;

/// f32 transforms of a few thousand values.
const FFT_REL: f64 = 1e-5;

/// A lognormal-looking field; `scale` multiplies its contrast, `phase` moves its small waves.
fn waves(cells: usize, scale: f64, phase: f64) -> Field3 {
    let grid = Grid::cube(cells, 50.0).expect("a cube");
    let values = Array3::from_shape_fn([cells; 3], |(i, j, k)| {
        let [x, y, z] = [i, j, k].map(|v| TAU * v as f64 / cells as f64);
        let large = (x + 2.0 * y).cos() + (z - y + 0.7).sin() + 0.7 * (x - 2.0 * z).cos();
        let small = (5.0 * x + 3.0 * z + phase).sin() * (4.0 * y - 2.0 * z + 2.0 * phase).cos();
        (0.5 * (large + 0.6 * small)).exp() as f32
    });
    let field = Field3::new(grid, values).expect("the grid's own shape");
    let mean = field.mean();
    field.map(|v| (1.0 + scale * (f64::from(v) / mean - 1.0)) as f32)
}

#[test]
fn statistics_are_those_of_the_fields() {
    let truth = waves(16, 0.8, 0.0);
    let mean = truth.mean();
    let (half, other) = (waves(16, 0.4, 0.0), truth.map(|v| 2.0 * v));
    let comparison = Comparison::new(
        &Labelled::new("truth", &truth),
        Some(&Labelled::new("condition", &half)),
        &[Labelled::new("a", &truth), Labelled::new("b", &other)],
    )
    .unwrap();
    let verdict = comparison.verdict();
    // Half the contrast is a quarter of the power; the samples have all of it.
    assert!((verdict.condition_mean_abs_ln_ratio.unwrap() - 4f64.ln()).abs() < FFT_REL);
    assert!(verdict.mean_abs_ln_ratio < FFT_REL);
    assert!((verdict.cross_correlation - 1.0).abs() < FFT_REL);
    // One sample has the truth's mass, the other twice of it: nothing is renormalised.
    assert!((verdict.mass_ratio - 1.5).abs() < FFT_REL && (mean - 1.0).abs() < FFT_REL);
    assert!((verdict.percentile_99_9_ratio - 1.5).abs() < FFT_REL);

    assert!(
        comparison.bands().condition_ratio.iter().filter(|r| !r.is_nan()).all(|r| (r - 0.25).abs() < FFT_REL)
    );

    let json = comparison.to_json();
    let length = json["k_h_mpc"].as_array().unwrap().len();
    for path in
        ["/modes", "/truth/power", "/condition/ratio", "/samples/1/transfer", "/samples/0/cross_correlation"]
    {
        assert_eq!(json.pointer(path).and_then(Value::as_array).map(Vec::len), Some(length), "{path}");
    }
    assert!((json["condition"]["transfer"][0].as_f64().unwrap() - 0.5).abs() < FFT_REL);
    assert_eq!(json["bands"]["k_h_mpc"].as_array().unwrap().len(), 8);
    assert!((json["bands"]["sample_agreement"][0].as_f64().unwrap() - 1.0).abs() < FFT_REL);
    assert!(json["truth"].get("ratio").is_none());
}

#[test]
fn a_report_is_written_whole_and_needs_nothing_else() {
    let (truth, condition, sample) = (waves(12, 0.8, 0.0), waves(12, 0.5, 0.5), waves(12, 0.8, 2.0));
    let named = Labelled::new("condition <low>", &condition);
    let samples = [Labelled::new("sample", &sample)];
    let comparison = Comparison::new(&Labelled::new("truth", &truth), Some(&named), &samples)
        .unwrap()
        .with_title("A & B")
        .with_upscaled("Where no truth is known", &named, &samples)
        .unwrap()
        .with_provenance(json!({"seed": 7, "model": "demo.safetensors"}));
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new/report");
    let paths = comparison.write(&dir).unwrap();

    assert_eq!(paths.figures.len(), 6);
    for figure in &paths.figures {
        assert!(fs::read(figure).unwrap().starts_with(b"\x89PNG"), "{}", figure.display());
    }
    let numbers: Value = serde_json::from_slice(&fs::read(&paths.json).unwrap()).unwrap();
    assert_eq!(numbers["provenance"]["seed"], 7);
    assert_eq!(numbers["also_upscaled"][0]["samples"][0]["label"], "sample");
    let html = fs::read_to_string(&paths.html).unwrap();
    assert!(html.contains("<h1>A &amp; B</h1>") && html.contains("Where no truth is known"));
    assert!(!html.contains("http") && !html.contains("<script") && !html.contains("url("));
    assert!(html.matches("data:image/png;base64,").count() >= 4 * 4 + 2 * 2);
    let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 8, "{left:?}");

    // The same input gives the same bytes.
    let again = comparison.write(&folder.path().join("again")).unwrap();
    assert_eq!(fs::read(&again.html).unwrap(), fs::read(&paths.html).unwrap());
}

#[test]
fn comparisons_that_make_no_sense_are_refused() {
    let truth = waves(8, 0.5, 0.0);
    let named = Labelled::new("truth", &truth);
    assert!(matches!(Comparison::new(&named, None, &[]), Err(ReportError::NoSamples)));
    let other = waves(6, 0.5, 0.0);
    for bad in [&other, &truth.map(|_| f32::NAN)] {
        let error = Comparison::new(&named, None, &[Labelled::new("my sample", bad)]).unwrap_err();
        assert!(matches!(error, ReportError::Statistics { .. }));
        assert!(error.to_string().starts_with("my sample "), "{error}");
    }
    let alone = Comparison::new(&named, None, &[Labelled::new("sample", &truth)]).unwrap();
    assert!(matches!(alone.with_upscaled("x", &named, &[]), Err(ReportError::NoSamples)));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let truth = waves(8, 0.5, 0.0);
    let named = Labelled::new("truth", &truth);
    let comparison = Comparison::new(&named, None, &[Labelled::new("sample", &truth)]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taken");
    fs::write(&file, "a file").unwrap();
    let error = comparison.write(&file).unwrap_err();
    assert!(matches!(&error, ReportError::Write { path, .. } if *path == file), "{error}");
    // A name in the way of a file: nothing half-written stays.
    let dir = folder.path().join("report");
    fs::create_dir_all(dir.join("report.json/in the way")).unwrap();
    let error = comparison.write(&dir).unwrap_err();
    assert!(matches!(&error, ReportError::Write { path, .. } if path.ends_with("report.json")), "{error}");
    let partial = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".partial");
    assert!(!fs::read_dir(&dir).unwrap().any(|entry| partial(&entry.unwrap().file_name())));
}
