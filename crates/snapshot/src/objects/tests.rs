use super::*;
use crate::fixtures::example;
use crate::{read_grid, write_grid};
use ndarray::{Array3, s};

/// A grid file whose dataset `/field` is made by `make` instead.
fn grid_with(path: &Path, make: impl FnOnce(&hdf5::File)) {
    write_grid(path, &example([4; 3])).unwrap();
    let file = hdf5::File::open_rw(path).unwrap();
    file.unlink("field").unwrap();
    // As others make them: of version 1, which needs no digest.
    file.delete_attr("values_digest").unwrap();
    file.attr("version").unwrap().write_scalar(&1u32).unwrap();
    make(&file);
    file.close().unwrap();
}

fn values() -> Array3<f32> {
    Array3::from_shape_fn([4; 3], |(i, j, k)| (16 * i + 4 * j + k) as f32)
}

fn elsewhere(path: &Path) -> String {
    match read_grid(path) {
        Err(error @ SnapshotError::Elsewhere { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn external_links_and_external_storage_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_grid(&at("other.hdf5"), &example([4; 3])).unwrap();
    grid_with(&at("link.hdf5"), |file| file.link_external("other.hdf5", "/field", "field").unwrap());
    assert!(elsewhere(&at("link.hdf5")).contains("external link"));

    std::fs::write(at("secret"), [7; 256]).unwrap();
    let secret = at("secret").to_str().unwrap().to_owned();
    grid_with(&at("storage.hdf5"), |file| {
        let made = file.new_dataset::<u8>().shape([4; 3]).external(&secret, 0, 64);
        made.create("field").unwrap();
    });
    let error = elsewhere(&at("storage.hdf5"));
    assert!(error.contains("bytes of another file") && error.contains("--follow-links"), "{error}");
}

#[test]
fn soft_links_are_followed_within_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("soft.hdf5");
    let with_links = |links: &[(&str, &str)]| {
        grid_with(&path, |file| {
            file.new_dataset_builder().with_data(&values()).create("real").unwrap();
            file.create_group("inner").unwrap();
            links.iter().for_each(|(name, target)| file.link_soft(target, name).unwrap());
        });
    };
    for links in [
        [("field", "/real"), ("a", "/b")],
        [("field", "a"), ("a", "/inner/./b")],
        [("inner/b", "/real"), ("field", "inner/b")],
    ] {
        with_links(&links);
        if links[1].0 == "a" && links[1].1 == "/inner/./b" {
            let file = hdf5::File::open_rw(&path).unwrap();
            file.link_soft("/real", "inner/b").unwrap();
        }
        assert_eq!(read_grid(&path).unwrap().field.values(), values(), "{links:?}");
    }
    // A circle, and a way that leaves the file behind a soft link.
    with_links(&[("field", "a"), ("a", "field")]);
    assert!(matches!(read_grid(&path), Err(SnapshotError::NotAGrid { .. })));
    with_links(&[("field", "/away/field")]);
    let file = hdf5::File::open_rw(&path).unwrap();
    file.link_external("other.hdf5", "/", "away").unwrap();
    file.close().unwrap();
    assert!(elsewhere(&path).contains("external link"));
}

#[test]
fn values_that_were_never_written_are_not_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse.hdf5");
    let stored = |make: &dyn Fn(&hdf5::File)| {
        grid_with(&path, make);
        match read_grid(&path) {
            Err(error @ SnapshotError::Unwritten { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let huge = [100_000; 3];
    let error = stored(&|file| drop(file.new_dataset::<f32>().shape(huge).create("field").unwrap()));
    assert!(error.contains("which is 4.00 PB, but holds 0 bytes"), "{error}");
    let error = stored(&|file| {
        file.new_dataset::<f32>().shape(huge).chunk([32; 3]).create("field").unwrap();
    });
    assert!(error.contains("4.00 PB, but holds a file of"), "{error}");
    let error = stored(&|file| {
        file.new_dataset::<f32>().shape([4000; 3]).chunk([500; 3]).create("field").unwrap();
    });
    assert!(error.contains("256 GB, but holds 0 of 512 chunks"), "{error}");
    let error = stored(&|file| {
        let half = file.new_dataset::<f32>().shape([4; 3]).chunk([2, 4, 4]).create("field").unwrap();
        half.write_slice(&values().slice(s![2.., .., ..]), s![2..4, .., ..]).unwrap();
    });
    assert!(error.contains("1 of 2 chunks"), "{error}");
}

/// A virtual grid whose lower half is the dataset of one file and whose upper half is that of another.
fn halves(path: &Path, lower: &str, upper: &str) {
    grid_with(path, |file| {
        let (shape, half, all) = ([4; 3], [2, 4, 4], (.., .., ..));
        file.new_dataset::<f32>()
            .shape(shape)
            .virtual_map(lower, "half", half, all, shape, (0..2, .., ..))
            .virtual_map(upper, "half", half, all, shape, (2..4, .., ..))
            .create("field")
            .unwrap();
    });
}

fn half(path: &Path, x: std::ops::Range<usize>) {
    let file = hdf5::File::create(path).unwrap();
    let part = values().slice(s![x, .., ..]).to_owned();
    file.new_dataset_builder().with_data(&part).create("half").unwrap();
}

#[test]
fn virtual_grids_of_their_own_folder_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("parts")).unwrap();
    half(&at("lower.hdf5"), 0..2);
    half(&at("parts/upper.hdf5"), 2..4);
    let absolute = at("parts/upper.hdf5").to_str().unwrap().to_owned();
    for upper in ["parts/upper.hdf5", &absolute, "parts/../parts/upper.hdf5"] {
        halves(&at("virtual.hdf5"), "lower.hdf5", upper);
        assert_eq!(read_grid(&at("virtual.hdf5")).unwrap().field.values(), values(), "{upper}");
    }
    // From elsewhere, by a link to the virtual file.
    #[cfg(unix)]
    {
        std::fs::create_dir(at("elsewhere")).unwrap();
        std::os::unix::fs::symlink(at("virtual.hdf5"), at("elsewhere/latest.hdf5")).unwrap();
        assert_eq!(read_grid(&at("elsewhere/latest.hdf5")).unwrap().field.values(), values());
    }
}

#[test]
fn a_source_that_is_missing_or_smaller_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    half(&at("lower.hdf5"), 0..2);
    halves(&at("virtual.hdf5"), "lower.hdf5", "upper.hdf5");
    let problem = || match read_grid(&at("virtual.hdf5")) {
        Err(SnapshotError::Source { source_file, problem, .. }) => {
            assert_eq!(source_file, at("upper.hdf5"));
            problem
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(problem(), "is missing");
    hdf5::File::create(at("upper.hdf5")).unwrap().close().unwrap();
    assert_eq!(problem(), "has no dataset half");
    half(&at("upper.hdf5"), 3..4);
    assert_eq!(problem(), "has half of shape [1, 4, 4], of which 32 values are needed");
    half(&at("upper.hdf5"), 2..4);
    assert!(read_grid(&at("virtual.hdf5")).is_ok());
}

#[test]
fn a_virtual_grid_with_a_hole_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("virtual.hdf5");
    half(&folder.path().join("lower.hdf5"), 0..2);
    grid_with(&path, |file| {
        let made = file.new_dataset::<f32>().shape([4; 3]);
        let made = made.virtual_map("lower.hdf5", "half", [2, 4, 4], (.., .., ..), [4; 3], (0..2, .., ..));
        made.create("field").unwrap();
    });
    let error = read_grid(&path).unwrap_err();
    assert!(error.to_string().contains("which is 64 values, but holds 32 in its sources"), "{error}");
}

#[test]
fn virtual_sources_elsewhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("inbox")).unwrap();
    half(&at("inbox/lower.hdf5"), 0..2);
    half(&at("mine.hdf5"), 2..4);
    let mine = at("mine.hdf5").to_str().unwrap().to_owned();
    for upper in ["../mine.hdf5", mine.as_str()] {
        halves(&at("inbox/virtual.hdf5"), "lower.hdf5", upper);
        assert!(elsewhere(&at("inbox/virtual.hdf5")).contains("not in its folder"), "{upper}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(at("mine.hdf5"), at("inbox/upper.hdf5")).unwrap();
        halves(&at("inbox/virtual.hdf5"), "lower.hdf5", "upper.hdf5");
        assert!(elsewhere(&at("inbox/virtual.hdf5")).contains("not in its folder"));
    }
    // A source that points out of itself.
    let file = hdf5::File::create(at("inbox/upper.hdf5.real")).unwrap();
    file.link_external("../mine.hdf5", "/half", "half").unwrap();
    file.close().unwrap();
    halves(&at("inbox/virtual.hdf5"), "lower.hdf5", "upper.hdf5.real");
    assert!(elsewhere(&at("inbox/virtual.hdf5")).contains("external link"));
}

#[test]
fn a_source_of_a_virtual_grid_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    half(&at("lower.hdf5"), 0..2);
    half(&at("upper.hdf5"), 2..4);
    halves(&at("virtual.hdf5"), "lower.hdf5", "upper.hdf5");
    let grid = read_grid(&at("virtual.hdf5")).unwrap();
    let error = crate::write_grid(&at("upper.hdf5"), &grid).unwrap_err();
    assert!(error.to_string().contains("is an input"), "{error}");
    crate::write_grid(&at("copy.hdf5"), &grid).unwrap();
}
