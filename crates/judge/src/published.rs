//! Power spectra that others published.

use crate::FieldStatistics;
use crate::JudgeError;
use crate::Measurements;
use crate::estimate::{mean_of, ratios};
use serde::Serialize;
use std::path::Path;

/// A power spectrum from a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PublishedSpectrum {
    /// Its name in the report.
    pub label: String,
    /// k in h/Mpc, rising.
    pub k_h_mpc: Vec<f64>,
    /// P in (Mpc/h)³.
    pub power: Vec<f64>,
}

/// Two published spectra, such as those of gas and of dark matter, that stand beside the fields over that of another one.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedPair {
    /// Its name in the report.
    pub label: String,
    /// What is divided.
    pub above: PublishedSpectrum,
    /// What it is divided by.
    pub below: PublishedSpectrum,
    /// Their cross power, where that is published.
    pub cross: Option<PublishedSpectrum>,
}

impl PublishedPair {
    /// Two spectra of unknown cross power.
    #[must_use]
    pub fn new(above: PublishedSpectrum, below: PublishedSpectrum) -> Self {
        Self { label: format!("{} / {}", above.label, below.label), above, below, cross: None }
    }
}

/// A published spectrum beside the fields, by band; null where the table does not reach.
#[derive(Clone, Debug, Serialize)]
pub struct PublishedComparison {
    /// The table.
    #[serde(flatten)]
    pub spectrum: PublishedSpectrum,
    /// Its power in the bands, in (Mpc/h)³: the mean over the modes of the shells whose mean k lies in a band and in the table.
    pub band_power: Vec<f64>,
    /// Whether the fields' power beside it has no window of the mass assignment either: true if all fields say theirs.
    pub window_divided_out: bool,
    /// It over P of the truth, by band, in the same shells.
    pub over_truth: Vec<f64>,
    /// It over the mean P of the samples.
    pub over_samples: Vec<f64>,
}

impl PublishedSpectrum {
    /// Reads a table of two columns, k in h/Mpc and P in (Mpc/h)³, separated by blanks or commas. `#` begins
    /// a comment, further columns are left out. Or one of `finescale spectrum`, whose columns have names.
    ///
    /// # Errors
    /// [`JudgeError::Table`] names the line and the remedy.
    pub fn parse(label: impl Into<String>, path: &Path, text: &str) -> Result<Self, JudgeError> {
        let bad = |line: usize, detail: String| JudgeError::Table { path: path.to_owned(), line, detail };
        let (mut k_h_mpc, mut power): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
        let mut of_k_and_p = [0, 1];
        for (number, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line)) {
            let content = line.split('#').next().unwrap_or_default();
            let columns = content.split([' ', '\t', ',', ';', '\r']).filter(|column| !column.is_empty());
            let columns: Vec<&str> = columns.collect();
            if columns.is_empty() {
                continue;
            }
            if mixes_separators(content) {
                let detail = format!("`{}` has columns between different separators", content.trim());
                return Err(bad(number, format!("{detail}: are these decimal commas? write decimal points")));
            }
            if let Some(named) = own_columns(&columns) {
                of_k_and_p = named;
                continue;
            }
            let [first, second] = of_k_and_p.map(|column| columns.get(column));
            let first = first.expect("the first column");
            let second =
                second.ok_or_else(|| bad(number, format!("`{}` has too few columns", content.trim())))?;
            let value = |text: &str| -> Result<f64, JudgeError> {
                let value = text.parse::<f64>().map_err(|_| {
                    bad(number, format!("`{text}` is no number; begin a line of names with #"))
                })?;
                if value.is_finite() && value > 0.0 {
                    return Ok(value);
                }
                Err(bad(number, format!("`{text}` is not positive; give k and P, not their logarithms")))
            };
            let (k, p) = (value(first)?, value(second)?);
            if k_h_mpc.last().is_some_and(|&last| k <= last) {
                return Err(bad(number, format!("k = {k} does not rise; sort the table by k")));
            }
            k_h_mpc.push(k);
            power.push(p);
        }
        if k_h_mpc.len() < 2 {
            let lines = text.lines().count();
            return Err(bad(lines, format!("{} rows of numbers, and two are the least", k_h_mpc.len())));
        }
        Ok(Self { label: label.into(), k_h_mpc, power })
    }

    /// P at `k_h_mpc`, straight between the neighbours in the logarithms; NaN outside of the table.
    #[must_use]
    pub fn at(&self, k_h_mpc: f64) -> f64 {
        let above = self.k_h_mpc.partition_point(|&k| k < k_h_mpc);
        if above == 0 && self.k_h_mpc[0] == k_h_mpc {
            return self.power[0];
        }
        if above == 0 || above == self.k_h_mpc.len() {
            return f64::NAN;
        }
        let (k, p) = (&self.k_h_mpc[above - 1..=above], &self.power[above - 1..=above]);
        let part = (k_h_mpc / k[0]).ln() / (k[1] / k[0]).ln();
        p[0] * (p[1] / p[0]).powf(part)
    }
}

/// Whether columns are separated by commas here and by something else there, as where a comma is a decimal one.
fn mixes_separators(line: &str) -> bool {
    let is_separator = |c: char| [' ', '\t', ',', ';', '\r'].contains(&c);
    let gaps = line.trim_matches(is_separator).split(|c| !is_separator(c)).filter(|gap| !gap.is_empty());
    let mut kinds = gaps.map(|gap| gap.trim());
    let first = kinds.next();
    kinds.any(|kind| Some(kind) != first)
}

/// Where k and P are, if these are the names in a table of `finescale spectrum`.
fn own_columns(names: &[&str]) -> Option<[usize; 2]> {
    let at = |wanted: &str| names.iter().position(|name| *name == wanted);
    Some([at("k_h_mpc")?, at("power_mpc_h3")?]).filter(|[k, _]| *k == 0)
}

impl PublishedComparison {
    /// Beside the power of the truth and the mean of the samples', without windows where all fields say theirs.
    pub(crate) fn new(spectrum: PublishedSpectrum, measured: &Measurements) -> Self {
        let window_divided_out = measured.know_windows();
        let table = Power::of_table(&spectrum, measured);
        let of = |field: &FieldStatistics| Power::of_field(field, window_divided_out);
        let in_bands = |power: &Power| in_bands(measured, &table.shells, power);
        let of_samples: Vec<Power> = measured.samples.iter().map(of).collect();
        let band_power = in_bands(&table);
        Self {
            over_truth: ratios(&band_power, &in_bands(&of(&measured.truth))),
            over_samples: ratios(&band_power, &in_bands(&Power::mean(&of_samples))),
            window_divided_out,
            band_power,
            spectrum,
        }
    }
}

/// The power of something in shells and in bands.
#[derive(Clone, Debug)]
pub(crate) struct Power {
    pub(crate) shells: Vec<f64>,
    pub(crate) bands: Vec<f64>,
}

impl Power {
    pub(crate) fn of_field(field: &FieldStatistics, window_divided_out: bool) -> Self {
        let [shells, bands] = match window_divided_out {
            true => [&field.power_without_window, &field.band_power_without_window],
            false => [&field.power, &field.band_power],
        };
        Self { shells: shells.clone(), bands: bands.clone() }
    }

    /// At the mean k of shells and bands.
    pub(crate) fn of_table(spectrum: &PublishedSpectrum, measured: &Measurements) -> Self {
        let at = |k: &[f64]| k.iter().map(|&k| spectrum.at(k)).collect();
        Self { shells: at(&measured.k_h_mpc), bands: at(&measured.bands.k_h_mpc) }
    }

    pub(crate) fn mean(all: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> &Vec<f64>| mean_of(all.iter().map(|power| of(power).as_slice()));
        Self { shells: mean(|power| &power.shells), bands: mean(|power| &power.bands) }
    }
}

/// The mean of `power` over the modes of the shells in each band that `table` reaches: where a spectrum is steep, that is not
/// the power at the mean k of a band. Of a band between two shells, its own power.
pub(crate) fn in_bands(measured: &Measurements, table: &[f64], power: &Power) -> Vec<f64> {
    let bands = &measured.bands;
    let of_band = |band: usize| {
        let in_band = |shell: &usize| {
            let k = measured.k_h_mpc[*shell];
            bands.k_min_h_mpc[band] <= k && k < bands.k_max_h_mpc[band]
        };
        let shells: Vec<usize> = (0..table.len()).filter(in_band).collect();
        if shells.is_empty() {
            return power.bands[band];
        }
        let reached = shells.into_iter().filter(|&shell| table[shell].is_finite());
        let (sum, modes) = reached.fold((0.0, 0.0), |(sum, modes), shell| {
            let of_shell = measured.modes[shell] as f64;
            (sum + of_shell * power.shells[shell], modes + of_shell)
        });
        sum / modes
    };
    (0..bands.modes.len()).map(of_band).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_commas_are_refused() {
        let parse =
            |text: &str| PublishedSpectrum::parse("a", "a.csv".as_ref(), text).map(|found| found.power);
        for wrong in ["1,1260;888,1\n2,1;9,1", "1,5 888,1\n2,5 9,1", "1,5\t8\n2,5\t9"] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.contains("line 1") && error.contains("decimal points"), "{error}");
        }
        for right in [
            "1,2\n2,3",
            "1;2;9\n2;3;9",
            "1, 2\n2, 3",
            "1 2\n2   3",
            " 1\t2 # a, b; c\n2\t3\n",
            "1,2\r\n2,3\r\n",
        ] {
            assert_eq!(parse(right).unwrap(), [2.0, 3.0], "{right:?}");
        }
    }

    fn parse(text: &str) -> Result<PublishedSpectrum, JudgeError> {
        PublishedSpectrum::parse("tng", Path::new("pk.txt"), text)
    }

    #[test]
    fn tables_are_read_and_power_laws_are_straight() {
        let found = parse("# k P\n0.1 1000 5\n\n1.0,10 # end\r\n10\t0.1\n").unwrap();
        assert_eq!((found.k_h_mpc.len(), found.power[1]), (3, 10.0));
        assert!((found.at(0.1f64.sqrt()) / 100.0 - 1.0).abs() < 1e-12);
        assert_eq!((found.at(0.1), found.at(10.0)), (1000.0, 0.1));
        assert!(found.at(0.09).is_nan() && found.at(10.1).is_nan());
    }

    #[test]
    fn tables_of_our_own_are_read_by_their_names() {
        let found =
            parse("k_h_mpc,modes,power_mpc_h3,cross_correlation\n0.1,9,1000,0.5\n1.0,81,10,\n").unwrap();
        assert_eq!((found.k_h_mpc, found.power), (vec![0.1, 1.0], vec![1000.0, 10.0]));
        let error = parse("k_h_mpc,modes,power_mpc_h3\n0.1,9\n").unwrap_err().to_string();
        assert!(error.contains("line 2: `0.1,9` has too few columns"), "{error}");
    }

    #[test]
    fn what_is_wrong_with_a_table_is_said_by_line() {
        for (text, words) in [
            ("k P\n0.1 3\n", "pk.txt, line 1: `k` is no number"),
            ("0.1 3\n0.2\n", "line 2: `0.2` has too few columns"),
            ("0.2 3\n0.1 3\n", "line 2: k = 0.1 does not rise"),
            ("-1 3\n0.1 3\n", "line 1: `-1` is not positive"),
            ("# nothing\n0.1 3\n", "1 rows of numbers"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("k in h/Mpc"), "{error}");
        }
    }
}
