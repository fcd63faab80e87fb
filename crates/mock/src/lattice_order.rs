//! Which particle belongs to which site of a lattice, and where that lattice lies.

use crate::lattice::Lattice;
use finescale_snapshot::IcParticles;
use rayon::prelude::*;
use std::f64::consts::TAU;

/// Particles that are ordered as their identifiers say lie this well together about their sites, in every axis: the length of
/// the mean of e^(2πi u/box), 1 for no displacement. In another order they are anywhere, and it is next to 0.
const ORDERED: f64 = 0.5;
/// The same of e^(2πi x/spacing): below, positions show no lattice. A Gaussian displacement of 0.3 spacings has 0.17.
const SHOWS_A_LATTICE: f64 = 0.1;
/// Initial conditions have fewer neighbours than this that have passed each other; of a snapshot of today it is every other.
const MOST_PASSED: f64 = 0.05;

/// The lattice whose sites `particles` left, by their identifiers if these count its sites in order, x or z fastest and from
/// any number; else by the sites that are nearest, once particles are moved back by `mpc_h_per_km_s` times their velocities (the
/// first order of their way), or as they are.
///
/// # Errors
/// How it shows that there is no such lattice.
pub(crate) fn find_lattice(
    particles: &IcParticles,
    box_size_mpc_h: f64,
    mpc_h_per_km_s: f64,
) -> Result<Lattice, String> {
    let count = particles.positions_mpc_h.len();
    let per_side = (count as f64).cbrt().round() as usize;
    if per_side.pow(3) != count || count == 0 {
        return Err(format!("{count} is not n^3 for a whole n"));
    }
    let by_ids = by_identifiers(particles, per_side, box_size_mpc_h);
    let (sites, origin) = match by_ids {
        Some(found) => found,
        None => {
            let moved_back: Vec<[f64; 3]> = particles
                .positions_mpc_h
                .par_iter()
                .zip(&particles.velocities_km_s)
                .map(|(x, v)| std::array::from_fn(|axis| x[axis] - mpc_h_per_km_s * f64::from(v[axis])))
                .collect();
            by_nearest_sites(&moved_back, per_side, box_size_mpc_h)
                .or_else(|_| by_nearest_sites(&particles.positions_mpc_h, per_side, box_size_mpc_h))?
        }
    };
    let mut lattice = Lattice::at_rest(per_side, box_size_mpc_h, origin);
    let spacing = box_size_mpc_h / per_side as f64;
    for (i, &site) in sites.iter().enumerate() {
        let at = coordinates(site, per_side);
        lattice.displacements_mpc_h[site] = std::array::from_fn(|axis| {
            let apart = particles.positions_mpc_h[i][axis] - origin[axis] - spacing * at[axis] as f64;
            (apart - box_size_mpc_h * (apart / box_size_mpc_h).round()) as f32
        });
        lattice.velocities_km_s[site] = particles.velocities_km_s[i];
    }
    match passed(&lattice) {
        share if share > MOST_PASSED => Err(format!(
            "{:.0} % of its neighbours have passed each other, which they do when structure forms",
            100.0 * share
        )),
        _ => Ok(lattice),
    }
}

/// The share of neighbours along an axis that have changed sides, of those along all axes.
fn passed(lattice: &Lattice) -> f64 {
    let n = lattice.per_side;
    let spacing = (lattice.box_size_mpc_h / n as f64) as f32;
    let moved = &lattice.displacements_mpc_h;
    let passed = (0..moved.len()).into_par_iter().map(|site| {
        let has_passed = |axis: &usize| {
            let stride = n.pow(2 - *axis as u32);
            let next = if site / stride % n + 1 == n { site + stride - n * stride } else { site + stride };
            moved[next][*axis] - moved[site][*axis] < -spacing
        };
        (0..3).filter(has_passed).count()
    });
    passed.sum::<usize>() as f64 / (3 * moved.len()) as f64
}

/// (i, j, k) of a site, k fastest.
fn coordinates(site: usize, per_side: usize) -> [usize; 3] {
    [site / (per_side * per_side), site / per_side % per_side, site % per_side]
}

/// Sites by particle, and the place of the first one, if the identifiers are all numbers from some one on and particles that
/// they call neighbours are.
fn by_identifiers(
    particles: &IcParticles,
    per_side: usize,
    box_size_mpc_h: f64,
) -> Option<(Vec<usize>, [f64; 3])> {
    let ids = &particles.ids;
    let first = *ids.iter().min()?;
    let mut seen = vec![false; ids.len()];
    for id in ids {
        let seen = seen.get_mut(usize::try_from(id - first).ok()?)?;
        if std::mem::replace(seen, true) {
            return None;
        }
    }
    let spacing = box_size_mpc_h / per_side as f64;
    let z_fastest: Vec<usize> = ids.iter().map(|id| (id - first) as usize).collect();
    let x_fastest = z_fastest.iter().map(|&site| {
        let [i, j, k] = coordinates(site, per_side);
        (k * per_side + j) * per_side + i
    });
    let x_fastest: Vec<usize> = x_fastest.collect();
    [z_fastest, x_fastest].into_iter().find_map(|sites| {
        let along = |axis: usize| {
            let from_site = |i: usize| {
                particles.positions_mpc_h[i][axis] - spacing * coordinates(sites[i], per_side)[axis] as f64
            };
            circular_mean(sites.len(), box_size_mpc_h, from_site)
        };
        let [x, y, z] = [along(0), along(1), along(2)];
        let is_ordered = [x, y, z].iter().all(|(_, together)| *together > ORDERED);
        is_ordered.then_some((sites, [x.0, y.0, z.0]))
    })
}

/// The same by the sites that are nearest, of the lattice that the positions show.
fn by_nearest_sites(
    positions: &[[f64; 3]],
    per_side: usize,
    box_size_mpc_h: f64,
) -> Result<(Vec<usize>, [f64; 3]), String> {
    let spacing = box_size_mpc_h / per_side as f64;
    let along = |axis: usize| circular_mean(positions.len(), spacing, |i| positions[i][axis]);
    let [x, y, z] = [along(0), along(1), along(2)];
    let origin = [x.0, y.0, z.0];
    let site_of = |position: &[f64; 3]| {
        (0..3).fold(0, |site, axis| {
            let nearest = ((position[axis] - origin[axis]) / spacing).round() as i64;
            site * per_side + nearest.rem_euclid(per_side as i64) as usize
        })
    };
    let sites: Vec<usize> = positions.par_iter().map(site_of).collect();
    let mut is_taken = vec![false; sites.len()];
    sites.iter().for_each(|&site| is_taken[site] = true);
    let empty = is_taken.iter().filter(|taken| !**taken).count();
    if empty == 0 {
        return Ok((sites, origin));
    }
    let shows = x.1.min(y.1).min(z.1);
    let why = if shows < SHOWS_A_LATTICE {
        "their positions show none, as those of a glass, or of a time when particles have moved about as far as they are apart"
            .to_owned()
    } else {
        format!(
            "some have moved by more than half of their separation of {spacing:.4} Mpc/h, and their velocities do not lead back"
        )
    };
    Err(format!("{why} ({empty} of {per_side}^3 sites have no nearest particle, as many have several)"))
}

/// The mean of `count` values modulo `period`, in ±period/2, and the length of the mean of e^(2πi x/period).
fn circular_mean(count: usize, period: f64, value: impl Fn(usize) -> f64 + Sync) -> (f64, f64) {
    // Summed in pieces of fixed length: the same bits for any number of threads.
    const PIECE: usize = 1 << 16;
    let pieces = (0..count.div_ceil(PIECE)).into_par_iter().map(|piece| {
        (piece * PIECE..count.min((piece + 1) * PIECE)).fold((0.0, 0.0), |(sin, cos), i| {
            let (s, c) = (TAU * value(i) / period).sin_cos();
            (sin + s, cos + c)
        })
    });
    let (sin, cos) = pieces
        .collect::<Vec<(f64, f64)>>()
        .into_iter()
        .fold((0.0, 0.0), |sum, piece| (sum.0 + piece.0, sum.1 + piece.1));
    (sin.atan2(cos) / TAU * period, sin.hypot(cos) / count.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: f64 = 24.0;
    const PER_SIDE: usize = 12;
    const F32_MPC_H: f64 = 2e-6; // displacements of Mpc/h in f32

    /// A lattice whose particles moved by waves of at most `amplitude` along each axis.
    fn moved(amplitude: f64, origin: [f64; 3]) -> Lattice {
        let mut lattice = Lattice::at_rest(PER_SIDE, BOX, origin);
        for site in 0..PER_SIDE.pow(3) {
            let at = coordinates(site, PER_SIDE);
            let wave = |axis: usize| (TAU * at[(axis + 1) % 3] as f64 / PER_SIDE as f64 + 0.4).sin();
            lattice.displacements_mpc_h[site] = std::array::from_fn(|axis| (amplitude * wave(axis)) as f32);
            lattice.velocities_km_s[site] = [site as f32, 0.0, 1.0];
        }
        lattice
    }

    /// The particles of a lattice; `order`: the site of each, `id`: the identifier of that site.
    fn particles(
        lattice: &Lattice,
        order: impl Fn(usize) -> usize,
        id: impl Fn([usize; 3]) -> usize,
    ) -> IcParticles {
        let positions = lattice.positions_mpc_h();
        let sites: Vec<usize> = (0..positions.len()).map(order).collect();
        IcParticles {
            positions_mpc_h: sites.iter().map(|&site| positions[site]).collect(),
            velocities_km_s: sites.iter().map(|&site| lattice.velocities_km_s[site]).collect(),
            ids: sites.iter().map(|&site| id(coordinates(site, PER_SIDE)) as u64).collect(),
            mass_1e10_msun_h: 1.0,
        }
    }

    /// All particles come out where they were; sites may be numbered from another one.
    fn assert_holds(found: &Lattice, expected: &Lattice) {
        let (here, there) = (found.positions_mpc_h(), expected.positions_mpc_h());
        let mut by_velocity = vec![[0.0; 3]; there.len()];
        for (position, velocity) in here.iter().zip(&found.velocities_km_s) {
            by_velocity[velocity[0] as usize] = *position;
        }
        for (found, expected) in by_velocity.iter().flatten().zip(there.iter().flatten()) {
            let apart = found - expected;
            assert!((apart - BOX * (apart / BOX).round()).abs() < F32_MPC_H, "{found}, not {expected}");
        }
    }

    const Z_FASTEST: fn([usize; 3]) -> usize = |[i, j, k]| 7 + (i * PER_SIDE + j) * PER_SIDE + k;
    const X_FASTEST: fn([usize; 3]) -> usize = |[i, j, k]| 1 + (k * PER_SIDE + j) * PER_SIDE + i;
    const SHUFFLED: fn(usize) -> usize = |i| i * 125 % PER_SIDE.pow(3);

    #[test]
    fn identifiers_that_count_sites_may_belong_to_particles_far_from_them() {
        for id in [Z_FASTEST, X_FASTEST] {
            let lattice = moved(1.7, [1.0, -0.3, 0.2]); // of a spacing of 2
            let found = find_lattice(&particles(&lattice, SHUFFLED, id), BOX, 0.0).unwrap();
            assert_holds(&found, &lattice);
            for (found, expected) in found.origin_mpc_h.iter().zip(lattice.origin_mpc_h) {
                assert!((found - expected).abs() < 1e-9, "{found}");
            }
            let pairs = found.displacements_mpc_h.iter().zip(&lattice.displacements_mpc_h);
            for (found, expected) in pairs {
                assert!((0..3).all(|axis| (found[axis] - expected[axis]).abs() < F32_MPC_H as f32));
            }
        }
    }

    #[test]
    fn other_identifiers_and_none_leave_the_nearest_sites() {
        for origin in [[0.0; 3], [1.0; 3], [0.3, 5.9, -0.7]] {
            let lattice = moved(0.5, origin);
            let mut particles =
                particles(&lattice, SHUFFLED, |[i, j, k]| 1 + SHUFFLED((i * PER_SIDE + j) * PER_SIDE + k));
            assert_holds(&find_lattice(&particles, BOX, 0.0).unwrap(), &lattice);
            particles.ids[3] = particles.ids[4];
            assert_holds(&find_lattice(&particles, BOX, 0.0).unwrap(), &lattice);
            particles.ids.clear();
            assert_holds(&find_lattice(&particles, BOX, 0.0).unwrap(), &lattice);
        }
    }

    #[test]
    fn velocities_lead_back_to_sites_that_are_no_longer_the_nearest() {
        let mut lattice = moved(3.0, [0.3, -0.2, 0.9]); // of a spacing of 2
        for (v, u) in lattice.velocities_km_s.iter_mut().zip(&lattice.displacements_mpc_h) {
            *v = u.map(|u| 10.0 * 1.1 * u); // the first order is not all
        }
        let mut particles = particles(&lattice, SHUFFLED, Z_FASTEST);
        particles.ids.clear();
        assert!(find_lattice(&particles, BOX, 0.0).is_err());
        let found = find_lattice(&particles, BOX, 0.1).unwrap();
        for (found, expected) in
            found.positions_mpc_h().iter().flatten().zip(lattice.positions_mpc_h().iter().flatten())
        {
            assert!((found - expected).abs() < F32_MPC_H, "{found}, not {expected}");
        }
        assert_eq!(found.velocities_km_s, lattice.velocities_km_s);
    }

    #[test]
    fn what_is_no_lattice_says_why() {
        let without_ids = |lattice: &Lattice| {
            let mut particles = particles(lattice, |i| i, Z_FASTEST);
            particles.ids.clear();
            particles
        };
        let mut few = without_ids(&moved(0.1, [0.0; 3]));
        few.positions_mpc_h.pop();
        assert!(find_lattice(&few, BOX, 0.0).unwrap_err().contains("1727 is not n^3"));

        let mut far = without_ids(&moved(0.3, [0.0; 3]));
        far.positions_mpc_h[5][2] += 1.3;
        let error = find_lattice(&far, BOX, 0.0).unwrap_err();
        assert!(error.contains("more than half of their separation of 2.0000") && error.contains("(1 of"));

        // Waves along their own axis, steeper than a spacing a spacing; identifiers tell whose they are.
        let mut crossed = moved(0.0, [0.0; 3]);
        for site in 0..PER_SIDE.pow(3) {
            let along = coordinates(site, PER_SIDE)[0] as f64 * TAU / PER_SIDE as f64;
            crossed.displacements_mpc_h[site][0] = (5.5 * along.sin()) as f32;
        }
        let error = find_lattice(&particles(&crossed, |i| i, Z_FASTEST), BOX, 0.0).unwrap_err();
        assert!(error.contains("11 % of its neighbours have passed"), "{error}");

        let mut glass = without_ids(&moved(0.0, [0.0; 3]));
        for (i, position) in glass.positions_mpc_h.iter_mut().enumerate() {
            *position = [1, 2, 3].map(|axis| BOX * (0.381_966 * (axis * i * i) as f64).fract());
        }
        assert!(find_lattice(&glass, BOX, 0.0).unwrap_err().contains("glass"));
    }
}
