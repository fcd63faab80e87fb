use super::*;
use crate::make_universe;
use crate::pm::{Particles, evolve, step_times, wrap};
use finescale_field::{Depositor, Scheme};
use finescale_snapshot::IcParticles;
use finescale_spectra::{InterlacedDepositor, Modes};
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

fn small() -> MockConfig {
    MockConfig {
        box_size_mpc_h: 50.0,
        cells: 32,
        particles_low: 16,
        particles_high: 32,
        steps: 12,
        seed: 5,
        ..MockConfig::default()
    }
}

/// Writes initial conditions and opens them.
fn written(folder: &TempDir, format: IcFormat, ics: &InitialConditions) -> Snapshot {
    let path = folder.path().join(format!("{format:?}.hdf5"));
    write_initial_conditions(format, &[(&path, ics)]).unwrap();
    Snapshot::open(&path).unwrap()
}

/// The particle mesh's particles of a file, moved back by the mock's offset: positions, and momenta a² dx/dt in H0 · Mpc/h.
fn as_particles(read: &IcParticles, config: &MockConfig) -> Particles {
    let mut particles = Particles::at_rest(read.positions_mpc_h.len(), config.box_size_mpc_h);
    let (offset, box_size) = (lattice_offset(config), config.box_size_mpc_h);
    let a = 1.0 / (1.0 + config.initial_redshift);
    for (i, (position, velocity)) in read.positions_mpc_h.iter().zip(&read.velocities_km_s).enumerate() {
        for axis in 0..3 {
            let x = (position[axis] - f64::from(offset[axis])).rem_euclid(box_size);
            particles.positions[i][axis] = wrap(x as f32, box_size as f32);
            particles.momenta[i][axis] = (f64::from(velocity[axis]) * a / 100.0) as f32;
        }
    }
    particles
}

fn modes(positions: &[[f32; 3]], cells: usize, box_size: f64) -> Modes {
    let mut depositor = Depositor::new(Grid::cube(cells, box_size).unwrap(), Scheme::Pcs).unwrap();
    depositor.add(positions, None).unwrap();
    Modes::new(&depositor.finish_overdensity().unwrap(), Some(Scheme::Pcs)).unwrap()
}

#[test]
fn the_particle_mesh_evolved_from_the_file_gives_the_mock() {
    // The file has the same displacements; positions round by 4e-6 Mpc/h otherwise (f32 in 50 Mpc/h), and momenta by 1e-7.
    const START_MPC_H: f32 = 8e-6;
    // Collapse makes that larger: the median stays at rounding, and modes do not see it.
    const MEDIAN_MPC_H: f32 = 1e-4;
    const POWER_REL: f64 = 1e-4;
    let (config, folder) = (small(), tempfile::tempdir().unwrap());
    let universe = make_universe(&config, &mut |_| (), &AtomicBool::new(false)).unwrap();
    for format in [IcFormat::Gadget, IcFormat::Swift] {
        let ics = InitialConditions::from_seed(&config, config.particles_low, Baryons::InDarkMatter).unwrap();
        let read = read_ic_particles(&written(&folder, format, &ics), Species::DarkMatter).unwrap();
        let mut particles = as_particles(&read, &config);
        let (first, box_size) = (1.0 / (1.0 + config.initial_redshift), config.box_size_mpc_h);
        let start = crate::initial::initial_particles(
            &config.cosmology,
            config.particles_low,
            box_size,
            first,
            config.seed,
            1.0,
        )
        .unwrap();
        let apart = |a: &[f32; 3], b: &[f32; 3]| {
            let along = |axis: usize| {
                let d = a[axis] - b[axis];
                (d - box_size as f32 * (d / box_size as f32).round()).abs()
            };
            along(0).max(along(1)).max(along(2))
        };
        let off = particles.positions.iter().zip(&start.positions).map(|(a, b)| apart(a, b));
        assert!(off.fold(0.0, f32::max) < START_MPC_H, "{format:?}");

        let mesh = Mesh::new(3 * config.particles_low, box_size);
        let times = step_times(first, 1.0, config.steps);
        evolve(&mut particles, &config.cosmology, &mesh, &times, |_| Ok(())).unwrap();
        let offset = lattice_offset(&config);
        let moved = particles
            .positions
            .iter()
            .map(|position| std::array::from_fn(|axis| wrap(position[axis] + offset[axis], box_size as f32)));
        let moved: Vec<[f32; 3]> = moved.collect();
        let mut off: Vec<f32> = moved.iter().zip(&universe.low).map(|(a, b)| apart(a, b)).collect();
        off.sort_by(f32::total_cmp);
        assert!(off[off.len() / 2] < MEDIAN_MPC_H, "{format:?}: the median particle is off by {}", off[2048]);
        let (found, expected) = (modes(&moved, 32, box_size), modes(&universe.low, 32, box_size));
        let ratios = found.power().ratio(&expected.power());
        for ratio in ratios {
            assert!((ratio - 1.0).abs() < POWER_REL, "{format:?}: P / P_mock = {ratio}");
        }
    }
}

#[test]
fn velocities_are_those_of_linear_growth() {
    const LINEAR_REL: f32 = 1e-3; // second-order terms of a universe of small fluctuations
    let cosmology = LambdaCdm { sigma_8: 1e-3, ..LambdaCdm::default() };
    let config = MockConfig { cosmology, initial_redshift: 1.5, ..small() };
    let ics = InitialConditions::from_seed(&config, 16, Baryons::InDarkMatter).unwrap();
    let lattice = &ics.species[0].2;
    // v = a H f ψ, with H = 100 E km/s per Mpc/h.
    let (a, e) = (0.4, cosmology.expansion(0.4));
    let per_mpc_h = (a * 100.0 * e * cosmology.growth_rate(a)) as f32;
    let largest = lattice.velocities_km_s.iter().flatten().fold(0f32, |most, v| most.max(v.abs()));
    for (v, u) in lattice.velocities_km_s.iter().flatten().zip(lattice.displacements_mpc_h.iter().flatten()) {
        assert!((v - per_mpc_h * u).abs() < LINEAR_REL * largest, "{v} km/s for {u} Mpc/h");
    }
    assert!(per_mpc_h > 50.0 && largest > 0.01);
}

/// The largest difference of two coarse lattices' positions, and of their velocities over the largest velocity.
fn difference(found: &InitialConditions, expected: &InitialConditions) -> (f64, f32) {
    let (found, expected) = (&found.species[0].2, &expected.species[0].2);
    let box_size = found.box_size_mpc_h;
    let (here, there) = (found.positions_mpc_h(), expected.positions_mpc_h());
    let off = here.iter().flatten().zip(there.iter().flatten()).fold(0f64, |most, (a, b)| {
        let apart = a - b;
        most.max((apart - box_size * (apart / box_size).round()).abs())
    });
    let largest = expected.velocities_km_s.iter().flatten().fold(0f32, |most, v| most.max(v.abs()));
    let pairs = found.velocities_km_s.iter().flatten().zip(expected.velocities_km_s.iter().flatten());
    (off, pairs.fold(0f32, |most, (a, b)| most.max((a - b).abs())) / largest)
}

#[test]
fn from_a_file_of_the_seed_comes_what_comes_from_the_seed() {
    // In a universe of small fluctuations, all is linear, and both ways hold the same modes.
    // What differs is the second order, which the fine lattice has of more modes: a thousandth of 0.01 Mpc/h, and of the velocity.
    const OFF_MPC_H: f64 = 1e-5;
    const VELOCITY_REL: f32 = 1e-3;
    let cosmology = LambdaCdm { sigma_8: 0.01, ..LambdaCdm::default() };
    let (config, folder) = (MockConfig { cosmology, ..small() }, tempfile::tempdir().unwrap());
    let expected = InitialConditions::from_seed(&config, 16, Baryons::InDarkMatter).unwrap();
    for (baryons, format) in [
        (Baryons::InDarkMatter, IcFormat::Gadget),
        (Baryons::Gas, IcFormat::Gadget),
        (Baryons::Gas, IcFormat::Swift),
    ] {
        let high = InitialConditions::from_seed(&config, 32, baryons).unwrap();
        let low = InitialConditions::from_snapshot(&written(&folder, format, &high), 16).unwrap();
        assert_eq!((low.per_side(), low.has_gas(), low.redshift), (16, false, 9.0));
        assert!((low.mass_over_mean() - 1.0).abs() < 1e-6, "{}", low.mass_over_mean());
        let (off, velocity) = difference(&low, &expected);
        assert!(off < OFF_MPC_H && velocity < VELOCITY_REL, "{baryons:?}: off by {off} Mpc/h and {velocity}");
    }
}

#[test]
fn what_no_coarse_run_can_be_made_of_is_refused_with_a_reason() {
    let (config, folder) = (small(), tempfile::tempdir().unwrap());
    let high = InitialConditions::from_seed(&config, 16, Baryons::InDarkMatter).unwrap();
    let refused = |ics: &InitialConditions, per_side: usize| {
        InitialConditions::from_snapshot(&written(&folder, IcFormat::Gadget, ics), per_side).unwrap_err()
    };
    let error = refused(&high, 18);
    assert!(matches!(error, MockError::Source { .. }) && error.is_input());
    assert!(error.to_string().contains("Gadget.hdf5: has 16^3 particles, and 18^3 are wanted"), "{error}");
    let nameless = InitialConditions { cosmology: Cosmology::UNKNOWN, ..high.clone() };
    assert!(refused(&nameless, 8).to_string().contains("does not say its cosmology (Omega0, OmegaLambda"));
    assert!(refused(&high, 1).to_string().contains("more --particles"));
    let mut massless = high.clone();
    massless.mass_1e10_msun_h = 0.0;
    assert!(matches!(refused(&massless, 8), MockError::Source { .. } | MockError::Snapshot(_)));
    assert!(InitialConditions::from_snapshot(&written(&folder, IcFormat::Gadget, &high), 16).is_ok());
}

/// Matter at high enough resolution that aliases reach no mode that is compared: fourth order, two interlaced meshes.
fn matter(ics: &InitialConditions, cells: usize) -> Modes {
    let grid = Grid::cube(cells, ics.box_size_mpc_h).unwrap();
    let mut depositor = InterlacedDepositor::new(grid, Scheme::Pcs).unwrap();
    for (_, share, lattice) in &ics.species {
        let positions = lattice.positions_mpc_h();
        let weight = (share / positions.len() as f64 * grid.voxels() as f64) as f32;
        depositor.add(&positions, Some(&vec![weight; positions.len()])).unwrap();
    }
    depositor.finish().unwrap()
}

#[test]
fn a_coarse_run_correlates_with_the_fine_one_at_redshift_nine() {
    // The least r of all shells below half the coarse Nyquist wavenumber.
    const LEAST_CORRELATION: f64 = 0.999;
    const POWER_REL: f64 = 0.02; // modes that the coarse lattice lacks act at second order
    let (config, folder) = (MockConfig { particles_high: 64, ..small() }, tempfile::tempdir().unwrap());
    let (low, high) = (32, 64);
    let half_nyquist = 0.5 * std::f64::consts::PI * low as f64 / config.box_size_mpc_h;
    let of_seed = InitialConditions::from_seed(&config, low, Baryons::InDarkMatter).unwrap();
    for baryons in [Baryons::InDarkMatter, Baryons::Gas] {
        let fine = InitialConditions::from_seed(&config, high, baryons).unwrap();
        let of_file =
            InitialConditions::from_snapshot(&written(&folder, IcFormat::Gadget, &fine), low).unwrap();
        let expected = matter(&fine, high);
        for (name, coarse) in [("seed", &of_seed), ("file", &of_file)] {
            let found = matter(coarse, high);
            let (cross, power) = (found.cross(&expected).unwrap(), found.power());
            let reference = expected.power();
            let shells: Vec<usize> = (0..cross.len()).filter(|&i| cross.k_h_mpc[i] < half_nyquist).collect();
            assert!(shells.len() >= 7);
            for i in shells {
                let r = cross.power[i] / (power.power[i] * reference.power[i]).sqrt();
                let ratio = power.power[i] / reference.power[i];
                let k = cross.k_h_mpc[i];
                assert!(r > LEAST_CORRELATION, "{baryons:?} {name}: r = {r} at k = {k}");
                assert!((ratio - 1.0).abs() < POWER_REL, "{baryons:?} {name}: P/P = {ratio} at k = {k}");
            }
        }
    }
}
