//! Numbers of bytes for people.

/// Bytes as a person says them.
#[must_use]
pub fn readable_bytes(count: u128) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = count as f64 / 1e3;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1e3;
        unit += 1;
    }
    match count {
        0..1000 => format!("{count} bytes"),
        _ if value < 10.0 => format!("{value:.2} {}", UNITS[unit]),
        _ if value < 1e6 => format!("{value:.0} {}", UNITS[unit]),
        _ => format!("{value:.1e} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_said_with_few_digits() {
        let cases = [
            (12, "12 bytes"),
            (1500, "1.50 kB"),
            (999_900, "1.00 MB"),
            (4_000_000_000_000_000, "4.00 PB"),
            (24_100_000_000, "24 GB"),
            (u128::MAX, "3.4e20 EB"),
        ];
        for (count, text) in cases {
            assert_eq!(readable_bytes(count), text);
        }
    }
}
