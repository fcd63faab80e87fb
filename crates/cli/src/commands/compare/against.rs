//! `--against`: a simulation's own spectra beside the fields, and what differs by construction.

use crate::failure::bad_input;
use crate::inputs::{BoxInputs, Input, SAME_PARAMETER};
use finescale_field::ScalarName;
use finescale_judge::{Against, Tng300};
use finescale_pairs::DataKind;

/// A simulation whose spectra ship with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Simulation {
    /// IllustrisTNG, TNG300-1: 205 Mpc/h
    Tng300,
}

const BARYONS: [&str; 2] = ["gas", "baryons"];
const DARK_MATTER: &str = "dm";
const UNKNOWN: &str = "unknown";
/// Redshifts that two decimals do not tell apart.
const SHOWN_ALIKE: f64 = 0.005;

/// The spectra of TNG300-1 at the redshift of a box, and in what the box differs from it.
/// A warning of fields that are no gas, or no dark matter, is added to `notes`.
///
/// # Errors
/// If nobody says the redshift of the truth, or the spectra are not known there.
pub(crate) fn beside_tng300(
    of_box: &BoxInputs,
    over: Option<&Input>,
    notes: &mut Vec<String>,
) -> anyhow::Result<(Against, Tng300)> {
    let spectra = spectra_of(&of_box.truth)?;
    notes.extend(other_kinds(&of_box.truth, over).into_iter().map(|note| format!("--against: {note}")));
    let differences = [
        redshift(&of_box.truth, &spectra),
        Some(box_size(&of_box.truth)),
        Some(baryons(&of_box.truth)),
        Some(physics(&of_box.truth)),
        over.map(|over| resolution(over, of_box.condition.as_ref())),
        Some(cosmology(&of_box.truth)),
        redshift_space(&of_box.truth),
    ];
    Ok((Against::tng300(&spectra, differences.into_iter().flatten().collect()), spectra))
}

/// TNG300-1 at the redshift of the truth.
fn spectra_of(truth: &Input) -> anyhow::Result<Tng300> {
    let (path, redshift) = (truth.path.display(), truth.meta.scalar(ScalarName::Redshift));
    let is_bare = truth.is_bare_cube()?;
    let redshift = redshift.filter(|_| !is_bare).ok_or_else(|| {
        bad_input(format!(
            "--against tng300: {path} does not say its redshift; a grid file does (`finescale grid {path} --scalar redshift=Z \
             -o truth.hdf5` makes one)"
        ))
    })?;
    Tng300::at(redshift).ok_or_else(|| {
        let [first, last] = Tng300::redshifts();
        bad_input(format!(
            "--against tng300: {path} is at redshift {redshift:.2}, and the spectra of {} are known from {first} to {last}; \
             leave --against out, or draw other ones in with --truth-spectrum",
            Tng300::NAME
        ))
    })
}

/// Fields that TNG's are not spectra of.
fn other_kinds(truth: &Input, over: Option<&Input>) -> Vec<String> {
    let mut notes = Vec::new();
    let is_other = |input: &Input, kinds: &[&str]| {
        let quantity = input.meta.quantity.as_str();
        quantity != UNKNOWN && !kinds.contains(&quantity)
    };
    if is_other(truth, &BARYONS) {
        notes.push(format!(
            "{} holds {}, and the power of {} that is drawn beside it is that of baryons",
            truth.path.display(),
            truth.meta.quantity,
            Tng300::NAME
        ));
    }
    if let Some(over) = over.filter(|over| is_other(over, &[DARK_MATTER])) {
        notes.push(format!(
            "{} holds {}, and what is drawn of {} beside it is over its dark matter and correlated with that",
            over.path.display(),
            over.meta.quantity,
            Tng300::NAME
        ));
    }
    notes
}

/// At which redshift the spectra are, if that is not the truth's own, or none of the table.
fn redshift(truth: &Input, spectra: &Tng300) -> Option<String> {
    let own = truth.meta.redshift;
    if let Some([low, high]) = spectra.between {
        return Some(format!(
            "at z = {own:.2} its spectra are not published: they are interpolated between z = {low} and {high}, ln P linearly \
             in ln(1 + z), which may be off by some 10 % in P and in P_b/P_dm and by some 0.01 in r"
        ));
    }
    let is_said = (own - spectra.redshift).abs() > SHOWN_ALIKE;
    is_said
        .then(|| format!("its spectra are those of z = {}, the fields are at z = {own:.2}", spectra.redshift))
}

/// What long waves do to spectra of one box.
fn box_size(truth: &Input) -> String {
    let sides = truth.grid.box_size_mpc_h();
    let shortest = sides.into_iter().fold(f64::INFINITY, f64::min);
    let shortest = (10.0 * shortest).round() / 10.0;
    format!(
        "it is one box of {} Mpc/h, one realisation, and the box here, of {shortest} Mpc/h, has long waves of its own and none \
         beyond its size: P differs by chance, at low k by few waves and at high k by few clusters, while ratios and r differ \
         less",
        Tng300::BOX_SIZE_MPC_H
    )
}

/// What its baryons are beside the truth's.
fn baryons(truth: &Input) -> String {
    let what = match truth.meta.quantity.as_str() {
        "gas" => "the truth here is gas alone, without the stars, which lie in the densest places and raise P_b at small scales".to_owned(),
        UNKNOWN => format!("{} does not say what it holds", truth.path.display()),
        other => format!("the truth here is {other}"),
    };
    format!("its baryons are gas, stars and black holes together, and {what}")
}

/// What moves its baryons, and what made the truth.
fn physics(truth: &Input) -> String {
    let what = match DataKind::from_provenance(&truth.meta.provenance) {
        DataKind::Mock => "the truth here is mock gas, which follows a recipe and has none of these",
        DataKind::Real => "the truth here has the physics of its own simulation",
        DataKind::Unknown => "the truth here does not say what made it",
    };
    format!(
        "its gas cools, forms stars and is driven out by supernovae and black holes (AGN feedback); {what}"
    )
}

/// What the resolution of the dark matter does.
fn resolution(over: &Input, condition: Option<&Input>) -> String {
    let own = if condition.is_some_and(|condition| condition.sha256 == over.sha256) {
        "the field of --over is the condition, of low resolution, which lacks power at small scales: P/P_dm is too large \
         there and r too small by that alone"
    } else {
        "where the field of --over is of lower resolution, or from a run without baryons, P/P_dm and r differ by that alone"
    };
    format!("its dark matter is of the same run and resolution as its baryons (2500³ particles); {own}")
}

/// Its universe beside the truth's.
fn cosmology(truth: &Input) -> String {
    let pairs = Tng300::COSMOLOGY.parameters().into_iter().zip(truth.meta.cosmology.parameters());
    let known = pairs.filter_map(|((name, its), (_, own))| Some((name, its?, own?)));
    let known: Vec<(&str, f64, f64)> = known.collect();
    let names = |found: &[(&str, f64, f64)]| {
        found.iter().map(|(name, _, own)| format!("{name} {own}")).collect::<Vec<_>>().join(", ")
    };
    let (same, other): (Vec<_>, Vec<_>) =
        known.iter().copied().partition(|(_, its, own)| (its - own).abs() <= SAME_PARAMETER);
    match (same.is_empty(), other.is_empty()) {
        (true, true) => {
            let its = Tng300::COSMOLOGY.parameters().into_iter();
            let its: Vec<_> = its.filter_map(|(name, its)| Some(format!("{name} {}", its?))).collect();
            format!("its cosmology is {}; {} does not say its own", its.join(", "), truth.path.display())
        }
        (_, true) => {
            format!("its cosmology is that of the fields, as far as they say theirs ({})", names(&same))
        }
        (_, false) => {
            let numbers = other.iter().map(|(name, its, own)| format!("{name} {its} there and {own} here"));
            format!("its cosmology differs: {}", numbers.collect::<Vec<_>>().join(", "))
        }
    }
}

/// That the truth is seen along an axis, if it is.
fn redshift_space(truth: &Input) -> Option<String> {
    let axis = truth.meta.redshift_space.as_ref()?;
    Some(format!("its spectra are of real space, and the fields are in redshift space along {axis}"))
}
