//! Initial conditions by second-order Lagrangian perturbation theory.

use crate::LambdaCdm;
use crate::gaussian::gaussian_modes;
use crate::mesh::Mesh;
use crate::pm::{Particles, wrap};
use crate::power::LinearPower;
use finescale_field::{FieldError, Grid};
use finescale_spectra::Complex32;
use rayon::prelude::*;

/// Displaces a lattice of `per_side`³ particles to scale factor `a`:
/// x = q + D ψ1 + D2 ψ2, p = a² E (f D ψ1 + f2 D2 ψ2), where −∇·ψ1 = δ today.
///
/// `amplitude` multiplies the linear overdensity (1 in earnest, less in tests of linear growth).
///
/// # Source
/// Scoccimarro 1998, MNRAS 299, 1097 (astro-ph/9711187), appendix D.
pub(crate) fn initial_particles(
    cosmology: &LambdaCdm,
    per_side: usize,
    box_size_mpc_h: f64,
    a: f64,
    seed: u64,
    amplitude: f64,
) -> Result<Particles, FieldError> {
    let power = LinearPower::new(cosmology);
    let grid = Grid::cube(per_side, box_size_mpc_h)?;
    let modes = gaussian_modes(&grid, |k| amplitude * amplitude * power.at(k), seed);
    Ok(displaced_lattice(cosmology, &Mesh::new(per_side, box_size_mpc_h), box_size_mpc_h, a, &modes))
}

/// As [`initial_particles`], for given modes of the linear overdensity today.
pub(crate) fn displaced_lattice(
    cosmology: &LambdaCdm,
    mesh: &Mesh,
    box_size_mpc_h: f64,
    a: f64,
    modes: &[Complex32],
) -> Particles {
    let Factors { d1, d2, p1, p2 } = Factors::new(cosmology, a);
    let (n, spacing) = (mesh.cells(), (box_size_mpc_h / mesh.cells() as f64) as f32);
    let mut particles = Particles::at_rest(mesh.nodes(), box_size_mpc_h);
    for_each_axis(mesh, modes, 0.0, |axis, first, second| {
        let stride = n.pow(2 - axis as u32);
        let box_size = box_size_mpc_h as f32;
        particles
            .positions
            .par_iter_mut()
            .zip(&mut particles.momenta)
            .zip(first.par_iter().zip(second))
            .enumerate()
            .for_each(|(i, ((x, p), (&psi1, &gradient2)))| {
                // ψ2 = ∇φ2 is minus the descent along φ2.
                let lattice = spacing * (i / stride % n) as f32;
                x[axis] = wrap(lattice + d1 * psi1 - d2 * gradient2, box_size);
                p[axis] = p1 * psi1 - p2 * gradient2;
            });
    });
    particles
}

/// What ψ1 and ψ2 are multiplied by: for displacements D and D2, for momenta a² E f D and a² E f2 D2.
pub(crate) struct Factors {
    pub(crate) d1: f32,
    pub(crate) d2: f32,
    pub(crate) p1: f32,
    pub(crate) p2: f32,
}

impl Factors {
    /// At scale factor `a`.
    pub(crate) fn new(cosmology: &LambdaCdm, a: f64) -> Self {
        let (d1, d2) = (cosmology.growth(a), cosmology.second_growth(a));
        let momentum = a * a * cosmology.expansion(a);
        let (p1, p2) =
            (momentum * cosmology.growth_rate(a) * d1, momentum * cosmology.second_growth_rate(a) * d2);
        let [d1, d2, p1, p2] = [d1, d2, p1, p2].map(|factor| factor as f32);
        Self { d1, d2, p1, p2 }
    }
}

/// Calls `visit(axis, ψ1, minus ψ2)` for each axis with the displacements today at sites (i + `shift`) spacings along all axes.
pub(crate) fn for_each_axis(
    mesh: &Mesh,
    modes: &[Complex32],
    shift: f64,
    mut visit: impl FnMut(usize, &[f32], &[f32]),
) {
    let mut work = vec![Complex32::new(0.0, 0.0); modes.len()];
    let second_modes = second_order_modes(mesh, modes, &mut work);
    let mut first = vec![0f32; mesh.nodes()];
    let mut second = vec![0f32; mesh.nodes()];
    let turn = mesh.shift_kernel(shift);
    for axis in 0..3 {
        let descent = mesh.descent_kernel(axis);
        let kernel = |mode| descent(mode) * turn(mode);
        mesh.inverse_with(modes, &mut work, &mut first, kernel);
        mesh.inverse_with(&second_modes, &mut work, &mut second, kernel);
        visit(axis, &first, &second);
    }
}

/// Modes of ∇²φ2 = Σ_{i<j} (φ,ii φ,jj − φ,ij²) with ∇²φ = δ.
fn second_order_modes(mesh: &Mesh, modes: &[Complex32], work: &mut [Complex32]) -> Vec<Complex32> {
    let mut tidal = |a: usize, b: usize, out: &mut [f32]| {
        mesh.inverse_with(modes, work, out, |mode| {
            let squared: i64 = mode.iter().map(|m| m * m).sum();
            Complex32::new((mode[a] * mode[b]) as f32 / squared.max(1) as f32, 0.0)
        });
    };
    let [mut sum, mut other, mut source] = std::array::from_fn(|_| vec![0f32; mesh.nodes()]);
    tidal(0, 0, &mut sum);
    tidal(1, 1, &mut other);
    source.par_iter_mut().zip(&mut sum).zip(&other).for_each(|((s, xx), yy)| {
        *s = *xx * yy;
        *xx += yy;
    });
    tidal(2, 2, &mut other);
    source.par_iter_mut().zip(&sum).zip(&other).for_each(|((s, xx_yy), zz)| *s += xx_yy * zz);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        tidal(a, b, &mut other);
        source.par_iter_mut().zip(&other).for_each(|(s, shear)| *s -= shear * shear);
    }
    let mut modes = vec![Complex32::new(0.0, 0.0); mesh.modes()];
    mesh.forward(&source, &mut modes);
    modes
}
