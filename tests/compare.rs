//! Comparisons of small boxes by the binary: what is compared, what is refused, and what the report says of it.

use crate::binary::{fails, finescale};
use finescale_field::{Boundary, Centring, Cosmology, Field3, Grid, Region, Scheme};
use finescale_snapshot::{GridFile, GridMeta, write_grid, write_npy};
use ndarray::Array3;
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;

const CELLS: usize = 16;
const VOXEL_MPC_H: f64 = 0.5;

/// A folder with a truth and samples of it.
struct Desk {
    folder: TempDir,
}

impl Desk {
    /// With a truth, and a sample that knows nothing of itself.
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        desk.write("truth", &waves(0.0), json!({}));
        desk.write("sample", &waves(0.3), json!({}));
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a periodic grid file of cloud-in-cell gas.
    fn write(&self, name: &str, field: &Field3, provenance: Value) {
        self.write_grid(name, field, true, provenance);
    }

    /// Writes a part of a field as `upscale --region` does.
    fn write_part(&self, name: &str, field: &Field3, region: Region, mut provenance: Value) {
        provenance["region"] = json!(region);
        self.write_grid(name, &field.cut(&region).unwrap(), false, provenance);
    }

    fn write_grid(&self, name: &str, field: &Field3, periodic: bool, provenance: Value) {
        let boundary = Boundary::from_periodic(periodic);
        self.write_as(name, field, GridMeta { boundary, provenance, ..gas() });
    }

    fn write_as(&self, name: &str, field: &Field3, meta: GridMeta) {
        let path = self.path(name).with_extension("hdf5");
        write_grid(&path, &GridFile { field: field.clone(), meta }).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> assert_cmd::Command {
        let mut command = finescale();
        command.current_dir(self.folder.path()).arg("compare").args(arguments).args(["--threads", "2"]);
        command
    }

    /// The report of a comparison with the truth, and what was said on stderr.
    fn report(&self, arguments: &[&str]) -> (Value, String) {
        let all = [&["--truth", "truth.hdf5", "-o", "report"], arguments].concat();
        let output = self.command(&all).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        let report = std::fs::read(self.path("report/report.json")).unwrap();
        std::fs::remove_dir_all(self.path("report")).unwrap();
        (serde_json::from_slice(&report).unwrap(), stderr)
    }

    /// A comparison with the truth that is refused in words that hold `texts`.
    fn refuses(&self, arguments: &[&str], texts: &[&str]) {
        fails(&mut self.command(&[&["--truth", "truth.hdf5", "-o", "report"], arguments].concat()), texts);
        assert!(!self.path("report").exists(), "a comparison that fails writes nothing");
    }
}

/// Waves of mean 1; `phase` moves the small ones.
fn waves(phase: f64) -> Field3 {
    let grid = Grid::cube(CELLS, CELLS as f64 * VOXEL_MPC_H).unwrap();
    let values = Array3::from_shape_fn(grid.cells(), |(i, j, k)| {
        let [x, y, z] = [i, j, k].map(|v| std::f64::consts::TAU * v as f64 / CELLS as f64);
        let large = (x + 2.0 * y).cos() + (z - y + 0.7).sin();
        let small = (5.0 * x + 3.0 * z + phase).sin() * (4.0 * y - 2.0 * z + 2.0 * phase).cos();
        (1.0 + 0.3 * large + 0.2 * small) as f32
    });
    Field3::new(grid, values).unwrap()
}

fn gas() -> GridMeta {
    GridMeta { assignment: Some(Scheme::Cic), provenance: json!({}), ..GridMeta::new("gas", 0.0, 1.0) }
}

/// A report without what says where it comes from.
fn numbers(mut report: Value) -> Value {
    for key in ["provenance", "region", "notes"] {
        report[key] = Value::Null;
    }
    report
}

#[test]
fn samples_and_reports_have_the_names_that_they_are_given() {
    let desk = Desk::new();
    desk.write("other", &waves(0.6), json!({}));
    let both = ["--sample", "sample.hdf5", "other.hdf5"];
    let (plain, _) = desk.report(&both);
    assert_eq!(
        (&plain["title"], &plain["samples"][1]["label"]),
        (&json!("Samples against the truth"), &json!("sample 2"))
    );
    let names = ["--label", "fine-tuned", "--label", "from scratch", "--title", "Two of them"];
    let (named, _) = desk.report(&[&both[..], &names].concat());
    assert_eq!(
        (&named["title"], &named["samples"][0]["label"]),
        (&json!("Two of them"), &json!("fine-tuned"))
    );
    assert_eq!(named["samples"][1]["label"], "from scratch");
    desk.refuses(&[&both[..], &names[..2]].concat(), &["--label", "1 names", "2 samples"]);
}

/// What a sample of a model says of itself.
fn drawn_by(model: &str, hash: &str) -> Value {
    json!({ "model": { "file": model, "sha256": hash.repeat(8) } })
}

#[test]
fn samples_of_different_models_are_not_pooled() {
    let desk = Desk::new();
    for (name, phase, model, hash) in [
        ("a", 0.1, "fine.safetensors", "1f1e0000"),
        ("b", 0.2, "fine.safetensors", "1f1e0000"),
        ("c", 0.4, "demo.safetensors", "de300000"),
    ] {
        desk.write(name, &waves(phase), drawn_by(model, hash));
    }
    let (report, said) = desk.report(&["--sample", "a.hdf5", "b.hdf5"]);
    assert!(report["notes"] == json!([]) && !said.contains("warning"), "{said}");
    let words = [
        "a.hdf5",
        "fine.safetensors (1f1e0000)",
        "c.hdf5",
        "demo.safetensors (de300000)",
        "report of its own",
    ];
    desk.refuses(&["--sample", "a.hdf5", "b.hdf5", "c.hdf5"], &words);

    // Nor are those of several boxes.
    for (folder, sample) in [("one", "a.hdf5"), ("two", "c.hdf5")] {
        std::fs::create_dir(desk.path(folder)).unwrap();
        for (from, to) in [("truth.hdf5", "truth.hdf5"), (sample, "sample.hdf5")] {
            std::fs::copy(desk.path(from), desk.path(folder).join(to)).unwrap();
        }
    }
    fails(
        &mut desk.command(&["--box", "one", "two", "-o", "report"]),
        &["one/sample.hdf5", "two/sample.hdf5"],
    );

    // Who says nothing is taken for a draw of the same model, which is told.
    let (report, said) = desk.report(&["--sample", "a.hdf5", "sample.hdf5"]);
    let note = report["notes"][0].as_str().unwrap();
    assert!(note.starts_with("sample.hdf5 does not say which model drew it"), "{note}");
    assert!(said.contains("warning: sample.hdf5 does not say which model drew it"), "{said}");
}

#[test]
fn samples_of_other_settings_or_conditions_are_not_pooled() {
    let desk = Desk::new();
    let drawn = |strategy: &str, seed: u64, condition: &str| {
        let generation = json!({ "strategy": strategy, "overlap_cells": 6, "seed": seed });
        json!({ "identity": { "model": "ab".repeat(32), "condition": condition, "generation": generation } })
    };
    desk.write("one", &waves(0.1), drawn("joint", 1, "c0"));
    desk.write("two", &waves(0.2), drawn("joint", 2, "c0"));
    desk.write("raster", &waves(0.4), drawn("raster", 3, "c0"));
    desk.write("elsewhere", &waves(0.5), drawn("joint", 4, "c1"));
    let (report, _) = desk.report(&["--sample", "one.hdf5", "two.hdf5"]);
    assert_eq!(report["notes"], json!([]));
    let words = ["one.hdf5 and raster.hdf5", "strategy \"joint\" and \"raster\"", "report of its own"];
    desk.refuses(&["--sample", "one.hdf5", "raster.hdf5"], &words);
    desk.refuses(
        &["--sample", "one.hdf5", "elsewhere.hdf5"],
        &["one.hdf5 and elsewhere.hdf5", "different conditions"],
    );
}

#[test]
fn files_say_what_they_are_beside_the_truth() {
    let desk = Desk::new();
    let field = waves(0.1);
    desk.write_as("corner", &field, GridMeta { centring: Centring::Corner, ..gas() });
    desk.refuses(&["--sample", "corner.hdf5"], &["corner.hdf5", "half a voxel apart"]);
    let late = GridMeta { quantity: "dm".into(), redshift: 3.0, assignment: Some(Scheme::Tsc), ..gas() };
    desk.write_as("late", &field, late);
    let (report, said) = desk.report(&["--sample", "late.hdf5"]);
    let notes = report["notes"].to_string();
    for words in
        ["late.hdf5 holds dm, the truth gas", "is at redshift 3.00, the truth at 0.00", "assigned by tsc"]
    {
        assert!(notes.contains(words) && said.contains(words), "{notes} {said}");
    }
    // Another universe.
    desk.write("stranger", &waves(0.1).map(|value| 2.0 - value), json!({}));
    let (_, said) = desk.report(&["--sample", "stranger.hdf5"]);
    assert!(said.contains("do not look like fields of one universe"), "{said}");
}

#[test]
fn a_sample_counts_once() {
    let desk = Desk::new();
    desk.refuses(&["--sample", "sample.hdf5", "sample.hdf5"], &["sample.hdf5 and sample.hdf5", "leave one"]);
    // The same values in another file.
    desk.write("again", &waves(0.3), json!({ "other": "words" }));
    desk.refuses(&["--sample", "sample.hdf5", "again.hdf5"], &["sample.hdf5 and again.hdf5", "same sample"]);
}

#[test]
fn truth_and_condition_are_cut_to_the_region_of_a_sample() {
    let desk = Desk::new();
    desk.write("condition", &waves(0.6), json!({}));
    // Over a face of the box.
    let region = Region { start: [3, -4, 0], shape: [12, 8, 16] };
    // By the sample's own cells; plane 0 is the edge.
    let faces = json!({ "tile_faces": [[4, 8], [], [0, 8]] });
    desk.write_part("part", &waves(0.3), region, faces.clone());
    let arguments = ["--condition", "condition.hdf5", "--sample", "part.hdf5"];
    let (report, said) = desk.report(&arguments);
    assert!(said.contains("warning: only the [12, 8, 16] cells from [3, -4, 0] on of truth.hdf5"), "{said}");
    assert!(report["notes"][0].as_str().unwrap().contains("not periodic"), "{}", report["notes"]);
    assert_eq!((&report["region"], &report["cells"]), (&json!(region), &json!([12, 8, 16])));
    assert_eq!(report["samples"][0]["seams"]["faces"], json!([[4, 8], [], [0, 8]]));

    // As somebody does who cuts by hand, or asks for that part of a sample of the whole box.
    let by_hand = Desk::new();
    for (name, field) in [("truth", waves(0.0)), ("condition", waves(0.6))] {
        by_hand.write_grid(name, &field.cut(&region).unwrap(), false, json!({}));
    }
    by_hand.write_part("part", &waves(0.3), region, faces);
    let (cut, said) = by_hand.report(&arguments);
    assert!(said.contains("truth.hdf5 is not periodic") && cut["region"].is_null(), "{said}");
    assert_eq!(numbers(cut), numbers(report.clone()));
    desk.write("whole", &waves(0.3), json!({ "tile_faces": [[7, 11], [], [0, 8]] }));
    let asked = ["--condition", "condition.hdf5", "--sample", "whole.hdf5", "--region", "3,-4,0:12,8,16"];
    assert_eq!(numbers(desk.report(&asked).0), numbers(report));
}

#[test]
fn a_sample_of_a_whole_box_that_begins_elsewhere_is_moved_back() {
    let desk = Desk::new();
    let region = Region { start: [5, 0, -2], shape: [CELLS; 3] };
    let moved = Field3::new(*waves(0.0).grid(), waves(0.3).extract(&region).unwrap()).unwrap();
    desk.write("moved", &moved, json!({ "region": region }));
    let (report, said) = desk.report(&["--sample", "moved.hdf5"]);
    let (expected, _) = desk.report(&["--sample", "sample.hdf5"]);
    assert!(!said.contains("warning"), "{said}");
    /// Sums of f32 in another order.
    const ROUNDING: f64 = 1e-4;
    let power = expected["bands"]["truth_power"].as_array().unwrap();
    let largest = power.iter().filter_map(Value::as_f64).fold(0.0, f64::max);
    let mut compared = 0;
    for band in 0..8 {
        let of = |report: &Value, key: &str| report["bands"][key][band].as_f64();
        // Elsewhere there is rounding only.
        if of(&expected, "truth_power") > Some(1e-6 * largest) {
            let [found, expected] = [&report, &expected].map(|r| of(r, "sample_cross_correlation").unwrap());
            assert!((found - expected).abs() < ROUNDING, "{found} {expected}");
            compared += 1;
        }
    }
    assert!(compared >= 2, "{expected}");
}

#[test]
fn fields_of_other_places_and_voxels_are_refused() {
    let desk = Desk::new();
    let region = |start, shape| Region { start, shape };
    desk.write_part("left", &waves(0.3), region([0; 3], [8, 16, 16]), json!({}));
    desk.write_part("right", &waves(0.4), region([8, 0, 0], [8, 16, 16]), json!({}));
    let words =
        ["right.hdf5", "[8, 16, 16] cells from [8, 0, 0]", "from [0, 0, 0] on are compared", "--region"];
    desk.refuses(&["--sample", "left.hdf5", "right.hdf5"], &words);
    let beyond = ["--sample", "left.hdf5", "--region", "4,0,0:8,16,16"];
    desk.refuses(&beyond, &["left.hdf5", "from [0, 0, 0]", "from [4, 0, 0]"]);
    // What both share can be compared.
    desk.write("whole", &waves(0.5), json!({}));
    let (report, _) = desk.report(&["--sample", "whole.hdf5", "left.hdf5"]);
    assert_eq!(report["cells"], json!([8, 16, 16]));

    desk.refuses(
        &["--sample", "sample.hdf5", "--region", "0,0,0:17"],
        &["--region", "[17, 17, 17]", "[16, 16, 16]"],
    );
    desk.write_grid("unknown", &waves(0.3).cut(&region([0; 3], [8; 3])).unwrap(), false, json!({}));
    desk.refuses(&["--sample", "unknown.hdf5"], &["unknown.hdf5", "does not say which part"]);
    let far = &waves(0.3).cut(&region([0; 3], [8; 3])).unwrap();
    desk.write_grid("far", far, false, json!({ "region": region([40, 0, 0], [8; 3]) }));
    desk.refuses(&["--sample", "far.hdf5"], &["far.hdf5", "[40, 0, 0]", "truth.hdf5", "[16, 16, 16]"]);

    let coarse = Grid::cube(CELLS, 2.0 * CELLS as f64 * VOXEL_MPC_H).unwrap();
    let coarse = Field3::new(coarse, waves(0.3).into_values()).unwrap();
    desk.write("coarse", &coarse, json!({}));
    desk.refuses(
        &["--sample", "coarse.hdf5"],
        &["coarse.hdf5", "voxels of [1.0, 1.0, 1.0] and of [0.5, 0.5, 0.5] Mpc/h"],
    );
}

/// What a sample says of a model that was trained on `files`, by their SHA-256, but for a part.
fn trained_on(files: &[String], hold_out: Value) -> Value {
    let files: serde_json::Map<String, Value> =
        files.iter().enumerate().map(|(i, hash)| (format!("box_{i}.hdf5"), json!(hash))).collect();
    let mut lineage = json!({ "parents": [], "data": "real", "files": files });
    if !hold_out.is_null() {
        lineage["hold_out"] = hold_out;
    }
    json!({ "model": { "file": "m.safetensors", "sha256": "ab".repeat(32), "lineage": lineage } })
}

#[test]
fn a_box_that_the_model_was_trained_on_is_told() {
    let desk = Desk::new();
    desk.write("elsewhere", &waves(0.3), trained_on(&["0".repeat(64)], Value::Null));
    let (report, said) = desk.report(&["--sample", "elsewhere.hdf5"]);
    assert!(report["training_overlap"] == json!([]) && !said.contains("warning"), "{said}");
    let (report, _) = desk.report(&["--sample", "sample.hdf5"]);
    assert!(report["training_overlap"].is_null(), "nobody knows");
    let truth = report["provenance"]["inputs"][0]["sha256"].as_str().unwrap().to_owned();

    let hold_out = json!(Region { start: [0, 0, 10], shape: [16, 16, 6] });
    desk.write("part", &waves(0.3), trained_on(std::slice::from_ref(&truth), hold_out.clone()));
    let part = ["--sample", "part.hdf5"];
    let (report, said) = desk.report(&part);
    assert!(said.contains("warning: the model was trained on 62 % of what is compared of box 1"), "{said}");
    assert!(said.contains("truth.hdf5") && said.contains("--held-out"), "{said}");
    assert!(report["notes"][0].as_str().unwrap().contains("trained on 62 %"), "{}", report["notes"]);
    let overlap = &report["training_overlap"][0];
    assert_eq!((&overlap["files"], &overlap["hold_out"]), (&json!(["truth.hdf5"]), &hold_out));
    assert_eq!((&overlap["label"], &overlap["trained_share"]), (&json!("box 1"), &json!(0.625)));

    // What training left out is what --region would cut, and no cause to warn.
    let (held_out, said) = desk.report(&[&part[..], &["--held-out"]].concat());
    assert_eq!(held_out["training_overlap"][0]["trained_share"], 0.0);
    assert!(!said.contains("was trained on") && said.contains("[16, 16, 6] cells from [0, 0, 10]"), "{said}");
    let (cut, said) = desk.report(&[&part[..], &["--region", "0,0,10:16,16,6"]].concat());
    assert_eq!((numbers(held_out), said.contains("was trained on")), (numbers(cut), false));

    desk.write("all", &waves(0.3), trained_on(&[truth], Value::Null));
    let (_, said) = desk.report(&["--sample", "all.hdf5"]);
    assert!(said.contains("trained on 100 % of") && said.contains("boxes that it has not seen"), "{said}");
    for (sample, words) in [
        ("all.hdf5", ["--held-out", "left out no part of truth.hdf5", "data.hold_out"]),
        ("elsewhere.hdf5", ["--held-out", "not trained on truth.hdf5", "leave the option out"]),
        ("sample.hdf5", ["--held-out", "no sample says", "--region"]),
    ] {
        desk.refuses(&["--sample", sample, "--held-out"], &words);
    }
}

#[test]
fn a_report_that_is_there_is_not_replaced_unawares() {
    let desk = Desk::new();
    let arguments = ["--truth", "truth.hdf5", "--sample", "sample.hdf5", "-o", "report"];
    let again = |more: &[&str]| desk.command(&[&arguments[..], more].concat());
    again(&[]).assert().success();
    let before = std::fs::read(desk.path("report/report.json")).unwrap();
    fails(&mut again(&["--title", "Another"]), &["report.html: is there already", "--output", "--overwrite"]);
    assert!(std::fs::read(desk.path("report/report.json")).unwrap() == before);
    again(&["--title", "Another", "--overwrite"]).assert().success();
    assert!(std::fs::read(desk.path("report/report.json")).unwrap() != before);
}

#[test]
fn beside_published_power_the_window_is_divided_out() {
    let desk = Desk::new();
    let mut spectrum = finescale();
    spectrum
        .current_dir(desk.folder.path())
        .args(["spectrum", "truth.hdf5", "-o", "own.csv"])
        .assert()
        .success();
    let arguments = ["--sample", "sample.hdf5", "--truth-spectrum", "own.csv"];
    let (report, said) = desk.report(&arguments);
    assert!(!said.contains("warning"), "{said}");
    let published = &report["published"][0];
    assert_eq!(published["window_divided_out"], true);
    // The power of the truth by the other command is that of the truth; as gridded it is less.
    let column = |values: &Value| values.as_array().unwrap().iter().map(|v| v.as_f64()).collect::<Vec<_>>();
    let table = std::fs::read_to_string(desk.path("own.csv")).unwrap();
    let own: Vec<f64> =
        table.lines().skip(1).map(|row| row.split(',').nth(2).unwrap().parse().unwrap()).collect();
    let divided = column(&report["truth"]["power_without_window"]);
    assert_eq!((&report["truth"]["assignment"], divided.len()), (&json!("cic"), own.len()));
    /// Six digits of the table.
    const ROUNDING: f64 = 1e-4;
    let largest = own.iter().copied().fold(0.0, f64::max);
    for (found, expected) in divided.iter().zip(&own) {
        assert!((found.unwrap() - expected).abs() < ROUNDING * largest, "{found:?} {expected}");
    }
    let gridded = column(&report["truth"]["power"]);
    assert!(gridded[8].unwrap() < 0.9 * divided[8].unwrap(), "{gridded:?} {divided:?}");
    // So the ratio of the two is 1, in every band that has modes.
    let ratios = column(&published["over_truth"]);
    let of_truth = column(&report["bands"]["truth_power"]);
    let most = of_truth.iter().flatten().copied().fold(0.0, f64::max);
    let of_waves = ratios.iter().zip(&of_truth).filter(|(_, power)| power.is_some_and(|p| p > 1e-3 * most));
    assert!(of_waves.clone().count() > 2, "{published}");
    assert!(of_waves.clone().all(|(ratio, _)| (ratio.unwrap() - 1.0).abs() < 0.01), "{ratios:?}");

    // A cube that does not say its assignment.
    desk.write_as("unknown", &waves(0.3), GridMeta { assignment: None, ..gas() });
    let (report, said) = desk.report(&["--sample", "unknown.hdf5", "--truth-spectrum", "own.csv"]);
    assert_eq!(report["published"][0]["window_divided_out"], false);
    assert!(
        said.contains("warning: --truth-spectrum: unknown.hdf5 does not say its mass assignment"),
        "{said}"
    );
    assert!(
        report["samples"][0]["power_without_window"] == json!([])
            && report["samples"][0]["assignment"].is_null()
    );
}

#[test]
fn a_tenth_too_much_of_everything_is_missed_in_any_file() {
    let desk = Desk::new();
    let more = waves(0.0).map(|v| 1.1 * v);
    desk.write("more", &more, json!({}));
    write_npy(&desk.path("more.npy"), &more).unwrap();
    let size = (CELLS as f64 * VOXEL_MPC_H).to_string();
    for arguments in [vec!["--sample", "more.hdf5"], vec!["--sample", "more.npy", "--box-size", &size]] {
        let (report, said) = desk.report(&arguments);
        let mass = report["goals"].as_array().unwrap().iter().find(|goal| goal["key"] == "mass").unwrap();
        assert_eq!((&mass["outcome"], report["bands"]["sample_ratio"][2].is_null()), (&json!("miss"), false));
        // In units of the cosmic mean a tenth more density is 21 % more power.
        let column = |name: &str| {
            report["bands"][name].as_array().unwrap().iter().map(Value::as_f64).collect::<Vec<_>>()
        };
        let most = column("truth_power").into_iter().flatten().fold(0.0, f64::max);
        // Some bands hold nothing but rounding.
        for (ratio, power) in column("sample_ratio").into_iter().zip(column("truth_power")) {
            let is_empty = power.is_none_or(|power| power < 1e-3 * most);
            assert!(is_empty || (ratio.unwrap() - 1.21).abs() < 1e-3, "{ratio:?}");
        }
        assert_eq!(said.contains("more.npy: is taken for 1 + delta as it is"), arguments.len() > 2, "{said}");
    }
    // Counts are told from densities, and a sample's mass is not hidden.
    write_npy(&desk.path("counts.npy"), &more.map(|v| 8.0 * v)).unwrap();
    desk.refuses(&["--sample", "counts.npy", "--box-size", &size], &["counts.npy", "with --mean", "8.8"]);
    let own = ["--sample", "counts.npy", "--box-size", &size, "--mean", "own"];
    desk.refuses(&own, &["--mean own", "as a number"]);
    let (report, _) = desk.report(&["--sample", "counts.npy", "--box-size", &size, "--mean", "8"]);
    assert!((report["verdict"]["mass_ratio"].as_f64().unwrap() - 1.1).abs() < 1e-5);
}

#[test]
fn what_is_no_density_is_refused_wherever_it_stands() {
    let desk = Desk::new();
    let contrast = waves(0.0).map(|v| v - 1.0);
    desk.write("delta", &contrast, json!({}));
    desk.write("counts", &waves(0.0).map(|v| 1e10 * v), json!({}));
    let negative = ["delta.hdf5: holds negative values", "store 1 + delta"];
    desk.refuses(&["--sample", "delta.hdf5"], &negative);
    desk.refuses(&["--sample", "sample.hdf5", "--condition", "delta.hdf5"], &negative);
    desk.refuses(&["--sample", "sample.hdf5", "--over", "delta.hdf5"], &negative);
    let mean = ["counts.hdf5: the mean of its values is 1.0000e10", "divide them by their mean"];
    desk.refuses(&["--sample", "sample.hdf5", "--condition", "counts.hdf5"], &mean);
    desk.refuses(&["--sample", "sample.hdf5", "--over", "counts.hdf5"], &mean);
}

#[test]
fn boxes_that_share_their_noise_are_told() {
    let desk = Desk::new();
    let drawn = |version: u64, shared: bool| {
        let generation = json!({ "strategy": "joint", "seed": 5, "shared_noise": shared });
        json!({ "identity": { "version": version, "model": "ab".repeat(32), "condition": "c", "generation": generation } })
    };
    let warns = |version: u64, shared: bool| {
        for (number, folder) in ["one", "two"].into_iter().enumerate() {
            std::fs::create_dir_all(desk.path(folder)).unwrap();
            desk.write(&format!("{folder}/truth"), &waves(number as f64), json!({}));
            desk.write(&format!("{folder}/sample"), &waves(number as f64 + 0.1), drawn(version, shared));
        }
        let mut command = desk.command(&["--box", "one", "two", "-o", "report", "--overwrite"]);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        said.contains("drawn with the same noise")
    };
    assert_eq!([warns(7, false), warns(8, true), warns(8, false)], [true, true, false]);
}

#[test]
fn power_is_shown_over_that_of_another_field() {
    let desk = Desk::new();
    desk.write("dm", &waves(0.0).map(|v| 1.0 + 1.2 * (v - 1.0)), json!({}));
    std::fs::write(desk.path("gas.dat"), "0.01 30\n100 30\n").unwrap();
    std::fs::write(desk.path("dm.dat"), "0.01 40\n100 40\n").unwrap();
    let spectra = ["--truth-spectrum", "gas.dat", "--over-spectrum", "dm.dat"];
    let (report, _) =
        desk.report(&[&["--sample", "sample.hdf5", "--over", "dm.hdf5"], &spectra[..]].concat());
    let numbers =
        |values: &Value| values.as_array().unwrap().iter().filter_map(Value::as_f64).collect::<Vec<_>>();
    let powers = report["bands"]["truth_power"].as_array().unwrap();
    let most = powers.iter().filter_map(Value::as_f64).fold(0.0, f64::max);
    // Some bands hold nothing but rounding.
    for (ratio, power) in report["over"]["truth"].as_array().unwrap().iter().zip(powers) {
        let is_empty = power.as_f64().is_none_or(|power| power < 1e-3 * most);
        assert!(is_empty || (ratio.as_f64().unwrap() - 1.0 / 1.44).abs() < 1e-3, "{ratio}");
    }
    assert_eq!(report["over"]["published"][0]["label"], "gas / dm");
    assert!(
        numbers(&report["over"]["published"][0]["ratio"]).iter().all(|ratio| (ratio - 0.75).abs() < 1e-9)
    );
    let two =
        [&["--sample", "sample.hdf5", "--over", "dm.hdf5", "--truth-spectrum", "gas.dat"], &spectra[..]]
            .concat();
    desk.refuses(&two, &["--over-spectrum: 1 are given for 2"]);
}

/// The numbers of a list, without its gaps.
fn without_gaps(values: &Value) -> Vec<f64> {
    values.as_array().unwrap().iter().filter_map(Value::as_f64).collect()
}

#[test]
fn tng300_stands_beside_the_fields() {
    let desk = Desk::new();
    let dark_matter = GridMeta { quantity: "dm".into(), ..gas() };
    desk.write_as("dm", &waves(0.0).map(|v| 1.0 + 1.2 * (v - 1.0)), dark_matter);
    let with = ["--sample", "sample.hdf5", "--over", "dm.hdf5", "--against", "tng300"];
    let (report, said) = desk.report(&with);
    assert!(!said.contains("warning"), "{said}");
    let (power, pair) = (&report["published"][0], &report["over"]["published"][0]);
    assert_eq!(power["label"], "TNG300-1, all baryons, z = 0");
    assert_eq!((&power["k_h_mpc"][0], &power["power"][0]), (&json!(0.039113), &json!(12195.0)));
    assert_eq!(pair["label"], "TNG300-1, baryons / dm, z = 0");
    // From 0.8 to 6 h/Mpc: TNG's baryons are smoother than its dark matter, and more so at small scales.
    let [ratio, r] = ["ratio", "correlation"].map(|key| without_gaps(&pair[key]));
    assert!(ratio.len() > 2 && ratio.len() == r.len(), "{pair}");
    assert!(ratio.is_sorted_by(|a, b| a > b) && ratio.iter().all(|v| (0.4..0.95).contains(v)), "{ratio:?}");
    assert!(r.is_sorted_by(|a, b| a > b) && r.iter().all(|v| (0.9..1.0).contains(v)), "{r:?}");
    // The truth is its dark matter but for a factor; samples have other small waves.
    let powers = report["bands"]["truth_power"].as_array().unwrap();
    let most = powers.iter().filter_map(Value::as_f64).fold(0.0, f64::max);
    let of = |key: &str| report["over"][key].as_array().unwrap().clone();
    let (of_truth, of_sample) = (of("truth_correlation"), of("sample_correlation"));
    let expected = report["bands"]["sample_cross_correlation"].as_array().unwrap();
    for band in (0..8).filter(|&band| powers[band].as_f64().is_some_and(|power| power > 1e-3 * most)) {
        let [truth, sample, expected] = [&of_truth, &of_sample, expected].map(|r| r[band].as_f64().unwrap());
        assert!(
            (truth - 1.0).abs() < 1e-4 && (sample - expected).abs() < 1e-4,
            "{truth} {sample} {expected}"
        );
    }
    let against = &report["against"];
    assert_eq!((&against["simulation"], &against["redshift"]), (&json!("TNG300-1"), &json!(0.0)));
    assert!(against["between"].is_null() && against["source"].as_str().unwrap().contains("1910.03597"));
    let told = against["differences"].to_string();
    let expected =
        ["205 Mpc/h", "of 8 Mpc/h", "stars and black holes", "gas alone", "truth.hdf5 does not say its own"];
    assert!(expected.iter().all(|words| told.contains(words)), "{told}");
    // Of what nobody asked for nothing is said.
    let (report, _) = desk.report(&with[..4]);
    assert!(report["against"].is_null() && report["published"] == json!([]));
    assert_eq!(report["over"]["published"], json!([]));

    // Figures and tables have it, too.
    let all = [&["--truth", "truth.hdf5", "-o", "report"], &with[..]].concat();
    desk.command(&all).assert().success();
    let read = |name: &str| std::fs::read_to_string(desk.path("report").join(name)).unwrap();
    let (table, page) = (read("tables/over.csv"), read("report.html"));
    let columns = "truth_correlation,sample_correlation,\"TNG300-1, baryons / dm, z = 0\",\"TNG300-1, baryons / dm, z = 0 correlation\"";
    assert!(table.lines().next().unwrap().ends_with(columns), "{table}");
    assert!(page.contains("<h2>Beside TNG300-1</h2>") && page.contains("Beneath, r with dm"));
}

#[test]
fn what_differs_from_tng300_is_said_as_far_as_files_say_it() {
    let desk = Desk::new();
    let universe = Cosmology { omega_m: Some(0.3089), sigma_8: Some(0.85), ..Cosmology::UNKNOWN };
    let mock =
        GridMeta { redshift: 0.5, cosmology: universe, provenance: json!({ "origin": "mock" }), ..gas() };
    desk.write_as("truth", &waves(0.0), mock.clone());
    desk.write_as("sample", &waves(0.3), mock.clone());
    desk.write_as("coarse", &waves(0.1), GridMeta { quantity: "dm".into(), ..mock.clone() });
    let arguments = ["--sample", "sample.hdf5", "--condition", "coarse.hdf5", "--over", "coarse.hdf5"];
    let (report, said) = desk.report(&[&arguments[..], &["--against", "tng300"]].concat());
    assert!(!said.contains("--against"), "{said}");
    let against = &report["against"];
    assert_eq!((&against["redshift"], &against["between"]), (&json!(0.5), &json!([0.0, 1.0])));
    assert_eq!(report["published"][0]["label"], "TNG300-1, all baryons, z = 0.5");
    let told = against["differences"].to_string();
    for words in [
        "interpolated between z = 0 and 1",
        "mock gas, which follows a recipe",
        "the field of --over is the condition",
        "sigma_8 0.8159 there and 0.85 here",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("omega_m"), "{told}");
    // Dark matter is no gas, nor gas dark matter.
    desk.write_as("truth", &waves(0.0), GridMeta { quantity: "dm".into(), ..mock.clone() });
    desk.write_as("gas", &waves(0.2), mock);
    let swapped = ["--sample", "sample.hdf5", "--over", "gas.hdf5", "--against", "tng300"];
    let (_, said) = desk.report(&swapped);
    for words in ["--against: truth.hdf5 holds dm", "--against: gas.hdf5 holds gas"] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn redshifts_without_spectra_of_tng300_are_refused() {
    let desk = Desk::new();
    let against = ["--sample", "sample.hdf5", "--against", "tng300"];
    for redshift in [4.0, -0.5] {
        desk.write_as("truth", &waves(0.0), GridMeta { redshift, ..gas() });
        let found = format!("truth.hdf5 is at redshift {redshift:.2}");
        desk.refuses(&against, &[&found, "known from 0 to 3", "--against", "--truth-spectrum"]);
    }
    // A cube has no redshift, whatever stands for it; a grid file that is made of it has.
    write_npy(&desk.path("cube.npy"), &waves(0.0)).unwrap();
    let size = (CELLS as f64 * VOXEL_MPC_H).to_string();
    let cube = ["--truth", "cube.npy", "--box-size", &size, "-o", "report"];
    let words = ["cube.npy does not say its redshift", "finescale grid cube.npy", "--scalar redshift=Z"];
    fails(&mut desk.command(&[&cube[..], &against].concat()), &words);
    let mut grid = finescale();
    grid.current_dir(desk.folder.path()).args(["grid", "cube.npy", "--box-size", &size]);
    grid.args(["--scalar", "redshift=2", "--quantity", "gas", "-o", "of_cube.hdf5"]).assert().success();
    let of_cube = ["--truth", "of_cube.hdf5", "-o", "report"];
    desk.command(&[&of_cube[..], &against].concat()).assert().success();
    let report: Value =
        serde_json::from_slice(&std::fs::read(desk.path("report/report.json")).unwrap()).unwrap();
    assert_eq!(report["against"]["redshift"], 2.0);
}

#[test]
fn each_sample_is_judged_with_the_field_of_its_own_draw() {
    let desk = Desk::new();
    let other = |field: &Field3| field.map(|v| f64::from(v).sqrt() as f32);
    let drawn = |seed: u64| json!({ "identity": { "model": "abc", "generation": { "seed": seed } } });
    let of_seed = |seed: u64| waves(0.3 * seed as f64);
    desk.write("dm", &other(&waves(0.0)), json!({}));
    for seed in 1..4 {
        desk.write(&format!("gas_{seed}"), &of_seed(seed), drawn(seed));
        desk.write(&format!("dm_{seed}"), &other(&of_seed(seed)), drawn(seed));
    }
    let samples = ["--sample", "gas_1.hdf5", "gas_2.hdf5", "gas_3.hdf5", "--companion", "dm.hdf5"];
    let with = |companions: &[&'static str]| [&samples[..], &["--companion-sample"], companions].concat();
    let (report, _) = desk.report(&with(&["dm_1.hdf5", "dm_2.hdf5", "dm_3.hdf5"]));
    assert_eq!(report["companion"]["correlation"].as_array().unwrap().len(), 3);
    assert!(report["pooled"]["companion_correlation_ratio"]["value"][0].is_number(), "{}", report["pooled"]);
    let keys: Vec<&str> =
        report["goals"].as_array().unwrap().iter().filter_map(|g| g["key"].as_str()).collect();
    assert!(keys.contains(&"companion_power") && keys.contains(&"companion_correlation"), "{keys:?}");

    desk.refuses(&with(&["dm_1.hdf5", "dm_2.hdf5"]), &["those of 2 of 3 samples", "--companion-sample"]);
    desk.refuses(&samples, &["those of 0 of 3 samples"]);
    let swapped = with(&["dm_1.hdf5", "dm_3.hdf5", "dm_2.hdf5"]);
    desk.refuses(&swapped, &["were not drawn together", "generation.seed"]);

    // The same in the folder of a box.
    let copy = |from: &str, to: &str| {
        std::fs::create_dir_all(desk.path("box")).unwrap();
        std::fs::copy(desk.path(from), desk.path(&format!("box/{to}"))).unwrap();
    };
    copy("truth.hdf5", "truth.hdf5");
    copy("dm.hdf5", "companion.hdf5");
    copy("gas_1.hdf5", "sample_1.hdf5");
    copy("dm_1.hdf5", "companion_sample_1.hdf5");
    desk.command(&["--box", "box", "-o", "of_box"]).assert().success();
    let report: Value =
        serde_json::from_slice(&std::fs::read(desk.path("of_box/report.json")).unwrap()).unwrap();
    assert_eq!(report["companion"]["label"], "gas");
    let figure = std::fs::read_to_string(desk.path("of_box/figures/companion.svg")).unwrap();
    assert!(figure.contains("cross power"));
}

#[test]
fn what_is_no_draw_of_its_box_is_told() {
    let desk = Desk::new();
    let in_box = |name: &str, files: &[(&str, &Field3, Value)]| {
        std::fs::create_dir(desk.path(name)).unwrap();
        for (file, field, provenance) in files {
            desk.write(&format!("{name}/{file}"), field, provenance.clone());
        }
    };
    // Other waves along every axis, so that nothing of one box is in the other.
    let other = |phase: f64| {
        let field = waves(phase);
        let values = field.values().clone().permuted_axes([2, 1, 0]).as_standard_layout().into_owned();
        Field3::new(*field.grid(), values.mapv(|v| 1.0 / v)).unwrap()
    };
    let nothing = json!({});
    in_box("a", &[("truth", &waves(0.0), nothing.clone()), ("sample", &waves(0.3), nothing.clone())]);
    in_box("b", &[("truth", &other(0.0), nothing.clone()), ("sample", &waves(0.4), nothing.clone())]);
    in_box("same", &[("truth", &waves(0.0), nothing.clone()), ("sample", &waves(0.5), nothing.clone())]);
    let boxes = |names: &[&str]| {
        let output =
            desk.command(&[&["--box"], names, &["-o", "of_boxes", "--overwrite"]].concat()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        let report = std::fs::read(desk.path("of_boxes/report.json")).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        (report["notes"].to_string(), said)
    };
    let (notes, said) = boxes(&["a", "b"]);
    let unrelated = "these do not look like fields of one universe";
    assert!(notes.contains("b: r with the truth is") && notes.contains(unrelated), "{notes}");
    assert!(said.contains(unrelated), "{said}");
    fails(&mut desk.command(&["--box", "a", "same", "-o", "x"]), &["same/truth.hdf5 are the same truth"]);

    // A truth as its own sample, a sample as the truth, and one that holds what was given.
    desk.write("itself", &waves(0.0), nothing.clone());
    let (report, _) = desk.report(&["--sample", "itself.hdf5"]);
    assert!(report["notes"].to_string().contains("itself.hdf5 is the truth itself"), "{}", report["notes"]);
    let identity =
        |given: Value| json!({ "identity": { "model": "ab", "given": given, "generation": { "seed": 1 } } });
    desk.write("extended", &waves(0.2), identity(json!({ "start": [0, 0, 0] })));
    let (report, _) = desk.report(&["--sample", "extended.hdf5"]);
    assert!(report["notes"].to_string().contains("holds what was given by --extend"), "{}", report["notes"]);
    desk.write("drawn", &waves(0.1), identity(Value::Null));
    let all = ["--truth", "drawn.hdf5", "--sample", "sample.hdf5", "-o", "of_drawn"];
    let output = desk.command(&all).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("drawn.hdf5 was drawn by a model"));

    // A sample knows its condition by the values.
    let condition = waves(0.9);
    desk.write("condition", &condition, nothing.clone());
    let hash = finescale_outpaint::hash_of_density(&condition).unwrap();
    let from = |hash: &str| json!({ "identity": { "version": 8, "condition": format!("{hash} []") } });
    desk.write("from_it", &waves(0.2), from(&hash));
    desk.write("from_another", &waves(0.2), from(&"00".repeat(32)));
    desk.report(&["--sample", "from_it.hdf5", "--condition", "condition.hdf5"]);
    let words = ["from_another.hdf5 was not drawn from condition.hdf5", "give that one, or none"];
    desk.refuses(&["--sample", "from_another.hdf5", "--condition", "condition.hdf5"], &words);

    // Companions are other files than samples, and of all boxes.
    let with = |its: &'static str| {
        ["--sample", "sample.hdf5", "--companion", "condition.hdf5", "--companion-sample", its]
    };
    desk.refuses(&with("sample.hdf5"), &["are the same sample"]);
    desk.refuses(&with("condition.hdf5"), &["are the same sample"]);
    std::fs::copy(desk.path("condition.hdf5"), desk.path("a/companion.hdf5")).unwrap();
    desk.write("a/companion_sample", &waves(0.7), nothing);
    fails(&mut desk.command(&["--box", "a", "b", "-o", "x"]), &["b: has no companion field"]);
}

#[test]
fn a_report_holds_nothing_of_an_earlier_one() {
    let desk = Desk::new();
    desk.write("other", &waves(0.6), json!({}));
    let two = [
        "--truth",
        "truth.hdf5",
        "--sample",
        "sample.hdf5",
        "other.hdf5",
        "--over",
        "other.hdf5",
        "-o",
        "report",
    ];
    desk.command(&two).assert().success();
    assert!(desk.path("report/figures/over.svg").exists() && desk.path("report/tables/over.csv").exists());
    std::fs::write(desk.path("report/figures/mine.png"), "").unwrap();
    let one = ["--truth", "truth.hdf5", "--sample", "sample.hdf5", "-o", "report", "--overwrite"];
    desk.command(&one).assert().success();
    assert!(!desk.path("report/figures/over.svg").exists() && !desk.path("report/tables/over.csv").exists());
    assert!(desk.path("report/figures/mine.png").exists(), "what is not ours stays");
}
