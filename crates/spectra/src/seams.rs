//! Seams: whether a field shows where the tiles were that it was made of.
//!
//! Each score compares what lies at the faces of the tiles with what lies elsewhere in the same field, and
//! comes with the range that the same score has where there are no faces. All are of f = [`log_density`].

mod faces;
mod harmonics;
mod planes;

use crate::{SpectraError, log_density};
use finescale_field::{Field3, TileFaces};
use finescale_seed::KeyedStream;
use planes::PlaneStatistics;
use serde::{Deserialize, Serialize};

/// How many per cent of seamless fields have a score in [`SeamScore::expected`].
pub const EXPECTED_PERCENT: f64 = 95.0;

/// A score at the faces of tiles, and what it is elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeamScore {
    /// Mean over the axes that have faces; about 1 without seams, NaN for a field that does not vary.
    pub at_faces: f64,
    /// The score of each axis; none without faces.
    pub axes: [Option<f64>; 3],
    /// Where 95 % of such scores lie without seams.
    pub expected: [f64; 2],
}

impl SeamScore {
    /// Whether the score is one of those expected without seams. About one in twenty seamless fields is not.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        self.is_expected_of(self)
    }

    /// Whether the score is one of those expected without seams of another field, such as a truth box.
    #[must_use]
    pub fn is_expected_of(&self, other: &Self) -> bool {
        (other.expected[0]..=other.expected[1]).contains(&self.at_faces)
    }
}

/// Three scores for seams of one field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seams {
    /// Mean |f(x) − f(x − 1)| over face planes, over the median of all planes: steps and ramps at faces.
    pub gradient: SeamScore,
    /// Mean variance of f within the planes at both sides of faces, over the median of all planes: tiles that
    /// blur or roughen towards their faces.
    pub variance: SeamScore,
    /// Power of waves along the axes at the harmonics of the tiles, over isotropic power at the same k, up to
    /// half of the Nyquist wavenumber: a profile that repeats from tile to tile. Missing if the faces are not
    /// equally spaced or less than four cells apart.
    pub harmonics: Option<SeamScore>,
}

/// Mean |f(x) − f(x − 1)| by plane of a density field: the gradient score at any faces, without its range.
#[derive(Debug)]
pub struct PlaneGradients([Vec<f64>; 3]);

impl PlaneGradients {
    /// Of a periodic density field.
    ///
    /// # Errors
    /// [`SpectraError::NotADensity`] if a value is not finite.
    pub fn new(field: &Field3) -> Result<Self, SpectraError> {
        Ok(Self(PlaneStatistics::new(&log_density(field)?).steps))
    }

    /// [`SeamScore::at_faces`] of the gradient at `faces`.
    ///
    /// # Errors
    /// [`SpectraError::Faces`] if there are no faces, or one lies outside of the field.
    pub fn at(&self, faces: &TileFaces) -> Result<f64, SpectraError> {
        faces::check(faces, self.0.each_ref().map(Vec::len))?;
        Ok(planes::at_faces(&self.0, faces))
    }
}

/// Looks for seams of a periodic density field at `faces`. What the gradient and the variance are without seams
/// is measured at random offsets of all faces at once, drawn from `offsets` (same stream, same bits), none of
/// which touches a face; the median of planes includes the faces. What the harmonics are follows from their
/// number: a mode's power is exponential.
///
/// Compare with the same of a truth box: a statistic of the grid itself, such as its mass assignment, shows in
/// both.
///
/// # Errors
/// [`SpectraError::Faces`] if there are no faces, or one lies outside of the field, or if fewer than two
/// offsets along an axis touch none; [`SpectraError::NotADensity`] if a value is not finite.
pub fn seams(field: &Field3, faces: &TileFaces, offsets: KeyedStream) -> Result<Seams, SpectraError> {
    faces::check(faces, field.grid().cells())?;
    let f = log_density(field)?;
    let planes = PlaneStatistics::new(&f);
    Ok(Seams {
        gradient: planes::score(&planes.steps, faces, offsets)?,
        variance: planes::score(&planes.variance_around_faces(), faces, offsets)?,
        harmonics: harmonics::score(&f, &planes.means, faces),
    })
}
