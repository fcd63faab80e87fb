//! Reports of small fields.

#[path = "../../judge/tests/support/mod.rs"]
mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use finescale_field::{Field3, Grid, Scheme};
use finescale_judge::{
    Beside, Comparison, Fields, Labelled, Measurements, PublishedSpectrum, TileFaces, Upscaled,
};
use finescale_report::{Pictures, ReportError, ReportPaths, write};
use ndarray::Array3;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::Path;
use support::{fields, waves};

/// The fields reported on in a folder.
fn report(fields: &Fields<'_>, beside: Beside, folder: &Path) -> ReportPaths {
    let measured = Measurements::new("box", fields).expect("a truth and a sample");
    let comparison = Comparison::new(measured, beside).expect("one box");
    write(&comparison, &Pictures::new(fields), folder).expect("a report")
}

#[test]
fn every_statistic_has_its_table() {
    const CELLS: usize = 48;
    let drawn: Vec<Field3> = (0..5).map(|phase| waves(CELLS, 0.8, f64::from(phase))).collect();
    let [truth, condition, samples @ ..] = drawn.as_slice() else { unreachable!("five fields") };
    let mut all = fields(truth, Some(condition), &samples.iter().collect::<Vec<_>>());
    let faces = || Ok(vec![TileFaces::every(16, 0, [CELLS; 3])]);
    all.samples[0].faces = faces();
    all.independent_tiles = Some(Labelled::new("tiles", condition).with_faces(faces()));
    let published = vec![PublishedSpectrum::parse("theory", "pk.txt".as_ref(), "0.01 1\n100 0.1").unwrap()];
    let folder = tempfile::tempdir().unwrap();
    let paths = report(&all, Beside { published, ..Beside::default() }, folder.path());
    // Columns and rows by table: 8 bands, 5 fields and the two baselines.
    let expected = [
        ("bands", 15, 8),
        ("bispectrum", 19, 0),
        ("calibration", 12, 8),
        ("cosmic_variance", 6, 8),
        ("cross_correlation", 8, 0),
        ("environments", 10, 6),
        ("goals", 9, 19),
        ("minkowski", 29, 23),
        ("multipoles", 25, 8),
        ("pdf_blocks_2", 8, 70),
        ("pdf_blocks_4", 8, 70),
        ("pdf_voxels", 8, 70),
        ("peaks", 8, 11),
        ("percentiles_blocks_2", 8, 7),
        ("percentiles_blocks_4", 8, 7),
        ("percentiles_voxels", 8, 7),
        ("power", 9, 0),
        ("published", 7, 8),
        ("ranks_blocks", 2, 4),
        ("ranks_voxels", 2, 4),
        ("ratio", 8, 0),
        ("response", 13, 8),
        ("scattering", 15, 0),
        ("seams", 10, 2),
        ("transfer", 8, 0),
        ("voids", 8, 0),
        ("wasserstein", 7, 3),
    ];
    let mut found: Vec<_> = paths
        .tables
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let columns = text.lines().next().unwrap().split(',').count();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), columns, text.lines().count() - 1)
        })
        .collect();
    found.sort();
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((name, columns, rows), expected) in found.iter().zip(expected) {
        assert_eq!((name.as_str(), *columns), (expected.0, expected.1));
        // Rows that depend on the grid: some.
        assert!(*rows == expected.2 || (expected.2 == 0 && *rows > 2), "{name}: {rows} rows");
    }
    let text = |name: &str| fs::read_to_string(folder.path().join("tables").join(name)).unwrap();
    assert!(
        text("bispectrum.csv").contains("\nequilateral,") && text("bispectrum.csv").contains("\nsqueezed,")
    );
    assert!(
        text("published.csv").lines().next().unwrap().ends_with("theory P,theory / truth,theory / samples")
    );
    assert!(text("multipoles.csv").contains("sample 1 P2") && text("ranks_voxels.csv").contains("\n0,"));
}

/// The page of a small comparison, and the folder that it lies in.
fn written(beside: Beside) -> (tempfile::TempDir, ReportPaths, String) {
    let truth = waves(8, 0.5, 0.0);
    let folder = tempfile::tempdir().expect("a folder");
    let paths = report(&fields(&truth, None, &[&truth]), beside, folder.path());
    let html = fs::read_to_string(&paths.html).expect("its page");
    (folder, paths, html)
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
    let faces = |cells| Ok(vec![TileFaces::every(3, 0, cells)]);
    for cells in [[8; 3], [12, 10, 8], [2, 4, 9], [5, 7, 3]] {
        let (wavy, flat) = (wavy(cells), flat(cells));
        for (truth, sample) in [(&wavy, &flat), (&flat, &wavy), (&flat, &flat), (&wavy, &wavy)] {
            let mut all = fields(truth, Some(sample), &[sample, truth, sample]);
            all.samples[0] = all.samples[0].clone().with_faces(faces(cells));
            report(&all, Beside::default(), folder.path());
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
fn a_report_is_written_whole_and_needs_nothing_else() {
    let (truth, condition, sample) = (waves(16, 0.8, 0.0), waves(16, 0.5, 0.5), waves(16, 0.8, 2.0));
    let named = Labelled::new("condition <low>", &condition);
    let samples = [Labelled::new("sample", &sample)];
    let all = fields(&truth, Some(&condition), &[&sample]);
    let beside = Beside {
        title: "A & B".to_owned(),
        upscaled: vec![Upscaled::new("Where no truth is known", &named, &samples).unwrap()],
        provenance: json!({"seed": 7, "model": "demo.safetensors"}),
        ..Beside::default()
    };
    let comparison = Comparison::new(Measurements::new("box", &all).unwrap(), beside).unwrap();
    let pictures = Pictures::new(&all).with_upscaled(&named, &samples);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new/report");
    let paths = write(&comparison, &pictures, &dir).unwrap();

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
    assert!(html.contains("<h1>A &#38; B</h1>") && html.contains("Where no truth is known"));
    assert!(
        !html.replace("http-equiv", "").contains("http")
            && !html.contains("<link")
            && !html.contains(" src=")
    );
    assert_eq!(html.matches("url(").count(), html.matches("url(#").count());
    // Without the script, and for it.
    assert!(
        html.matches("<div class=\"plot\">\n<div class=").count() >= 6 && html.contains("id=\"volumes\"")
    );
    let mut left: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["figures", "report.html", "report.json", "tables"]);

    // The same input gives the same bytes.
    let again = write(&comparison, &pictures, &folder.path().join("again")).unwrap();
    assert_eq!(fs::read(&again.html).unwrap(), fs::read(&paths.html).unwrap());
}

#[test]
fn browsers_are_told_to_run_the_one_script_of_the_page_and_nothing_else() {
    let (_folder, _, html) = written(Beside::default());
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
fn the_caption_of_the_power_says_whether_its_window_is_divided_out() {
    let truth = waves(8, 0.5, 0.0);
    let caption = |assignment, published: &[PublishedSpectrum]| {
        let mut all = fields(&truth, None, &[&truth]);
        (all.truth.assignment, all.samples[0].assignment) = (assignment, assignment);
        let folder = tempfile::tempdir().unwrap();
        let paths =
            report(&all, Beside { published: published.to_vec(), ..Beside::default() }, folder.path());
        let html = fs::read_to_string(paths.html).unwrap();
        let captions =
            html.split("<figcaption>").map(|text| text.split("</figcaption>").next().unwrap().to_owned());
        captions.into_iter().find(|text| text.starts_with("Power ")).unwrap()
    };
    let table = [PublishedSpectrum::parse("theory", "pk.txt".as_ref(), "0.01 1\n100 0.1").unwrap()];
    let known = Some(Scheme::Cic);
    assert!(
        caption(known, &[])
            .starts_with("Power as gridded, so that the window of the mass assignment is in it")
    );
    assert!(caption(known, &table).starts_with("Power without the window of the mass assignment"));
    assert!(caption(None, &table).starts_with("Power as gridded: a file does not say its mass assignment"));
}

#[test]
fn control_characters_of_names_are_signs_in_every_file() {
    const NAME: &str = "a\0\u{1}\u{1b}]0;x\u{7}\r\u{7f}\u{9b}\u{fffe}\u{ffff}<b>";
    let truth = waves(8, 0.5, 0.0);
    let named = Labelled::new(NAME, &truth);
    let (_folder, paths, html) = written(Beside {
        title: NAME.to_owned(),
        notes: vec![NAME.to_owned()],
        published: vec![PublishedSpectrum::parse(NAME, "pk.txt".as_ref(), "0.01 1\n100 0.1").unwrap()],
        upscaled: vec![Upscaled::new(NAME, &named, std::slice::from_ref(&named)).unwrap()],
        provenance: json!({NAME: NAME, "nested": {NAME: [NAME]}}),
        ..Beside::default()
    });
    let json = fs::read_to_string(&paths.json).unwrap();
    let vectors = paths.figures.iter().filter(|path| path.extension().is_some_and(|e| e == "svg"));
    let vectors: Vec<String> = vectors.map(|path| fs::read_to_string(path).unwrap()).collect();
    let seen = "a\u{2400}\u{2401}\u{241b}]0;x\u{2407}\u{240d}\u{2421}\u{fffd}\u{fffd}\u{fffd}";
    assert!(html.contains(&format!("<h1>{seen}&#60;b&#62;</h1>")) && json.contains(seen));
    assert!(html.contains(&format!("<p class=\"warning\">Warning: {seen}&#60;b&#62;.</p>")));
    assert!(vectors.iter().any(|text| text.contains(seen)));
    for text in vectors.iter().chain([&html, &json]) {
        let raw = |c: char| (c.is_control() && !"\t\n".contains(c)) || "\u{fffe}\u{ffff}".contains(c);
        assert_eq!(text.chars().find(|&c| raw(c)), None);
        assert!(!text.contains("\\u000") && !text.contains("\\u001"), "hidden behind an escape of JSON");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let truth = waves(8, 0.5, 0.0);
    let all = fields(&truth, None, &[&truth]);
    let comparison = Comparison::new(Measurements::new("box", &all).unwrap(), Beside::default()).unwrap();
    let pictures = Pictures::new(&all);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taken");
    fs::write(&file, "a file").unwrap();
    let error = write(&comparison, &pictures, &file).unwrap_err();
    assert!(matches!(&error, ReportError::Write { path, .. } if *path == file), "{error}");
    // A name in the way of a file: nothing half-written stays.
    let dir = folder.path().join("report");
    fs::create_dir_all(dir.join("report.json/in the way")).unwrap();
    let error = write(&comparison, &pictures, &dir).unwrap_err();
    assert!(matches!(&error, ReportError::Write { path, .. } if path.ends_with("report.json")), "{error}");
    let partial = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".partial");
    assert!(!fs::read_dir(&dir).unwrap().any(|entry| partial(&entry.unwrap().file_name())));
}
