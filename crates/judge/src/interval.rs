//! How many standard errors an interval is wide.

use std::f64::consts::SQRT_2;

/// Part of the normal distribution within two standard deviations.
const WITHIN_TWO: f64 = 0.954_499_736;

/// Standard errors to each side of an estimate that hold what it estimates with the probability of two normal standard
/// deviations, 95.4 %. The errors were themselves estimated with so many degrees of `freedom`; `None` is many.
pub(crate) fn two_errors(freedom: Option<usize>) -> f64 {
    of_probability(WITHIN_TWO, freedom)
}

/// The same for the farthest out of `places` estimates: all of them lie within so many errors with that probability.
/// Places are taken for independent; of places that are alike it is too many, never too few.
///
/// # Source
/// Šidák 1967, J. Am. Stat. Assoc. 62, 626.
pub(crate) fn two_errors_of_all(places: usize, freedom: Option<usize>) -> f64 {
    of_probability(WITHIN_TWO.powf(1.0 / places.max(1) as f64), freedom)
}

/// Of Student's t, the quantile that so much lies within to both sides.
///
/// # Source
/// Abramowitz & Stegun 1964, 26.7.5, good to a per cent from four degrees of freedom on; below, by hand.
fn of_probability(within: f64, freedom: Option<usize>) -> f64 {
    let z = normal_quantile(within);
    let Some(freedom) = freedom else { return z };
    let v = freedom as f64;
    match freedom {
        0 => f64::INFINITY,
        // t of one degree is a Cauchy distribution; of two, t = p √(2 / (1 − p²)).
        1 => (std::f64::consts::FRAC_PI_2 * within).tan(),
        2 => within * (2.0 / (1.0 - within * within)).sqrt(),
        _ => {
            let [z2, z4, z6] = [2, 4, 6].map(|power| z.powi(power));
            let first = (z2 + 1.0) / 4.0;
            let second = (5.0 * z4 + 16.0 * z2 + 3.0) / 96.0;
            let third = (3.0 * z6 + 19.0 * z4 + 17.0 * z2 - 15.0) / 384.0;
            let fourth = (79.0 * z4 * z4 + 776.0 * z6 + 1482.0 * z4 - 1920.0 * z2 - 945.0) / 92160.0;
            z * (1.0 + first / v + second / (v * v) + third / v.powi(3) + fourth / v.powi(4))
        }
    }
}

/// z such that so much of the normal distribution is within ± z, by halving.
fn normal_quantile(within: f64) -> f64 {
    let (mut low, mut high) = (0.0, 10.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if libm::erf(middle / SQRT_2) < within {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_tables() {
        assert!((two_errors(None) - 2.0).abs() < 1e-6);
        assert!((normal_quantile(0.95) - 1.959_964).abs() < 1e-5);
        // Student's t at 95 %: 12.706, 4.303, 3.182, 2.776, 2.365, 2.131 for 1, 2, 3, 4, 7, 15 degrees.
        for (freedom, expected) in [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (7, 2.365), (15, 2.131)]
        {
            let found = of_probability(0.95, Some(freedom));
            assert!((found / expected - 1.0).abs() < 0.01, "{freedom}: {found}");
        }
        // Eight places within 2.76: 0.9545^(1/8) = 0.9942.
        assert!((two_errors_of_all(8, None) - 2.76).abs() < 0.01, "{}", two_errors_of_all(8, None));
        assert_eq!(two_errors_of_all(1, Some(7)), two_errors(Some(7)));
        assert_eq!(two_errors(Some(0)), f64::INFINITY);
    }
}
