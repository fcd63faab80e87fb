//! Plots and the HTML and JSON report.
//!
//! [`Comparison::new`] computes every statistic of samples against the truth, [`Comparison::with_boxes`] adds the means
//! of other boxes, [`Comparison::goals`] says which goals are met; [`Comparison::write`] writes `report.json`, tables as
//! CSV, figures as PNG and SVG, and one self-contained `report.html`.

mod axes;
mod baselines;
mod beyond_power;
mod calibration;
mod characters;
mod colour_map;
mod comparison;
mod drawing;
mod error;
mod figures;
mod goals;
mod measured;
mod page;
mod plot;
mod pooled;
mod prose;
mod published;
mod raster;
mod seam_test;
mod slices;
mod statistics;
mod sub_volumes;
mod svg;
mod tables;
mod theme;
mod ticks;
mod triangles;
mod upscaled;
mod verdict;
mod volumes;
mod write;

pub use baselines::Baselines;
pub use beyond_power::{BeyondPower, Densities, DensityStatistics};
pub use calibration::{BlockScores, CalibrationReport};
pub use comparison::{BandMeans, Comparison, Fields, Labelled};
pub use error::ReportError;
pub use goals::{Judgement, Outcome};
pub use measured::Measured;
pub use pooled::{BoxSummary, ErrorSource, Estimate, Pooled};
pub use published::{PublishedComparison, PublishedSpectrum};
pub use seam_test::SeamTest;
pub use statistics::{AgainstTruth, Distribution, FieldStatistics};
pub use sub_volumes::CosmicVariance;
pub use triangles::Bispectra;
pub use verdict::Verdict;
pub use write::ReportPaths;
