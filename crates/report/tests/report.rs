//! A report of small fields whose statistics are known.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use finescale_field::{Field3, Grid};
use finescale_report::{Comparison, Fields, Labelled, Outcome, PublishedSpectrum, ReportError, ReportPaths};
use finescale_seed::{KeyedStream, Purpose};
use finescale_spectra::TileFaces;
use ndarray::Array3;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
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

fn fields<'a>(truth: &'a Field3, condition: Option<&'a Field3>, samples: &[&'a Field3]) -> Fields<'a> {
    let sample = |(i, field): (usize, &&'a Field3)| Labelled::new(format!("sample {}", i + 1), field);
    Fields {
        truth: Labelled::new("truth", truth),
        condition: condition.map(|field| Labelled::new("condition", field)),
        samples: samples.iter().enumerate().map(sample).collect(),
        independent_tiles: None,
    }
}

/// exp of waves and white noise that all fields share, and of white noise of their own.
fn draw(cells: usize, seed: u64, noise: f64) -> Field3 {
    let [own, shared] = [seed, 99].map(|seed| KeyedStream::new(seed, Purpose::Points));
    let base = waves(cells, 0.8, 0.0);
    let mut at = 0;
    let values = base.values().mapv(|v| {
        at += 1;
        let noise = noise * f64::from(own.normal(0, at)) + 0.5 * f64::from(shared.normal(0, at));
        (f64::from(v).ln() + noise).exp() as f32
    });
    let field = Field3::new(*base.grid(), values).expect("the grid's own shape");
    let mean = field.mean();
    field.map(|v| (f64::from(v) / mean) as f32)
}

#[test]
fn statistics_are_those_of_the_fields() {
    let truth = waves(16, 0.8, 0.0);
    let mean = truth.mean();
    let (half, other) = (waves(16, 0.4, 0.0), truth.map(|v| 2.0 * v));
    let comparison = Comparison::new(&fields(&truth, Some(&half), &[&truth, &other])).unwrap();
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

    // The sample that is the truth has its bispectrum, densities and peaks; the doubled one has other densities.
    let of = |path: &str| json.pointer(path).unwrap_or_else(|| panic!("{path} is missing"));
    let ratios = of("/samples/0/bispectrum_ratio").as_array().unwrap();
    assert!(
        !ratios.is_empty() && ratios.iter().all(|r| r.as_f64().is_none_or(|r| (r - 1.0).abs() < FFT_REL))
    );
    assert_eq!(of("/samples/0/densities/0/of_blocks/wasserstein").as_f64(), Some(0.0));
    let distance = of("/samples/1/densities/2/of_blocks/wasserstein").as_f64().unwrap();
    assert!((distance - 2f64.ln()).abs() < 1e-4, "{distance}");
    assert_eq!(of("/samples/0/peaks/counts"), of("/truth/peaks/counts"));
    // Doubling changes a logarithm by a constant: all bands but those of rounding.
    let power = of("/truth/log_power").as_array().unwrap();
    let most = power.iter().filter_map(Value::as_f64).fold(0.0, f64::max);
    let judged: Vec<usize> = (0..power.len()).filter(|&b| power[b].as_f64() > Some(1e-9 * most)).collect();
    assert!(power.len() == 8 && judged.len() >= 7, "{power:?}");
    for sample in 0..2 {
        let ratios = of(&format!("/samples/{sample}/log_power_ratio")).as_array().unwrap();
        for &band in &judged {
            assert!((ratios[band].as_f64().unwrap() - 1.0).abs() < 1e-4, "{ratios:?}");
        }
    }
    // The truth's values by the rank of the halved contrast are the truth.
    let matched = of("/baselines/matched_pdf/band_ratio").as_array().unwrap();
    assert!(matched.iter().all(|r| r.as_f64().is_none_or(|r| (r - 1.0).abs() < 1e-3)), "{matched:?}");
    assert_eq!(of("/version"), 2);
}

#[test]
fn perfect_samples_meet_the_goals_and_biased_ones_do_not() {
    const NOISE: f64 = 0.005; // one percent of what is shared: the worst band scatters by a percent
    let truth = draw(16, 0, NOISE);
    let samples: Vec<Field3> = (1..5).map(|seed| draw(16, seed, NOISE)).collect();
    let outcome = |comparison: &Comparison, key: &str| {
        comparison.goals().iter().find(|goal| goal.key == key).expect("a goal").clone()
    };
    let all: Vec<&Field3> = samples.iter().collect();
    let good = Comparison::new(&fields(&truth, None, &all)).unwrap();
    for key in ["power_large_scales", "pair_ratio", "percentile_99_9", "mass"] {
        let found = outcome(&good, key);
        assert_eq!(found.outcome, Outcome::Pass, "{found:?}");
    }
    assert_eq!(outcome(&good, "seams").outcome, Outcome::NotMeasured);
    assert_eq!(good.to_json()["calibration"]["scores"][0]["ranks"]["counts"].as_array().unwrap().len(), 5);

    let damped: Vec<Field3> = samples
        .iter()
        .map(|sample| sample.map(|v| (1.2 * (0.9 * (f64::from(v) - 1.0) + 1.0)) as f32))
        .collect();
    let bad = Comparison::new(&fields(&truth, None, &damped.iter().collect::<Vec<_>>())).unwrap();
    for key in ["power_large_scales", "pair_ratio", "percentile_99_9", "mass"] {
        let found = outcome(&bad, key);
        assert!(found.outcome == Outcome::Miss && found.excess.unwrap() > 0.0, "{found:?}");
    }
}

#[test]
fn independent_tiles_show_and_the_truth_does_not() {
    const CELLS: usize = 32;
    let truth = draw(CELLS, 0, 0.1);
    let others: Vec<Field3> = (0..8).map(|tile| waves(CELLS, 0.8, f64::from(tile))).collect();
    let tiled = Array3::from_shape_fn([CELLS; 3], |(i, j, k)| {
        let tile = [i, j, k].map(|v| v / 16);
        let from = &others[tile[0] * 4 + tile[1] * 2 + tile[2]];
        from.values()[[(i + 5 * tile[0]) % CELLS, (j + 9 * tile[1]) % CELLS, (k + 3 * tile[2]) % CELLS]]
    });
    let tiled = Field3::new(*truth.grid(), tiled).unwrap();
    let faces = TileFaces::every(16, 0, [CELLS; 3]);
    let seamless = draw(CELLS, 1, 0.1);
    let known = |label: &str, field| Labelled::new(label, field).with_faces(Ok(faces.clone()));
    let comparison = Comparison::new(&Fields {
        truth: Labelled::new("truth", &truth),
        condition: None,
        samples: vec![known("sample", &seamless)],
        independent_tiles: Some(known("tiles", &tiled)),
    })
    .unwrap();
    let json = comparison.to_json();
    assert_eq!(json["samples"][0]["seams"]["seamless"], true, "{:#}", json["samples"][0]["seams"]);
    assert_eq!(json["baselines"]["independent_tiles"]["seams"]["seamless"], false);
    assert_eq!(comparison.goals().last().unwrap().outcome, Outcome::Pass);
}

#[test]
fn boxes_give_the_errors() {
    let (first, second) = (waves(16, 0.8, 0.0), waves(16, 0.8, 1.0));
    let of = |truth: &Field3, factor: f64| {
        let sample = truth.map(|v| (1.0 + factor * (f64::from(v) - 1.0)) as f32);
        Comparison::new(&fields(truth, None, &[&sample])).unwrap()
    };
    let other = of(&second, 1.1).summary("second");
    let pooled = of(&first, 0.9).with_boxes("first", vec![other]).unwrap();
    // 0.81 and 1.21: mean 1.01, standard error 0.2.
    assert_eq!(pooled.pooled().boxes, 2);
    let ratio = &pooled.pooled().ratio;
    let (value, error) = (ratio.value[1], ratio.standard_error[1]);
    assert!((value - 1.01).abs() < 1e-4 && (error - 0.2).abs() < 1e-4, "{ratio:?}");
    assert_eq!(pooled.to_json()["boxes"][1]["label"], "second");
    let small = waves(12, 0.8, 0.0);
    let strange = Comparison::new(&fields(&small, None, &[&small])).unwrap().summary("small");
    let error = of(&first, 1.0).with_boxes("first", vec![strange]).unwrap_err();
    assert!(matches!(&error, ReportError::Boxes { .. }) && error.to_string().starts_with("small"), "{error}");
}

#[test]
fn odd_fields_are_measured_as_far_as_they_can_be() {
    let flat = |cells: [usize; 3]| {
        let grid = Grid::new(cells, cells.map(|n| n as f64 * 0.5)).unwrap();
        Field3::new(grid, Array3::ones(cells)).unwrap()
    };
    let wavy = |cells: [usize; 3]| {
        let value =
            |(i, j, k): (usize, usize, usize)| 1.0 + 0.5 * ((i + 2 * j) as f32 + 0.3 * k as f32).sin();
        let values = Array3::from_shape_fn(cells, value);
        Field3::new(*flat(cells).grid(), values).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let faces = |cells| Ok(TileFaces::every(3, 0, cells));
    for cells in [[8; 3], [12, 10, 8], [2, 4, 9], [5, 7, 3]] {
        let (wavy, flat) = (wavy(cells), flat(cells));
        for (truth, sample) in [(&wavy, &flat), (&flat, &wavy), (&flat, &flat), (&wavy, &wavy)] {
            let mut all = fields(truth, Some(sample), &[sample, truth, sample]);
            all.samples[0] = all.samples[0].clone().with_faces(faces(cells));
            let comparison = Comparison::new(&all).unwrap();
            comparison.write(folder.path()).unwrap();
        }
    }
    let report: Value =
        serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert!(report["truth"]["bispectrum"]["skipped"].as_str().unwrap().contains("[5, 7, 3]"));
    assert!(report["truth"]["voids"]["skipped"].is_string());
    let html = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(html.contains("Not measured") && html.contains("too large for this box"));
}

#[test]
fn published_spectra_stand_beside() {
    let truth = waves(16, 0.8, 0.0);
    let comparison = Comparison::new(&fields(&truth, None, &[&truth])).unwrap();
    let bands = comparison.bands();
    let rows: Vec<String> = [0.01, 100.0].map(|k: f64| format!("{k} {}", 100.0 * k.powf(-1.5))).into();
    let table = PublishedSpectrum::parse("theory", "pk.txt".as_ref(), &rows.join("\n")).unwrap();
    let json = comparison.clone().with_published(vec![table]).to_json();
    let found = json["published"][0]["truth_ratio"][0].as_f64().unwrap();
    let expected = bands.truth_power[0] / (100.0 * bands.k_h_mpc[0].powf(-1.5));
    assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
}

#[test]
fn a_report_is_written_whole_and_needs_nothing_else() {
    let (truth, condition, sample) = (waves(16, 0.8, 0.0), waves(16, 0.5, 0.5), waves(16, 0.8, 2.0));
    let named = Labelled::new("condition <low>", &condition);
    let samples = [Labelled::new("sample", &sample)];
    let comparison = Comparison::new(&fields(&truth, Some(&condition), &[&sample]))
        .unwrap()
        .with_title("A & B")
        .with_upscaled("Where no truth is known", &named, &samples)
        .unwrap()
        .with_provenance(json!({"seed": 7, "model": "demo.safetensors"}));
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new/report");
    let paths = comparison.write(&dir).unwrap();

    for figure in &paths.figures {
        let begin: &[u8] = if figure.extension().is_some_and(|e| e == "png") { b"\x89PNG" } else { b"<svg" };
        assert!(fs::read(figure).unwrap().starts_with(begin), "{}", figure.display());
    }
    for name in ["slices.png", "power.svg", "pdf.svg", "upscaled-1-power.png"] {
        assert!(paths.figures.iter().any(|path| path.ends_with(name)), "{name}");
    }
    for name in ["power.csv", "goals.csv", "bispectrum.csv", "pdf_blocks_2.csv"] {
        let path = paths.tables.iter().find(|path| path.ends_with(name)).expect(name);
        assert!(fs::read_to_string(path).unwrap().lines().count() > 2, "{name}");
    }
    let numbers: Value = serde_json::from_slice(&fs::read(&paths.json).unwrap()).unwrap();
    assert_eq!(numbers["provenance"]["seed"], 7);
    assert_eq!(numbers["also_upscaled"][0]["samples"][0]["label"], "sample");
    let html = fs::read_to_string(&paths.html).unwrap();
    assert!(html.contains("<h1>A &amp; B</h1>") && html.contains("Where no truth is known"));
    assert!(
        !html.replace("http-equiv", "").contains("http")
            && !html.contains("<link")
            && !html.contains(" src=")
    );
    assert_eq!(html.matches("url(").count(), html.matches("url(#").count());
    // Without the script, and for it.
    assert!(html.matches("<div class=\"static").count() >= 8 && html.contains("id=\"volumes\""));
    let mut left: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["figures", "report.html", "report.json", "tables"]);

    // The same input gives the same bytes.
    let again = comparison.write(&folder.path().join("again")).unwrap();
    assert_eq!(fs::read(&again.html).unwrap(), fs::read(&paths.html).unwrap());
}

/// The page of a small comparison, and the folder that it lies in.
fn written(change: impl FnOnce(Comparison) -> Comparison) -> (tempfile::TempDir, ReportPaths, String) {
    let truth = waves(8, 0.5, 0.0);
    let comparison = change(Comparison::new(&fields(&truth, None, &[&truth])).expect("a truth and a sample"));
    let folder = tempfile::tempdir().expect("a folder");
    let paths = comparison.write(folder.path()).expect("a report");
    let html = fs::read_to_string(&paths.html).expect("its page");
    (folder, paths, html)
}

#[test]
fn browsers_are_told_to_run_the_one_script_of_the_page_and_nothing_else() {
    let (_folder, _, html) = written(|comparison| comparison);
    let (_, from) = html.split_once("<script>").expect("a script");
    let (script, after) = from.split_once("</script>").expect("its end");
    assert!(script.contains("use strict") && !after.contains("<script"));
    let hash = STANDARD.encode(Sha256::digest(script));
    let policy = format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
         style-src 'unsafe-inline'; script-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'\">"
    );
    let at = html.find(&policy).expect("the policy, with the hash of the script");
    // It holds for what comes after it.
    assert!(["<title", "<style", "<script", "<body"].iter().all(|tag| html.find(tag) > Some(at)));
    // Browsers hash a script with its line ends as LF.
    assert!(!script.contains('\r'));
}

#[test]
fn control_characters_of_names_are_signs_in_every_file() {
    const NAME: &str = "a\0\u{1}\u{1b}]0;x\u{7}\r\u{7f}\u{9b}\u{fffe}\u{ffff}<b>";
    let (_folder, paths, html) = written(|comparison| {
        let rows = "0.01 1\n100 0.1";
        let table = PublishedSpectrum::parse(NAME, "pk.txt".as_ref(), rows).unwrap();
        let truth = waves(8, 0.5, 0.0);
        let named = Labelled::new(NAME, &truth);
        let comparison = comparison.with_title(NAME).with_published(vec![table]);
        let comparison = comparison.with_upscaled(NAME, &named, std::slice::from_ref(&named)).unwrap();
        comparison.with_provenance(json!({NAME: NAME, "nested": {NAME: [NAME]}}))
    });
    let json = fs::read_to_string(&paths.json).unwrap();
    let vectors = paths.figures.iter().filter(|path| path.extension().is_some_and(|e| e == "svg"));
    let vectors: Vec<String> = vectors.map(|path| fs::read_to_string(path).unwrap()).collect();
    let seen = "a\u{2400}\u{2401}\u{241b}]0;x\u{2407}\u{240d}\u{2421}\u{fffd}\u{fffd}\u{fffd}";
    assert!(html.contains(&format!("<h1>{seen}&lt;b&gt;</h1>")) && json.contains(seen));
    assert!(vectors.iter().any(|text| text.contains(seen)));
    for text in vectors.iter().chain([&html, &json]) {
        let raw = |c: char| (c.is_control() && !"\t\n".contains(c)) || "\u{fffe}\u{ffff}".contains(c);
        assert_eq!(text.chars().find(|&c| raw(c)), None);
        assert!(!text.contains("\\u000") && !text.contains("\\u001"), "hidden behind an escape of JSON");
    }
}

#[test]
fn comparisons_that_make_no_sense_are_refused() {
    let truth = waves(8, 0.5, 0.0);
    assert!(matches!(Comparison::new(&fields(&truth, None, &[])), Err(ReportError::NoSamples)));
    let other = waves(6, 0.5, 0.0);
    for bad in [&other, &truth.map(|_| f32::NAN)] {
        let error = Comparison::new(&fields(&truth, None, &[bad])).unwrap_err();
        assert!(matches!(error, ReportError::Statistics { .. }));
        assert!(error.to_string().starts_with("sample 1 "), "{error}");
    }
    let alone = Comparison::new(&fields(&truth, None, &[&truth])).unwrap();
    let named = Labelled::new("truth", &truth);
    assert!(matches!(alone.with_upscaled("x", &named, &[]), Err(ReportError::NoSamples)));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let truth = waves(8, 0.5, 0.0);
    let comparison = Comparison::new(&fields(&truth, None, &[&truth])).unwrap();
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
