//! Who wants to know what is being measured.

use crate::Fields;

/// Statistics of a field that are told one by one.
const OF_A_FIELD: u64 = 7;
/// Those that are of all fields: the scatter of octants, what the samples have in common, and where.
const OF_ALL: u64 = 3;

/// Called before each statistic with the name of the field and that of the statistic.
pub type Watch<'a> = dyn Fn(&str, &'static str) + 'a;

/// How often [`Measurements::watched`](crate::Measurements::watched) tells of a statistic.
#[must_use]
pub fn steps(fields: &Fields<'_>) -> u64 {
    // With a condition there is one more, with the truth's distribution.
    let measured = 1
        + 2 * usize::from(fields.condition.is_some())
        + fields.samples.len()
        + usize::from(fields.independent_tiles.is_some());
    OF_A_FIELD * measured as u64 + OF_ALL
}
