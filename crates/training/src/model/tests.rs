use super::*;
use crate::fixtures::{config, description};
use candle_core::Tensor;
use finescale_diffusion::Denoise;
use finescale_field::{Centring, Cosmology, Grid, Scalar, ScalarName, Scheme};
use finescale_outpaint::{Joint, Overlap, Strategy};
use finescale_pairs::{DataKind, GridMeta};

fn model() -> Model {
    let parameters = Parameters::init(&config().network, 5, &Device::Cpu).unwrap();
    // The last convolution starts at zero; a network that gives zero would prove nothing.
    let last = parameters.get("out.2.weight").unwrap();
    last.set(&last.affine(0.0, 0.05).unwrap()).unwrap();
    Model::new(description(), parameters)
}

fn estimate(model: &Model) -> Vec<f32> {
    let ramp = |channels: usize| {
        let count = channels * 512;
        let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
        Tensor::from_vec(values, (1, channels, 8, 8, 8), &Device::Cpu).unwrap()
    };
    let level = Tensor::new(&[0.4f32], &Device::Cpu).unwrap();
    let clean = model.denoiser().unwrap().predict_clean(&ramp(1), &ramp(3), &level).unwrap();
    clean.flatten_all().unwrap().to_vec1().unwrap()
}

fn grid_meta() -> GridMeta {
    GridMeta::new("condition", 0.0, description().condition.mean_per_voxel)
}

#[test]
fn a_saved_model_gives_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let model = model();
    model.save(&path, Precision::F32).unwrap();
    let loaded = Model::load(&path, &Device::Cpu).unwrap();
    assert_eq!(loaded.description, model.description);
    assert_eq!(estimate(&loaded), estimate(&model));
    assert_eq!(loaded.path(), Some(path.as_path()));
    assert_eq!(loaded.sha256().unwrap().len(), 64);
    // The same content, the same hash; half the bits, another one.
    model.save(&path, Precision::F32).unwrap();
    assert_eq!(Model::load(&path, &Device::Cpu).unwrap().sha256(), loaded.sha256());
    model.save(&path, Precision::F16).unwrap();
    let half = Model::load(&path, &Device::Cpu).unwrap();
    assert_ne!(half.sha256(), loaded.sha256());
    // Weights with eleven bits.
    let difference =
        estimate(&half).iter().zip(estimate(&model)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference > 0.0 && difference < 1e-2, "{difference}");
}

#[test]
fn files_that_are_no_such_model_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let model = model();
    let metadata = model.description.to_metadata(FORMAT);
    let write = |change: &dyn Fn(&mut crate::tensor_header::Metadata, &mut crate::NamedTensors)| {
        let (mut metadata, mut tensors) = (metadata.clone(), named(&model.parameters));
        change(&mut metadata, &mut tensors);
        tensor_file::write(&path, &metadata, &tensors, Precision::F32).unwrap();
        Model::load(&path, &Device::Cpu).unwrap_err()
    };
    let error = write(&|metadata, _| metadata.clear());
    assert!(
        matches!(&error, TrainingError::Foreign { key, found, .. } if key == "format" && found == "missing")
    );
    let error = write(&|metadata, _| drop(metadata.insert("version".into(), "7".into())));
    assert!(matches!(&error, TrainingError::Foreign { key, found, .. } if key == "version" && found == "7"));
    let error = write(&|metadata, _| drop(metadata.remove("truth")));
    assert!(
        matches!(&error, TrainingError::Foreign { .. }) && error.to_string().contains("truth"),
        "{error}"
    );
    let error = write(&|metadata, _| drop(metadata.insert("step".into(), "\"many\"".into())));
    assert!(matches!(&error, TrainingError::Foreign { key, .. } if key == "step"), "{error}");
    let error = write(&|_, tensors| drop(tensors.remove("out.2.bias")));
    assert!(
        matches!(&error, TrainingError::Weights { .. }) && error.to_string().contains("out.2.bias"),
        "{error}"
    );
    let error = write(&|_, tensors| drop(tensors.pop_first()));
    assert!(error.to_string().contains("model.safetensors"), "{error}");
}

/// A model file whose description is changed after it was made.
fn load_changed(change: impl FnOnce(&mut serde_json::Value)) -> Result<Model, TrainingError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let model = model();
    let mut description = serde_json::to_value(&model.description).unwrap();
    change(&mut description);
    let text = |(key, value): (&String, &serde_json::Value)| {
        let text = value.as_str().filter(|_| key == "commit" || key == "program_version");
        (key.clone(), text.map_or_else(|| value.to_string(), str::to_owned))
    };
    let mut metadata: crate::tensor_header::Metadata =
        description.as_object().unwrap().iter().map(text).collect();
    metadata.insert("format".into(), FORMAT.into());
    metadata.insert("version".into(), "1".into());
    tensor_file::write(&path, &metadata, &named(&model.parameters), Precision::F32).unwrap();
    let summary = ModelSummary::read(&path).map(|summary| summary.parameters);
    let loaded = Model::load(&path, &Device::Cpu);
    assert_eq!(
        summary.map_err(|e| e.to_string()),
        match &loaded {
            Ok(model) => Ok(model.parameters().count()),
            Err(error) => Err(error.to_string()),
        }
    );
    loaded
}

#[test]
fn settings_that_no_run_can_have_had_are_refused_in_a_file() {
    use serde_json::json;
    assert!(load_changed(|_| ()).is_ok());
    for (pointer, value) in [
        ("/configuration/network/residual_blocks", json!(1_000_000_000)),
        ("/configuration/network/base_channels", json!(1u64 << 62)),
        ("/configuration/network/channel_multipliers", json!([1, 1u64 << 62])),
        ("/configuration/diffusion/schedule/steps", json!(u64::MAX)),
        ("/configuration/training/patch_cells", json!(1u64 << 62)),
        ("/configuration/training/batch_size", json!(1u64 << 62)),
        (
            "/configuration/generation/sampling/levels",
            json!({"log_uniform": {"steps": 1_000_000_000_000u64, "sigma_min": 0.01, "sigma_max": 80.0}}),
        ),
        ("/configuration/data/baseline_smoothing_cells", json!(1e18)),
    ] {
        let error = load_changed(|all| *all.pointer_mut(pointer).unwrap() = value).unwrap_err();
        assert!(matches!(error, TrainingError::Configuration { .. }), "{pointer}: {error}");
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    }
}

#[test]
fn names_and_numbers_that_no_model_has_are_refused() {
    use serde_json::json;
    for (pointer, value, key) in [
        ("/truth/quantity", json!("x/../../victim/precious"), "quantity"),
        ("/truth/quantity", json!("gas\u{1b}]0;pwned\u{7}"), "quantity"),
        ("/condition/quantity", json!(""), "quantity"),
        ("/voxel_mpc_h", json!([0.5, 0.0, 0.5]), "voxel_mpc_h"),
        ("/training_box_mpc_h", json!([-1.0, 1.0, 1.0]), "voxel_mpc_h"),
        ("/scalar_ranges", json!([[0.0, 1.0]]), "scalar_ranges"),
        ("/step", json!(1u64 << 32), "step"),
        ("/truth/normalizer/mean_count", json!(-1.0), "normalizer"),
    ] {
        let error = load_changed(|all| *all.pointer_mut(pointer).unwrap() = value).unwrap_err();
        assert!(
            matches!(&error, TrainingError::Foreign { key: named, .. } if named == key),
            "{pointer}: {error}"
        );
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
    let twice = |all: &mut serde_json::Value| all["truth"] = json!([all["truth"], all["truth"]]);
    let error = load_changed(twice).unwrap_err();
    assert!(matches!(&error, TrainingError::Foreign { key, .. } if key == "truth"), "{error}");
}

#[test]
fn a_file_that_promises_other_bytes_than_it_has_is_malformed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let header = |tensor: &str| format!("{{\"w\":{tensor}}}");
    for (header, length) in [
        (header(r#"{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}"#), None),
        (header(r#"{"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,16]}"#), None),
        (header(r#"{"dtype":"F32","shape":[4],"data_offsets":[0,16]}"#), Some(u64::MAX)),
        (header(r#"{"dtype":"F32","shape":[4],"data_offsets":[0,16]}"#), Some(1 << 40)),
        ("[".repeat(200_000), None),
    ] {
        let length = length.unwrap_or(header.len() as u64).to_le_bytes();
        std::fs::write(&path, [&length, header.as_bytes(), &[0; 16]].concat()).unwrap();
        for error in [ModelSummary::read(&path).unwrap_err(), Model::load(&path, &Device::Cpu).unwrap_err()] {
            assert!(matches!(error, TrainingError::Malformed { .. }), "{error}");
            assert!(error.to_string().len() < 500, "{error}");
        }
    }
}

#[test]
fn a_condition_with_other_voxels_is_an_error() {
    let description = description();
    let error = description.check_condition(&Grid::cube(12, 7.0).unwrap(), &grid_meta()).unwrap_err();
    assert!(matches!(error, TrainingError::VoxelSize { .. }), "{error}");
    assert_eq!(description.check_condition(&Grid::cube(40, 20.0).unwrap(), &grid_meta()).unwrap(), [""; 0]);
}

#[test]
fn other_differences_are_warnings_that_say_what_they_mean() {
    let mut description = description();
    description.condition.assignment = Some(Scheme::Cic);
    description.condition.weight = Some("mass".to_owned());
    let cosmology = Cosmology {
        omega_m: Some(0.3089),
        sigma_8: Some(0.8159),
        hubble: Some(0.6774),
        ..Cosmology::UNKNOWN
    };
    description.cosmology = cosmology;
    let grid = Grid::cube(12, 6.0).unwrap();
    let warnings = |change: &dyn Fn(&mut GridMeta)| {
        let mut meta = GridMeta { cosmology, assignment: Some(Scheme::Cic), ..grid_meta() };
        change(&mut meta);
        let found = description.check_condition(&grid, &meta).unwrap();
        assert!(found.len() <= 2, "{found:?}");
        found.concat()
    };
    assert_eq!(warnings(&|_| {}), "");
    assert!(warnings(&|m| m.quantity = "gas".into()).contains("this one is gas"));
    assert!(warnings(&|m| m.redshift = 1.0).contains("redshift 0.00, the condition is at 1.00"));
    assert!(warnings(&|m| m.assignment = Some(Scheme::Ngp)).contains("--scheme cic"));
    assert!(warnings(&|m| m.mean = m.mean.map(|mean| 2.0 * mean)).contains("shot noise"));
    let other = warnings(&|m| m.cosmology.omega_m = Some(0.25));
    assert!(other.contains("omega_m = 0.3089, the condition has 0.25"), "{other}");
    let cube = warnings(&|m| (m.quantity, m.assignment) = ("unknown".into(), None));
    assert!(cube.contains("this one is unknown") && cube.contains("mass assignment cic"), "{cube}");
    let other = warnings(&|m| m.cosmology.sigma_8 = Some(0.9));
    assert!(other.contains("sigma_8 = 0.8159, the condition has 0.9"), "{other}");
    let unknown = warnings(&|m| (m.cosmology.sigma_8, m.cosmology.hubble) = (None, None));
    assert!(
        unknown.contains("does not say") && unknown.contains("hubble 0.6774, sigma_8 0.8159"),
        "{unknown}"
    );
    let count = |m: &mut GridMeta| m.provenance = serde_json::json!({"weight": "count"});
    assert!(warnings(&count).contains("--weight mass"));
    let real =
        |m: &mut GridMeta| m.provenance = serde_json::json!({"sources": ["snap.hdf5"], "total_weight": 8.0});
    assert_eq!(warnings(&real), "");
    let corner = warnings(&|m| m.centring = Centring::Corner);
    assert!(corner.contains("half a voxel"), "{corner}");
}

#[test]
fn a_model_of_mock_gas_warns_of_real_data() {
    let mut description = description();
    description.lineage.data = DataKind::Mock;
    let warnings = |provenance| {
        let meta = GridMeta { provenance, ..grid_meta() };
        description.check_condition(&Grid::cube(12, 6.0).unwrap(), &meta).unwrap()
    };
    let real = warnings(serde_json::json!({"sources": ["snap.hdf5"], "total_weight": 8.0}));
    assert!(real.len() == 1 && real[0].contains("--from"), "{real:?}");
    assert_eq!(warnings(serde_json::json!({"mock": {"seed": 1}})), [""; 0]);
}

#[test]
fn a_scalar_that_the_network_is_told_may_differ_within_what_it_was_trained_on() {
    let mut description = description();
    description.cosmology.omega_m = Some(0.3089);
    let scalar = |name| Scalar { name, centre: 0.5, width: 0.5 };
    description.configuration.data.scalars =
        [ScalarName::Redshift, ScalarName::OmegaM, ScalarName::Sigma8].map(scalar).into();
    description.scalar_ranges = vec![[0.0, 1.0], [0.25, 0.35], [0.7, 0.9]];
    let warnings = |values: [f64; 3]| {
        let mut meta = grid_meta();
        let scalars = &description.configuration.data.scalars;
        scalars.iter().zip(values).for_each(|(scalar, value)| meta.set_scalar(scalar.name, value));
        description.check_condition(&Grid::cube(12, 6.0).unwrap(), &meta).unwrap()
    };
    assert_eq!(warnings([1.0, 0.25, 0.85]), [""; 0]);
    let found = warnings([1.5, 0.2, 0.95]);
    assert_eq!(found.len(), 3, "{found:?}");
    for (text, part) in
        found.iter().zip(["redshift from 0 to 1", "omega_m from 0.25", "sigma_8 from 0.7 to 0.9"])
    {
        assert!(text.contains(part) && text.contains("never shown"), "{text}");
    }
}

#[test]
fn a_model_from_before_there_were_other_channels_loads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/model.safetensors");
    assert!(Model::load(&path, &Device::Cpu).unwrap().denoiser().is_ok());
    // As it was written then, whatever version the file is of.
    let (mut metadata, _, _) = tensor_file::read(&path, &Device::Cpu).unwrap();
    metadata.remove("scalar_ranges");
    let mut configuration: serde_json::Value = serde_json::from_str(&metadata["configuration"]).unwrap();
    let data = configuration["data"].as_object_mut().unwrap();
    data.retain(|key, _| !["surroundings_smoothing_cells", "scalars"].contains(&key.as_str()));
    metadata.insert("configuration".into(), configuration.to_string());
    let description = ModelDescription::from_metadata(&path, FORMAT, &metadata).unwrap();
    assert_eq!(description.scalar_ranges.len(), 0);
    let channels = description.conditioning().channels;
    assert_eq!((channels.surroundings_smoothing_cells, channels.scalars.len()), (None, 0));
    assert_eq!(channels.names(1).len(), description.configuration.network.condition_channels);
}

#[test]
fn a_model_of_a_version_that_knew_no_lineage_opens() {
    let mut metadata = description().to_metadata(FORMAT);
    metadata.remove("lineage").unwrap();
    let read = ModelDescription::from_metadata(Path::new("old.safetensors"), FORMAT, &metadata).unwrap();
    assert_eq!(read, description());
    assert_eq!(read.lineage.lines(read.step), ["0 updates; its data is not recorded"]);
}

#[test]
fn a_model_of_an_earlier_version_keeps_the_masks_that_it_was_trained_with() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/model.safetensors");
    let found = ModelSummary::read(&path).unwrap().description;
    let overlap = Overlap { overlap_cells: 6, margin_cells: 3 };
    assert_eq!((found.configuration.training.masks, found.configuration.masks()), (Some(overlap), overlap));
    let joint = Joint { overlap_cells: 6, ..Joint::default() };
    assert_eq!(found.configuration.generation.strategy, Strategy::Joint(joint));
    assert_eq!((found.cosmology.omega_m, found.condition.centring), (Some(0.3089), Centring::Cell));
    // It says all this itself when it is written again.
    let metadata = found.to_metadata(FORMAT);
    assert_eq!(ModelDescription::from_metadata(&path, FORMAT, &metadata).unwrap(), found);
}
