//! The arrays of report.json as tables: one CSV file per statistic, numbers in full, gaps empty.

use crate::characters::no_formula;
use serde_json::{Value, json};

/// Name of a column and the path of its values in report.json: `*` goes through a list or the members of an
/// object in order, `@` too, for their names; `#` numbers a list; a list at the end is a column.
type Column = (&'static str, &'static str);

/// A table: its name, columns that number its rows, those of the report, and those of each member of a list.
/// There, `{}` in a name is the label of the member.
type Spec = (&'static str, &'static [Column], &'static [Column], &'static str, &'static [Column]);

const SHELLS: &[Column] = &[("k_h_mpc", "k_h_mpc"), ("modes", "modes")];
const BANDS: &[Column] = &[
    ("k_min_h_mpc", "bands/k_min_h_mpc"),
    ("k_max_h_mpc", "bands/k_max_h_mpc"),
    ("k_h_mpc", "bands/k_h_mpc"),
    ("modes", "bands/modes"),
];
const BAND_MEANS: &[Column] = &[
    ("ratio", "pooled/ratio/value"),
    ("ratio_standard_error", "pooled/ratio/standard_error"),
    ("transfer", "pooled/transfer/value"),
    ("transfer_standard_error", "pooled/transfer/standard_error"),
    ("cross_correlation", "pooled/cross_correlation/value"),
    ("cross_correlation_standard_error", "pooled/cross_correlation/standard_error"),
    ("log_power_ratio", "pooled/log_power_ratio/value"),
    ("log_power_ratio_standard_error", "pooled/log_power_ratio/standard_error"),
    ("truth_power_standard_error", "truth/band_power_standard_error"),
    ("sample_scatter_standard_error", "bands/sample_ratio_standard_error"),
    ("bootstrap_standard_error", "bands/sample_ratio_bootstrap_error"),
];
const CALIBRATION: &[Column] = &[
    ("pair_ratio", "pooled/pair_ratio/value"),
    ("pair_ratio_standard_error", "pooled/pair_ratio/standard_error"),
    ("r2", "calibration/r2"),
    ("log_with_truth", "calibration/log_with_truth"),
    ("log_among_samples", "calibration/log_among_samples"),
    ("log_agreement_ratio", "pooled/log_agreement_ratio/value"),
    ("log_agreement_ratio_standard_error", "pooled/log_agreement_ratio/standard_error"),
    ("spread_over_error", "calibration/spread_over_error"),
];
const ENVIRONMENTS: &[Column] = &[
    ("condition_from", "environments/condition_density/*/0"),
    ("condition_to", "environments/condition_density/*/1"),
    ("volume", "environments/volume"),
    ("mass_ratio", "pooled/environment_mass_ratio/value"),
    ("mass_ratio_standard_error", "pooled/environment_mass_ratio/standard_error"),
    ("log_density_excess", "environments/log_density_excess/value"),
    ("step_ratio", "pooled/environment_step_ratio/value"),
    ("step_ratio_standard_error", "pooled/environment_step_ratio/standard_error"),
    ("spread_over_error", "pooled/environment_spread_over_error/value"),
    ("spread_over_error_standard_error", "pooled/environment_spread_over_error/standard_error"),
];
const VARIANCE: &[Column] = &[
    ("octant_power_scatter", "baselines/cosmic_variance/octant_power_scatter"),
    ("box_power_scatter", "baselines/cosmic_variance/box_power_scatter"),
];
const MULTIPOLES: &[Column] = &[
    ("{} P0", "multipoles/monopole"),
    ("{} P2", "multipoles/quadrupole"),
    ("{} P4", "multipoles/hexadecapole"),
];
const PUBLISHED: &[Column] =
    &[("{} P", "band_power"), ("{} / truth", "over_truth"), ("{} / samples", "over_samples")];
const COMPANION: &[Column] = &[
    ("truth_correlation", "companion/truth_correlation"),
    ("correlation", "companion/mean_correlation"),
    ("correlation_ratio", "pooled/companion_correlation_ratio/value"),
    ("correlation_ratio_standard_error", "pooled/companion_correlation_ratio/standard_error"),
    ("power_ratio", "pooled/companion_power_ratio/value"),
    ("power_ratio_standard_error", "pooled/companion_power_ratio/standard_error"),
];
const RESPONSE: &[Column] = &[
    ("ratio", "pooled/response_ratio/value"),
    ("ratio_standard_error", "pooled/response_ratio/standard_error"),
];
const SCATTER: &[Column] = &[
    ("truth_scatter", "pooled/covariance/truth_scatter"),
    ("sample_scatter", "pooled/covariance/sample_scatter"),
    ("scatter_ratio", "pooled/covariance/scatter_ratio/value"),
    ("scatter_ratio_standard_error", "pooled/covariance/scatter_ratio/standard_error"),
];
const OVER: &[Column] = &[
    ("truth", "over/truth"),
    ("samples", "over/samples"),
    ("truth_correlation", "over/truth_correlation"),
    ("sample_correlation", "over/sample_correlation"),
];
const OVER_PUBLISHED: &[Column] = &[("{}", "ratio"), ("{} correlation", "correlation")];
const TRIANGLES: &[Column] = &[
    ("triangle", "truth/bispectrum/@/triangles"),
    ("k1_h_mpc", "truth/bispectrum/*/k_h_mpc/*/0"),
    ("k2_h_mpc", "truth/bispectrum/*/k_h_mpc/*/1"),
    ("k3_h_mpc", "truth/bispectrum/*/k_h_mpc/*/2"),
    ("triangles", "truth/bispectrum/*/triangles"),
];
const BISPECTRA: &[Column] = &[("{} B", "bispectrum/*/bispectrum"), ("{} Q", "bispectrum/*/reduced")];
const MINKOWSKI: &[Column] = &[
    ("{} V0", "minkowski/volume"),
    ("{} V1_h_mpc", "minkowski/area_h_mpc"),
    ("{} V2_h_mpc2", "minkowski/curvature_h_mpc2"),
    ("{} V3_h_mpc3", "minkowski/euler_h_mpc3"),
];
const SCATTERING: &[Column] =
    &[("{} deviation", "scattering/deviation"), ("{} sparsity", "scattering/sparsity")];
const GOALS: &[Column] = &[
    ("goal", "goals/*/key"),
    ("wanted", "goals/*/wanted"),
    ("found", "goals/*/found"),
    ("standard_error", "goals/*/standard_error"),
    ("low", "goals/*/interval/0"),
    ("high", "goals/*/interval/1"),
    ("at", "goals/*/at"),
    ("outcome", "goals/*/outcome"),
    ("note", "goals/*/note"),
];
const SEAMS: &[Column] = &[
    ("field", "tested/*/label"),
    ("gradient", "tested/*/seams/field/gradient/at_faces"),
    ("gradient_low", "tested/*/seams/field/gradient/expected/0"),
    ("gradient_high", "tested/*/seams/field/gradient/expected/1"),
    ("truth_gradient", "tested/*/seams/truth/gradient/at_faces"),
    ("truth_gradient_low", "tested/*/seams/truth/gradient/expected/0"),
    ("truth_gradient_high", "tested/*/seams/truth/gradient/expected/1"),
    ("variance", "tested/*/seams/field/variance/at_faces"),
    ("harmonics", "tested/*/seams/field/harmonics/at_faces"),
    ("seamless", "tested/*/seams/seamless"),
];

const TABLES: &[Spec] = &[
    ("power", SHELLS, &[], "fields", &[("{}", "power")]),
    ("ratio", SHELLS, &[], "fields", &[("{}", "ratio")]),
    ("transfer", SHELLS, &[], "fields", &[("{}", "transfer")]),
    ("cross_correlation", SHELLS, &[], "fields", &[("{}", "cross_correlation")]),
    ("bands", BANDS, BAND_MEANS, "", &[]),
    ("multipoles", BANDS, &[], "fields", MULTIPOLES),
    ("calibration", BANDS, CALIBRATION, "", &[]),
    ("ranks_voxels", RANKS[0], &[("count", "calibration/scores/0/ranks/counts")], "", &[]),
    ("ranks_blocks", RANKS[1], &[("count", "calibration/scores/1/ranks/counts")], "", &[]),
    ("cosmic_variance", BANDS, VARIANCE, "", &[]),
    ("published", BANDS, &[], "published", PUBLISHED),
    ("companion", BANDS, COMPANION, "", &[]),
    ("response", BANDS, RESPONSE, "fields", &[("{}", "response")]),
    ("scatter", BANDS, SCATTER, "", &[]),
    ("over", BANDS, OVER, "over_published", OVER_PUBLISHED),
    ("bispectrum", TRIANGLES, &[], "fields", BISPECTRA),
    ("pdf_voxels", PDF[0], &[], "fields", &[("{}", "densities/0/of_blocks/per_dex")]),
    ("pdf_blocks_2", PDF[1], &[], "fields", &[("{}", "densities/1/of_blocks/per_dex")]),
    ("pdf_blocks_4", PDF[2], &[], "fields", &[("{}", "densities/2/of_blocks/per_dex")]),
    ("percentiles_voxels", PERCENT[0], &[], "fields", &[("{}", "densities/0/of_blocks/percentiles")]),
    ("percentiles_blocks_2", PERCENT[1], &[], "fields", &[("{}", "densities/1/of_blocks/percentiles")]),
    ("percentiles_blocks_4", PERCENT[2], &[], "fields", &[("{}", "densities/2/of_blocks/percentiles")]),
    ("wasserstein", BLOCKS, &[], "fields", &[("{}", "densities/*/of_blocks/wasserstein")]),
    (
        "voids",
        &[("radius_mpc_h", "truth/voids/radius_mpc_h")],
        &[],
        "fields",
        &[("{}", "voids/density_h_mpc4")],
    ),
    ("peaks", &[("nu", "truth/peaks/nu")], &[], "fields", &[("{}", "peaks/density_h_mpc3")]),
    ("minkowski", &[("threshold", "truth/minkowski/thresholds")], &[], "fields", MINKOWSKI),
    ("scattering", &[("radius_mpc_h", "truth/scattering/radii_mpc_h")], &[], "fields", SCATTERING),
    ("environments", &[], ENVIRONMENTS, "", &[]),
    ("goals", &[], GOALS, "", &[]),
    ("seams", &[], SEAMS, "", &[]),
];
const RANKS: [&[Column]; 2] = [
    &[("samples_below_truth", "calibration/scores/0/ranks/counts/#")],
    &[("samples_below_truth", "calibration/scores/1/ranks/counts/#")],
];
const PDF: [&[Column]; 3] = [
    &[("log10_density", "truth/densities/0/of_blocks/log10_density")],
    &[("log10_density", "truth/densities/1/of_blocks/log10_density")],
    &[("log10_density", "truth/densities/2/of_blocks/log10_density")],
];
const PERCENT: [&[Column]; 3] = [
    &[("percent", "truth/densities/0/of_blocks/percents")],
    &[("percent", "truth/densities/1/of_blocks/percents")],
    &[("percent", "truth/densities/2/of_blocks/percents")],
];
const BLOCKS: &[Column] = &[("block", "truth/densities/*/block")];

/// The names of all tables that a comparison may have.
pub(crate) fn table_names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|spec| spec.0)
}

/// Name and content of all tables that have values, of the content of report.json.
pub(crate) fn tables(report: &Value) -> Vec<(&'static str, String)> {
    let of_one = [&report["truth"], &report["condition"]].into_iter();
    let baselines = ["matched_pdf", "independent_tiles"].map(|name| &report["baselines"][name]);
    let fields = of_one.chain(report["samples"].as_array().into_iter().flatten()).chain(baselines);
    let fields: Vec<&Value> = fields.filter(|field| field["label"].is_string()).collect();
    let tested: Vec<&&Value> = fields.iter().filter(|field| field["seams"]["field"].is_object()).collect();
    let lists = json!({
        "fields": fields,
        "tested": tested,
        "published": report["published"],
        "over_published": report["over"]["published"],
    });
    let find =
        |path: &str| if path.starts_with("tested/") { values(&lists, path) } else { values(report, path) };
    let made = TABLES.iter().map(|&(name, rows, columns, list, of_members)| {
        let of_report = columns.iter().map(|&(name, path)| (name.to_owned(), find(path)));
        let members = lists[list].as_array().into_iter().flatten();
        let of_members = members.flat_map(|member| {
            let label = member["label"].as_str().unwrap_or_default();
            of_members.iter().map(move |(name, path)| (name.replace("{}", label), values(member, path)))
        });
        let found: Vec<_> =
            of_report.chain(of_members).filter(|(_, values)| values.iter().any(|v| !v.is_null())).collect();
        let rows = rows.iter().map(|&(name, path)| (name.to_owned(), find(path)));
        (name, if found.is_empty() { None } else { Some(csv(&rows.chain(found).collect::<Vec<_>>())) })
    });
    made.filter_map(|(name, csv)| Some((name, csv?))).collect()
}

/// The values at a path; null for a member of a list that has none.
fn values(value: &Value, path: &str) -> Vec<Value> {
    let member = |name: &str| value.get(name).or_else(|| value.get(name.parse::<usize>().ok()?));
    let Some((first, rest)) = path.split_once('/') else {
        return match (path, member(path)) {
            ("#", _) => (0..value.as_array().map_or(0, Vec::len)).map(|row| json!(row)).collect(),
            (_, Some(Value::Array(values))) => values.clone(),
            (_, Some(value)) => vec![value.clone()],
            (_, None) => vec![],
        };
    };
    let members: Vec<(&str, &Value)> = match value {
        Value::Array(values) => values.iter().map(|value| ("", value)).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.as_str(), value)).collect(),
        _ => vec![],
    };
    match first {
        "*" => members.iter().flat_map(|(_, member)| or_null(values(member, rest))).collect(),
        "@" => {
            members.iter().flat_map(|(name, member)| vec![json!(name); values(member, rest).len()]).collect()
        }
        name => member(name).map_or(vec![], |member| values(member, rest)),
    }
}

fn or_null(values: Vec<Value>) -> Vec<Value> {
    if values.is_empty() { vec![Value::Null] } else { values }
}

fn csv(columns: &[(String, Vec<Value>)]) -> String {
    let quoted = |text: &str| {
        let is_plain = !text.contains([',', '"', '\n', '\r']);
        if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
    };
    let cell = |value: Option<&Value>| match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => quoted(&no_formula(text)),
        Some(Value::Number(number)) if number.is_f64() => number.as_f64().unwrap_or(f64::NAN).to_string(),
        Some(value) => value.to_string(),
    };
    let count = columns.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    let head: Vec<String> = columns.iter().map(|(name, _)| quoted(&no_formula(name))).collect();
    let row = |row: usize| columns.iter().map(|(_, values)| cell(values.get(row))).collect::<Vec<_>>();
    std::iter::once(head).chain((0..count).map(row)).map(|cells| cells.join(",") + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_empty_and_commas_are_quoted() {
        let columns =
            [("a,b".to_owned(), vec![json!(0.1), Value::Null]), ("c".to_owned(), vec![json!("say \"x\"")])];
        assert_eq!(csv(&columns), "\"a,b\",c\n0.1,\"say \"\"x\"\"\"\n,\n");
    }

    #[test]
    fn texts_are_no_formulas_and_numbers_stay_numbers() {
        let texts = ["=1+2", "-x", "a\rb"].map(|text| json!(text)).to_vec();
        let numbers = [-0.5, 1e-7, -2.0].map(|number| json!(number)).to_vec();
        let columns = [("=cmd|calc P".to_owned(), numbers), ("@note".to_owned(), texts)];
        assert_eq!(csv(&columns), "'=cmd|calc P,'@note\n-0.5,'=1+2\n0.0000001,'-x\n-2,\"a\rb\"\n");
    }

    #[test]
    fn paths_go_through_lists_and_objects() {
        let value = json!({"a": {"x": {"k": [[1, 2], [3, 4]]}, "y": {"k": [[5, 6]]}}, "b": [{"c": 1}, {}]});
        let found = |path| values(&value, path).iter().map(Value::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(found("a/*/k/*/1"), "2 4 6");
        assert_eq!(found("a/x/k/#"), "0 1");
        assert_eq!(found("a/@/k"), "\"x\" \"x\" \"y\"");
        assert_eq!(
            (found("b/*/c"), found("b/0/c"), found("nothing/c")),
            ("1 null".into(), "1".into(), "".into())
        );
    }
}
