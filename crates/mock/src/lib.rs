//! Small matched universes without any download: a coarse dark-matter run and the gas of a fine run of the
//! same initial modes.
//!
//! The road is [`LambdaCdm`] → its linear power → Gaussian modes → 2LPT → particle mesh → gas by enthalpy
//! descent → grids and snapshots; [`make_universe`] walks it. Mock gas is not the gas of a hydrodynamical run:
//! it has its spectrum at a few scales, and none of its physics.
//!
//! [`InitialConditions`] are what other codes begin with to run such a pair, or the coarse half of somebody else's.
//!
//! # Examples
//! ```
//! use finescale_mock::{MockConfig, make_universe};
//! use std::sync::atomic::AtomicBool;
//!
//! let config = MockConfig {
//!     box_size_mpc_h: 25.0,
//!     cells: 16,
//!     particles_low: 8,
//!     particles_high: 16,
//!     steps: 4,
//!     seed: 7,
//!     ..MockConfig::default()
//! };
//! let universe = make_universe(&config, &mut |_| (), &AtomicBool::new(false))?;
//! assert_eq!((universe.low.len(), universe.gas.len()), (8 * 8 * 8, 16 * 16 * 16)); // particles
//!
//! // A training pair: coarse dark matter and fine gas, 1 + δ on one grid.
//! let (condition, truth) = (universe.condition()?, universe.truth()?);
//! assert_eq!(condition.grid(), truth.grid());
//! assert!((truth.mean() - 1.0).abs() < 1e-4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod deposit;
mod error;
mod gas;
mod gaussian;
mod initial;
mod initial_conditions;
mod lambda_cdm;
mod lattice;
mod lattice_order;
mod mesh;
#[cfg(test)]
mod physics_tests;
mod pm;
mod power;
mod run_parameters;
mod sheet;
mod universe;
mod write;

pub use error::MockError;
pub use gas::{GasModel, Pressure};
pub use initial_conditions::{Baryons, InitialConditions, write_initial_conditions};
pub use lambda_cdm::LambdaCdm;
pub use universe::{MockConfig, Progress, Stage, Universe, make_universe};
