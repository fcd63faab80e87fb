use super::*;
use crate::fixtures::{go, origin, pairs_for, with_every_channel};
use crate::folder::MODEL;
use crate::{Model, Start, fixtures};
use finescale_denoiser::Processor;
use finescale_field::Region;
use finescale_pairs::{DataKind, Normalization, PairError, PairFiles};
use serde_json::{Value, json};
use std::sync::atomic::AtomicBool;

#[test]
fn a_model_starts_another_run_with_its_weights_and_normalizers() {
    let config = fixtures::config();
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    go(&config, &first, Start::Fresh, 2).unwrap();
    let mut model = Model::load(&first.join(MODEL), &Device::Cpu).unwrap();
    model.description.truth[0].normalizer.mean_count = 5.0;
    let origin = origin(&config, &second, Start::From(&model)).unwrap();
    assert_eq!(origin.normalization(), Normalization::from(model.description.normalizers()));
    assert_eq!(origin.state.step, 0);
    for (name, tensor) in model.parameters().tensors() {
        let [a, b] = [tensor, origin.state.values.parameters().get(name).unwrap()]
            .map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        assert_eq!(a, b, "{name}");
    }
    // A scale that the configuration names is the run's, and then of those who resume it.
    let mut finer = config.clone();
    finer.data.truth_mean_count = Some(20.0);
    go(&finer, &folder.path().join("finer"), Start::From(&model), 2).unwrap();
    let found = Model::load(&folder.path().join("finer").join(MODEL), &Device::Cpu).unwrap().description;
    assert_eq!(found.truth[0].normalizer.mean_count, 20.0);
    assert_eq!(found.condition.normalizer, model.description.condition.normalizer);
    let resumed = fixtures::origin(&finer, &folder.path().join("finer"), Start::Resume).unwrap();
    assert_eq!(resumed.normalization(), Normalization::from(found.normalizers()));

    let mut other = config.clone();
    other.network.base_channels = 16;
    let error = go(&other, &folder.path().join("third"), Start::From(&model), 1).unwrap_err();
    assert!(matches!(error, TrainingError::ConfigChanged { section: "network", .. }), "{error}");

    // As many channels, but other ones.
    let mut other = with_every_channel();
    model.description.configuration = other.clone();
    other.data.scalars[0].centre = 0.9;
    let error = go(&other, &folder.path().join("third"), Start::From(&model), 1).unwrap_err();
    assert!(matches!(error, TrainingError::ConfigChanged { section: "data.scalars", .. }), "{error}");
}

#[test]
fn a_model_knows_where_it_comes_from() {
    let mut config = fixtures::config();
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let data = folder.path().join("truth.hdf5");
    std::fs::write(&data, "abc").unwrap();
    config.data.training[0] = PairFiles::Folder(folder.path().into());
    go(&config, &first, Start::Fresh, 2).unwrap();
    let parent = Model::load(&first.join(MODEL), &Device::Cpu).unwrap();
    let lineage = &parent.description.lineage;
    assert_eq!((lineage.parents.len(), lineage.data), (0, DataKind::Unknown));
    let hash = &lineage.files[data.to_str().unwrap()];
    assert!(hash.starts_with("ba7816bf") && lineage.files.len() == 1, "{lineage:?}");

    go(&config, &second, Start::From(&parent), 3).unwrap();
    let begun = Model::load(&second.join(MODEL), &Device::Cpu).unwrap().description.lineage;
    let found = &begun.parents[0];
    assert_eq!((found.updates, found.sha256.as_str()), (2, parent.sha256().unwrap()));
    assert_eq!((&found.lineage, found.file.as_str()), (lineage, first.join(MODEL).to_str().unwrap()));
    // Whoever resumes goes on with it.
    go(&config, &second, Start::Resume, u64::MAX).unwrap();
    let resumed = Model::load(&second.join(MODEL), &Device::Cpu).unwrap().description;
    assert_eq!((resumed.lineage, resumed.step), (begun, 6));
}

#[test]
fn what_a_resumed_run_changes_and_what_is_missing_is_told() {
    let mut config = fixtures::config();
    let folder = tempfile::tempdir().unwrap();
    let warnings = |config: &RunConfig, start, pairs: &PairSet| {
        let origin = origin(config, folder.path(), start).unwrap();
        Run::new(config, origin, pairs).unwrap().warnings().to_vec()
    };
    let pairs = pairs_for(&config);
    assert_eq!(warnings(&config, Start::Fresh, &pairs), [""; 0]);
    assert_eq!(warnings(&config, Start::Fresh, &fixtures::training_pairs()).len(), 1);
    go(&config, folder.path(), Start::Fresh, 3).unwrap();
    assert_eq!(warnings(&config, Start::Resume, &pairs), [""; 0]);
    config.training.steps = 5;
    config.training.learning_rate = 1e-3;
    let found = warnings(&config, Start::Resume, &pairs);
    assert!(found.len() == 2, "{found:?}");
    assert!(found[0].starts_with("training.learning_rate was 0.002 in the first 3 updates, is 0.001: "));
    assert!(found[1].starts_with("training.steps was 6 in the first 3 updates, is 5: "), "{found:?}");
}

#[test]
fn a_plan_is_made_of_the_run_and_writes_nothing() {
    let mut config = fixtures::config();
    config.training.accumulate = 2;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("never");
    let pairs = pairs_for(&config);
    let plan = |config: &RunConfig| {
        let origin = origin(config, &out, Start::Fresh)?;
        Run::new(config, origin, &pairs)?.plan()
    };
    let found = plan(&config).unwrap();
    assert_eq!((found.updates, found.updates_done), (6, 0));
    assert!(found.seconds_per_update > 0.0 && found.seconds_per_evaluation > 0.0);
    // Three validations of four patches.
    let seconds = 6.0 * found.seconds_per_update + 12.0 * found.seconds_per_evaluation;
    assert!((found.expected_seconds / seconds - 1.0).abs() < 1e-9);
    // Three pairs of 12³ voxels in two fields, and eight patches of 8³ voxels in five.
    assert_eq!(found.data_memory_bytes, 4 * (3 * 2 * 12 * 12 * 12 + 8 * 5 * 8 * 8 * 8));
    assert!(!out.exists());

    (config.training.steps, config.training.minutes) = (0, Some(2.0));
    let error = plan(&config).unwrap_err();
    assert!(matches!(error, TrainingError::ConfigValue { key: "training.minutes", .. }), "{error}");
    let steps = plan(&config.with_steps(1)).unwrap().steps_within(2.0);
    assert!(steps > 1, "{steps}");
}

#[test]
fn a_run_without_a_place_for_patches_never_begins() {
    let config = fixtures::config();
    let folder = tempfile::tempdir().unwrap();
    let whole = Region { start: [0; 3], shape: [12; 3] };
    let pairs = fixtures::held_out_pairs(whole);
    let origin = origin(&config, &folder.path().join("never"), Start::Fresh).unwrap();
    let error = Run::new(&config, origin, &pairs).err().unwrap();
    let no_room =
        matches!(&error, TrainingError::Pairs(error) if matches!(**error, PairError::NoRoom { .. }));
    assert!(no_room && !folder.path().join("never").exists(), "{error}");
}

#[test]
fn a_run_is_not_overwritten_nor_continued_as_another() {
    let config = fixtures::config();
    let folder = tempfile::tempdir().unwrap();
    go(&config, folder.path(), Start::Fresh, 1).unwrap();
    let error = go(&config, folder.path(), Start::Fresh, 1).unwrap_err();
    assert!(matches!(error, TrainingError::RunExists { .. }), "{error}");

    let mut other = config.clone();
    other.network.dropout = 0.5;
    let error = go(&other, folder.path(), Start::Resume, 1).unwrap_err();
    assert!(matches!(error, TrainingError::ConfigChanged { section: "network", .. }), "{error}");

    let nothing = folder.path().join("nothing");
    let error = go(&config, &nothing, Start::Resume, 1).unwrap_err();
    assert!(matches!(error, TrainingError::Read { .. }), "{error}");
    assert!(!nothing.exists());
}

#[test]
fn a_run_of_another_program_is_resumed_only_when_asked() {
    let (config, folder) = (fixtures::config(), tempfile::tempdir().unwrap());
    let pairs = pairs_for(&config);
    let start = |start, program: &Value| {
        let stop = AtomicBool::new(true);
        let origin = Origin::find(&config, folder.path(), start, &Processor::Cpu, program, &fixtures::ALONE)?;
        Run::new(&config, origin, &pairs)?.go(&mut |_| {}, &stop)
    };
    let (here, there) = (json!({"instruction_set": "avx2"}), json!({"instruction_set": "portable"}));
    start(Start::Fresh, &here).unwrap();
    start(Start::Resume, &here).unwrap();
    let error = start(Start::Resume, &there).unwrap_err();
    assert!(
        matches!(&error, TrainingError::OtherProgram { what, .. } if what == "instruction_set"),
        "{error}"
    );
    start(Start::ResumeAnyway, &there).unwrap();
    start(Start::Resume, &there).unwrap();
}
