//! A lattice of displaced particles, and the same field on a coarser one.

use finescale_spectra::Complex32;
use finescale_spectra::fft::{Fft3, frequency};
use rayon::prelude::*;

/// Displacements and velocities of particles from the sites (i, j, k) · spacing + origin, k fastest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lattice {
    /// Sites along each side.
    pub(crate) per_side: usize,
    pub(crate) box_size_mpc_h: f64,
    /// Where site (0, 0, 0) is.
    pub(crate) origin_mpc_h: [f64; 3],
    pub(crate) displacements_mpc_h: Vec<[f32; 3]>,
    /// Peculiar velocities a dx/dt.
    pub(crate) velocities_km_s: Vec<[f32; 3]>,
}

impl Lattice {
    /// All particles at their sites, and at rest.
    pub(crate) fn at_rest(per_side: usize, box_size_mpc_h: f64, origin_mpc_h: [f64; 3]) -> Self {
        let nothing = vec![[0.0; 3]; per_side.pow(3)];
        Self {
            per_side,
            box_size_mpc_h,
            origin_mpc_h,
            displacements_mpc_h: nothing.clone(),
            velocities_km_s: nothing,
        }
    }

    /// Positions in Mpc/h, in [0, box), in the order of the sites.
    pub(crate) fn positions_mpc_h(&self) -> Vec<[f64; 3]> {
        let (n, box_size) = (self.per_side, self.box_size_mpc_h);
        let spacing = box_size / n as f64;
        let position = |(i, moved): (usize, &[f32; 3])| {
            let site = [i / (n * n), i / n % n, i % n];
            std::array::from_fn(|axis| {
                let x = self.origin_mpc_h[axis] + spacing * site[axis] as f64 + f64::from(moved[axis]);
                let inside = x.rem_euclid(box_size);
                if inside < box_size { inside } else { 0.0 } // a tiny negative x rounds up to the box size
            })
        };
        self.displacements_mpc_h.par_iter().enumerate().map(position).collect()
    }

    /// The mean of fields, by their `shares`, on a lattice of `per_side` sites from `origin_mpc_h`: of each, the modes below the
    /// Nyquist frequency of the new lattice along every axis, and none at or above it. The mean (k = 0) stays.
    ///
    /// A mode's phase is that of the wave in the box: sites of the lattices need not coincide, neither with each other nor with
    /// the new ones.
    pub(crate) fn truncated(
        fields: &[(f64, &Self)],
        box_size_mpc_h: f64,
        per_side: usize,
        origin_mpc_h: [f64; 3],
    ) -> Self {
        let mut coarse = Self::at_rest(per_side, box_size_mpc_h, origin_mpc_h);
        let fft = Fft3::new([per_side; 3]);
        let fine: Vec<Fft3> = fields.iter().map(|(_, field)| Fft3::new([field.per_side; 3])).collect();
        let mut values = vec![0f32; per_side.pow(3)];
        for component in 0..6 {
            let (axis, is_velocity) = (component % 3, component >= 3);
            let mut modes = vec![Complex32::new(0.0, 0.0); per_side * per_side * (per_side / 2 + 1)];
            for ((share, field), fine) in fields.iter().zip(&fine) {
                let vectors = if is_velocity { &field.velocities_km_s } else { &field.displacements_mpc_h };
                let along: Vec<f32> = vectors.par_iter().map(|vector| vector[axis]).collect();
                add_low_modes(*share, field, &fine.forward(&along), &coarse, &mut modes);
            }
            fft.inverse(&mut modes, &mut values);
            let into =
                if is_velocity { &mut coarse.velocities_km_s } else { &mut coarse.displacements_mpc_h };
            into.par_iter_mut().zip(&values).for_each(|(vector, &value)| vector[axis] = value);
        }
        coarse
    }
}

/// Adds `share` times the modes of a fine lattice that a coarse one holds.
///
/// u(x) = Σ c_m e^(ik·x) on sites q + i·s gives F_m = n³ c_m e^(ik·q), unnormalised; on sites Q it is N³ c_m e^(ik·Q).
fn add_low_modes(
    share: f64,
    fine: &Lattice,
    fine_modes: &[Complex32],
    coarse: &Lattice,
    modes: &mut [Complex32],
) {
    let (n, fine_n) = (coarse.per_side, fine.per_side);
    let (row, fine_row) = (n / 2 + 1, fine_n / 2 + 1);
    let scale = share * (n as f64 / fine_n as f64).powi(3);
    let fundamental = std::f64::consts::TAU / coarse.box_size_mpc_h;
    let apart: [f64; 3] =
        std::array::from_fn(|axis| fundamental * (coarse.origin_mpc_h[axis] - fine.origin_mpc_h[axis]));
    let is_held = |m: i64| 2 * m.unsigned_abs() < n as u64;
    modes.par_chunks_mut(row).enumerate().for_each(|(line, to)| {
        let (x, y) = (frequency(line / n, n), frequency(line % n, n));
        if !(is_held(x) && is_held(y)) {
            return;
        }
        let index = |m: i64| m.rem_euclid(fine_n as i64) as usize;
        let from = &fine_modes[(index(x) * fine_n + index(y)) * fine_row..][..fine_row];
        for (z, (to, from)) in to.iter_mut().zip(from).enumerate().filter(|(z, _)| is_held(*z as i64)) {
            let (sin, cos) = (apart[0] * x as f64 + apart[1] * y as f64 + apart[2] * z as f64).sin_cos();
            *to += *from * Complex32::new((scale * cos) as f32, (scale * sin) as f32);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    const BOX: f64 = 20.0;
    const FFT_ABS: f64 = 3e-6; // f32 transforms of fields of order one

    /// Waves with mode numbers, amplitude and phase: displacement along `axis`, and ten times that as velocity.
    fn waves(per_side: usize, origin: [f64; 3], waves: &[([f64; 3], usize, f64)]) -> Lattice {
        let mut lattice = Lattice::at_rest(per_side, BOX, origin);
        let spacing = BOX / per_side as f64;
        for i in 0..per_side.pow(3) {
            let site = [i / (per_side * per_side), i / per_side % per_side, i % per_side];
            for (mode, axis, amplitude) in waves {
                let angle: f64 =
                    (0..3).map(|a| TAU / BOX * mode[a] * (origin[a] + spacing * site[a] as f64)).sum();
                let value = amplitude * (angle + 0.3).cos();
                lattice.displacements_mpc_h[i][*axis] += value as f32;
                lattice.velocities_km_s[i][*axis] += (10.0 * value) as f32;
            }
        }
        lattice
    }

    fn assert_same(found: &Lattice, expected: &Lattice) {
        assert_eq!(found.per_side, expected.per_side);
        let pairs = [
            (&found.displacements_mpc_h, &expected.displacements_mpc_h, 1.0),
            (&found.velocities_km_s, &expected.velocities_km_s, 10.0),
        ];
        for (found, expected, scale) in pairs {
            for (i, (found, expected)) in found.iter().flatten().zip(expected.iter().flatten()).enumerate() {
                let off = f64::from((found - expected).abs());
                assert!(off < FFT_ABS * scale, "{}: {found}, not {expected}", i / 3);
            }
        }
    }

    #[test]
    fn what_the_coarse_lattice_holds_is_the_field_at_its_sites() {
        let low = [([0.0; 3], 1, 0.7), ([1.0, -2.0, 3.0], 0, 0.4), ([-3.0, 0.0, 0.0], 2, 0.2)];
        // Above: at Nyquist of 8 sites along an axis, and far beyond, where 8 sites see a wave of mode (1, 1, 1).
        let high = [([4.0, 0.0, 1.0], 0, 0.5), ([0.0, -4.0, 0.0], 1, 0.5), ([9.0, 9.0, 9.0], 2, 0.5)];
        let fine_origins = [[0.0; 3], [BOX / 48.0; 3], [0.1, -0.2, 7.3]];
        for (fine_origin, origin) in fine_origins.into_iter().zip([[0.0; 3], [0.0; 3], [1.0, 0.4, -0.6]]) {
            for per_side in [20, 24] {
                let fine = waves(per_side, fine_origin, &[&low[..], &high[..]].concat());
                let coarse = Lattice::truncated(&[(1.0, &fine)], BOX, 8, origin);
                assert_same(&coarse, &waves(8, origin, &low));
            }
        }
    }

    #[test]
    fn power_above_the_nyquist_frequency_gives_no_displacement() {
        let above = [([4.0, 4.0, 4.0], 0, 1.0), ([9.0, 8.0, 7.0], 1, 1.0), ([0.0, 0.0, 8.0], 2, 1.0)];
        let fine = waves(24, [0.2, 0.1, 0.0], &above);
        // Every third site, which is what a coarse run without truncation would get, sees false waves.
        let third = |i: &usize| [i / (24 * 24), i / 24 % 24, i % 24].iter().all(|site| site % 3 == 0);
        let sampled = (0..24usize.pow(3)).filter(third).map(|i| fine.displacements_mpc_h[i]);
        assert!(sampled.flatten().fold(0f32, |most, u| most.max(u.abs())) > 0.9);
        let coarse = Lattice::truncated(&[(1.0, &fine)], BOX, 8, [0.2, 0.1, 0.0]);
        assert_same(&coarse, &Lattice::at_rest(8, BOX, [0.2, 0.1, 0.0]));
    }

    #[test]
    fn staggered_lattices_give_their_mean() {
        let (gas, dark) = ([([1.0, 0.0, 2.0], 0, 0.9)], [([1.0, 0.0, 2.0], 0, 0.3), ([0.0; 3], 2, 1.0)]);
        let (gas, dark) = (waves(12, [1.1; 3], &gas), waves(16, [0.3; 3], &dark));
        let both = Lattice::truncated(&[(0.25, &gas), (0.75, &dark)], BOX, 6, [0.5; 3]);
        assert_same(&both, &waves(6, [0.5; 3], &[([1.0, 0.0, 2.0], 0, 0.45), ([0.0; 3], 2, 0.75)]));
    }

    #[test]
    fn positions_are_wrapped_into_the_box() {
        let mut lattice = Lattice::at_rest(2, BOX, [-1.0, 0.0, 19.0]);
        lattice.displacements_mpc_h[7] = [0.5, -10.0 - 1e-7, 11.0];
        let positions = lattice.positions_mpc_h();
        assert_eq!(positions[0], [19.0, 0.0, 19.0]);
        assert_eq!(positions[7], [9.5, 0.0, 0.0]);
        assert!(positions.iter().flatten().all(|x| (0.0..BOX).contains(x)));
    }
}
