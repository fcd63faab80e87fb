//! The statistics as tables: one CSV file per statistic, numbers in full, gaps empty.

use crate::Comparison;
use crate::characters::no_formula;
use crate::statistics::FieldStatistics;
use std::fmt::Write as _;

/// Columns of one length, each with its name.
pub(crate) struct Table {
    /// File name without ending.
    pub(crate) name: &'static str,
    columns: Vec<(String, Vec<String>)>,
}

impl Table {
    fn new(name: &'static str) -> Self {
        Self { name, columns: Vec::new() }
    }

    fn numbers(mut self, name: impl Into<String>, values: &[f64]) -> Self {
        let text = |v: &f64| if v.is_finite() { v.to_string() } else { String::new() };
        self.columns.push((name.into(), values.iter().map(text).collect()));
        self
    }

    fn counts(mut self, name: impl Into<String>, values: &[u64]) -> Self {
        self.columns.push((name.into(), values.iter().map(u64::to_string).collect()));
        self
    }

    fn texts(mut self, name: impl Into<String>, values: Vec<String>) -> Self {
        let values = values.iter().map(|text| no_formula(text).into_owned());
        self.columns.push((name.into(), values.collect()));
        self
    }

    /// A column per field that has the statistic, or none.
    fn fields(self, comparison: &Comparison, of: impl Fn(&FieldStatistics) -> Option<Vec<f64>>) -> Self {
        let found = fields(comparison).into_iter().filter_map(|f| Some((f.label.clone(), of(f)?)));
        found.fold(self, |table, (label, values)| table.numbers(label, &values))
    }

    /// The content of the file.
    pub(crate) fn csv(&self) -> String {
        let quoted = |text: &str| {
            if text.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", text.replace('"', "\"\""))
            } else {
                text.to_owned()
            }
        };
        let names: Vec<String> = self.columns.iter().map(|(name, _)| quoted(&no_formula(name))).collect();
        let mut csv = names.join(",") + "\n";
        let rows = self.columns.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        for row in 0..rows {
            let cells: Vec<String> = self
                .columns
                .iter()
                .map(|(_, values)| values.get(row).map_or(String::new(), |value| quoted(value)))
                .collect();
            writeln!(csv, "{}", cells.join(",")).expect("writing to a string");
        }
        csv
    }
}

fn fields(comparison: &Comparison) -> Vec<&FieldStatistics> {
    let baselines = &comparison.baselines;
    std::iter::once(&comparison.truth)
        .chain(&comparison.condition)
        .chain(&comparison.samples)
        .chain(baselines.matched_pdf.done())
        .chain(baselines.independent_tiles.done())
        .collect()
}

/// All tables that have a row.
pub(crate) fn tables(comparison: &Comparison) -> Vec<Table> {
    let mut tables = spectra(comparison);
    tables.extend(in_bands(comparison));
    tables.extend(beyond_power(comparison));
    tables.extend(judged(comparison));
    tables.retain(|table| table.columns.iter().any(|(_, values)| !values.is_empty()));
    tables
}

fn spectra(comparison: &Comparison) -> Vec<Table> {
    let table =
        |name| Table::new(name).numbers("k_h_mpc", &comparison.k_h_mpc).counts("modes", &comparison.modes);
    vec![
        table("power").fields(comparison, |f| Some(f.power.clone())),
        table("ratio").fields(comparison, |f| Some(f.against_truth.as_ref()?.ratio.clone())),
        table("transfer").fields(comparison, |f| Some(f.against_truth.as_ref()?.transfer.clone())),
        table("cross_correlation")
            .fields(comparison, |f| Some(f.against_truth.as_ref()?.cross_correlation.clone())),
    ]
}

fn in_bands(comparison: &Comparison) -> Vec<Table> {
    let (bands, pooled) = (&comparison.bands, &comparison.pooled);
    let table = |name| {
        Table::new(name)
            .numbers("k_min_h_mpc", &bands.k_min_h_mpc)
            .numbers("k_max_h_mpc", &bands.k_max_h_mpc)
            .numbers("k_h_mpc", &bands.k_h_mpc)
            .counts("modes", &bands.modes)
    };
    let multipoles =
        fields(comparison).into_iter().filter_map(|f| Some((&f.label, f.beyond_power.as_ref()?)));
    let multipoles = multipoles.fold(table("multipoles"), |table, (label, beyond)| {
        table
            .numbers(format!("{label} P0"), &beyond.multipoles.monopole)
            .numbers(format!("{label} P2"), &beyond.multipoles.quadrupole)
            .numbers(format!("{label} P4"), &beyond.multipoles.hexadecapole)
    });
    let mut found = vec![
        table("bands")
            .numbers("ratio", &pooled.ratio.value)
            .numbers("ratio_standard_error", &pooled.ratio.standard_error)
            .numbers("transfer", &pooled.transfer.value)
            .numbers("transfer_standard_error", &pooled.transfer.standard_error)
            .numbers("cross_correlation", &pooled.cross_correlation.value)
            .numbers("cross_correlation_standard_error", &pooled.cross_correlation.standard_error)
            .numbers("log_power_ratio", &pooled.log_power_ratio.value)
            .numbers("log_power_ratio_standard_error", &pooled.log_power_ratio.standard_error)
            .numbers("truth_power_standard_error", &comparison.truth.band_power_standard_error)
            .numbers("sample_scatter_standard_error", &bands.sample_ratio_standard_error)
            .numbers("bootstrap_standard_error", &bands.sample_ratio_bootstrap_error),
        multipoles,
    ];
    if let Some(calibration) = comparison.calibration.done() {
        found.push(
            table("calibration")
                .numbers("pair_ratio", &pooled.pair_ratio.value)
                .numbers("pair_ratio_standard_error", &pooled.pair_ratio.standard_error)
                .numbers("r2", &calibration.r2)
                .numbers("spread_over_error", &calibration.spread_over_error),
        );
        for scores in &calibration.scores {
            let Some(ranks) = scores.ranks.done() else { continue };
            let name = if scores.block == 1 { "ranks_voxels" } else { "ranks_blocks" };
            let rank: Vec<u64> = (0..ranks.counts.len() as u64).collect();
            found.push(Table::new(name).counts("samples_below_truth", &rank).counts("count", &ranks.counts));
        }
    }
    if let Some(variance) = comparison.baselines.cosmic_variance.done() {
        found.push(
            table("cosmic_variance")
                .numbers("octant_power_scatter", &variance.octant_power_scatter)
                .numbers("box_power_scatter", &variance.box_power_scatter),
        );
    }
    if !comparison.published.is_empty() {
        found.push(comparison.published.iter().fold(table("published"), |table, published| {
            let label = &published.spectrum.label;
            table
                .numbers(format!("{label} P"), &published.band_power)
                .numbers(format!("truth / {label}"), &published.truth_ratio)
                .numbers(format!("samples / {label}"), &published.sample_ratio)
        }));
    }
    found
}

fn beyond_power(comparison: &Comparison) -> Vec<Table> {
    let Some(truth) = &comparison.truth.beyond_power else { return Vec::new() };
    let mut found = Vec::new();
    if let Some(bispectra) = truth.bispectrum.done() {
        let mut table = Table::new("bispectrum");
        let families =
            |b: &crate::Bispectra| [b.equilateral.clone(), b.isosceles.clone(), b.squeezed.clone()];
        let all = families(bispectra);
        let names = all.iter().zip(["equilateral", "isosceles", "squeezed"]);
        let names = names.flat_map(|(part, name)| vec![name.to_owned(); part.k_h_mpc.len()]).collect();
        table = table.texts("triangle", names);
        for side in 0..3 {
            let sides: Vec<f64> = all.iter().flat_map(|part| part.k_h_mpc.iter().map(|k| k[side])).collect();
            table = table.numbers(format!("k{}_h_mpc", side + 1), &sides);
        }
        let counts: Vec<u64> = all.iter().flat_map(|part| part.triangles.clone()).collect();
        table = table.counts("triangles", &counts);
        for field in fields(comparison) {
            let Some(mine) = field.beyond_power.as_ref().and_then(|b| b.bispectrum.done()) else { continue };
            let mine = families(mine);
            let values = |of: fn(&finescale_spectra::Bispectrum) -> &Vec<f64>| -> Vec<f64> {
                mine.iter().flat_map(|part| of(part).clone()).collect()
            };
            table = table
                .numbers(format!("{} B", field.label), &values(|b| &b.bispectrum))
                .numbers(format!("{} Q", field.label), &values(|b| &b.reduced));
        }
        found.push(table);
    }
    let (low, high, bins) = crate::statistics::PDF_RANGE;
    let centres: Vec<f64> =
        (0..bins).map(|bin| low + (bin as f64 + 0.5) * (high - low) / bins as f64).collect();
    for (index, name) in ["pdf_voxels", "pdf_blocks_2", "pdf_blocks_4"].into_iter().enumerate() {
        let of = |f: &FieldStatistics| {
            Some(f.beyond_power.as_ref()?.densities[index].of_blocks.done()?.per_dex.clone())
        };
        found.push(Table::new(name).numbers("log10_density", &centres).fields(comparison, of));
    }
    let mut densities = Table::new("percentiles");
    let measured: Vec<_> =
        truth.densities.iter().enumerate().filter(|(_, d)| d.of_blocks.done().is_some()).collect();
    let per = crate::beyond_power::PERCENTS;
    let blocks: Vec<u64> = measured.iter().flat_map(|(_, d)| vec![d.block as u64; per.len()]).collect();
    let percents: Vec<f64> = measured.iter().flat_map(|_| per).collect();
    densities = densities.counts("block", &blocks).numbers("percent", &percents);
    densities = densities.fields(comparison, |f| {
        let beyond = f.beyond_power.as_ref()?;
        let of = |index: usize| Some(beyond.densities[index].of_blocks.done()?.percentiles.clone());
        measured.iter().map(|&(index, _)| of(index)).collect::<Option<Vec<_>>>().map(|all| all.concat())
    });
    found.push(densities);
    let sizes: Vec<u64> = truth.densities.iter().map(|densities| densities.block as u64).collect();
    found.push(Table::new("wasserstein").counts("block", &sizes).fields(comparison, |f| {
        let beyond = f.beyond_power.as_ref()?;
        let of = |d: &crate::Densities| d.of_blocks.done().and_then(|d| d.wasserstein).unwrap_or(f64::NAN);
        f.against_truth.as_ref().map(|_| beyond.densities.iter().map(of).collect())
    }));
    if let Some(voids) = truth.voids.done() {
        let of = |f: &FieldStatistics| Some(f.beyond_power.as_ref()?.voids.done()?.density_h_mpc4.clone());
        found.push(Table::new("voids").numbers("radius_mpc_h", &voids.radius_mpc_h).fields(comparison, of));
    }
    if let Some(peaks) = truth.peaks.done() {
        let of = |f: &FieldStatistics| Some(f.beyond_power.as_ref()?.peaks.done()?.density_h_mpc3.clone());
        found.push(Table::new("peaks").numbers("nu", &peaks.nu).fields(comparison, of));
    }
    if let Some(minkowski) = truth.minkowski.done() {
        let mut table = Table::new("minkowski").numbers("threshold", &minkowski.thresholds);
        for field in fields(comparison) {
            let Some(mine) = field.beyond_power.as_ref().and_then(|b| b.minkowski.done()) else { continue };
            table = table
                .numbers(format!("{} V0", field.label), &mine.volume)
                .numbers(format!("{} V1_h_mpc", field.label), &mine.area_h_mpc)
                .numbers(format!("{} V2_h_mpc2", field.label), &mine.curvature_h_mpc2)
                .numbers(format!("{} V3_h_mpc3", field.label), &mine.euler_h_mpc3);
        }
        found.push(table);
    }
    if let Some(scattering) = truth.scattering.done() {
        let mut table = Table::new("scattering").numbers("radius_mpc_h", &scattering.radii_mpc_h);
        for field in fields(comparison) {
            let Some(mine) = field.beyond_power.as_ref().and_then(|b| b.scattering.done()) else { continue };
            table = table
                .numbers(format!("{} deviation", field.label), &mine.deviation)
                .numbers(format!("{} sparsity", field.label), &mine.sparsity);
        }
        found.push(table);
    }
    found
}

fn judged(comparison: &Comparison) -> Vec<Table> {
    let goals = &comparison.goals;
    let optional = |of: fn(&crate::Judgement) -> Option<f64>| -> Vec<f64> {
        goals.iter().map(|goal| of(goal).unwrap_or(f64::NAN)).collect()
    };
    let texts = |of: &dyn Fn(&crate::Judgement) -> String| goals.iter().map(of).collect::<Vec<_>>();
    let goals = Table::new("goals")
        .texts("goal", texts(&|goal| goal.key.to_owned()))
        .numbers("wanted", &goals.iter().map(|goal| goal.wanted).collect::<Vec<_>>())
        .numbers("found", &optional(|goal| goal.found))
        .numbers("standard_error", &optional(|goal| goal.standard_error))
        .numbers("at_k_h_mpc", &optional(|goal| goal.at_k_h_mpc))
        .numbers("excess", &optional(|goal| goal.excess))
        .texts("outcome", texts(&|goal| goal.outcome.name().to_owned()))
        .texts("note", texts(&|goal| goal.note.clone().unwrap_or_default()));
    let tested: Vec<_> = fields(comparison)
        .into_iter()
        .filter_map(|f| Some((&f.label, f.against_truth.as_ref()?.seams.done()?)))
        .collect();
    let numbers =
        |of: fn(&crate::SeamTest) -> f64| tested.iter().map(|(_, test)| of(test)).collect::<Vec<_>>();
    let seams = Table::new("seams")
        .texts("field", tested.iter().map(|(label, _)| (*label).clone()).collect())
        .numbers("gradient", &numbers(|test| test.field.gradient.at_faces))
        .numbers("gradient_low", &numbers(|test| test.field.gradient.expected[0]))
        .numbers("gradient_high", &numbers(|test| test.field.gradient.expected[1]))
        .numbers("truth_gradient", &numbers(|test| test.truth.gradient.at_faces))
        .numbers("truth_gradient_low", &numbers(|test| test.truth.gradient.expected[0]))
        .numbers("truth_gradient_high", &numbers(|test| test.truth.gradient.expected[1]))
        .numbers("variance", &numbers(|test| test.field.variance.at_faces))
        .numbers("harmonics", &numbers(|test| test.field.harmonics.as_ref().map_or(f64::NAN, |h| h.at_faces)))
        .texts("seamless", tested.iter().map(|(_, test)| test.seamless.to_string()).collect());
    vec![goals, seams]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_empty_and_commas_are_quoted() {
        let table = Table::new("x").numbers("a,b", &[0.1, f64::NAN]).texts("c", vec!["say \"x\"".to_owned()]);
        assert_eq!(table.csv(), "\"a,b\",c\n0.1,\"say \"\"x\"\"\"\n,\n");
    }

    #[test]
    fn texts_are_no_formulas_and_numbers_stay_numbers() {
        let texts = ["=1+2", "-x", "a\rb"].map(str::to_owned).to_vec();
        let table = Table::new("x").numbers("=cmd|calc P", &[-0.5, 1e-7, -2.0]).texts("@note", texts);
        assert_eq!(table.csv(), "'=cmd|calc P,'@note\n-0.5,'=1+2\n0.0000001,'-x\n-2,\"a\rb\"\n");
    }
}
