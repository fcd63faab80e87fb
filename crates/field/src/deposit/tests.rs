use super::*;
use crate::Region;
use crate::scheme::first_voxel;
use proptest::prelude::*;

/// Sums in f64, stored in f32.
const F32_REL: f32 = 1e-6;

fn grid(cells: [usize; 3]) -> Grid {
    Grid::new(cells, [10.0, 7.5, 3.0]).unwrap()
}

/// Quasi-random points (Kronecker sequence of the plastic number), also outside of the box.
fn points(count: usize, scale: [f64; 3]) -> Vec<[f64; 3]> {
    let g = 1.220_744_084_605_759_5_f64;
    (1..=count)
        .map(|i| {
            std::array::from_fn(|a| {
                (1.4 * (i as f64 * g.powi(-(a as i32) - 1)).rem_euclid(1.0) - 0.2) * scale[a]
            })
        })
        .collect()
}

fn deposit(grid: Grid, scheme: Scheme, positions: &[[f64; 3]], weights: Option<&[f32]>) -> Field3 {
    let mut depositor = Depositor::new(grid, scheme).unwrap();
    depositor.add(positions, weights).unwrap();
    depositor.finish()
}

/// The oracle: one particle after the other, onto wrapped indices.
fn naive<const ORDER: usize>(grid: Grid, positions: &[[f64; 3]], weights: Option<&[f32]>) -> Vec<f64> {
    let n = grid.cells();
    let mut sums = vec![0.0; grid.voxels()];
    for (p, position) in positions.iter().enumerate() {
        let axis: [Vec<(usize, f64)>; 3] = std::array::from_fn(|a| {
            let u = position[a].rem_euclid(grid.box_size_mpc_h()[a]) / grid.voxel_mpc_h()[a];
            let (first, t) = first_voxel::<ORDER>(u);
            let wrap = |o: usize| (first + o as i64).rem_euclid(n[a] as i64) as usize;
            shares::<ORDER>(t).into_iter().enumerate().map(|(o, w)| (wrap(o), w)).collect()
        });
        for &(x, a) in &axis[0] {
            for &(y, b) in &axis[1] {
                for &(z, c) in &axis[2] {
                    sums[(x * n[1] + y) * n[2] + z] += f64::from(weights.map_or(1.0, |w| w[p])) * a * b * c;
                }
            }
        }
    }
    sums
}

#[test]
fn a_particle_on_a_voxel_corner_gives_eight_eighths() {
    // The corner shared by voxels 1 and 2 in each axis, and the corner of the box.
    for (position, near) in [([2.0; 3], [1, 2]), ([0.0; 3], [3, 0]), ([4.0; 3], [3, 0])] {
        let field = deposit(Grid::cube(4, 4.0).unwrap(), Scheme::Cic, &[position], None);
        for ((i, j, k), &value) in field.values().indexed_iter() {
            let touched = [i, j, k].iter().all(|c| near.contains(c));
            assert_eq!(value, if touched { 0.125 } else { 0.0 }, "voxel {i} {j} {k} of {position:?}");
        }
    }
}

#[test]
fn a_particle_in_a_voxel_centre_stays_there() {
    for (scheme, own) in Scheme::ALL.into_iter().zip([1.0, 1.0, 0.75f64.powi(3), (2f64 / 3.0).powi(3)]) {
        let field = deposit(Grid::cube(6, 6.0).unwrap(), scheme, &[[2.5; 3]], Some(&[3.0]));
        assert!((field.values()[[2, 2, 2]] - 3.0 * own as f32).abs() < F32_REL, "{scheme}");
    }
}

#[test]
fn every_scheme_agrees_with_the_plain_loop() {
    // Cells fewer than the stencil, odd and even numbers of slabs, slabs of two tiles; few particles in a tile, and many.
    let crowded =
        [[1, 2, 3], [2, 1, 1], [5, 4, 3], [9, 6, 16], [16, 3, 5], [21, 8, 8], [97, 2, 9], [7, 400, 96]];
    let sparse = [[21, 30, 31], [97, 50, 9], [40, 33, 34], [7, 400, 96]];
    let cases = crowded.map(|cells| (cells, 500)).into_iter().chain(sparse.map(|cells| (cells, 30)));
    for (cells, count) in cases.chain([([3, 400, 96], 5000)]) {
        let grid = grid(cells);
        let positions = points(count, grid.box_size_mpc_h());
        let weights: Vec<f32> = (0..count).map(|i| 0.1 + (i % 7) as f32).collect();
        for weights in [None, Some(weights.as_slice())] {
            for scheme in Scheme::ALL {
                let expected = match scheme {
                    Scheme::Ngp => naive::<1>(grid, &positions, weights),
                    Scheme::Cic => naive::<2>(grid, &positions, weights),
                    Scheme::Tsc => naive::<3>(grid, &positions, weights),
                    Scheme::Pcs => naive::<4>(grid, &positions, weights),
                };
                let field = deposit(grid, scheme, &positions, weights);
                let largest = expected.iter().fold(0.0, |a: f64, &b| a.max(b)) as f32;
                for (value, expected) in field.as_slice().iter().zip(expected) {
                    assert!((value - expected as f32).abs() <= F32_REL * largest, "{scheme} on {cells:?}");
                }
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let grid = grid([13, 9, 8]);
    // More than two chunks, and pieces that end within a chunk.
    let positions = points(2 * CHUNK + 999, grid.box_size_mpc_h());
    let weights: Vec<f32> = (0..positions.len()).map(|i| 1.0 / (1 + i % 97) as f32).collect();
    for scheme in Scheme::ALL {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut depositor = Depositor::new(grid, scheme).unwrap();
                depositor.add(&positions, Some(&weights)).unwrap();
                depositor.add(&positions[..777], None).unwrap();
                (depositor.total().to_bits(), depositor.sums.to_vec())
            })
        };
        let one = run(1);
        assert!(run(2) == one && run(3) == one, "{scheme}");
    }
}

#[test]
fn equal_masses_do_not_drift_in_a_full_voxel() {
    // In an f32 sum, each addition of this mass to a sum of thousands is rounded the same way: 0.1 % is lost.
    let positions = vec![[0.5f32; 3]; 300_000];
    let mut depositor = Depositor::new(Grid::cube(4, 4.0).unwrap(), Scheme::Ngp).unwrap();
    depositor.add(&positions, Some(&vec![0.0573; 300_000])).unwrap();
    let expected = 300_000.0 * f64::from(0.0573f32);
    assert!((depositor.total() / expected - 1.0).abs() < 1e-12);
    assert!((f64::from(depositor.finish().as_slice()[0]) / expected - 1.0).abs() < f64::from(F32_REL));
}

#[test]
fn poisson_points_scatter_by_their_count() {
    // 20 a voxel by a generator of its own (SplitMix64): NGP counts have variance = mean, and CIC (2/3)^3 of it.
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as f64 / 2f64.powi(64)
    };
    let (cells, mean) = (16usize, 20.0);
    let positions: Vec<[f64; 3]> =
        (0..20 * cells.pow(3)).map(|_| std::array::from_fn(|_| uniform())).collect();
    for (scheme, factor) in [(Scheme::Ngp, 1.0), (Scheme::Cic, (2f64 / 3.0).powi(3))] {
        let field = deposit(Grid::cube(cells, 1.0).unwrap(), scheme, &positions, None);
        let n = field.grid().voxels() as f64;
        let variance = field.as_slice().iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        // The variance of a variance is 2 / n; five standard errors, correlated neighbours included.
        assert!((variance / (factor * mean) - 1.0).abs() < 5.0 * (4.0 / n).sqrt(), "{scheme}: {variance}");
    }
}

#[test]
fn a_density_has_mean_one() {
    let grid = grid([6, 5, 4]);
    let mut depositor = Depositor::new(grid, Scheme::Tsc).unwrap();
    depositor.add(&points(1000, grid.box_size_mpc_h()), None).unwrap();
    assert_eq!(depositor.total(), 1000.0);
    assert!((depositor.finish_overdensity().unwrap().mean() - 1.0).abs() < f64::from(F32_REL));
}

#[test]
fn positions_at_the_faces_wrap() {
    // x = L is 0; a hair below 0 rounds to L and is 0 again.
    for x in [0.0, 4.0, -4.0, 400.0, -1e-20] {
        let field = deposit(Grid::cube(4, 4.0).unwrap(), Scheme::Ngp, &[[x, 0.0, 0.0]], None);
        assert_eq!(field.values()[[0, 0, 0]], 1.0, "x = {x}");
    }
    let field =
        deposit(Grid::cube(4, 4.0).unwrap(), Scheme::Ngp, &[[f64::from_bits(4f64.to_bits() - 1); 3]], None);
    assert_eq!(field.values()[[3, 3, 3]], 1.0);
}

#[test]
fn the_last_position_below_a_face_is_in_the_last_voxel() {
    for cells in [3usize, 7, 10, 16] {
        let grid = Grid::cube(cells, 50.0).unwrap();
        let field = deposit(grid, Scheme::Ngp, &[[50f64.next_down(); 3], [50.0; 3]], None);
        let values = field.as_slice();
        assert_eq!((values[0], values[values.len() - 1]), (1.0, 1.0), "{cells}");
    }
}

#[test]
fn errors_name_the_particle() {
    let mut depositor = Depositor::new(grid([4; 3]), Scheme::Cic).unwrap();
    let count = CHUNK + 20;
    let mut positions = points(count, [1.0; 3]);
    positions[CHUNK + 11][2] = f64::NAN;
    positions[CHUNK + 7][1] = f64::NEG_INFINITY;
    let error = depositor.add(&positions, None).unwrap_err();
    assert_eq!(error, FieldError::NotFinite { index: CHUNK + 7 });
    let mut weights = vec![1.0; count];
    weights[3] = f32::INFINITY;
    assert_eq!(depositor.add(&positions, Some(&weights)), Err(FieldError::NotFinite { index: 3 }));
    let error = depositor.add(&positions, Some(&weights[1..])).unwrap_err();
    assert_eq!(error, FieldError::Weights { particles: count, weights: count - 1 });
    let error = Depositor::new(grid([4; 3]), Scheme::Cic).unwrap().finish_overdensity().unwrap_err();
    assert_eq!(error, FieldError::NoMass { total: 0.0 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn mass_is_conserved(
        cells in prop::array::uniform3(1usize..12), scheme in prop::sample::select(Scheme::ALL.to_vec()),
        particles in prop::collection::vec((prop::array::uniform3(-20f32..20.0), 0f32..5.0), 1..200),
    ) {
        let (positions, weights): (Vec<_>, Vec<_>) = particles.into_iter().unzip();
        let mut depositor = Depositor::new(grid(cells), scheme).unwrap();
        depositor.add(&positions, Some(&weights)).unwrap();
        let total = depositor.total();
        let field = depositor.finish();
        let sum: f64 = field.as_slice().iter().map(|&v| f64::from(v)).sum();
        prop_assert!((sum - total).abs() <= f64::from(F32_REL) * total);
        prop_assert!(field.as_slice().iter().all(|&v| v >= 0.0));
    }

    #[test]
    fn a_shift_by_whole_cells_commutes(
        shift in prop::array::uniform3(-9i64..9), scheme in prop::sample::select(Scheme::ALL.to_vec()),
    ) {
        // Voxels of 1/4 and particles on a lattice of 1/64: shifts are exact.
        let grid = Grid::new([8, 6, 5], [2.0, 1.5, 1.25]).unwrap();
        let round = |x: f64| (x * 64.0).round() / 64.0;
        let positions: Vec<_> = points(100, [2.0, 1.5, 1.25]).iter().map(|p| p.map(round)).collect();
        let moved: Vec<_> =
            positions.iter().map(|p| std::array::from_fn(|a| p[a] + shift[a] as f64 / 4.0)).collect();
        let still = deposit(grid, scheme, &positions, None);
        let window = crate::Region { start: shift, shape: grid.cells() };
        let back = deposit(grid, scheme, &moved, None).extract(&window).unwrap();
        for (a, b) in still.as_slice().iter().zip(back.iter()) {
            prop_assert!((a - b).abs() <= F32_REL * a.abs().max(1.0));
        }
    }
}

#[test]
fn cells_fill_their_volume_and_small_ones_are_particles() {
    let grid = Grid::cube(16, 16.0).unwrap();
    let positions = points(300, [16.0; 3]);
    let weights: Vec<f32> = (0..300).map(|i| 1.0 + (i % 7) as f32).collect();
    let spread = |sides: &[f32], scheme| {
        let mut depositor = Depositor::new(grid, scheme).unwrap();
        depositor.add_cells(&positions, sides, Some(&weights)).unwrap();
        (depositor.total(), depositor.finish())
    };
    for scheme in Scheme::ALL {
        // To the bit those of particles, as long as they are no larger than voxels.
        let plain = deposit(grid, scheme, &positions, Some(&weights));
        assert_eq!(spread(&[0.9; 300], scheme).1, plain, "{scheme}");
        // And as heavy, however large.
        let (total, field) = spread(&[3.7; 300], scheme);
        let sum: f64 = field.as_slice().iter().map(|&v| f64::from(v)).sum();
        let expected: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        assert!((total - expected).abs() < 1e-9 && (sum / expected - 1.0).abs() < 1e-6, "{scheme}: {sum}");
    }
    // A cube of 4 voxels, faces on those of voxels: by nearest grid point an eighth of an eighth in each of 4³.
    let mut one = Depositor::new(grid, Scheme::Ngp).unwrap();
    one.add_cells(&[[4.0, 8.0, 15.0]], &[4.0], Some(&[64.0])).unwrap();
    let field = one.finish();
    let full = field.values().indexed_iter().filter(|(_, v)| **v == 1.0);
    let inside = |n: usize, from: i64| (n as i64 - from).rem_euclid(16) < 4;
    let right = full.filter(|((x, y, z), _)| inside(*x, 2) && inside(*y, 6) && inside(*z, 13)).count();
    assert_eq!((right, field.as_slice().iter().filter(|v| **v == 0.0).count()), (64, 16 * 16 * 16 - 64));
    // Side by side they are a plain: no lattice is left of particles that fill the box.
    let lattice: Vec<[f64; 3]> =
        (0..125).map(|i| [i / 25, i / 5 % 5, i % 5].map(|n| 16.0 / 5.0 * (f64::from(n) + 0.3))).collect();
    let scatter = |field: &Field3| field.as_slice().iter().map(|v| (v - 1.0).powi(2)).sum::<f32>() / 4096.0;
    let mut cells = Depositor::new(grid, Scheme::Cic).unwrap();
    cells.add_cells(&lattice, &[16.0 / 5.0; 125], None).unwrap();
    let mut particles = Depositor::new(grid, Scheme::Cic).unwrap();
    particles.add(&lattice, None).unwrap();
    let [smooth, rough] = [cells, particles].map(|d| scatter(&d.finish_overdensity().unwrap()));
    assert!(smooth < 0.01 * rough && rough > 1.0, "{smooth} {rough}");
}

#[test]
fn cells_without_a_size_are_named() {
    let mut depositor = Depositor::new(Grid::cube(8, 8.0).unwrap(), Scheme::Cic).unwrap();
    let two = [[1.0; 3], [2.0; 3]];
    for sides in [[1.0, f32::NAN], [1.0, -1.0], [1.0, f32::INFINITY]] {
        assert_eq!(depositor.add_cells(&two, &sides, None), Err(FieldError::NotFinite { index: 1 }));
    }
    let few = depositor.add_cells(&two, &[1.0], None);
    assert_eq!(few, Err(FieldError::Weights { particles: 2, weights: 1 }));
    // Larger than the box: everywhere alike.
    depositor.add_cells(&two, &[1e9, 50.0], None).unwrap();
    let field = depositor.finish_overdensity().unwrap();
    assert!(field.as_slice().iter().all(|v| (v - 1.0).abs() < 1e-5));
}

#[test]
fn a_window_of_a_box_is_cut_out_of_it() {
    let whole = grid([24, 8, 10]);
    let (size, voxel) = (whole.box_size_mpc_h(), whole.voxel_mpc_h());
    let positions = points(4000, size);
    let sides: Vec<f32> =
        (0..4000).map(|index| if index % 50 == 0 { 2.5 * voxel[0] as f32 } else { 0.0 }).collect();
    for scheme in Scheme::ALL {
        // A window across a face of the box, open along x only, with room for what is not whole.
        let (first, cells, pad) = (21i64, 5usize, scheme.order());
        let window =
            Grid::new([cells + 2 * pad, 8, 10], [(cells + 2 * pad) as f64 * voxel[0], size[1], size[2]])
                .unwrap();
        let start = (first - pad as i64) as f64 * voxel[0];
        let moved: Vec<[f64; 3]> = positions.iter().map(|[x, y, z]| [x - start, *y, *z]).collect();
        let mut of_window = Depositor::in_window(window, size, scheme).unwrap();
        let mut of_whole = Depositor::new(whole, scheme).unwrap();
        of_window.add_cells(&moved, &sides, None).unwrap();
        of_whole.add_cells(&positions, &sides, None).unwrap();
        assert_eq!(of_window.total(), of_whole.total());
        let (window, whole) =
            (of_window.finish_overdensity().unwrap(), of_whole.finish_overdensity().unwrap());
        let region = |x: i64| Region { start: [x, 0, 0], shape: [cells, 8, 10] };
        let cut = window.extract(&region(pad as i64)).unwrap();
        let expected = whole.extract(&region(first)).unwrap();
        let error = cut.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // Places within a voxel are f32, here of other numbers.
        assert!(error < 1e-5 * expected.iter().fold(0.0, |most: f32, &v| most.max(v)), "{scheme}: {error}");
        assert!(expected.iter().any(|&value| value > 0.0));
    }
}

#[test]
fn a_depositor_goes_on_where_another_stopped() {
    let grid = grid([6, 5, 4]);
    let positions = points(1000, grid.box_size_mpc_h());
    let (before, after) = positions.split_at(600);
    let mut whole = Depositor::new(grid, Scheme::Tsc).unwrap();
    whole.add(before, None).unwrap();
    let (sums, total) = whole.state();
    let (sums, mut second) = (sums.to_vec(), Depositor::new(grid, Scheme::Tsc).unwrap());
    let restored = second.resume(total, |to| {
        to.copy_from_slice(&sums);
        Ok::<(), FieldError>(())
    });
    restored.unwrap();
    whole.add(after, None).unwrap();
    second.add(after, None).unwrap();
    assert_eq!(whole.state(), second.state());
    assert_eq!(whole.finish(), second.finish());
}
