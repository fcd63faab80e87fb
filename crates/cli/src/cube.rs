//! What is said of numpy cubes, which do not say it themselves.

use crate::parse::three;
use clap::Args;
use finescale_snapshot::CubeValues;
use std::str::FromStr;

/// What a numpy cube holds.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Cube {
    /// Side of .npy cubes in Mpc/h, e.g. 100 or 100,100,50
    #[arg(long, value_name = "MPC_H", value_parser = three::<f64>)]
    pub(crate) box_size: Option<[f64; 3]>,
    /// Of .npy cubes that hold counts or masses: their mean in the whole universe, by which they are divided, or `own` for
    /// that of the cube itself [default: they hold 1 + delta, and are taken as they are]
    #[arg(long, value_name = "MEAN")]
    pub(crate) mean: Option<Mean>,
    /// Which cube of a stack in one .npy file, counted from 0, such as one of CAMELS' multifield cubes
    #[arg(long, value_name = "N")]
    pub(crate) index: Option<usize>,
    /// .npy cubes hold delta: 1 is added to their values
    #[arg(long, conflicts_with = "mean")]
    pub(crate) delta: bool,
}

impl Cube {
    /// What its values are.
    pub(crate) fn values(&self) -> CubeValues {
        match self.mean {
            _ if self.delta => CubeValues::Delta,
            None => CubeValues::Overdensity,
            Some(Mean::Own) => CubeValues::OverOwnMean,
            Some(Mean::Given(mean)) => CubeValues::Over(mean),
        }
    }

    /// Whether anything is said.
    pub(crate) fn is_said(&self) -> bool {
        self.box_size.is_some() || self.mean.is_some() || self.index.is_some() || self.delta
    }
}

/// What the values of a cube are divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mean {
    /// The mean of the cube, which then is a whole box.
    Own,
    /// A number.
    Given(f64),
}

impl FromStr for Mean {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<f64>()) {
            ("own", _) => Ok(Self::Own),
            (_, Ok(mean)) if mean.is_finite() && mean > 0.0 => Ok(Self::Given(mean)),
            _ => Err("a positive number, or `own`, is needed".to_owned()),
        }
    }
}
