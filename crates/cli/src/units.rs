//! Snapshots, opened with the units that somebody says in the place of theirs.

use crate::context::Context;
use anyhow::Context as _;
use clap::Args;
use finescale_snapshot::{GivenUnit, GivenUnits, Particles, Snapshot};
use std::path::Path;

/// Less dark matter of low resolution than this is not worth a word.
const LEAST_SHARE: f64 = 1e-3;

/// Units of snapshots that do not say theirs, or say them wrongly.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct UnitOptions {
    /// Unit of length of a snapshot, in the place of what it says: pc/h, kpc/h, Mpc/h, the same without /h (then the
    /// snapshot's h converts them), or a number of Mpc/h
    #[arg(long, value_name = "UNIT", value_parser = length)]
    unit_length: Option<GivenUnit>,
    /// Unit of mass of a snapshot, in the place of what it says: Msun/h, Msun, or a number of 1e10 Msun/h
    #[arg(long, value_name = "UNIT", value_parser = mass)]
    unit_mass: Option<GivenUnit>,
}

impl UnitOptions {
    /// Whether anything is said.
    pub(crate) fn is_said(&self) -> bool {
        self.unit_length.is_some() || self.unit_mass.is_some()
    }

    /// Opens a snapshot, and tells what was assumed.
    pub(crate) fn open(&self, context: &Context, path: &Path) -> anyhow::Result<Snapshot> {
        self.open_some(context, path, None)
    }

    /// The same of some files of a set only.
    pub(crate) fn open_some(
        &self,
        context: &Context,
        path: &Path,
        files: Option<&[usize]>,
    ) -> anyhow::Result<Snapshot> {
        let snapshot = Snapshot::open_in(path, self.given(), files)?;
        let warnings = snapshot.header().warnings();
        warnings.iter().for_each(|text| context.warn(format_args!("{}: {text}", path.display())));
        Ok(snapshot)
    }

    fn given(&self) -> GivenUnits {
        GivenUnits { length: self.unit_length, mass: self.unit_mass }
    }
}

/// Warns if there is dark matter of lower resolution beside what is taken for all of it.
pub(crate) fn warn_of_matter_left_out(
    context: &Context,
    path: &Path,
    snapshot: &Snapshot,
    particles: &Particles,
) -> anyhow::Result<()> {
    warn_of_missing_types(context, path, &snapshot.header().counts, particles);
    if particles.types() != [1] {
        return Ok(());
    }
    let share = snapshot.dark_matter_of_low_resolution().context("reading a snapshot")?;
    if let Some(share) = share.filter(|share| *share > LEAST_SHARE) {
        context.warn(format_args!(
            "{}: {:.1} % of its dark matter's mass is of lower resolution, in PartType2 and 3, and left out by dm: \
             `grid` and `spectrum` take it all with --particles 1,2,3",
            path.display(),
            100.0 * share
        ));
    }
    Ok(())
}

/// Tells of types that are asked for by name or number, and of which there are no particles.
fn warn_of_missing_types(context: &Context, path: &Path, counts: &[u64], particles: &Particles) {
    if *particles == Particles::matter() {
        return;
    }
    let is_missing = |kind: &&usize| counts.get(**kind).is_none_or(|count| *count == 0);
    let missing: Vec<String> =
        particles.types().iter().filter(is_missing).map(|kind| format!("PartType{kind}")).collect();
    if !missing.is_empty() && missing.len() < particles.types().len() {
        context.warn(format_args!(
            "{}: holds no {}; only the others of --particles {particles} are taken",
            path.display(),
            missing.join(" and no ")
        ));
    }
}

fn length(text: &str) -> Result<GivenUnit, String> {
    unit(text, &[("pc", 1e-6), ("kpc", 1e-3), ("Mpc", 1.0)])
        .ok_or_else(|| "kpc/h, Mpc/h, kpc, Mpc (or pc), or a number of Mpc/h is needed".to_owned())
}

fn mass(text: &str) -> Result<GivenUnit, String> {
    unit(text, &[("Msun", 1e-10)])
        .ok_or_else(|| "Msun/h, Msun, or a number of 1e10 Msun/h is needed".to_owned())
}

/// A named unit, with or without /h, or a number of ours.
fn unit(text: &str, named: &[(&str, f64)]) -> Option<GivenUnit> {
    let (name, per_h) = text.strip_suffix("/h").map_or((text, false), |name| (name, true));
    if let Some((_, value)) = named.iter().find(|(known, _)| *known == name) {
        return Some(GivenUnit { value: *value, per_h });
    }
    let value = text.parse().ok().filter(|value: &f64| value.is_finite() && *value > 0.0)?;
    Some(GivenUnit { value, per_h: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_names_or_numbers() {
        let of = |value: f64, per_h: bool| Ok(GivenUnit { value, per_h });
        assert_eq!(
            (length("kpc/h"), length("Mpc"), length("0.7")),
            (of(1e-3, true), of(1.0, false), of(0.7, true))
        );
        assert_eq!((mass("Msun/h"), mass("2")), (of(1e-10, true), of(2.0, true)));
        for wrong in ["parsec", "-1", "nan", "", "/h"] {
            assert!(length(wrong).is_err() && mass(wrong).is_err(), "{wrong}");
        }
    }
}
