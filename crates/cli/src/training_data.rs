//! Whether a box was among what the model of its samples was trained on.

use crate::failure::bad_input;
use crate::inputs::{BoxInputs, Input};
use crate::part::Part;
use finescale_field::Region;
use finescale_judge::TrainedBox;
use finescale_training::Lineage;

/// What a box is to the model of its samples.
#[derive(Clone, Debug, PartialEq)]
struct TrainingData {
    /// Files of the box that the model, or one that it comes from, was trained on.
    files: Vec<String>,
    /// The part of the box that none of them has seen.
    hold_out: Option<Region>,
}

/// What a model was made from, as the first of its samples says that knows it.
pub(crate) fn lineage(samples: &[&Input]) -> Option<Lineage> {
    let said = |sample: &&Input| {
        let lineage = sample.meta.provenance["model"]["lineage"].clone();
        serde_json::from_value(lineage).ok().filter(|lineage: &Lineage| is_recorded(lineage))
    };
    samples.iter().find_map(said)
}

fn is_recorded(lineage: &Lineage) -> bool {
    lineage.all().iter().any(|one| !one.files.is_empty())
}

impl TrainingData {
    /// What of a box a model was trained on, if anything.
    fn find(inputs: &BoxInputs, lineage: &Lineage) -> Option<Self> {
        let saw = |one: &Lineage, input: &Input| one.files.values().any(|hash| *hash == input.sha256);
        let fields: Vec<&Input> = [&inputs.truth].into_iter().chain(&inputs.condition).collect();
        let all = lineage.all();
        let trained: Vec<_> = all.iter().filter(|one| fields.iter().any(|input| saw(one, input))).collect();
        // Of several trainings that left out different parts, one saw what another one did not.
        let hold_out = trained
            .first()?
            .hold_out
            .filter(|_| trained.iter().all(|one| one.hold_out == trained[0].hold_out));
        let seen = fields.into_iter().filter(|input| all.iter().any(|one| saw(one, input)));
        Some(Self { files: seen.map(|input| input.path.to_string_lossy().into_owned()).collect(), hold_out })
    }

    /// What a report says of it.
    fn described(&self, inputs: &BoxInputs, part: &Part) -> TrainedBox {
        let held_out = self
            .hold_out
            .map_or(0, |hold_out| shared_voxels(&part.region, &hold_out, inputs.truth.grid.cells()));
        TrainedBox {
            label: inputs.name.clone(),
            files: self.files.clone(),
            hold_out: self.hold_out,
            trained_share: 1.0 - held_out as f64 / part.region.voxels() as f64,
        }
    }
}

/// The boxes that a model was trained on.
pub(crate) fn overlap(boxes: &[BoxInputs], parts: &[Part], lineage: &Lineage) -> Vec<TrainedBox> {
    let described = |(of_box, part)| Some(TrainingData::find(of_box, lineage)?.described(of_box, part));
    boxes.iter().zip(parts).filter_map(described).collect()
}

/// A warning where a model comes from another one whose training data nobody recorded.
pub(crate) fn unknown(lineage: &Lineage) -> Option<String> {
    lineage.all().iter().any(|one| one.files.is_empty()).then(|| {
        "the model comes from one whose training data is not recorded: whether that one has seen the boxes that are compared \
         is unknown"
            .to_owned()
    })
}

/// The part of a box that its model never saw.
pub(crate) fn held_out(inputs: &BoxInputs, lineage: Option<&Lineage>) -> anyhow::Result<Region> {
    let truth = inputs.truth.path.display();
    let lineage = lineage.ok_or_else(|| {
        bad_input("--held-out: no sample says what its model was trained on; draw samples with this version, or name --region")
    })?;
    let data = TrainingData::find(inputs, lineage).ok_or_else(|| {
        bad_input(format!(
            "--held-out: the model was not trained on {truth}; leave the option out, all of it is new to it"
        ))
    })?;
    let region = data.hold_out.ok_or_else(|| {
        bad_input(format!(
            "--held-out: the model and those that it comes from left out no part of {truth} together (data.hold_out); compare a box that \
             they have not seen"
        ))
    })?;
    let cells = inputs.truth.grid.cells();
    Ok(Region { start: [0, 1, 2].map(|axis| region.wrapped(axis, 0, cells) as i64), ..region })
}

/// A warning about goals that are judged where a model was trained, in one sentence.
pub(crate) fn warning(data: &TrainedBox) -> Option<String> {
    let TrainedBox { label, files, hold_out, trained_share } = data;
    if *trained_share == 0.0 {
        return None;
    }
    let remedy = match hold_out {
        Some(_) => "what it left out is compared by --held-out",
        None => "compare boxes that it has not seen",
    };
    Some(format!(
        "the model was trained on {:.0} % of what is compared of {label} (its training files have {}), so that goals met \
         here say little of other boxes; {remedy}",
        100.0 * trained_share,
        files.join(" and ")
    ))
}

/// Voxels of a periodic box of `cells` that are in both of two regions.
fn shared_voxels(a: &Region, b: &Region, cells: [usize; 3]) -> usize {
    let along = |axis: usize| {
        let start = b.wrapped(axis, 0, cells);
        let is_in_b = |&offset: &usize| {
            (a.wrapped(axis, offset, cells) + cells[axis] - start) % cells[axis] < b.shape[axis]
        };
        (0..a.shape[axis]).filter(is_in_b).count()
    };
    (0..3).map(along).product()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voxels_of_two_regions_are_counted_around_the_box() {
        let shared = |a, b| shared_voxels(&a, &b, [10; 3]);
        let region = |start, shape| Region { start, shape };
        assert_eq!(shared(region([0; 3], [10; 3]), region([0, 0, -2], [10, 10, 4])), 400);
        // Cells 8, 9, 0, 1 and 0, 1, 2 share two.
        assert_eq!(shared(region([8, 0, 0], [4, 1, 1]), region([0; 3], [3, 1, 1])), 2);
        assert_eq!(shared(region([0; 3], [5; 3]), region([5, 0, 0], [5; 3])), 0);
        // Both ends of one are in the other.
        assert_eq!(shared(region([0; 3], [9, 1, 1]), region([7, 0, 0], [5, 1, 1])), 4);
    }
}
