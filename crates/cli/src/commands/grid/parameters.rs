//! Tables with the parameters of many simulations, one in a line, as CAMELS and Quijote have them.

use crate::failure::bad_input;
use finescale_field::{ScalarName, shown};
use std::ops::RangeInclusive;
use std::path::Path;

/// Columns of a table that does not name them: CAMELS' order (Villaescusa-Navarro et al. 2021, arXiv:2109.10915), and what they
/// may be.
const UNNAMED: [(&str, ScalarName, RangeInclusive<f64>); 2] =
    [("omega_m", ScalarName::OmegaM, 0.05..=1.0), ("sigma_8", ScalarName::Sigma8, 0.2..=2.0)];

/// What line `index` of a table says, counted from 0 without comments, which has one for each of `cubes`. A comment names the
/// columns, if there is one.
pub(super) fn read(path: &Path, index: usize, cubes: usize) -> anyhow::Result<Vec<(ScalarName, f64)>> {
    let wrong = |what: String| bad_input(format!("--parameters {}: {what}", path.display()));
    let text = finescale_durable::read_text(path).map_err(|error| wrong(error.to_string()))?;
    parse(&text, index, cubes).map_err(wrong)
}

fn parse(text: &str, index: usize, cubes: usize) -> Result<Vec<(ScalarName, f64)>, String> {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty());
    let (comments, rows): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with('#'));
    if rows.len() != cubes {
        return Err(format!(
            "has {} rows, and the stack {cubes} cubes; a row for each cube is needed (lines with # are no rows)",
            rows.len()
        ));
    }
    let row = rows.get(index).ok_or_else(|| format!("has no row {index}"))?;
    let names = |line: &str| -> Vec<String> {
        line.trim_start_matches('#').split_whitespace().map(str::to_lowercase).collect()
    };
    let values: Vec<&str> = row.split_whitespace().collect();
    // A sentence may hold the names, too: names of columns are as many as there are columns, and each of its own.
    let names_columns = |names: &Vec<String>| {
        let each_once = |name| names.iter().filter(|other| *other == name).count() == 1;
        names.len() == values.len() && UNNAMED.iter().all(|(name, ..)| each_once(name))
    };
    let named = comments.iter().map(|line| names(line)).find(names_columns);
    if named.is_none() && !comments.is_empty() {
        return Err(format!(
            "has lines with #, but none that names all its {} columns, omega_m and sigma_8 among them; add one, separated by blanks",
            values.len()
        ));
    }
    let names = named.unwrap_or_else(|| UNNAMED.map(|(name, ..)| name.to_owned()).to_vec());
    let mut said = Vec::new();
    for (name, scalar, plausible) in UNNAMED {
        let Some(column) = names.iter().position(|other| other == name) else { continue };
        let text = values.get(column).ok_or_else(|| {
            format!("row {index} has no column {name}: columns are separated by blanks, and # names them")
        })?;
        let value = text.parse().ok().filter(|value| plausible.contains(value)).ok_or_else(|| {
            format!(
                "row {index}: {} is no {name} from {} to {}: columns are separated by blanks, and a line such as \
                 `# omega_m sigma_8` says which ones they are",
                shown(text),
                plausible.start(),
                plausible.end()
            )
        })?;
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
        assert_eq!(parse(camels, 1, 2), Ok(expected.clone()));
        let named =
            "\u{feff}# Latin hypercube\r\n#Name Omega_m sigma_8 A_SN1\r\n\r\nLH_0\t0.309 0.979 3.1\r\n";
        assert_eq!(parse(named, 0, 1), Ok(expected));
        let quijote = "# Omega_m Omega_b h n_s sigma_8\n0.28 0.027 0.71 0.84 0.97\n";
        assert_eq!(parse(quijote, 0, 1), Ok(vec![(ScalarName::OmegaM, 0.28), (ScalarName::Sigma8, 0.97)]));
    }

    #[test]
    fn other_tables_are_refused() {
        for (text, cubes, problem) in [
            ("0.1 0.6\n0.309 0.979\n", 3, "has 2 rows, and the stack 3 cubes"),
            ("", 1, "has 0 rows"),
            ("LH_0 0.3 0.8\n", 1, "LH_0 is no omega_m"),
            ("0.3\n", 1, "no column sigma_8"),
            ("0.3 nan\n", 1, "nan is no sigma_8"),
            ("0.3,0.8\n", 1, "separated by blanks"),
            ("0.31 0.049 0.67 0.96 0.81\n", 1, "0.049 is no sigma_8 from 0.2"),
            ("#A_SN1 A_AGN1\n0.3 0.8\n", 1, "none that names all its 2 columns"),
            ("# Omega_m s8\n0.3 0.8\n", 1, "none that names all its 2 columns"),
            ("# columns: omega_m and sigma_8 are first\n0.3 0.8 1\n", 1, "none that names all its 3 columns"),
            ("# omega_m sigma_8 omega_m\n0.3 0.8 1\n", 1, "none that names"),
        ] {
            let error = parse(text, 0, cubes).unwrap_err();
            assert!(error.contains(problem), "{text:?}: {error}");
        }
    }
}
