//! Whether samples can be draws of one posterior: of one model, in one way, in a box from one condition, and each another
//! one.

use crate::failure::bad_input;
use crate::inputs::{BoxInputs, Input};
use crate::samples::IDENTITY;
use finescale_field::Field3;
use finescale_outpaint::{Difference, difference};
use finescale_snapshot::GridMeta;

/// The setting that says whether all conditions have the same noise.
const SHARED_NOISE: &str = "shared_noise";
/// The first version of an identity whose noise belongs to its condition.
const NOISE_OF_CONDITION: u64 = 8;

/// The model that drew a sample.
struct ModelName<'a> {
    sha256: &'a str,
    file: &'a str,
}

impl<'a> ModelName<'a> {
    /// What the sample's file says, if it says anything.
    fn find(meta: &'a GridMeta) -> Option<Self> {
        let (model, identity) = (&meta.provenance["model"], &meta.provenance[IDENTITY]);
        let sha256 =
            model["sha256"].as_str().or(identity["model"].as_str()).filter(|hash| !hash.is_empty())?;
        Some(Self { sha256, file: model["file"].as_str().unwrap_or("a model without a name") })
    }

    fn text(&self) -> String {
        format!("{} ({})", self.file, self.sha256.get(..8).unwrap_or(self.sha256))
    }
}

/// Refuses samples of different models, or of one that were drawn with other settings; a warning where only some say their
/// model.
pub(crate) fn check_one_model(samples: &[&Input]) -> anyhow::Result<Option<String>> {
    let known: Vec<(&Input, ModelName)> =
        samples.iter().filter_map(|sample| Some((*sample, ModelName::find(&sample.meta)?))).collect();
    let Some((first, model)) = known.first() else { return Ok(None) };
    if let Some((other, its)) = known.iter().find(|(_, its)| its.sha256 != model.sha256) {
        return Err(bad_input(format!(
            "{} was drawn by the model {}, and {} by {}: samples that are compared together are taken for draws of one \
             model; compare those of each model in a report of its own",
            first.path.display(),
            model.text(),
            other.path.display(),
            its.text()
        )));
    }
    let (first, rest) = (known[0].0, known[1..].iter().map(|(sample, _)| *sample));
    if let Some((other, what)) =
        rest.into_iter().find_map(|sample| Some((sample, other_settings(first, sample)?)))
    {
        return Err(bad_input(format!(
            "{} and {} were drawn with other settings ({what}): samples that are compared together are taken for draws of \
             one model in one way; compare those of each way in a report of its own",
            first.path.display(),
            other.path.display()
        )));
    }
    let unknown = samples.iter().find(|sample| ModelName::find(&sample.meta).is_none());
    Ok(unknown.map(|sample| {
        format!(
            "{} does not say which model drew it; it is taken for a draw of {}, as {} is",
            sample.path.display(),
            model.text(),
            first.path.display()
        )
    }))
}

/// How the way in which a sample was drawn differs from that of another one, but for its seed; nothing if a file does not
/// say it.
fn other_settings(first: &Input, sample: &Input) -> Option<String> {
    let settings = |input: &Input| {
        let mut settings = input.meta.provenance[IDENTITY]["generation"].clone();
        let settings_of = settings.as_object_mut()?;
        settings_of.remove("seed");
        settings_of.remove(SHARED_NOISE);
        // Earlier versions began with another state, and other noise.
        let version = input.meta.provenance[IDENTITY]["version"].as_u64();
        settings_of
            .insert("begun".into(), (version.unwrap_or(NOISE_OF_CONDITION) < NOISE_OF_CONDITION).into());
        Some(settings)
    };
    let Difference { what, expected, found } = difference(&settings(first)?, &settings(sample)?)?;
    Some(format!("{what} {expected} and {found}"))
}

/// The warning that samples of two boxes have the same noise.
pub(crate) fn shared_noise(boxes: &[BoxInputs]) -> Option<String> {
    let seed = |input: &Input| {
        let identity = &input.meta.provenance[IDENTITY];
        let (settings, version) = (&identity["generation"], identity["version"].as_u64()?);
        let is_shared = version < NOISE_OF_CONDITION || settings[SHARED_NOISE] == true;
        is_shared.then(|| settings["seed"].as_u64()).flatten()
    };
    let samples =
        boxes.iter().enumerate().flat_map(|(number, of_box)| of_box.samples.iter().map(move |s| (number, s)));
    let known: Vec<_> =
        samples.filter_map(|(number, sample)| Some((number, sample, seed(sample)?))).collect();
    let ((_, one, _), (_, other, _)) = twice(&known, |a, b| a.0 != b.0 && a.2 == b.2)?;
    Some(format!(
        "{} and {}, of two boxes, were drawn with the same noise: their small scales are alike, so that errors over boxes \
         hold no scatter of the noise; draw them again, without --shared-noise",
        one.path.display(),
        other.path.display()
    ))
}

/// Refuses samples of one box that were drawn from different conditions.
pub(crate) fn check_one_condition(samples: &[Input]) -> anyhow::Result<()> {
    let condition = |input: &Input| input.meta.provenance[IDENTITY]["condition"].as_str().map(str::to_owned);
    let known: Vec<_> = samples.iter().filter_map(|sample| Some((sample, condition(sample)?))).collect();
    let Some((first, hash)) = known.first() else { return Ok(()) };
    match known.iter().find(|(_, other)| other != hash) {
        None => Ok(()),
        Some((other, _)) => Err(bad_input(format!(
            "{} and {} were drawn from different conditions: they are no samples of one box; compare each with its own truth",
            first.path.display(),
            other.path.display()
        ))),
    }
}

/// Refuses samples that say they were drawn from another condition than the one that is given with them.
pub(crate) fn check_condition(of_box: &BoxInputs) -> anyhow::Result<()> {
    let Some(condition) = &of_box.condition else { return Ok(()) };
    let drawn_from = |sample: &Input| {
        let identity = &sample.meta.provenance[IDENTITY];
        // Earlier versions named it otherwise.
        let is_known = identity["version"].as_u64() >= Some(NOISE_OF_CONDITION);
        let text = identity["condition"].as_str().filter(|_| is_known)?;
        text.split(' ').next().map(str::to_owned)
    };
    let Some((sample, expected)) = of_box.samples.iter().find_map(|s| Some((s, drawn_from(s)?))) else {
        return Ok(());
    };
    if condition.hash_of_values()? == expected {
        return Ok(());
    }
    Err(bad_input(format!(
        "{} was not drawn from {}: its file tells of another condition; give that one, or none",
        sample.path.display(),
        condition.path.display()
    )))
}

/// Refuses other fields of some boxes only: a mean over these would be of fewer boxes than it says.
pub(crate) fn check_companions_of_all(boxes: &[BoxInputs]) -> anyhow::Result<()> {
    let without = boxes.iter().find(|of_box| of_box.companion.is_none());
    match (without, boxes.iter().any(|of_box| of_box.companion.is_some())) {
        (Some(without), true) => Err(bad_input(format!(
            "{}: has no companion field, and others have; give all boxes one, or none",
            without.name
        ))),
        _ => Ok(()),
    }
}

/// Refuses one universe that is given as two.
pub(crate) fn check_boxes_differ(boxes: &[BoxInputs]) -> anyhow::Result<()> {
    let truths: Vec<&Input> = boxes.iter().map(|of_box| &of_box.truth).collect();
    twice(&truths, |a, b| a.sha256 == b.sha256).map_or(Ok(()), |(a, b)| {
        Err(bad_input(format!(
            "{} and {} are the same truth: two boxes of one universe do not tell how universes scatter; put all samples of it \
             into one box",
            a.path.display(),
            b.path.display()
        )))
    })
}

/// What a reader must know of fields that are no draws, or no truth.
pub(crate) fn what_they_are(boxes: &[BoxInputs]) -> Vec<String> {
    let mut notes = Vec::new();
    let models =
        boxes.iter().flat_map(|of_box| &of_box.samples).map(|sample| &sample.meta.provenance["model"]);
    if models.into_iter().any(|model| model["lineage"]["data"] == "mock") {
        notes.push("the samples' model learned mock gas: this says how well it draws that, and nothing of hydrodynamics".into());
    }
    for of_box in boxes {
        let truth = &of_box.truth;
        if !truth.meta.provenance[IDENTITY].is_null() {
            notes.push(format!("{} was drawn by a model: it is no truth", truth.path.display()));
        }
        for sample in &of_box.samples {
            let path = sample.path.display();
            if !sample.meta.provenance[IDENTITY]["given"].is_null() {
                notes.push(format!(
                    "{path} holds what was given by --extend, which is no draw: goals judge it and the rest together"
                ));
            }
        }
    }
    notes
}

/// Refuses samples whose companion was drawn from another condition, by another model or with another seed.
pub(crate) fn check_companions(of_box: &BoxInputs) -> anyhow::Result<()> {
    let others: Vec<&Input> = of_box.companion_samples.iter().chain(&of_box.companion).collect();
    check_files_differ(&others.iter().copied().chain(&of_box.samples).collect::<Vec<_>>())?;
    for (sample, its) in of_box.samples.iter().zip(&of_box.companion_samples) {
        let [mine, other] = [sample, its].map(|input| &input.meta.provenance[IDENTITY]);
        if let (false, false, Some(Difference { what, .. })) =
            (mine.is_null(), other.is_null(), difference(mine, other))
        {
            return Err(bad_input(format!(
                "{} and {} were not drawn together (they differ in {what}): give each sample the field of the same draw",
                sample.path.display(),
                its.path.display()
            )));
        }
    }
    Ok(())
}

/// Refuses a file that is given twice.
pub(crate) fn check_files_differ(samples: &[&Input]) -> anyhow::Result<()> {
    match twice(samples, |a, b| a.sha256 == b.sha256) {
        Some((a, b)) => Err(same_sample(a, b)),
        None => Ok(()),
    }
}

/// Refuses values that are given twice, in whatever files.
pub(crate) fn check_values_differ(samples: &[(&Input, &Field3)]) -> anyhow::Result<()> {
    match twice(samples, |a, b| a.1.as_slice() == b.1.as_slice()) {
        Some((a, b)) => Err(same_sample(a.0, b.0)),
        None => Ok(()),
    }
}

/// That a sample is the truth, whatever its file.
pub(crate) fn truth_among(truth: &Field3, samples: &[(&Input, &Field3)]) -> Option<String> {
    let (sample, _) = samples.iter().find(|(_, field)| field.as_slice() == truth.as_slice())?;
    let path = sample.path.display();
    Some(format!("{path} is the truth itself: that goals are met says nothing of a model"))
}

fn twice<T>(all: &[T], are_same: impl Fn(&T, &T) -> bool) -> Option<(&T, &T)> {
    let with_later =
        all.iter().enumerate().flat_map(|(i, one)| all[i + 1..].iter().map(move |later| (one, later)));
    with_later.into_iter().find(|(one, later)| are_same(one, later))
}

fn same_sample(a: &Input, b: &Input) -> anyhow::Error {
    let (a, b) = (a.path.display(), b.path.display());
    bad_input(format!(
        "{a} and {b} are the same sample: given twice, it would pass for two that agree; leave one of them out"
    ))
}
