//! What particles count, and what their field is of.

use crate::failure::bad_input;
use finescale_snapshot::{Batch, DatasetColumn, Particles, Wanted};
use std::fmt;
use std::str::FromStr;

/// What a particle counts: a product of its mass and of numbers that the snapshot has of it, or 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Weight {
    factors: Vec<Factor>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Factor {
    Mass,
    Column(DatasetColumn),
}

const MASS: &str = "mass";
const COUNT: &str = "count";

impl Weight {
    /// The mass.
    pub(crate) fn mass() -> Self {
        Self { factors: vec![Factor::Mass] }
    }

    /// Whether every particle counts as one.
    pub(crate) fn is_count(&self) -> bool {
        self.factors.is_empty()
    }

    /// Whether it is the mass or the number, of which fields of matter are the density.
    fn is_plain(&self) -> bool {
        self.is_count() || *self == Self::mass()
    }

    /// What must be read of each particle.
    pub(crate) fn wanted(&self) -> Wanted {
        let columns = self.factors.iter().filter_map(|factor| match factor {
            Factor::Mass => None,
            Factor::Column(column) => Some(column.clone()),
        });
        Wanted {
            masses: self.factors.contains(&Factor::Mass),
            columns: columns.collect(),
            ..Wanted::default()
        }
    }

    /// The weights of particles of which [`Self::wanted`] was read; none if all are 1.
    ///
    /// # Errors
    /// If one is negative: a density has no such weights.
    pub(crate) fn of(&self, batch: &Batch) -> anyhow::Result<Option<Vec<f32>>> {
        let mut columns = batch.columns.iter();
        let mut product: Option<Vec<f32>> = None;
        for factor in &self.factors {
            let values = match factor {
                Factor::Mass => batch.masses.as_deref().unwrap_or_default(),
                Factor::Column(_) => columns.next().map_or(&[][..], Vec::as_slice),
            };
            if let Some(index) = values.iter().position(|value| *value < 0.0) {
                return Err(bad_input(format!(
                    "--weight {self}: {} of a particle of PartType{} is negative ({}), and no density has such weights",
                    factor, batch.kind, values[index]
                )));
            }
            product = Some(match product {
                None => values.to_vec(),
                Some(before) => before.iter().zip(values).map(|(a, b)| a * b).collect(),
            });
        }
        Ok(product)
    }
}

impl FromStr for Weight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == COUNT {
            return Ok(Self { factors: Vec::new() });
        }
        let factor = |name: &str| match name {
            MASS => Ok(Factor::Mass),
            COUNT => Err("count is the weight 1, which changes no product".to_owned()),
            name => column(name).map(Factor::Column),
        };
        Ok(Self { factors: text.split('*').map(str::trim).map(factor).collect::<Result<_, _>>()? })
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.factors.iter().map(Factor::to_string).collect();
        f.write_str(if names.is_empty() { COUNT.to_owned() } else { names.join("*") }.as_str())
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mass => f.write_str(MASS),
            Self::Column(column) => column.fmt(f),
        }
    }
}

/// An axis of the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Axis {
    X,
    Y,
    Z,
}

impl Axis {
    /// Its number.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    fn from_letter(letter: &str) -> Option<Self> {
        [Self::X, Self::Y, Self::Z].into_iter().find(|axis| axis.to_string() == letter)
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["x", "y", "z"][self.index()])
    }
}

/// What a field is of; w is the weight of a particle, v its peculiar velocity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// Σ w over its mean: 1 + delta.
    Density,
    /// Σ w v over the mean of Σ w: (1 + delta) v in km/s.
    Momentum(Axis),
    /// Σ w v / Σ w in km/s.
    Velocity(Axis),
    /// Σ w q / Σ w of a dataset q, in the units of the snapshot.
    Mean(DatasetColumn),
}

impl Quantity {
    /// What must be read of each particle beside its weight.
    pub(crate) fn wanted(&self, weight: &Weight) -> Wanted {
        let mut wanted = weight.wanted();
        match self {
            Self::Density => {}
            Self::Momentum(_) | Self::Velocity(_) => wanted.velocities = true,
            Self::Mean(column) => wanted.columns.push(column.clone()),
        }
        wanted
    }

    /// What is summed beside the weights: the weights times this, of particles of which [`Self::wanted`] was read.
    pub(crate) fn values(&self, batch: &Batch) -> Option<Vec<f32>> {
        match self {
            Self::Density => None,
            Self::Momentum(axis) | Self::Velocity(axis) => {
                let velocities = batch.velocities_km_s.as_deref().unwrap_or_default();
                Some(velocities.iter().map(|velocity| velocity[axis.index()]).collect())
            }
            Self::Mean(_) => batch.columns.last().cloned(),
        }
    }

    /// Whether sums of values are divided by sums of weights, voxel by voxel.
    pub(crate) fn is_mean(&self) -> bool {
        matches!(self, Self::Velocity(_) | Self::Mean(_))
    }

    /// The unit of its values; a density is in units of its mean.
    pub(crate) fn unit(&self) -> Option<String> {
        match self {
            Self::Density => None,
            Self::Momentum(_) | Self::Velocity(_) => Some("km/s".to_owned()),
            Self::Mean(column) => Some(format!("{column} of the snapshot")),
        }
    }

    /// What a grid file says that it holds.
    pub(crate) fn name(&self, particles: &Particles, weight: &Weight) -> String {
        let of = match weight.is_plain() {
            true => particles.quantity().to_owned(),
            false => format!("{}_{weight}", particles.quantity()),
        };
        match self {
            Self::Density => of,
            other => format!("{of}_{other}"),
        }
    }
}

impl FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let along = |name: &str| text.strip_prefix(name).and_then(Axis::from_letter);
        if text == "density" {
            return Ok(Self::Density);
        }
        if let Some(axis) = along("momentum_") {
            return Ok(Self::Momentum(axis));
        }
        if let Some(axis) = along("velocity_") {
            return Ok(Self::Velocity(axis));
        }
        match text.strip_prefix("mean:") {
            Some(name) => column(name).map(Self::Mean),
            None => Err("density, momentum_x, velocity_x (or y, z), or mean:DATASET is needed".to_owned()),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Density => f.write_str("density"),
            Self::Momentum(axis) => write!(f, "momentum_{axis}"),
            Self::Velocity(axis) => write!(f, "velocity_{axis}"),
            Self::Mean(column) => write!(f, "mean:{column}"),
        }
    }
}

/// A dataset, or DATASET:COLUMN.
fn column(text: &str) -> Result<DatasetColumn, String> {
    let (dataset, column) = match text.split_once(':') {
        None => (text, None),
        Some((dataset, column)) => {
            let number = column.parse().map_err(|_| format!("{column:?} is no number of a column"))?;
            (dataset, Some(number))
        }
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
    if dataset.is_empty() || !dataset.chars().all(is_name) {
        return Err(format!("{dataset:?} is no name of a dataset, such as InternalEnergy"));
    }
    Ok(DatasetColumn { dataset: dataset.to_owned(), column })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_and_quantities_are_written_as_they_are_read() {
        for text in ["mass", "count", "StarFormationRate", "mass*InternalEnergy", "mass*GFM_Metals:8"] {
            assert_eq!(text.parse::<Weight>().unwrap().to_string(), text);
        }
        for text in ["density", "momentum_x", "velocity_z", "mean:InternalEnergy", "mean:GFM_Metals:0"] {
            assert_eq!(text.parse::<Quantity>().unwrap().to_string(), text);
        }
        for wrong in ["", "mass*", "mass*count", "../Masses", "Metals:x"] {
            assert!(wrong.parse::<Weight>().is_err(), "{wrong}");
        }
        for wrong in ["velocity", "velocity_w", "mean:", "Density"] {
            assert!(wrong.parse::<Quantity>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn weights_are_products_and_not_negative() {
        let weight: Weight = "mass*Metallicity".parse().unwrap();
        let quantity = Quantity::Mean(
            "InternalEnergy".parse::<Weight>().map(|_| column("InternalEnergy").unwrap()).unwrap(),
        );
        let wanted = quantity.wanted(&weight);
        assert!(wanted.masses && wanted.columns.len() == 2);
        let mut batch = Batch {
            masses: Some(vec![2.0, 3.0]),
            columns: vec![vec![0.5, 0.0], vec![7.0, 9.0]],
            ..Batch::default()
        };
        assert_eq!(weight.of(&batch).unwrap(), Some(vec![1.0, 0.0]));
        assert_eq!(quantity.values(&batch), Some(vec![7.0, 9.0]));
        assert_eq!("count".parse::<Weight>().unwrap().of(&batch).unwrap(), None);
        batch.columns[0][1] = -1.0;
        assert!(weight.of(&batch).unwrap_err().to_string().contains("Metallicity of a particle"));
    }
}
