//! Power spectra of IllustrisTNG's TNG300-1, which ship with the program.
//!
//! The table is rebinned from those that Foreman, Coulton, Villaescusa-Navarro & Barreira 2019
//! ([arXiv:1910.03597](https://arxiv.org/abs/1910.03597)) published: 41 bins of k at z = 0, 1, 2 and 3.

use crate::published::{PublishedPair, PublishedSpectrum};
use finescale_field::Cosmology;

const TABLE: &str = include_str!("../data/tng300_spectra.csv");
/// Rows closer than this in redshift are of one time: TNG's snapshots 50, 33 and 25, which stand for z = 1, 2 and 3, are at
/// 0.997, 2.002 and 3.008.
const SAME_REDSHIFT: f64 = 0.02;

/// Power spectra of TNG300-1 at one redshift, over the table's k from 0.039 to 19 h/Mpc. Shot noise is in them, no window of
/// a mass assignment.
#[derive(Clone, Debug, PartialEq)]
pub struct Tng300 {
    /// What they are the spectra of: a redshift of the table, or the one that they are interpolated to.
    pub redshift: f64,
    /// The redshifts of the table that they are interpolated from.
    pub between: Option<[f64; 2]>,
    k_h_mpc: Vec<f64>,
    /// Of all baryons, of dark matter and of both together, in (Mpc/h)³.
    powers: [Vec<f64>; 3],
}

impl Tng300 {
    /// Name of the simulation.
    pub const NAME: &'static str = "TNG300-1";
    /// Where the spectra are published.
    pub const SOURCE: &'static str =
        "Foreman, Coulton, Villaescusa-Navarro & Barreira 2019, arXiv:1910.03597";
    /// Side of its box in Mpc/h.
    pub const BOX_SIZE_MPC_H: f64 = 205.0;
    /// Its universe.
    pub const COSMOLOGY: Cosmology = Cosmology {
        omega_m: Some(0.3089),
        omega_lambda: Some(0.6911),
        omega_b: Some(0.0486),
        hubble: Some(0.6774),
        n_s: Some(0.9667),
        sigma_8: Some(0.8159),
    };

    /// The spectra at `redshift`: those of the table within 0.02 of one of its redshifts; between two, ln P is linear in
    /// ln(1 + z). None outside of [`Self::redshifts`].
    #[must_use]
    pub fn at(redshift: f64) -> Option<Self> {
        let times = times();
        if let Some(found) = times.iter().find(|time| (time.redshift - redshift).abs() <= SAME_REDSHIFT) {
            return Some(found.clone());
        }
        let later =
            times.windows(2).find(|pair| pair[0].redshift < redshift && redshift < pair[1].redshift)?;
        Some(between(&later[0], &later[1], redshift))
    }

    /// The first and the last redshift of the table.
    #[must_use]
    pub fn redshifts() -> [f64; 2] {
        let times = times();
        [times[0].redshift, times[times.len() - 1].redshift]
    }

    /// The power of all baryons: gas, stars and black holes.
    #[must_use]
    pub fn baryons(&self) -> PublishedSpectrum {
        self.spectrum("all baryons", 0)
    }

    /// The power of all baryons, that of dark matter and their cross power.
    #[must_use]
    pub fn baryons_over_dark_matter(&self) -> PublishedPair {
        let names = ["all baryons", "dark matter", "both"];
        let [above, below, cross] = [0, 1, 2].map(|which| self.spectrum(names[which], which));
        let label = self.label("baryons / dm");
        PublishedPair { label, above, below, cross: Some(cross) }
    }

    fn label(&self, what: &str) -> String {
        let hundredths = (100.0 * self.redshift).round() / 100.0;
        format!("{}, {what}, z = {hundredths}", Self::NAME)
    }

    fn spectrum(&self, what: &str, which: usize) -> PublishedSpectrum {
        PublishedSpectrum {
            label: self.label(what),
            k_h_mpc: self.k_h_mpc.clone(),
            power: self.powers[which].clone(),
        }
    }
}

/// The spectra of the table by redshift, which rises.
fn times() -> Vec<Tng300> {
    let mut times: Vec<Tng300> = Vec::new();
    for row in TABLE.lines().filter_map(numbers) {
        let [redshift, k_h_mpc, _modes, powers @ ..] = row;
        if times.last().is_none_or(|time| time.redshift < redshift) {
            times.push(Tng300 { redshift, between: None, k_h_mpc: Vec::new(), powers: Default::default() });
        }
        let time = times.last_mut().expect("one was pushed at the first row");
        time.k_h_mpc.push(k_h_mpc);
        time.powers.iter_mut().zip(powers).for_each(|(all, power)| all.push(power));
    }
    times
}

/// Redshift, k, modes and three powers of a row; none of comments and of the names of columns. The fourth power, of the run
/// without baryons, is left out.
fn numbers(line: &str) -> Option<[f64; 6]> {
    let columns: Result<Vec<f64>, _> = line.split(',').take(6).map(str::parse).collect();
    columns.ok()?.try_into().ok()
}

/// The spectra at a redshift between those of two times, of the same k.
fn between(later: &Tng300, earlier: &Tng300, redshift: f64) -> Tng300 {
    let expansion = |redshift: f64| ((1.0 + redshift) / (1.0 + later.redshift)).ln();
    let part = expansion(redshift) / expansion(earlier.redshift);
    let of = |which: usize| {
        let pairs = later.powers[which].iter().zip(&earlier.powers[which]);
        pairs.map(|(late, early)| late * (early / late).powf(part)).collect()
    };
    Tng300 {
        redshift,
        between: Some([later.redshift, earlier.redshift]),
        k_h_mpc: later.k_h_mpc.clone(),
        powers: [0, 1, 2].map(of),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn correlation(of: &Tng300) -> Vec<f64> {
        let [b, dm, bdm] = &of.powers;
        b.iter().zip(dm).zip(bdm).map(|((b, dm), bdm)| bdm / (b * dm).sqrt()).collect()
    }

    #[test]
    fn every_row_of_the_table_is_read() {
        let times = times();
        let rows = TABLE.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).count();
        assert_eq!((times.len(), rows), (4, 164));
        for time in &times {
            assert_eq!(time.k_h_mpc, times[0].k_h_mpc, "one k for all redshifts");
            assert_eq!(time.k_h_mpc.len(), 41);
            assert!(time.k_h_mpc.is_sorted() && time.powers.iter().flatten().all(|power| *power > 0.0));
        }
        assert_eq!(Tng300::redshifts(), [0.0, 3.0]);
        // The first row of z = 0, and the one at 2.6 h/Mpc.
        let found = Tng300::at(0.0).unwrap();
        let baryons = found.baryons();
        assert_eq!((baryons.k_h_mpc[0], baryons.power[0]), (0.039113, 12195.0));
        let pair = found.baryons_over_dark_matter();
        assert_eq!((pair.above.power[25], pair.below.power[25]), (91.281, 118.8));
        assert_eq!(pair.cross.unwrap().power[25], 102.23);
    }

    #[test]
    fn redshifts_of_the_table_and_of_tngs_snapshots_are_not_interpolated() {
        for (redshift, snapshot) in [(0.0, -1e-9), (1.0, 0.997_294), (2.0, 2.002_028), (3.0, 3.008_131)] {
            let [exact, near] = [redshift, snapshot].map(|redshift| Tng300::at(redshift).unwrap());
            assert_eq!((&exact, near.between, near.redshift), (&near, None, redshift));
        }
    }

    #[test]
    fn between_two_redshifts_the_logarithm_is_straight() {
        // Half way between z = 1 and 2 in ln(1 + z).
        let half_way = 6.0f64.sqrt() - 1.0;
        let found = Tng300::at(half_way).unwrap();
        assert_eq!(found.between, Some([1.0, 2.0]));
        let [one, two] = [1.0, 2.0].map(|redshift| Tng300::at(redshift).unwrap());
        for which in 0..3 {
            let ends = one.powers[which].iter().zip(&two.powers[which]);
            for ((a, b), found) in ends.zip(&found.powers[which]) {
                assert!((found / (a * b).sqrt() - 1.0).abs() < 1e-12);
                assert!((a.min(*b)..=a.max(*b)).contains(found));
            }
        }
        assert_eq!(found.baryons().label, "TNG300-1, all baryons, z = 1.45");
        assert_eq!(Tng300::at(0.997).unwrap().baryons().label, "TNG300-1, all baryons, z = 1");
    }

    #[test]
    fn no_correlation_exceeds_one() {
        /// Five digits of each power.
        const ROUNDING: f64 = 1e-4;
        for redshift in [0.0, 0.3, 0.5, 1.0, 1.5, 2.0, 2.7, 3.0] {
            let r = correlation(&Tng300::at(redshift).unwrap());
            assert!(r.iter().all(|r| (0.5..=1.0 + ROUNDING).contains(r)), "z = {redshift}: {r:?}");
        }
    }

    /// A redshift that is left out, found from its neighbours: the distances are nearly twice those of real use, and the errors
    /// those that the statistics page tells.
    #[test]
    fn interpolation_is_as_good_as_it_is_said_to_be() {
        /// Of P, of P_b / P_dm and of r at z = 1 from z = 0 and 2, and at z = 2 from z = 1 and 3.
        const OFF_BY: [[f64; 3]; 2] = [[0.22, 0.23, 0.02], [0.19, 0.08, 0.005]];
        let times = times();
        for (middle, [power, ratio, r]) in [1, 2].into_iter().zip(OFF_BY) {
            let [later, exact, earlier] = [middle - 1, middle, middle + 1].map(|index| &times[index]);
            let found = between(later, earlier, exact.redshift);
            for index in 0..found.k_h_mpc.len() {
                let of = |time: &Tng300| [0, 1, 2].map(|which| time.powers[which][index]);
                let ([b, dm, _], [b_true, dm_true, _]) = (of(&found), of(exact));
                let off = [(b / b_true, power), (dm / dm_true, power), (b / dm * dm_true / b_true, ratio)];
                assert!(off.iter().all(|(ratio, most)| (ratio - 1.0).abs() < *most), "{index} {off:?}");
            }
            let pairs = correlation(&found).into_iter().zip(correlation(exact));
            assert!(pairs.into_iter().all(|(found, exact)| (found - exact).abs() < r));
        }
    }

    #[test]
    fn outside_of_the_table_nothing_is_made_up() {
        for redshift in [-0.03, 3.03, 10.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Tng300::at(redshift), None, "{redshift}");
        }
        assert!(Tng300::at(3.019).is_some() && Tng300::at(-0.019).is_some());
    }
}
