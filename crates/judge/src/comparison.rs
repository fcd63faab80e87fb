//! The whole comparison: what `report.json` holds.

use crate::JudgeError;
use crate::against::Against;
use crate::judgement::Judgement;
use crate::measurements::Measurements;
use crate::over::OverComparison;
use crate::pooled::Pooled;
use crate::published::{PublishedComparison, PublishedSpectrum};
use crate::statistics::FieldStatistics;
use crate::summary::BoxSummary;
use crate::trained::TrainedBox;
use crate::upscaled::Upscaled;
use finescale_field::Region;
use serde::Serialize;
use serde_json::Value;

/// A truth of which a larger part of the voxels is exactly empty is too sparse for them.
const MOST_EMPTY: f64 = 0.01;
/// Correlation that fields of one universe have in some band, at least.
const UNRELATED: f64 = 0.5;
/// Of the keys of report.json: rises when a key changes its meaning or goes.
const VERSION: u32 = 4;

/// What stands beside the measurements of the box that is shown.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Heading of the report; if empty, a plain one.
    pub title: String,
    /// Further boxes in the means that the goals are judged by, all on the grid of the first.
    pub boxes: Vec<BoxSummary>,
    /// Spectra that others published.
    pub published: Vec<PublishedSpectrum>,
    /// The fields beside another one of their universe.
    pub over: Option<OverComparison>,
    /// A simulation whose spectra are among the published ones.
    pub against: Option<Against>,
    /// Fields without a truth: a region of a real simulation, say. Their grids may be others.
    pub upscaled: Vec<Upscaled>,
    /// The part of the boxes that was measured, in cells of theirs; none for whole boxes.
    pub region: Option<Region>,
    /// Boxes that the model was trained on; none if nobody knows.
    pub training_overlap: Option<Vec<TrainedBox>>,
    /// What a reader must know before believing the goals, each without its full stop.
    pub notes: Vec<String>,
    /// What is known of the files and the model: an object; the report lists its members.
    pub provenance: Value,
}

/// Samples against a truth, measured, pooled and judged; serialised, it is `report.json`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// `finescale-report`.
    pub format: &'static str,
    /// Version of the format.
    pub version: u32,
    /// Heading.
    pub title: String,
    /// The part of the boxes that was measured, in cells of theirs; null for whole boxes.
    pub region: Option<Region>,
    /// Statistics of the fields that are shown, those of the first box.
    #[serde(flatten)]
    pub measured: Measurements,
    /// Means over the samples of each box; the first is the one that is shown.
    pub boxes: Vec<BoxSummary>,
    /// Means over the boxes.
    pub pooled: Pooled,
    /// The goals, and whether they are met.
    pub goals: Vec<Judgement>,
    /// Boxes that the model was trained on; null if nobody knows.
    pub training_overlap: Option<Vec<TrainedBox>>,
    /// What a reader must know before believing them, each without its full stop.
    pub notes: Vec<String>,
    /// Published spectra beside the fields.
    pub published: Vec<PublishedComparison>,
    /// Power over that of another field, and r with it; null without one.
    pub over: Option<OverComparison>,
    /// A simulation whose spectra are among the published ones; null without one.
    pub against: Option<Against>,
    /// Fields without a truth.
    pub also_upscaled: Vec<Upscaled>,
    /// What is known of the files and the model.
    pub provenance: Value,
}

impl Comparison {
    /// What is drawn as the power of a field: without its window where it stands beside published spectra and all fields
    /// say their mass assignment, or else as gridded.
    #[must_use]
    pub fn shown_power<'a>(&self, field: &'a FieldStatistics) -> &'a [f64] {
        let divided = self.published.first().is_some_and(|published| published.window_divided_out);
        field.power_beside(divided)
    }

    /// Pools the boxes and judges them by the goals.
    ///
    /// # Errors
    /// [`JudgeError::Boxes`] if a box is not on the grid of the first.
    pub fn new(measured: Measurements, beside: Beside) -> Result<Self, JudgeError> {
        if let Some(other) = beside.boxes.iter().find(|other| other.grid != measured.grid) {
            let (expected, found) = (measured.grid.cells(), other.grid.cells());
            return Err(JudgeError::Boxes { label: other.label.clone(), expected, found });
        }
        let mut boxes = vec![measured.summary.clone()];
        boxes.extend(beside.boxes);
        let pooled = Pooled::new(&boxes, measured.places());
        let published = beside.published.into_iter();
        let title =
            if beside.title.is_empty() { "Samples against the truth".to_owned() } else { beside.title };
        Ok(Self {
            format: "finescale-report",
            version: VERSION,
            title,
            region: beside.region,
            goals: pooled.judge(),
            training_overlap: beside.training_overlap,
            notes: beside.notes.into_iter().chain(unrelated(&boxes)).chain(sparse(&measured)).collect(),
            boxes,
            pooled,
            published: published.map(|table| PublishedComparison::new(table, &measured)).collect(),
            over: beside.over,
            against: beside.against,
            also_upscaled: beside.upscaled,
            provenance: beside.provenance,
            measured,
        })
    }
}

/// Boxes whose samples do not look like their truth in any band.
fn unrelated(boxes: &[BoxSummary]) -> Vec<String> {
    let largest = |of_box: &BoxSummary| {
        of_box.estimates.cross_correlation.value.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    };
    let all = boxes.iter().map(|of_box| (of_box, largest(of_box)));
    let found = all.filter(|(_, r)| r.is_finite() && *r < UNRELATED);
    found
        .map(|(of_box, r)| {
            format!(
                "{}: r with the truth is {r:.2} at most: these do not look like fields of one universe; are they of the same \
                 box and region?",
                of_box.label
            )
        })
        .collect()
}

/// That the truth is sampled too sparsely for its voxels, if it is.
fn sparse(measured: &Measurements) -> Option<String> {
    let empty = measured.truth.empty;
    (empty > MOST_EMPTY).then(|| {
        format!(
            "{:.0} % of the truth's voxels hold nothing: it is sampled too sparsely for them, so that the power of ln(1 + δ), \
             low percentiles, voids, peaks and environments tell of its particles, not of its gas",
            100.0 * empty
        )
    })
}
