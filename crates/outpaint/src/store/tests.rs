use super::windows::flat;
use super::*;
use crate::values::Values;
use crate::{Boundary, Tiling};
use finescale_field::Region;
use finescale_ranks::Ranks;
use ndarray::Array3;
use serde_json::json;
use std::fs;

fn order() -> Order {
    Order::raster(Tiling::new([12, 7, 12], 7, 3, Boundary::Periodic).unwrap().with_margins(1))
}

/// Stands for the sampler: any function of window and voxel.
fn values_of(window: usize) -> Array3<f32> {
    Array3::from_shape_fn([7; 3], |(x, y, z)| (1000 * window + 100 * x + 10 * y + z) as f32 + 0.5)
}

/// Generates up to window `end_exclusive`.
fn run(store: &mut WindowStore, end_exclusive: usize) {
    let order = order();
    while store.finished() < end_exclusive {
        let window = store.finished();
        store.finish(&order, window..window + 1, &[flat(&values_of(window))], &Ranks::alone()).unwrap();
    }
}

fn whole(store: &WindowStore) -> Vec<f32> {
    store.values().read(&Region { start: [0; 3], shape: [12, 7, 12] }).unwrap()
}

fn undisturbed() -> Vec<f32> {
    let mut store = Store::Memory.windows(json!({}), &order(), 1, &Ranks::alone()).unwrap();
    run(&mut store, order().windows());
    whole(&store)
}

fn folder_store(folder: &Path, existing: Existing) -> Store {
    Store::Folder { path: folder.join("work"), existing }
}

#[test]
fn memory_and_folder_end_alike() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder_store(folder.path(), Existing::Refuse);
    let mut open = store.windows(json!({}), &order(), 1, &Ranks::alone()).unwrap();
    run(&mut open, order().windows());
    assert_eq!(whole(&open), undisturbed());
    drop(open);
    store.remove().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    store.remove().unwrap();
}

#[test]
fn a_run_killed_anywhere_resumes_to_the_same_bits() {
    let windows = order().windows();
    for finished in 0..windows {
        // What a kill may leave after some windows: values half written, a journal line half written.
        for torn_values in [false, true] {
            for torn_line in ["", "0", "0000000003 abcd"] {
                let folder = tempfile::tempdir().unwrap();
                let store = folder_store(folder.path(), Existing::Resume);
                run(&mut store.windows(json!({"seed": 1}), &order(), 1, &Ranks::alone()).unwrap(), finished);
                if torn_values {
                    let mut values =
                        Values::<f32>::open(&folder.path().join("work/values.f32"), 12 * 7 * 12).unwrap();
                    let region = order().region(finished);
                    let filled = order().filled(finished);
                    region.for_each_run([12, 7, 12], |offset, index, length| {
                        for i in (0..length).filter(|i| flat(&filled)[offset + i] == 1.0).step_by(2) {
                            values.write(index + i, &[f32::NAN]).unwrap();
                        }
                    });
                }
                let journal = folder.path().join("work/journal");
                fs::write(&journal, fs::read_to_string(&journal).unwrap() + torn_line).unwrap();
                let mut resumed = store.windows(json!({"seed": 1}), &order(), 1, &Ranks::alone()).unwrap();
                assert_eq!(resumed.finished(), finished);
                run(&mut resumed, windows);
                assert_eq!(whole(&resumed), undisturbed());
            }
        }
    }
}

#[test]
fn a_folder_killed_before_its_header_begins_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder_store(folder.path(), Existing::Refuse);
    drop(store.windows(json!({}), &order(), 1, &Ranks::alone()).unwrap());
    fs::remove_file(folder.path().join("work/generation.json")).unwrap();
    fs::write(folder.path().join("work/values.f32"), "short").unwrap();
    let mut open = store.windows(json!({}), &order(), 1, &Ranks::alone()).unwrap();
    run(&mut open, order().windows());
    assert_eq!(whole(&open), undisturbed());
}

#[test]
fn damaged_values_are_generated_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder_store(folder.path(), Existing::Resume);
    run(&mut store.windows(json!({}), &order(), 1, &Ranks::alone()).unwrap(), 5);
    let path = folder.path().join("work/values.f32");
    // The first voxel that window 3 filled.
    let region = order().region(3);
    let first_new = order().filled(3).iter().position(|&filled| filled == 1.0).unwrap();
    let mut index = None;
    region.for_each_run([12, 7, 12], |offset, to, length| {
        if (offset..offset + length).contains(&first_new) {
            index = Some(to + first_new - offset);
        }
    });
    Values::<f32>::open(&path, 12 * 7 * 12).unwrap().write(index.unwrap(), &[-1.0]).unwrap();
    let mut resumed = store.windows(json!({}), &order(), 1, &Ranks::alone()).unwrap();
    assert_eq!(resumed.finished(), 3);
    run(&mut resumed, order().windows());
    assert_eq!(whole(&resumed), undisturbed());
}

#[test]
fn unfinished_work_is_not_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder_store(folder.path(), Existing::Refuse);
    drop(store.windows(json!({}), &order(), 1, &Ranks::alone()).unwrap());
    let error = store.windows(json!({}), &order(), 1, &Ranks::alone()).unwrap_err();
    assert!(matches!(error, OutpaintError::Unfinished { .. }), "{error}");
}

#[test]
fn work_of_another_generation_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder_store(folder.path(), Existing::Resume);
    drop(store.windows(json!({"seed": 1, "sigma": 0.1}), &order(), 1, &Ranks::alone()).unwrap());
    let error = store.windows(json!({"seed": 2, "sigma": 0.1}), &order(), 1, &Ranks::alone()).unwrap_err();
    assert!(matches!(&error, OutpaintError::ResumeMismatch { what, .. } if what == "seed"), "{error}");
    assert!(error.to_string().contains("seed was 1 when this work began, now it is 2"));
    fs::write(folder.path().join("work/generation.json"), "{").unwrap();
    let error = store.windows(json!({}), &order(), 1, &Ranks::alone()).unwrap_err();
    assert!(matches!(error, OutpaintError::Header { .. }), "{error}");
}

#[test]
fn a_folder_is_used_by_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder_store(folder.path(), Existing::Resume);
    let held = store.windows(json!({}), &order(), 1, &Ranks::alone()).unwrap();
    assert!(matches!(
        store.windows(json!({}), &order(), 1, &Ranks::alone()),
        Err(OutpaintError::Busy { .. })
    ));
    drop(held);
    store.windows(json!({}), &order(), 1, &Ranks::alone()).unwrap();
}

#[test]
fn a_disk_that_fills_up_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("work")).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path().join("work/values.f32")).unwrap();
    let error = folder_store(folder.path(), Existing::Resume)
        .windows(json!({}), &order(), 1, &Ranks::alone())
        .unwrap_err();
    assert!(matches!(error, OutpaintError::Io { .. }), "{error}");
    assert!(error.to_string().contains("values.f32"), "{error}");
    // It did not begin, so nothing is there to resume.
    assert!(!folder.path().join("work/generation.json").exists());
}
