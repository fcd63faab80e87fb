//! Modes that are shared by ranks, or lie in a file, have the statistics of modes in memory: to the bit.

mod common;

use common::{gaussian, length};
use finescale_field::{Boundary, Field3, Grid, Scheme};
use finescale_ranks::Ranks;
use finescale_spectra::{
    Bands, Bispectrum, LineOfSight, ModeSlabs, Modes, Multipoles, SpectraError, Spectrum, TriangleBins,
    Workspace, equilateral, fundamental_h_mpc, nyquist_h_mpc, squeezed, triangles_by_angle,
};
use proptest::prelude::*;
use std::cell::RefCell;
use std::path::Path;

/// Copies plane `x` of a field.
fn plane_of(field: &Field3) -> impl Fn(usize, &mut [f32]) -> Result<(), SpectraError> + '_ {
    |x, plane| {
        plane.copy_from_slice(&field.as_slice()[x * plane.len()..][..plane.len()]);
        Ok(())
    }
}

fn slabs<'a>(
    ranks: &'a Ranks,
    field: &Field3,
    window: Option<Scheme>,
    boundary: Boundary,
    workspace: &Workspace,
) -> ModeSlabs<'a> {
    ModeSlabs::from_planes(ranks, *field.grid(), window, boundary, workspace, plane_of(field))
        .expect("a density")
}

fn workspace(folder: Option<&Path>, block_bytes: usize) -> Workspace {
    Workspace { folder: folder.map(Into::into), block_bytes }
}

/// Two fields that have something in common.
fn fields(grid: Grid) -> [Field3; 2] {
    let a = gaussian(grid, 3, |k| 1.0 / (1.0 + length(k)));
    let b = gaussian(grid, 4, |k| 1.0 / (1.0 + length(k)));
    let mixed = a.as_slice().iter().zip(b.as_slice()).map(|(a, b)| 0.7 * a + 0.3 * b).collect();
    let mixed = ndarray::Array3::from_shape_vec(grid.cells(), mixed).expect("one value per voxel");
    [a, Field3::new(grid, mixed).expect("the grid's own shape")]
}

/// Everything that both can measure.
#[derive(Debug, PartialEq)]
struct Found {
    power: [Spectrum; 2],
    cross: Spectrum,
    banded: Spectrum,
    cross_banded: Spectrum,
    noise: Spectrum,
    multipoles: [Multipoles; 3],
    banded_multipoles: Multipoles,
}

const AXES: [LineOfSight; 3] = [LineOfSight::X, LineOfSight::Y, LineOfSight::Z];

fn bands(grid: &Grid) -> Bands {
    Bands::logarithmic(0.9 * fundamental_h_mpc(grid), 0.8 * nyquist_h_mpc(grid) + 1.0, 4)
        .expect("rising bands")
}

fn of_modes(a: &Modes, b: &Modes) -> Found {
    let bands = bands(a.grid());
    Found {
        power: [a.power(), b.power()],
        cross: a.cross(b).expect("one grid"),
        banded: a.power_in(&bands),
        cross_banded: a.cross_in(b, &bands).expect("one grid"),
        noise: a.shot_noise(2.0, Scheme::Tsc),
        multipoles: AXES.map(|axis| a.multipoles(axis)),
        banded_multipoles: a.multipoles_in(LineOfSight::Y, &bands),
    }
}

fn of_slabs(a: &ModeSlabs, b: &ModeSlabs) -> Result<Found, SpectraError> {
    let bands = bands(a.grid());
    let both = a.cross_spectra(b)?;
    assert_eq!(both.power[0], a.power()?);
    assert_eq!(both.cross, a.cross(b)?);
    let [x, y, z] = AXES;
    Ok(Found {
        power: both.power,
        cross: both.cross,
        banded: a.power_in(&bands)?,
        cross_banded: a.cross_in(b, &bands)?,
        noise: a.shot_noise(2.0, Scheme::Tsc)?,
        multipoles: [a.multipoles(x)?, a.multipoles(y)?, a.multipoles(z)?],
        banded_multipoles: a.multipoles_in(y, &bands)?,
    })
}

/// NaN of an empty band is equal to itself here: what is compared are the bits.
fn bits(found: &Found) -> String {
    format!("{found:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn ranks_and_files_have_the_bits_of_modes_in_memory(
        cells in prop::array::uniform3(1usize..14),
        sides in prop::array::uniform3(10.0..40.0),
        count in prop::sample::select(vec![1usize, 2, 3, 5, 16]),
        block_bytes in prop::sample::select(vec![1usize, 900, 5000, 1 << 20]),
        window in prop::sample::select(vec![None, Some(Scheme::Cic), Some(Scheme::Pcs)]),
        is_open: bool,
        in_file: bool,
    ) {
        let grid = Grid::new(cells, sides).unwrap();
        let [a, b] = fields(grid);
        let boundary = Boundary::from_periodic(!is_open);
        let whole = [&a, &b].map(|field| Modes::within(field, window, boundary).unwrap());
        let expected = bits(&of_modes(&whole[0], &whole[1]));
        let folder = tempfile::tempdir().unwrap();
        let workspace = workspace(in_file.then_some(folder.path()), block_bytes);
        let found = Ranks::on_threads(count, |ranks| {
            let [a, b] = [&a, &b].map(|field| slabs(ranks, field, window, boundary, &workspace));
            bits(&of_slabs(&a, &b).unwrap())
        });
        for found in found {
            prop_assert_eq!(&found, &expected);
        }
        prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn bispectra_have_the_bits_of_modes_in_memory() {
    for cells in [[20, 24, 18], [17, 21, 30]] {
        let grid = Grid::new(cells, [30.0, 40.0, 27.0]).unwrap();
        let [a, b] = fields(grid);
        let k = fundamental_h_mpc(&grid);
        let mut triangles = triangles_by_angle(2.0 * k, 3.0 * k, &[0.5, 1.5]);
        triangles.extend(equilateral(&[1.5 * k, 4.0 * k]));
        triangles.extend(squeezed(1.2 * k, &[3.0 * k]));
        let bins = TriangleBins::new(&grid, &triangles, 0.6 * k).unwrap();
        let window = Some(Scheme::Cic);
        let [whole, other] = [&a, &b].map(|field| Modes::new(field, window).unwrap());
        let expected = [bins.measure(&whole).unwrap(), bins.measure_cross([&other, &whole, &other]).unwrap()];
        assert!(expected[0].bispectrum.iter().all(|value| value.is_finite() && *value != 0.0));
        let folder = tempfile::tempdir().unwrap();
        for (count, folder) in [(1, Some(folder.path())), (2, None), (3, Some(folder.path())), (30, None)] {
            let found: Vec<[Bispectrum; 2]> = Ranks::on_threads(count, |ranks| {
                let workspace = workspace(folder, 3000);
                let [a, b] =
                    [&a, &b].map(|field| slabs(ranks, field, window, Boundary::Periodic, &workspace));
                let cross = ModeSlabs::cross_bispectrum([&b, &a, &b], &bins);
                [a.bispectrum(&bins).unwrap(), cross.unwrap()]
            });
            assert!(found.into_iter().all(|found| found == expected), "{count} ranks");
        }
    }
}

#[test]
fn each_plane_is_asked_for_once_and_in_order() {
    let field = gaussian(Grid::cube(7, 10.0).unwrap(), 1, |_| 1.0);
    let asked = Ranks::on_threads(3, |ranks| {
        let asked = RefCell::new(Vec::new());
        let fill = |x: usize, plane: &mut [f32]| {
            asked.borrow_mut().push(x);
            plane_of(&field)(x, plane)
        };
        let workspace = Workspace::memory();
        ModeSlabs::from_planes(ranks, *field.grid(), None, Boundary::Periodic, &workspace, fill).unwrap();
        asked.into_inner()
    });
    assert_eq!(asked, [vec![0, 1, 2], vec![3, 4], vec![5, 6]]);
}

#[test]
fn another_window_can_be_divided_out() {
    let field = gaussian(Grid::cube(8, 10.0).unwrap(), 1, |_| 1.0);
    let expected = Modes::new(&field, Some(Scheme::Tsc)).unwrap().power();
    let ranks = Ranks::alone();
    let modes = slabs(&ranks, &field, None, Boundary::Periodic, &Workspace::memory());
    assert_ne!(modes.power().unwrap(), expected);
    assert_eq!(modes.divided_by(Some(Scheme::Tsc)).power().unwrap(), expected);
}

#[test]
fn what_is_no_density_is_so_on_all_ranks_with_the_mean_of_one_process() {
    let field = gaussian(Grid::new([9, 4, 5], [10.0; 3]).unwrap(), 1, |_| 1.0);
    let field = field.map(|value| -value);
    let expected = Modes::new(&field, None).unwrap_err();
    assert!(matches!(expected, SpectraError::NotADensity { .. }));
    for count in [1, 2, 5] {
        let found = Ranks::on_threads(count, |ranks| {
            let workspace = Workspace::memory();
            let grid = *field.grid();
            ModeSlabs::from_planes(ranks, grid, None, Boundary::Periodic, &workspace, plane_of(&field))
                .unwrap_err()
        });
        assert!(found.iter().all(|found| *found == expected), "{count} ranks: {found:?}");
    }
}

#[test]
fn errors_of_what_fills_and_of_the_disk_are_told() {
    let (ranks, grid) = (Ranks::alone(), Grid::cube(4, 1.0).unwrap());
    let refuse = |x: usize, _: &mut [f32]| match x {
        2 => Err(SpectraError::NotADensity { mean: 7.0 }),
        _ => Ok(()),
    };
    let workspace = Workspace::memory();
    let found = ModeSlabs::from_planes(&ranks, grid, None, Boundary::Periodic, &workspace, refuse);
    assert_eq!(found.unwrap_err(), SpectraError::NotADensity { mean: 7.0 });

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let field = gaussian(grid, 1, |_| 1.0);
    let workspace = Workspace::folder(&file, 1 << 20);
    let found = ModeSlabs::from_planes(&ranks, grid, None, Boundary::Periodic, &workspace, plane_of(&field));
    let error = found.unwrap_err();
    assert!(matches!(&error, SpectraError::Storage { folder, .. } if *folder == file), "{error}");
    assert!(!error.is_input() && SpectraError::NotADensity { mean: 0.0 }.is_input());
}

#[test]
fn fields_of_other_grids_are_refused() {
    let ranks = Ranks::alone();
    let [a, b] = [10.0, 11.0].map(|side| gaussian(Grid::cube(16, side).unwrap(), 1, |_| 1.0));
    let bins = TriangleBins::new(a.grid(), &equilateral(&[1.5]), 0.4).unwrap();
    let [a, b] = [&a, &b].map(|field| slabs(&ranks, field, None, Boundary::Periodic, &Workspace::memory()));
    assert!(matches!(a.cross(&b), Err(SpectraError::Grids { .. })));
    assert!(matches!(b.cross_spectra(&a), Err(SpectraError::Grids { .. })));
    assert!(matches!(b.bispectrum(&bins), Err(SpectraError::Grids { .. })));
    assert!(a.bispectrum(&bins).is_ok());
}

#[test]
fn ranks_hold_their_part_and_no_more() {
    let grid = Grid::new([30, 40, 20], [10.0; 3]).unwrap();
    let whole = 30 * 40 * 11 * 8;
    assert_eq!(ModeSlabs::bytes(&Ranks::alone(), &grid), whole);
    for (rank, bytes) in Ranks::on_threads(7, |ranks| ModeSlabs::bytes(ranks, &grid)).into_iter().enumerate()
    {
        // A tile has room for the larger of two that differ by a row in each direction.
        assert!(bytes >= whole / 8 && bytes < whole / 7 * 6 / 5, "rank {rank}: {bytes}");
    }
}
