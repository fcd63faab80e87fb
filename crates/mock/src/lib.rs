//! Small matched universes without any download: a coarse dark-matter run and the gas of a fine run of the
//! same initial modes.
//!
//! The road is [`LambdaCdm`] → [`LinearPower`] → Gaussian modes → 2LPT → particle mesh → gas by enthalpy
//! descent → grids and snapshots; [`make_universe`] walks it. Mock gas is not the gas of a hydrodynamical run:
//! it has its spectrum at a few scales, and none of its physics.

mod deposit;
mod error;
mod gas;
mod gaussian;
mod initial;
mod lambda_cdm;
mod mesh;
#[cfg(test)]
mod physics_tests;
mod pm;
mod power;
mod universe;
mod write;

pub use error::MockError;
pub use gas::GasModel;
pub use gaussian::{gaussian_field, lognormal_field};
pub use lambda_cdm::LambdaCdm;
pub use power::LinearPower;
pub use universe::{MockConfig, Progress, Stage, Universe, make_universe};
