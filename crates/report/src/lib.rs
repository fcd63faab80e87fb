//! Comparisons shown: figures, tables and pages.
//!
//! [`write()`] writes what a [`Comparison`](finescale_judge::Comparison) found: `report.json`, tables as CSV,
//! figures as PNG and SVG, and one self-contained `report.html`.
//!
//! # Examples
//! ```
//! use finescale_judge::{Beside, Comparison, Fields, Labelled, Measurements};
//! use finescale_report::{Pictures, write};
//! # use finescale_field::{Field3, Grid};
//! # use ndarray::Array3;
//! # let grid = Grid::cube(16, 12.5)?;
//! # let waves = |amplitude: f32| {
//! #     let wave = |(x, y, z): (usize, usize, usize)| {
//! #         let (x, y, z) = (x as f32, y as f32, z as f32);
//! #         (0.5 * (0.39 * x).sin() + amplitude * (1.9 * y + 0.7 * x).sin() + 0.4 * (1.1 * z + y).cos()).exp()
//! #     };
//! #     Field3::new(grid, Array3::from_shape_fn(grid.cells(), wave))
//! # };
//! # let (truth, first, second) = (waves(0.5)?, waves(0.48)?, waves(0.52)?);
//! # let samples = vec![Labelled::new("sample 1", &first), Labelled::new("sample 2", &second)];
//! # let fields = Fields::new(Labelled::new("truth", &truth), samples);
//! // `fields` holds a truth and its samples.
//! let comparison = Comparison::new(Measurements::new("my box", &fields)?, Beside::default())?;
//! let folder = tempfile::tempdir()?;
//! let paths = write(&comparison, &Pictures::new(&fields), folder.path())?;
//! assert!(paths.html.ends_with("report.html") && paths.figures.iter().all(|figure| figure.is_file()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
