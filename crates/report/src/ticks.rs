//! Scales, and numbers along them.

use crate::numbers::plain;
use serde::Serialize;

/// A logarithmic axis that spans less than this factor has the marks of a linear one.
const LEAST_SPAN: f64 = 4.0;

/// How an axis maps values to its length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Scale {
    Linear { low: f64, high: f64 },
    Log { low: f64, high: f64 },
}

/// A mark on an axis; without a label it is a small one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) label: Option<String>,
}

impl Scale {
    /// Position of `value` as a fraction of the axis; NaN where a logarithm does not exist.
    pub(crate) fn fraction(self, value: f64) -> f64 {
        match self {
            Self::Linear { low, high } => (value - low) / (high - low),
            Self::Log { low, high } => (value / low).ln() / (high / low).ln(),
        }
    }

    /// The axis between two fractions of this one.
    pub(crate) fn part(self, [from, to]: [f64; 2]) -> Self {
        match self {
            Self::Linear { low, high } => {
                let at = |part: f64| low + part * (high - low);
                Self::Linear { low: at(from), high: at(to) }
            }
            Self::Log { low, high } => {
                let at = |part: f64| low * (high / low).powf(part);
                Self::Log { low: at(from), high: at(to) }
            }
        }
    }

    /// About `count` labelled marks, and small ones between those of a logarithmic axis.
    pub(crate) fn ticks(self, count: usize) -> Vec<Tick> {
        match self {
            Self::Linear { low, high } => linear_ticks(low, high, count),
            Self::Log { low, high } if high / low < LEAST_SPAN => linear_ticks(low, high, count),
            Self::Log { low, high } => log_ticks(low, high, count),
        }
    }
}

fn linear_ticks(low: f64, high: f64, count: usize) -> Vec<Tick> {
    let rough = (high - low) / count.max(1) as f64;
    let decade = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|s| s * decade).into_iter().find(|&s| s >= rough * 0.999);
    let step = step.unwrap_or(10.0 * decade);
    let digits = (0..12).find(|&d| (step * 10f64.powi(d)).fract().abs() < 1e-6).unwrap_or(12) as usize;
    let (first, last) = ((low / step - 1e-6).ceil() as i64, (high / step + 1e-6).floor() as i64);
    let tick = |i: i64| Tick { value: i as f64 * step, label: Some(plain(i as f64 * step, digits)) };
    (first..=last).map(tick).collect()
}

fn log_ticks(low: f64, high: f64, count: usize) -> Vec<Tick> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let decades = (high / low).log10();
    // Few decades: 1, 2, 5 as plain numbers; many: every second or third power.
    let plain_numbers = decades < 2.2 && low > 1e-4 && high < 1e5;
    let every = ((decades / count.max(1) as f64).ceil() as i32).max(1);
    let mut ticks = Vec::new();
    for exponent in first..=last {
        for lead in 1..10 {
            let value = f64::from(lead) * 10f64.powi(exponent);
            if value < low * 0.9999 || value > high * 1.0001 {
                continue;
            }
            let label = if plain_numbers {
                matches!(lead, 1 | 2 | 5).then(|| plain(value, (-exponent).max(0) as usize))
            } else {
                (lead == 1 && exponent % every == 0).then(|| format!("10{}", superscript(exponent)))
            };
            ticks.push(Tick { value, label });
        }
    }
    ticks
}

fn superscript(exponent: i32) -> String {
    let digit = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        c => char::from_u32(0x2070 + c.to_digit(10).unwrap_or(0)).unwrap_or('⁰'),
    };
    exponent.to_string().chars().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().filter_map(|tick| tick.label.as_deref()).collect()
    }

    #[test]
    fn linear_marks_are_round_numbers() {
        assert_eq!(
            labels(&Scale::Linear { low: 0.0, high: 50.0 }.ticks(5)),
            ["0", "10", "20", "30", "40", "50"]
        );
        assert_eq!(
            labels(&Scale::Linear { low: -0.2, high: 1.0 }.ticks(6)),
            ["−0.2", "0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(labels(&Scale::Linear { low: 0.7, high: 1.3 }.ticks(3)), ["0.8", "1.0", "1.2"]);
    }

    #[test]
    fn logarithmic_marks_are_decades_or_one_two_five() {
        assert_eq!(labels(&Scale::Log { low: 0.12, high: 4.1 }.ticks(6)), ["0.2", "0.5", "1", "2"]);
        assert_eq!(
            labels(&Scale::Log { low: 3e-3, high: 2e3 }.ticks(8)),
            ["10⁻²", "10⁻¹", "10⁰", "10¹", "10²", "10³"]
        );
        assert_eq!(labels(&Scale::Log { low: 1e-8, high: 1e4 }.ticks(4)), ["10⁻⁶", "10⁻³", "10⁰", "10³"]);
        let all = Scale::Log { low: 1.0, high: 1000.0 }.ticks(4);
        assert_eq!(all.len(), 28);
        assert_eq!(labels(&Scale::Log { low: 1.1, high: 1.9 }.ticks(4)), ["1.2", "1.4", "1.6", "1.8"]);
    }

    #[test]
    fn positions_are_fractions() {
        assert!((Scale::Log { low: 0.1, high: 10.0 }.fraction(1.0) - 0.5).abs() < 1e-12);
        assert!((Scale::Linear { low: -1.0, high: 3.0 }.fraction(0.0) - 0.25).abs() < 1e-12);
        assert!(Scale::Log { low: 0.1, high: 10.0 }.fraction(-1.0).is_nan());
        assert_eq!(
            Scale::Linear { low: 0.0, high: 8.0 }.part([0.25, 0.5]),
            Scale::Linear { low: 2.0, high: 4.0 }
        );
        assert_eq!(Scale::Log { low: 1.0, high: 16.0 }.part([0.5, 1.0]), Scale::Log { low: 4.0, high: 16.0 });
    }
}
