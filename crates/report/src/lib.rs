//! Comparisons shown: figures, tables and pages.
//!
//! [`write()`] writes what a [`Comparison`](finescale_judge::Comparison) found: `report.json`, tables as CSV,
//! figures as PNG and SVG, and one self-contained `report.html`.

mod axes;
mod characters;
mod colour_map;
mod error;
mod figures;
mod numbers;
mod page;
mod pictures;
mod plot;
mod prose;
mod raster;
mod slices;
mod svg;
mod tables;
mod theme;
mod ticks;
mod volumes;
mod write;

pub use error::ReportError;
pub use pictures::Pictures;
pub use write::{ReportPaths, write};
