//! What the particle-mesh solver must get right, at sizes that a test can afford.

use crate::LambdaCdm;
use crate::gaussian::gaussian_modes;
use crate::initial::{displaced_lattice, initial_particles};
use crate::mesh::Mesh;
use crate::pm::{Particles, evolve, step_times};
use crate::power::LinearPower;
use finescale_field::{Depositor, Field3, Grid, Scheme};
use finescale_spectra::fft::frequency;
use finescale_spectra::{Complex32, Fft3, power_spectrum};
use std::f64::consts::TAU;

const EARLY: f64 = 0.1;

/// Displacement from the lattice along `axis`, in Mpc/h.
fn displacement(particles: &Particles, per_side: usize, box_size: f64, axis: usize) -> Vec<f32> {
    let stride = per_side.pow(2 - axis as u32);
    let along = |(i, x): (usize, &[f32; 3])| {
        let lattice = box_size * (i / stride % per_side) as f64 / per_side as f64;
        let apart = f64::from(x[axis]) - lattice;
        (apart - box_size * (apart / box_size).round()) as f32
    };
    particles.positions.iter().enumerate().map(along).collect()
}

fn gridded(particles: &Particles, cells: usize, box_size: f64) -> Field3 {
    let mut depositor = Depositor::new(Grid::cube(cells, box_size).unwrap(), Scheme::Cic).unwrap();
    depositor.add(&particles.positions, None).unwrap();
    depositor.finish_overdensity().unwrap()
}

/// Factor by which each shell of modes has grown over linear theory, where the particles' displacements are
/// `0.01` of those of the default universe.
fn growth_over_linear(per_side: usize, mesh_cells: usize, box_size: f64, shells: usize) -> Vec<f64> {
    let (cosmology, amplitude, seed) = (LambdaCdm::default(), 0.01, 3);
    let mesh = Mesh::new(mesh_cells, box_size);
    let mut particles = initial_particles(&cosmology, per_side, box_size, EARLY, seed, amplitude).unwrap();
    evolve(&mut particles, &cosmology, &mesh, &step_times(EARLY, 1.0, 5), |_| Ok(())).unwrap();

    let power = LinearPower::new(&cosmology);
    let grid = Grid::cube(per_side, box_size).unwrap();
    let linear = gaussian_modes(&grid, |k| amplitude * amplitude * power.at(k), seed);
    let fft = Fft3::new([per_side; 3]);
    let moved: [Vec<Complex32>; 3] =
        std::array::from_fn(|axis| fft.forward(&displacement(&particles, per_side, box_size, axis)));
    let row = per_side / 2 + 1;
    let (mut cross, mut auto) = (vec![0f64; shells], vec![0f64; shells]);
    for (i, &mode) in linear.iter().enumerate() {
        let (x, y) = (i / row / per_side, i / row % per_side);
        let m = [frequency(x, per_side), frequency(y, per_side), (i % row) as i64];
        let shell = (m.iter().map(|m| m * m).sum::<i64>() as f64).sqrt() as usize;
        if (1..=shells).contains(&shell) {
            // δ = −i k·ψ, projected on the linear mode.
            let wave = (0..3).map(|a| moved[a][i] * (TAU / box_size * m[a] as f64) as f32).sum::<Complex32>();
            cross[shell - 1] += f64::from((wave * Complex32::new(0.0, -1.0) * mode.conj()).re);
            auto[shell - 1] += f64::from(mode.norm_sqr());
        }
    }
    cross.iter().zip(&auto).map(|(cross, auto)| cross / auto).collect()
}

#[test]
fn small_amplitudes_grow_as_linear_theory() {
    // Three particles a node: a cold lattice as coarse as the mesh grows as a lattice and not as a fluid
    // (Joyce & Marcos 2007, arXiv:astro-ph/0610191), 2 % less at a quarter of the Nyquist frequency.
    const GROWTH_REL: f64 = 0.005;
    let (per_side, mesh_cells) = (96, 32);
    let growth = growth_over_linear(per_side, mesh_cells, 200.0, mesh_cells / 8);
    assert!(growth.iter().all(|factor| (factor - 1.0).abs() < GROWTH_REL), "D / D_linear = {growth:?}");
}

#[test]
fn a_plane_wave_collapses_as_zeldovich_says() {
    const NODES: f64 = 0.15; // a mesh knows no better: sheets and nodes beat against each other
    let (cosmology, per_side, box_size) = (LambdaCdm::default(), 64, 64.0);
    let mesh = Mesh::new(per_side, box_size);
    for axis in 0..3 {
        // δ = A cos(k x): sheets cross at A = 1.
        let contrast = 0.6;
        let row = per_side / 2 + 1;
        let mut modes = vec![Complex32::new(0.0, 0.0); per_side * per_side * row];
        let half = Complex32::new((0.5 * contrast * per_side.pow(3) as f64) as f32, 0.0);
        let stride = [per_side * row, row, 1][axis];
        modes[stride] = half;
        if axis < 2 {
            modes[(per_side - 1) * stride] = half;
        }
        let mut particles = displaced_lattice(&cosmology, &mesh, box_size, EARLY, &modes);
        evolve(&mut particles, &cosmology, &mesh, &step_times(EARLY, 1.0, 15), |_| Ok(())).unwrap();

        let amplitude = contrast * box_size / TAU;
        let stride = per_side.pow(2 - axis as u32);
        let moved = displacement(&particles, per_side, box_size, axis);
        let off = |(i, &moved): (usize, &f32)| {
            let expected = -amplitude * (TAU * (i / stride % per_side) as f64 / per_side as f64).sin();
            (f64::from(moved) - expected).abs() * per_side as f64 / box_size
        };
        let worst = moved.iter().enumerate().map(off).fold(0.0, f64::max);
        assert!(
            worst < NODES,
            "axis {axis}: off by {worst} nodes, the wave's amplitude being {amplitude} Mpc/h"
        );
        for other in (0..3).filter(|&other| other != axis) {
            let across = displacement(&particles, per_side, box_size, other);
            let worst = across.iter().fold(0f32, |worst, moved| worst.max(moved.abs()));
            assert!(f64::from(worst) < 1e-3 * amplitude, "moved sideways by {worst} Mpc/h");
        }
    }
}

#[test]
fn crossed_waves_have_the_second_order_that_is_known() {
    // δ = A (cos kx + cos ky): of the tidal terms φ,xx φ,yy is left, so ∇²φ2 = A² cos kx cos ky, and with ∇φ2 along x
    // x = q - D A/k sin kx + D2 A²/2k sin kx cos ky (Scoccimarro 1998, appendix D).
    let (cosmology, n, box_size) = (LambdaCdm::default(), 16, 40.0);
    let (mesh, contrast) = (Mesh::new(n, box_size), 0.3);
    let k = TAU / box_size;
    let angle = |i: usize| TAU * i as f64 / n as f64;
    let waves: Vec<f32> = (0..n.pow(3))
        .map(|i| (contrast * (angle(i / (n * n)).cos() + angle(i / n % n).cos())) as f32)
        .collect();
    let mut modes = vec![Complex32::new(0.0, 0.0); mesh.modes()];
    mesh.forward(&waves, &mut modes);
    let particles = displaced_lattice(&cosmology, &mesh, box_size, EARLY, &modes);
    let (d1, d2) = (cosmology.growth(EARLY), cosmology.second_growth(EARLY));
    let momentum = EARLY * EARLY * cosmology.expansion(EARLY);
    let rates =
        [cosmology.growth_rate(EARLY), cosmology.second_growth_rate(EARLY)].map(|rate| momentum * rate);
    let second_size = 0.5 * contrast * contrast / k * d2;
    for (i, moved) in displacement(&particles, n, box_size, 0).into_iter().enumerate() {
        let (x, y) = (angle(i / (n * n)), angle(i / n % n));
        let [first, second] = [-d1 * contrast / k * x.sin(), second_size * x.sin() * y.cos()];
        let off = [
            f64::from(moved) - (first + second),
            f64::from(particles.momenta[i][0]) - (rates[0] * first + rates[1] * second),
        ];
        // Positions are rounded to 2e-6 of the box.
        assert!(off[0].abs() < 1e-5 && off[1].abs() < 1e-3 * (momentum * second_size).abs(), "{i}: {off:?}");
    }
    assert!(second_size.abs() > 1e-3, "{second_size}");
}

#[test]
fn twice_the_steps_change_the_spectrum_by_less_than_a_percent_on_a_node_a_particle() {
    // The default's spacing of particles. Its mesh is twice as fine, and needs its hundred steps.
    const STEP_REL: f64 = 0.01;
    let (cosmology, per_side, box_size) = (LambdaCdm::default(), 64, 25.0);
    let mesh = Mesh::new(per_side, box_size);
    let start = |steps| {
        let mut particles = initial_particles(&cosmology, per_side, box_size, EARLY, 8, 1.0).unwrap();
        evolve(&mut particles, &cosmology, &mesh, &step_times(EARLY, 1.0, steps), |_| Ok(())).unwrap();
        let momentum: [f64; 3] =
            std::array::from_fn(|a| particles.momenta.iter().map(|p| f64::from(p[a])).sum::<f64>());
        let moving: f64 = particles.momenta.iter().map(|p| f64::from(p[0].abs())).sum();
        // A mesh pulls and is pulled alike.
        assert!(momentum.iter().all(|p| p.abs() < 1e-4 * moving), "{momentum:?} of {moving}");
        power_spectrum(&gridded(&particles, 32, box_size), Some(Scheme::Cic)).unwrap()
    };
    let (steps, twice) = (start(40), start(80));
    for i in (0..steps.len()).take_while(|&i| steps.k_h_mpc[i] <= 2.0) {
        let ratio = steps.power[i] / twice.power[i];
        assert!((ratio - 1.0).abs() < STEP_REL, "k = {}: {ratio}", steps.k_h_mpc[i]);
    }
}
