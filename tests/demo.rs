//! The demo, in its quick form: the shipped data and model, through everything, to the report.

use crate::binary::{finescale, names, project};
use serde_json::Value;

#[test]
fn the_quick_demo_tells_the_whole_story() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("report");
    let mut command = finescale();
    command.args(["demo", "--quick", "--json", "--out"]).arg(&out).arg("--data").arg(project("data/demo"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let result: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(out.join("report.html").is_file() && out.join("report.json").is_file(), "{:?}", names(&out));

    // One window of one box in few steps: 0.95, 1.00 and 0.12 when the model was new.
    let verdict = &result["verdict"];
    let of = |key: &str| verdict[key].as_f64().unwrap();
    assert!(of("cross_correlation") > 0.9, "{verdict}");
    assert!((0.9..1.1).contains(&of("mass_ratio")), "{verdict}");
    assert!(of("mean_abs_ln_ratio") < 0.25, "{verdict}");
    let goals = result["goals"].as_array().unwrap();
    assert!(goals.iter().any(|goal| goal["key"] == "mass" && goal["found"].is_number()), "{goals:?}");
}

#[test]
fn the_demo_outside_of_the_project_says_where_to_run_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = finescale();
    crate::binary::fails(command.current_dir(folder.path()).arg("demo"), &["data/demo", "--data"]);
    assert_eq!(names(folder.path()), Vec::<String>::new());
}
