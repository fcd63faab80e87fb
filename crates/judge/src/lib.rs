//! Samples measured against a truth, and judged by goals. Numbers only: `report` shows them.
//!
//! [`Measurements::new`] computes every statistic of the fields of one box. [`Comparison::new`] puts other
//! boxes, published spectra and provenance beside it, pools the boxes and judges the
//! [`goals`](Comparison::goals): its serialised form is `report.json`.
//!
//! # Examples
//! ```
//! use finescale_field::Boundary;
//! use finescale_judge::{Beside, Comparison, Fields, Labelled, Measurements, Outcome};
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
//! // `truth`, `first` and `second` are fields of one box, 1 + δ.
//! let samples = vec![Labelled::new("sample 1", &first), Labelled::new("sample 2", &second)];
//! let fields = Fields::new(Labelled::new("truth", &truth), samples);
//! let comparison = Comparison::new(Measurements::new("my box", &fields)?, Beside::default())?;
//! for goal in &comparison.goals {
//!     println!("{}: {:?}, {:?}", goal.goal, goal.found, goal.outcome);
//! }
//! assert!(comparison.goals.iter().any(|goal| goal.outcome != Outcome::NotMeasured));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod against;
mod bands;
mod baselines;
mod beyond_power;
mod bootstrap;
mod calibration;
mod companion;
mod comparison;
mod covariance;
mod coverage;
mod densities;
mod environment;
mod error;
mod estimate;
mod estimates;
mod goals;
mod interval;
mod judgement;
mod labelled;
pub mod limits;
mod measured;
mod measurements;
mod octants;
mod over;
mod pooled;
mod published;
mod seam_test;
mod statistics;
mod summary;
mod tng300;
mod trained;
mod transformed;
mod triangles;
mod upscaled;
mod verdict;
mod watch;
mod worst;

pub use against::Against;
pub use bands::BandMeans;
pub use baselines::Baselines;
pub use beyond_power::BeyondPower;
pub use calibration::{BlockScores, CalibrationReport};
pub use companion::CompanionReport;
pub use comparison::{Beside, Comparison};
pub use covariance::CovarianceReport;
pub use coverage::{CoverageReport, NumberCoverage};
pub use densities::{Densities, DensityStatistics};
pub use environment::EnvironmentReport;
pub use error::JudgeError;
pub use estimate::{Estimate, mean_of};
pub use estimates::Estimates;
pub use finescale_spectra::{Bispectrum, Minkowski, TileFaces};
pub use judgement::{Judgement, Outcome};
pub use labelled::{Companion, Fields, Labelled};
pub use measured::Measured;
pub use measurements::{Measurements, Places};
pub use octants::CosmicVariance;
pub use over::{Denominator, OverComparison, PublishedRatio};
pub use pooled::{ErrorSource, Pooled};
pub use published::{PublishedComparison, PublishedPair, PublishedSpectrum};
pub use seam_test::SeamTest;
pub use statistics::{AgainstTruth, FieldStatistics};
pub use summary::BoxSummary;
pub use tng300::Tng300;
pub use trained::TrainedBox;
pub use triangles::Bispectra;
pub use upscaled::Upscaled;
pub use verdict::Verdict;
pub use watch::{Watch, steps};
pub use worst::{Worst, worst};
