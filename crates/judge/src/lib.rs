//! Samples measured against a truth, and judged by goals. Numbers only: `report` shows them.
//!
//! [`Measurements::new`] computes every statistic of the fields of one box. [`Comparison::new`] puts other
//! boxes, published spectra and provenance beside it, pools the boxes and judges the
//! [`goals`](Comparison::goals): its serialised form is `report.json`.

mod bands;
mod baselines;
mod beyond_power;
mod bootstrap;
mod calibration;
mod comparison;
mod densities;
mod error;
mod estimate;
mod goals;
mod labelled;
pub mod limits;
mod measured;
mod measurements;
mod octants;
mod pooled;
mod published;
mod seam_test;
mod statistics;
mod summary;
mod transformed;
mod triangles;
mod upscaled;
mod verdict;
mod worst;

pub use bands::{BAND_COUNT, BandMeans, bands_of};
pub use baselines::Baselines;
pub use beyond_power::BeyondPower;
pub use calibration::{BlockScores, CalibrationReport};
pub use comparison::{Beside, Comparison};
pub use densities::{Densities, DensityStatistics};
pub use error::JudgeError;
pub use estimate::{Estimate, mean_abs_ln, mean_of};
pub use finescale_spectra::{Bispectrum, Minkowski, TileFaces};
pub use goals::{Judgement, Outcome};
pub use labelled::{Fields, Labelled};
pub use measured::Measured;
pub use measurements::Measurements;
pub use octants::CosmicVariance;
pub use pooled::{ErrorSource, Pooled};
pub use published::{PublishedComparison, PublishedSpectrum};
pub use seam_test::SeamTest;
pub use statistics::{AgainstTruth, FieldStatistics};
pub use summary::BoxSummary;
pub use triangles::Bispectra;
pub use upscaled::Upscaled;
pub use verdict::Verdict;
pub use worst::{Worst, worst};
