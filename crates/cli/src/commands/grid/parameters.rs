//! Tables with the parameters of many simulations, one in a line, as CAMELS and Quijote have them.

use crate::failure::bad_input;
use finescale_field::{ScalarName, shown};
use std::path::Path;

/// Columns of a table that does not name them: CAMELS' order (Villaescusa-Navarro et al. 2021, arXiv:2109.10915).
const UNNAMED: [(&str, ScalarName); 2] = [("omega_m", ScalarName::OmegaM), ("sigma_8", ScalarName::Sigma8)];

/// What line `index` of a table says, counted from 0 without comments. A comment names the columns, if there is one.
pub(super) fn read(path: &Path, index: usize) -> anyhow::Result<Vec<(ScalarName, f64)>> {
    let wrong = |what: String| bad_input(format!("--parameters {}: {what}", path.display()));
    let text = finescale_durable::read_text(path).map_err(|error| wrong(error.to_string()))?;
    parse(&text, index).map_err(wrong)
}

fn parse(text: &str, index: usize) -> Result<Vec<(ScalarName, f64)>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (comments, rows): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with('#'));
    let row =
        rows.get(index).ok_or_else(|| format!("has {} rows, and none of number {index}", rows.len()))?;
    let names = |line: &str| -> Vec<String> {
        line.trim_start_matches('#').split_whitespace().map(str::to_lowercase).collect()
    };
    let known = |name: &String| UNNAMED.iter().any(|(known, _)| known == name);
    let named = comments.iter().map(|line| names(line)).find(|names| names.iter().any(known));
    let names = named.unwrap_or_else(|| UNNAMED.map(|(name, _)| name.to_owned()).to_vec());
    let values: Vec<&str> = row.split_whitespace().collect();
    let mut said = Vec::new();
    for (name, scalar) in UNNAMED {
        let Some(column) = names.iter().position(|other| other == name) else { continue };
        let text = values.get(column).ok_or_else(|| format!("row {index} has no column {name}"))?;
        let value = text.parse().ok().filter(|value: &f64| value.is_finite() && *value > 0.0);
        let value = value.ok_or_else(|| format!("row {index}: {} is no {name}", shown(text)))?;
        said.push((scalar, value));
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_camels_and_quijote_are_read() {
        let camels = "0.1 0.6 1.0 2.0\n0.309 0.979 3.11 1.12\n";
        let expected = vec![(ScalarName::OmegaM, 0.309), (ScalarName::Sigma8, 0.979)];
        assert_eq!(parse(camels, 1), Ok(expected.clone()));
        let named = "# Latin hypercube\n#Name Omega_m sigma_8 A_SN1\n\nLH_0 0.309 0.979 3.1\n";
        assert_eq!(parse(named, 0), Ok(expected));
        let quijote = "# Omega_m Omega_b h n_s sigma_8\n0.28 0.027 0.71 0.84 0.97\n";
        assert_eq!(parse(quijote, 0), Ok(vec![(ScalarName::OmegaM, 0.28), (ScalarName::Sigma8, 0.97)]));
        for (text, index, problem) in [
            (camels, 2, "has 2 rows"),
            ("", 0, "has 0 rows"),
            ("LH_0 0.3 0.8\n", 0, "LH_0 is no omega_m"),
            ("0.3\n", 0, "no column sigma_8"),
            ("0.3 nan\n", 0, "nan is no sigma_8"),
        ] {
            assert!(parse(text, index).unwrap_err().contains(problem), "{text:?}");
        }
    }
}
