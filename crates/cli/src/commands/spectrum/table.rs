//! The columns of a spectrum: the same names in CSV and in JSON.

use super::ShotNoiseColumn;
use super::measured::Measured;
use crate::context::Context;
use crate::failure::bad_input;
use crate::provenance::provenance;
use anyhow::Context as _;
use finescale_spectra::{CrossSpectra, LineOfSight, Multipoles, Spectrum, correlation_of};
use serde::Serialize;
use serde_json::{Value, json};

/// Everything measured, bin by bin.
pub(super) struct Table {
    columns: Vec<Column>,
    fields: Value,
}

struct Column {
    name: &'static str,
    json: Value,
    text: Vec<String>,
}

impl Column {
    fn new<T: Copy + Serialize>(name: &'static str, values: &[T], text: impl Fn(T) -> String) -> Self {
        Self { name, json: json!(values), text: values.iter().map(|&value| text(value)).collect() }
    }

    /// Powers in (Mpc/h)³.
    fn power(name: &'static str, values: &[f64]) -> Self {
        Self::new(name, values, |power| format!("{power:.6e}"))
    }
}

impl Table {
    /// Measures the powers of one field, or of two and their cross power.
    pub(super) fn new(
        context: &Context,
        first: &Measured,
        other: Option<&Measured>,
        line_of_sight: Option<LineOfSight>,
        shot_noise: Option<ShotNoiseColumn>,
    ) -> anyhow::Result<Self> {
        let noise = noise_of(context, first, shot_noise)?;
        // Modes in a file are read once for each of these.
        let crossed = other.map(|other| crossed(first, other)).transpose()?;
        let multipoles = line_of_sight.map(|axis| first.modes.multipoles(axis)).transpose()?;
        let power = match (&crossed, &multipoles) {
            (Some(crossed), _) => crossed.power[0].clone(),
            (None, Some(multipoles)) => multipoles.power(),
            (None, None) => first.modes.power()?,
        };
        let power = less(power, noise.as_ref(), shot_noise);
        let mut columns = vec![
            Column::new("k_h_mpc", &power.k_h_mpc, |k| format!("{k:.6}")),
            Column::new("modes", &power.modes, |modes| modes.to_string()),
            Column::power("power_mpc_h3", &power.power),
        ];
        if let Some(Multipoles { quadrupole, hexadecapole, .. }) = multipoles {
            columns.push(Column::power("quadrupole_mpc_h3", &quadrupole));
            columns.push(Column::power("hexadecapole_mpc_h3", &hexadecapole));
        }
        if let Some(noise) = &noise {
            columns.push(Column::power("shot_noise_mpc_h3", &noise.power));
        }
        let mut fields = vec![described(first, shot_noise)];
        if let Some((other, CrossSpectra { power: [_, other_power], cross })) = other.zip(crossed) {
            let noise = noise_of(context, other, shot_noise)?;
            let other_power = less(other_power, noise.as_ref(), shot_noise);
            let correlation = correlation_of(&cross, &power, &other_power);
            columns.push(Column::power("other_power_mpc_h3", &other_power.power));
            if let Some(noise) = &noise {
                columns.push(Column::power("other_shot_noise_mpc_h3", &noise.power));
            }
            columns.push(Column::power("cross_power_mpc_h3", &cross.power));
            columns.push(Column::new("cross_correlation", &correlation, |r| format!("{r:.6}")));
            fields.push(described(other, shot_noise));
        }
        Ok(Self { columns, fields: fields.into() })
    }

    /// Columns by their names, the fields they are of, and how they were made.
    pub(super) fn json(&self) -> Value {
        let mut json = json!({ "fields": self.fields, "provenance": provenance(json!({})) });
        for column in &self.columns {
            json[column.name] = column.json.clone();
        }
        json
    }

    /// A line of names and a line for each bin.
    pub(super) fn text(&self, separator: &str) -> String {
        let line = |cells: Vec<&str>| cells.join(separator) + "\n";
        let bins = self.columns.first().map_or(0, |column| column.text.len());
        let row = |bin: usize| line(self.columns.iter().map(|column| column.text[bin].as_str()).collect());
        let names = line(self.columns.iter().map(|column| column.name).collect());
        names + &(0..bins).map(row).collect::<String>()
    }
}

/// The powers of two fields that can be crossed.
fn crossed(first: &Measured, other: &Measured) -> anyhow::Result<CrossSpectra> {
    check_centring(first, other)?;
    first.modes.cross_spectra(&other.modes).with_context(|| format!("crossing with {}", other.path.display()))
}

/// Fields half a voxel apart are not crossed.
fn check_centring(first: &Measured, other: &Measured) -> anyhow::Result<()> {
    if first.centring == other.centring {
        return Ok(());
    }
    Err(bad_input(format!(
        "{} has its values at voxel {}s, {} at voxel {}s: half a voxel apart, they cannot be crossed; make both alike",
        first.path.display(),
        first.centring,
        other.path.display(),
        other.centring
    )))
}

/// The noise to show, with its aliases; what is not asked for is told where it was measured.
fn noise_of(
    context: &Context,
    measured: &Measured,
    asked: Option<ShotNoiseColumn>,
) -> anyhow::Result<Option<Spectrum>> {
    let path = measured.path.display();
    let (level, scheme) = match (measured.shot_noise_mpc_h3, measured.window) {
        (Some(level), Some(scheme)) => (level, scheme),
        _ if asked.is_none() => return Ok(None),
        _ => {
            return Err(bad_input(format!(
                "{path}: does not say the shot noise of its particles; measure the snapshot itself, or a grid made \
                 with --weight count and without --spread"
            )));
        }
    };
    let what = match asked {
        None => "in the power (--shot-noise subtract takes it out)",
        Some(ShotNoiseColumn::Show) => "in the power",
        Some(ShotNoiseColumn::Subtract) => "subtracted from the power",
    };
    context.note(format_args!("{path}: shot noise {level:.4} (Mpc/h)^3, {what}"));
    Ok(asked.map(|_| measured.modes.shot_noise(level, scheme)).transpose()?)
}

fn less(power: Spectrum, noise: Option<&Spectrum>, asked: Option<ShotNoiseColumn>) -> Spectrum {
    match (noise, asked) {
        (Some(noise), Some(ShotNoiseColumn::Subtract)) => power.minus(noise),
        _ => power,
    }
}

/// What was measured, and how.
fn described(measured: &Measured, shot_noise: Option<ShotNoiseColumn>) -> Value {
    let grid = measured.modes.grid();
    json!({
        "path": measured.path.to_string_lossy(),
        "particles": measured.particles.as_ref().map(ToString::to_string),
        "cells": grid.cells(),
        "box_size_mpc_h": grid.box_size_mpc_h(),
        "window": measured.window,
        "interlaced": measured.interlaced,
        "shot_noise_mpc_h3": measured.shot_noise_mpc_h3,
        "shot_noise_subtracted": shot_noise == Some(ShotNoiseColumn::Subtract),
    })
}
