//! Plots and the HTML and JSON report.
//!
//! [`Comparison::new`] computes every statistic of samples against the truth; [`Comparison::write`] writes
//! `report.json`, figures as PNG, and one self-contained `report.html`.

mod axes;
mod canvas;
mod colour_map;
mod comparison;
mod error;
mod figures;
mod files;
mod page;
mod prose;
mod slices;
mod statistics;
mod theme;
mod ticks;
mod upscaled;
mod verdict;
mod write;

pub use comparison::{BandMeans, Comparison, Labelled};
pub use error::ReportError;
pub use statistics::{AgainstTruth, Distribution, FieldStatistics};
pub use verdict::Verdict;
pub use write::ReportPaths;
