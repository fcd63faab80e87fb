//! Nothing is lost and nothing half true: outputs that are there, inputs, links, locks, kills and signals.
#![cfg(unix)]

use crate::binary::{fails, finescale, names};
use crate::pipeline::{CONDITION, Story, bytes};
use assert_cmd::Command;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};

/// `finescale upscale` of the story's condition with `more` arguments.
fn upscale(story: &Story, more: &[&str]) -> Command {
    let mut command = finescale();
    command.current_dir(story.path("")).arg("upscale").args([&CONDITION[..], more].concat());
    command.args(["--threads", "2"]);
    command
}

/// Starts the program, ends it by `signal` when `begun` says so, and waits.
fn signalled(
    folder: &Path,
    arguments: &[&str],
    signal: &str,
    begun: impl Fn(u32) -> bool,
) -> std::process::Output {
    let mut child: Child = std::process::Command::new(env!("CARGO_BIN_EXE_finescale"))
        .current_dir(folder)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !begun(child.id()) && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    if child.try_wait().unwrap().is_none() {
        let kill = format!("kill -s {signal} {}", child.id());
        std::process::Command::new("bash").args(["-c", &kill]).status().unwrap();
    }
    child.wait_with_output().unwrap()
}

#[test]
fn a_sample_that_is_there_is_compared_before_it_is_called_complete() {
    let story = Story::begun();
    for name in ["s.hdf5", "s.npy"] {
        upscale(&story, &["-o", name]).assert().success();
        let before = bytes(&story.path(name));
        let again = upscale(&story, &["-o", name, "--resume"]).output().unwrap();
        assert!(String::from_utf8_lossy(&again.stdout).contains("complete already"), "{again:?}");
        fails(&mut upscale(&story, &["-o", name]), &[name, "--resume", "--overwrite"]);
        let seed = ["-o", name, "--resume", "--seed", "99"];
        fails(&mut upscale(&story, &seed), &[name, "generation.seed is 0 there, and 99"]);
        let condition = ["--condition", "boxes/box_0001/condition.hdf5", "-o", name, "--resume"];
        let mut other = finescale();
        other.current_dir(story.path("")).args(["upscale", "--model", "run/model.safetensors"]);
        fails(other.args(condition), &[name, "condition is"]);
        assert!(bytes(&story.path(name)) == before, "{name}");
        upscale(&story, &["-o", name, "--overwrite", "--seed", "99"]).assert().success();
        assert!(bytes(&story.path(name)) != before, "{name}");
    }
    // The last of three is there: the first ones are not begun.
    std::fs::write(story.path("t_2.hdf5"), "garbage").unwrap();
    fails(&mut upscale(&story, &["-o", "t.hdf5", "--samples", "3"]), &["t_2.hdf5", "is there already"]);
    assert!(!story.path("t_0.hdf5").exists());
    for name in ["text.hdf5", "text.npy"] {
        std::fs::write(story.path(name), "garbage").unwrap();
        fails(&mut upscale(&story, &["-o", name, "--resume"]), &[name, "not known to be this sample"]);
        assert_eq!(bytes(&story.path(name)), b"garbage");
    }
    // A byte of the values, far from the metadata at both ends.
    let path = story.path("s.hdf5");
    let mut damaged = bytes(&path);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    let resume = ["-o", "s.hdf5", "--resume", "--seed", "99"];
    fails(&mut upscale(&story, &resume), &["s.hdf5", "not known to be this sample"]);
}

#[test]
fn an_output_never_replaces_an_input() {
    let story = Story::begun();
    std::fs::hard_link(story.path("run/model.safetensors"), story.path("hard.hdf5")).unwrap();
    symlink("boxes/box_0002/condition.hdf5", story.path("soft.hdf5")).unwrap();
    let before = [CONDITION[1], CONDITION[3]].map(|name| bytes(&story.path(name)));
    for output in [CONDITION[1], CONDITION[3], "hard.hdf5", "soft.hdf5"] {
        fails(&mut upscale(&story, &["-o", output, "--overwrite"]), &[output, "would replace the input"]);
    }
    let grid = CONDITION[3];
    for arguments in [["spectrum", grid, "-o", "soft.hdf5"], ["spectrum", grid, "-o", grid]] {
        fails(finescale().current_dir(story.path("")).args(arguments), &["would replace the input"]);
    }
    assert!(before == [CONDITION[1], CONDITION[3]].map(|name| bytes(&story.path(name))));
    // Folders, devices, and files that are not to be written.
    for output in ["boxes", "/dev/null"] {
        fails(&mut upscale(&story, &["-o", output]), &[output, "cannot write"]);
    }
}

#[test]
fn a_linked_output_is_written_where_the_link_leads() {
    let story = Story::begun();
    std::fs::create_dir(story.path("scratch")).unwrap();
    symlink("scratch/sample.hdf5", story.path("link.hdf5")).unwrap();
    upscale(&story, &["-o", "link.hdf5"]).assert().success();
    assert!(std::fs::symlink_metadata(story.path("link.hdf5")).unwrap().is_symlink());
    assert_eq!(names(&story.path("scratch")), ["sample.hdf5"]);
}

#[test]
fn files_of_others_in_the_place_of_a_work_folder_stay() {
    let story = Story::begun();
    std::fs::create_dir(story.path("s.hdf5.work")).unwrap();
    std::fs::write(story.path("s.hdf5.work/notes.txt"), "mine").unwrap();
    fails(&mut upscale(&story, &["-o", "s.hdf5", "--resume"]), &["s.hdf5.work", "notes.txt"]);
    assert_eq!(bytes(&story.path("s.hdf5.work/notes.txt")), b"mine");
}

#[test]
fn work_of_another_kind_of_kernel_is_resumed_only_when_asked() {
    let story = Story::begun();
    let work = story.path("s.hdf5.work");
    let begun = |_| std::fs::metadata(work.join("journal")).is_ok_and(|journal| journal.len() > 0);
    let arguments = [&["upscale"][..], &CONDITION, &["-o", "s.hdf5", "--steps", "40"]].concat();
    let stopped = signalled(&story.path(""), &arguments, "INT", begun);
    assert_eq!(stopped.status.code(), Some(130), "{stopped:?}");
    let stderr = String::from_utf8(stopped.stderr).unwrap();
    assert!(stderr.contains("what is done is kept"), "{stderr}");
    let header = std::fs::read_to_string(work.join("generation.json")).unwrap();
    assert!(header.contains("instruction_set"), "{header}");
    // As if it had been begun on a machine of another kind.
    let other = header.replace("\"instruction_set\": \"", "\"instruction_set\": \"other than ");
    assert!(other != header);
    std::fs::write(work.join("generation.json"), &other).unwrap();
    let more = ["-o", "s.hdf5", "--steps", "40"];
    let resume = |flag| upscale(&story, &[&more[..], &[flag]].concat());
    fails(&mut resume("--resume"), &["instruction_set was", "other than", "--resume-anyway"]);
    resume("--resume-anyway").assert().success();
    assert!(!work.exists());
    let info = story.run("info", &["s.hdf5"]);
    let programs = info["meta"]["provenance"]["identity"]["programs"].as_array().unwrap();
    assert_eq!(programs.len(), 2, "{programs:?}");
    // It is this sample, whoever computed it.
    resume("--resume").assert().success();
}

#[test]
fn what_is_stopped_before_its_time_is_over_ends_well_and_is_resumed() {
    let story = Story::begun();
    let more = ["-o", "s.hdf5", "--steps", "3000"];
    let stopped = |arguments: &[&str], begun: &dyn Fn(u32) -> bool, signal| {
        let arguments = [&["upscale"][..], &CONDITION, &more, arguments].concat();
        let output = signalled(&story.path(""), &arguments, signal, begun);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(said.contains("resume me") && said.contains("--resume"), "{said}");
        assert!(!story.path("s.hdf5").exists() && story.path("s.hdf5.work").exists());
    };
    let journal = story.path("s.hdf5.work/journal");
    let begun = |_: u32| std::fs::metadata(&journal).is_ok_and(|journal| journal.len() > 0);
    stopped(&[], &begun, "USR1");
    // Ten seconds before the limit, no signal needed.
    stopped(&["--resume", "--walltime", "0:11"], &|_| false, "USR1");
    let mut wrong = finescale();
    fails(wrong.args(["upscale", "--walltime", "soon"]), &["--walltime", "HOURS:MINUTES:SECONDS"]);
    fails(
        finescale().args(["info", "x.hdf5", "--walltime", "1:00"]),
        &["--walltime", "upscale and train", "leave it out"],
    );
}

#[test]
fn work_on_another_sample_is_not_cleared_away() {
    let story = Story::begun();
    upscale(&story, &["-o", "s.hdf5"]).assert().success();
    let work = story.path("s.hdf5.work");
    let begun = |_| std::fs::metadata(work.join("journal")).is_ok_and(|journal| journal.len() > 0);
    let more = ["-o", "s.hdf5", "--steps", "40", "--seed", "7"];
    let arguments = [&["upscale"][..], &CONDITION, &more, &["--overwrite"]].concat();
    signalled(&story.path(""), &arguments, "TERM", begun);
    let kept = names(&work);
    let again = upscale(&story, &["-o", "s.hdf5", "--resume"]).output().unwrap();
    assert!(again.status.success() && String::from_utf8_lossy(&again.stderr).contains("another sample"));
    assert_eq!(names(&work), kept);
    upscale(&story, &[&more[..], &["--resume", "--overwrite"]].concat()).assert().success();
    assert!(!work.exists());
}

#[test]
fn a_sample_says_another_redshift_where_its_condition_does() {
    let story = Story::begun();
    let condition = story.path(CONDITION[3]);
    let later = story.path("later.hdf5");
    let mut grid = finescale_snapshot::read_grid(&condition).unwrap();
    grid.meta.redshift += 1.0;
    finescale_snapshot::write_grid(&later, &grid).unwrap();
    upscale(&story, &["-o", "s.hdf5"]).assert().success();
    let mut other = finescale();
    other.current_dir(story.path("")).args(["upscale", "--model", "run/model.safetensors", "--condition"]);
    fails(other.args(["later.hdf5", "-o", "s.hdf5", "--resume"]), &["s.hdf5", "redshift is 0"]);
}

#[test]
fn a_sample_as_numpy_cube_is_read_as_it_is() {
    let story = Story::begun();
    let power = |name: &str| {
        upscale(&story, &["-o", name]).assert().success();
        let mut spectrum = finescale();
        let output =
            spectrum.current_dir(story.path("")).args(["spectrum", name, "--json"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        value["power_mpc_h3"].clone()
    };
    let of_grid = power("s.hdf5");
    assert!(of_grid.as_array().is_some_and(|values| !values.is_empty()), "{of_grid}");
    assert_eq!(power("s.npy"), of_grid);
    // One that is damaged is not taken for some other cube.
    let mut damaged = bytes(&story.path("s.npy"));
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(story.path("s.npy"), damaged).unwrap();
    let mut spectrum = finescale();
    let spectrum = spectrum.current_dir(story.path("")).args(["spectrum", "s.npy", "--box-size", "25"]);
    fails(spectrum, &["s.npy: is not described by", "s.npy.json", "damaged"]);
}

#[test]
fn links_in_run_and_work_folders_and_locks_of_others_are_refused() {
    let story = Story::begun();
    std::fs::write(story.path("thesis.tex"), "my only copy").unwrap();
    let train = |out: &str| {
        let mut train = finescale();
        train.current_dir(story.path("")).args(["train", "config.json", "--resume", "--out", out]);
        train
    };
    std::fs::remove_file(story.path("run/best.safetensors")).unwrap();
    symlink("../thesis.tex", story.path("run/best.safetensors")).unwrap();
    fails(&mut train("run"), &["run", "best.safetensors is a link"]);
    std::fs::create_dir(story.path("s.hdf5.work")).unwrap();
    symlink("../planted.json", story.path("s.hdf5.work/generation.json")).unwrap();
    fails(&mut upscale(&story, &["-o", "s.hdf5"]), &["s.hdf5.work", "generation.json is a link"]);
    assert!(!story.path("planted.json").exists());
    std::fs::create_dir(story.path("new")).unwrap();
    std::fs::write(story.path("new/lock"), "notes").unwrap();
    fails(&mut train("new"), &["new/lock", "is no lock of finescale's"]);
    std::fs::remove_file(story.path("new/lock")).unwrap();
    std::fs::hard_link(story.path("thesis.tex"), story.path("new/lock")).unwrap();
    fails(&mut train("new"), &["new/lock", "hard link"]);
    assert_eq!(bytes(&story.path("new/lock")), b"my only copy");
    assert_eq!(bytes(&story.path("thesis.tex")), b"my only copy");
}

#[test]
fn a_run_is_not_resumed_with_other_data() {
    let story = Story::begun();
    let [other, own] =
        ["boxes/box_0002", "boxes/box_0001"].map(|name| story.path(name).join("condition.hdf5"));
    std::fs::copy(other, own).unwrap();
    let mut train = finescale();
    train.current_dir(story.path("")).args(["train", "config.json", "--out", "run", "--resume"]);
    fails(&mut train, &["run: the run was made with other contents of ", "bring them back"]);
}

#[test]
fn names_that_cannot_be_are_refused_before_the_work() {
    use std::os::unix::ffi::OsStrExt;
    let story = Story::begun();
    std::fs::copy(story.path(CONDITION[1]), story.path("input.npy.json")).unwrap();
    let mut from = finescale();
    from.current_dir(story.path("")).args([
        "upscale",
        "--model",
        "input.npy.json",
        "--condition",
        CONDITION[3],
    ]);
    fails(from.args(["-o", "input.npy"]), &["input.npy.json"]);
    std::fs::write(story.path("mine.npy.json"), "precious").unwrap();
    fails(&mut upscale(&story, &["-o", "mine.npy"]), &["mine.npy.json", "is there already"]);
    assert_eq!(bytes(&story.path("mine.npy.json")), b"precious");
    fails(&mut upscale(&story, &["-o", "new.hdf5/"]), &["new.hdf5/", "cannot write"]);
    let mut odd = upscale(&story, &[]);
    fails(odd.arg("-o").arg(std::ffi::OsStr::from_bytes(b"odd\xff.hdf5")), &["UTF-8"]);
    assert!(!story.path("new.hdf5").exists());
}

#[test]
fn what_a_kill_leaves_of_a_work_folder_is_cleared_away() {
    let story = Story::begun();
    upscale(&story, &["-o", "s.hdf5"]).assert().success();
    let before = bytes(&story.path("s.hdf5"));
    // The work folder goes file by file, the header first.
    std::fs::create_dir(story.path("s.hdf5.work")).unwrap();
    for name in ["journal", "state-odd.f32"] {
        std::fs::write(story.path("s.hdf5.work").join(name), "0").unwrap();
    }
    upscale(&story, &["-o", "s.hdf5", "--resume"]).assert().success();
    assert!(!story.path("s.hdf5.work").exists());
    assert!(bytes(&story.path("s.hdf5")) == before);
}

#[test]
fn commands_without_work_to_keep_end_at_once_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["mock", "--cells", "64", "--steps", "500", "-o", "universe"];
    // Signals are listened to: the mask of caught ones has SIGTERM's bit.
    let begun = |process: u32| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_some_and(|mask| mask >> 14 & 1 == 1)
    };
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let output = signalled(folder.path(), &arguments, signal, begun);
        assert_eq!((output.status.code(), output.status.signal()), (Some(code), None), "{output:?}");
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }
}

#[test]
fn one_process_trains_in_a_folder_and_a_run_is_not_begun_over() {
    let story = Story::begun();
    let run = story.path("run");
    let train = |more: &[&str]| {
        let mut command = finescale();
        command.current_dir(story.path("")).args(["train", "config.json", "--out", "run"]).args(more);
        command
    };
    for name in ["state.safetensors", "metrics.jsonl", "config.json"] {
        let before = bytes(&run.join("model.safetensors"));
        fails(&mut train(&[]), &["run", "already holds a run"]);
        assert!(bytes(&run.join("model.safetensors")) == before);
        std::fs::remove_file(run.join(name)).unwrap();
    }
    // A model alone is a run, too, and nothing to resume from.
    fails(
        &mut train(&["--resume"]),
        &["run", "state.safetensors is not there", "--from run/model.safetensors"],
    );

    std::fs::create_dir(story.path("second")).unwrap();
    let held = std::fs::File::create(story.path("second/lock")).unwrap();
    held.lock().unwrap();
    let mut second = finescale();
    second.current_dir(story.path("")).args(["train", "config.json", "--out", "second", "--resume"]);
    fails(&mut second, &["second", "works on it"]);
    drop(held);
    second.assert().success();
}
