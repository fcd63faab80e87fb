//! Pairs on disk: what is read, and the errors that name the file.

use finescale_field::{Channels, Field3, FieldError, Grid, Region, WindowError, Windows};
use finescale_pairs::{DataConfig, GridMeta, Normalization, Pair, PairError, PairSet};
use finescale_snapshot::{GridFile, write_grid, write_npy};
use ndarray::Array3;
use std::path::Path;
use std::sync::Arc;

fn write(path: &Path, cells: usize, quantity: &str, value: impl Fn(usize) -> f32) {
    let values = Array3::from_shape_fn([cells; 3], |(i, j, k)| value((i * cells + j) * cells + k));
    let field =
        Field3::new(Grid::cube(cells, cells as f64).expect("a sound grid"), values).expect("its values");
    let meta = GridMeta::new(quantity, 0.5, 8.0);
    write_grid(path, &GridFile { field, meta }).expect("a grid file is written");
}

fn write_pair(folder: &Path, cells: usize) {
    write(&folder.join("condition.hdf5"), cells, "dm", |i| 0.5 + (i % 11) as f32 / 11.0);
    write(&folder.join("truth.hdf5"), cells, "gas", |i| 0.5 + (i % 7) as f32 / 7.0);
}

fn config(text: String) -> DataConfig {
    serde_json::from_str(&text).expect("a configuration")
}

#[test]
fn pairs_are_read_and_made_into_batches() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    write_pair(&a, 8);
    write_pair(&b, 6);
    let files =
        format!("{{\"condition\": {:?}, \"truth\": {:?}}}", b.join("condition.hdf5"), b.join("truth.hdf5"));
    let set =
        PairSet::load(&config(format!("{{\"training\": [{a:?}], \"validation\": [{files}]}}"))).unwrap();
    assert_eq!((set.condition_meta().quantity.as_str(), set.truth_meta()[0].redshift), ("dm", 0.5));
    assert_eq!(set.grid().cells(), [8; 3]);
    let batch = set.training_batch(1, 2, 3, 4).unwrap();
    assert!(batch.truth.iter().chain(&batch.condition).all(|v| v.is_finite()));
    assert_eq!(set.validation_batch(0, 2, 6).unwrap().truth.len(), 2 * 216);
    assert!(set.validation_batch(0, 2, 7).is_err());
}

#[test]
fn patches_from_files_have_the_bits_of_those_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    write_pair(&a, 16);
    write_pair(&b, 12);
    let with = "\"surroundings_smoothing_cells\": 1.5, \"baseline_smoothing_cells\": 0.8, \
                \"scalars\": [{\"name\": \"redshift\", \"centre\": 1, \"width\": 2}]";
    let held = "\"hold_out\": {\"start\": [10, 0, 0], \"shape\": [8, 12, 9]}";
    for text in [
        format!("{{\"training\": [{a:?}], \"validation\": [{b:?}], {with}}}"),
        format!("{{\"training\": [{a:?}, {b:?}], {held}, {with}}}"),
    ] {
        let config = config(text);
        let by_window = PairSet::open(&config, config.normalization()).unwrap();
        let in_memory = PairSet::load(&config).unwrap();
        assert_eq!((by_window.memory_bytes(), by_window.bytes()), (0, in_memory.memory_bytes()));
        assert_eq!(by_window.normalizers(), in_memory.normalizers());
        assert_eq!(by_window.correlations(), in_memory.correlations());
        for step in 0..5 {
            let batch = by_window.training_batch(1, step, 3, 5).unwrap();
            assert_eq!(batch, in_memory.training_batch(1, step, 3, 5).unwrap());
            assert_eq!(batch.condition.len(), 3 * 4 * 125);
            let part = by_window.part_of_training_batch(1, step, 3, 5, |patch| patch == 1).unwrap();
            assert_eq!(part.truth[125..250], batch.truth[125..250]);
            assert!(part.truth[..125].iter().chain(&part.condition[1000..]).all(|value| *value == 0.0));
        }
        let of = |set: &PairSet| (set.validation_batch(0, 2, 6).unwrap(), set.validation_part(5).unwrap());
        assert_eq!(of(&by_window), of(&in_memory));
        let region = Region { start: [-2, 5, 9], shape: [6, 5, 4] };
        let density = |set: &PairSet| set.density_window(0, &region).unwrap();
        assert_eq!(density(&by_window), density(&in_memory));
    }
}

#[test]
fn a_file_that_is_written_to_after_it_was_opened_is_told() {
    let folder = tempfile::tempdir().unwrap();
    write_pair(folder.path(), 8);
    let config = config(format!("{{\"training\": [{:?}]}}", folder.path()));
    let set = PairSet::open(&config, config.normalization()).unwrap();
    assert!(set.training_batch(0, 0, 1, 4).is_ok());
    // Another file of that name is not read.
    let truth = folder.path().join("truth.hdf5");
    let other = folder.path().join("other.hdf5");
    std::fs::copy(&truth, &other).unwrap();
    std::fs::rename(&truth, folder.path().join("kept.hdf5")).unwrap();
    std::fs::rename(&other, &truth).unwrap();
    assert!(set.training_batch(0, 0, 1, 4).is_ok());

    let condition = folder.path().join("condition.hdf5");
    let mut file = std::fs::OpenOptions::new().append(true).open(&condition).unwrap();
    std::io::Write::write_all(&mut file, b"more").unwrap();
    for error in [set.training_batch(0, 1, 1, 4).unwrap_err(), set.in_memory().unwrap_err()] {
        assert!(matches!(&error, PairError::Changed { path } if *path == condition), "{error}");
    }
}

#[test]
fn what_is_no_density_is_refused_with_its_voxel_where_it_is_read() {
    /// A field whose values are known only when they are read.
    struct Late(Field3, std::sync::atomic::AtomicBool);
    impl Windows for Late {
        fn grid(&self) -> &Grid {
            self.0.grid()
        }

        fn read(&self, region: &Region) -> Result<Array3<f32>, WindowError> {
            let mut field = self.0.clone();
            if self.1.load(std::sync::atomic::Ordering::Relaxed) {
                field.as_slice_mut()[3] = f32::NAN;
            }
            Ok(field.extract(region)?)
        }
    }
    let field = |add: f32| {
        let values =
            Array3::from_shape_fn([4; 3], |(i, j, k)| 0.5 + ((i + 3 * j + 5 * k) % 7) as f32 / 7.0 + add);
        Field3::new(Grid::cube(4, 4.0).unwrap(), values).unwrap()
    };
    let mut pair = Pair::new(field(0.0), vec![field(0.1)]);
    let late = Arc::new(Late(field(0.1), false.into()));
    pair.truth[0].values = late.clone();
    let set =
        PairSet::by_window(vec![pair], vec![], None, Normalization::default(), Channels::default()).unwrap();
    assert!(set.training_batch(0, 0, 1, 4).is_ok());
    late.1.store(true, std::sync::atomic::Ordering::Relaxed);
    let error = set.training_batch(0, 0, 1, 4).unwrap_err();
    let PairError::Density { source: FieldError::Density { voxel, .. }, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(voxel, [0, 0, 3]);
}

#[test]
fn the_part_held_out_comes_from_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    write_pair(folder.path(), 8);
    let text = format!(
        "{{\"training\": [{:?}], \"hold_out\": {{\"start\": [6, 0, 0], \"shape\": [4, 8, 8]}}}}",
        folder.path()
    );
    let config = config(text);
    assert_eq!(config.hold_out, Some(Region { start: [6, 0, 0], shape: [4, 8, 8] }));
    let set = PairSet::load(&config).unwrap();
    assert!(set.has_validation());
    assert!(set.training_batch(0, 0, 1, 4).is_ok());
    assert!(matches!(set.training_batch(0, 0, 1, 5), Err(PairError::NoRoom { .. })));
}

#[test]
fn errors_name_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (condition, truth) = (here.join("condition.hdf5"), here.join("truth.hdf5"));
    let load = || PairSet::load(&config(format!("{{\"training\": [{here:?}]}}"))).map(|_| ());

    let error = load().unwrap_err();
    assert!(matches!(&error, PairError::Missing { path } if *path == condition), "{error}");

    std::fs::write(&condition, "not a grid").unwrap();
    std::fs::write(&truth, "not a grid").unwrap();
    let error = load().unwrap_err();
    assert!(matches!(error, PairError::Read(_)), "{error}");
    assert!(error.to_string().contains("condition.hdf5"), "{error}");

    write_pair(here, 8);
    write(&truth, 6, "gas", |_| 1.0);
    let error = load().unwrap_err();
    assert!(matches!(error, PairError::NoPair { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("condition.hdf5") && text.contains("truth.hdf5") && text.contains("[6, 6, 6]"),
        "{text}"
    );

    write(&truth, 8, "gas", |i| if i == 77 { f32::NAN } else { 1.0 });
    let error = load().unwrap_err();
    assert!(matches!(&error, PairError::Density { path, .. } if *path == truth), "{error}");

    write(&truth, 8, "gas", |i| 800.0 + i as f32);
    let error = load().unwrap_err();
    assert!(matches!(&error, PairError::Mean { path, .. } if *path == truth), "{error}");
}

#[test]
fn numpy_cubes_are_pairs_if_their_box_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let [condition, truth] = ["dm.npy", "gas.npy"].map(|name| folder.path().join(name));
    for (path, mean) in [(&condition, 8.0), (&truth, 1e10)] {
        let values = Array3::from_shape_fn([8; 3], |(i, j, k)| mean * (1.0 + 0.5 * ((i + j * k) % 3) as f32));
        write_npy(path, &Field3::new(Grid::cube(8, 1.0).unwrap(), values).unwrap()).unwrap();
    }
    let load = |more: &str| {
        let text =
            format!("{{\"training\": [{{\"condition\": {condition:?}, \"truth\": {truth:?} {more}}}]}}");
        PairSet::load(&config(text))
    };
    let set =
        load(r#", "cubes": {"box_size_mpc_h": 25, "values": "over_own_mean", "redshift": 0.5}"#).unwrap();
    assert_eq!((set.grid().box_size_mpc_h(), set.truth_meta()[0].redshift), ([25.0; 3], 0.5));
    assert!((set.training_batch(1, 0, 1, 8).unwrap().truth.len(), set.notes().len()) == (512, 0));
    let error = load("").unwrap_err();
    assert!(matches!(error, PairError::Cubes { .. }), "{error}");
    // Of counts that are taken for 1 + delta.
    let error = load(r#", "cubes": {"box_size_mpc_h": 25}"#).unwrap_err().to_string();
    assert!(error.contains("dm.npy: the mean of the values is"), "{error}");
    let noted = load(r#", "cubes": {"box_size_mpc_h": 25, "values": {"over": 5e9}}"#);
    assert!(noted.is_err(), "the condition has another mean");
    // Two cubes of one stack are two boxes, and one of them twice is not.
    let pair = |index: usize| {
        let cubes = format!("{{\"box_size_mpc_h\": 25, \"index\": {index}}}");
        format!("{{\"condition\": {condition:?}, \"truth\": {truth:?}, \"cubes\": {cubes}}}")
    };
    let check = |validation| {
        config(format!("{{\"training\": [{}], \"validation\": [{}]}}", pair(0), pair(validation))).check()
    };
    assert!(check(1).is_ok() && matches!(check(0), Err(PairError::Split { .. })));
    // What is said of cubes must be of some.
    write_pair(folder.path(), 8);
    let [low, high] = ["condition.hdf5", "truth.hdf5"].map(|name| folder.path().join(name));
    let text = format!(
        "{{\"training\": [{{\"condition\": {low:?}, \"truth\": {high:?}, \"cubes\": {{\"box_size_mpc_h\": 9}}}}]}}"
    );
    assert!(matches!(PairSet::load(&config(text)), Err(PairError::NoCubes { .. })));
    let flat = Field3::new(Grid::new([8, 8, 4], [1.0; 3]).unwrap(), Array3::ones([8, 8, 4])).unwrap();
    write_npy(&condition, &flat).unwrap();
    let error = load(r#", "cubes": {"box_size_mpc_h": 25}"#).unwrap_err();
    assert!(matches!(error, PairError::NotCubic { cells: [8, 8, 4], .. }), "{error}");
}
