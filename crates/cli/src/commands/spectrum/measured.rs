//! What was measured of an input.

use super::modes::FieldModes;
use finescale_field::{Centring, Scheme};
use finescale_snapshot::Particles;
use std::path::PathBuf;

/// The modes of an input, and what is known of them.
pub(super) struct Measured<'a> {
    pub(super) path: PathBuf,
    pub(super) modes: FieldModes<'a>,
    /// The particles, if they were gridded here.
    pub(super) particles: Option<Particles>,
    /// The mass assignment whose window was divided out.
    pub(super) window: Option<Scheme>,
    /// Where in its voxel a value is taken.
    pub(super) centring: Centring,
    pub(super) interlaced: bool,
    /// Poisson noise in (Mpc/h)³, if it is known.
    pub(super) shot_noise_mpc_h3: Option<f64>,
}
