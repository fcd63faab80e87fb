//! Numbers as persons read them.

/// A number with `digits` decimals and a real minus sign.
pub(crate) fn plain(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let negative = text.starts_with('-') && text.chars().any(|c| ('1'..='9').contains(&c));
    let text = text.trim_start_matches('-').to_owned();
    if negative { format!("−{text}") } else { text }
}

/// `value` with so many digits that count.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return plain(value, 0);
    }
    let decimals = (digits as i32 - 1 - value.abs().log10().floor() as i32).max(0) as usize;
    let text = plain(value, decimals);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A count with thin spaces between thousands.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
    groups.join("\u{202f}")
}

/// A part in per cent, without its sign.
pub(crate) fn percent(part: f64) -> String {
    significant(part * 100.0, 2)
}

/// `value` with `digits` decimals, or a dash where there is none.
pub(crate) fn or_dash(value: f64, digits: usize) -> String {
    if value.is_finite() { plain(value, digits) } else { "–".to_owned() }
}

/// A mean |ln ratio| as a factor's percentage.
pub(crate) fn error_percent(abs_ln: f64) -> String {
    let percent = abs_ln.exp_m1() * 100.0;
    format!("{} %", if percent < 10.0 { plain(percent, 1) } else { plain(percent, 0) })
}

/// A ratio as its difference from 1.
pub(crate) fn signed_percent(ratio: f64) -> String {
    let percent = (ratio - 1.0) * 100.0;
    let digits = if percent.abs() < 1.0 { 2 } else { usize::from(percent.abs() < 9.95) };
    let text = plain(percent, digits);
    let positive = percent > 0.0 && text.chars().any(|c| ('1'..='9').contains(&c));
    format!("{}{text} %", if positive { "+" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [0.12566, 4.0212, 50.0, 205.0, 0.78125].map(|v| significant(v, 2)),
            ["0.13", "4", "50", "205", "0.78"]
        );
        assert_eq!(significant(22.46, 3), "22.5");
        assert_eq!(
            [1.1053, 0.9, 1.00002, 1.0, 3.2].map(signed_percent),
            ["+11 %", "−10 %", "0.00 %", "0.00 %", "+220 %"]
        );
        assert_eq!([7, 1234, 433_653].map(thousands), ["7", "1\u{202f}234", "433\u{202f}653"]);
        assert_eq!(signed_percent(0.968), "−3.2 %");
        assert_eq!(plain(-0.0001, 2), "0.00");
        assert_eq!(
            (or_dash(f64::NAN, 2), or_dash(-0.5, 2), percent(0.03)),
            ("–".into(), "−0.50".into(), "3".into())
        );
        assert_eq!([0.0583, 0.4].map(error_percent), ["6.0 %", "49 %"]);
    }
}
