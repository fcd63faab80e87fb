//! Fields that were upscaled where no truth is known.

use crate::comparison::bands_of;
use crate::slices::Slices;
use crate::statistics::{FieldStatistics, Transformed, named};
use crate::{Labelled, ReportError};
use finescale_field::Grid;
use serde_json::{Value, json};

/// A condition and what was drawn from it.
#[derive(Clone, Debug)]
pub(crate) struct Upscaled {
    pub(crate) title: String,
    pub(crate) grid: Grid,
    pub(crate) k_h_mpc: Vec<f64>,
    pub(crate) modes: Vec<u64>,
    pub(crate) condition: FieldStatistics,
    pub(crate) samples: Vec<FieldStatistics>,
    pub(crate) slices: Slices,
}

impl Upscaled {
    pub(crate) fn new(
        title: String,
        condition: &Labelled<'_>,
        samples: &[Labelled<'_>],
    ) -> Result<Self, ReportError> {
        let first = samples.first().ok_or(ReportError::NoSamples)?;
        let grid = *condition.field.grid();
        let bands = bands_of(&grid).map_err(named(&condition.label))?;
        let of_condition = Transformed::new(condition, &bands)?;
        let mut statistics = Vec::with_capacity(samples.len());
        for sample in samples {
            let modes = Transformed::new(sample, &bands)?;
            // Only to learn that the grids agree.
            modes.modes.cross_in(&of_condition.modes, &bands).map_err(named(&sample.label))?;
            statistics.push(FieldStatistics::alone(sample, &modes)?);
        }
        Ok(Self {
            title,
            grid,
            k_h_mpc: of_condition.shells.k_h_mpc.clone(),
            modes: of_condition.shells.modes.clone(),
            condition: FieldStatistics::alone(condition, &of_condition)?,
            samples: statistics,
            slices: Slices::through_densest(first.field, Some(condition), samples, None),
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "title": self.title,
            "cells": self.grid.cells(),
            "box_size_mpc_h": self.grid.box_size_mpc_h(),
            "k_h_mpc": self.k_h_mpc,
            "modes": self.modes,
            "condition": self.condition,
            "samples": self.samples,
        })
    }
}
