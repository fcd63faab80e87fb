//! All pairs of a run, in memory.

use crate::crops::{Crops, Wanted};
use crate::load::load;
use crate::patch_batch::Place;
use crate::{
    DataConfig, DataKind, GridMeta, Normalization, Normalizers, Pair, PairError, PairFiles, PatchBatch,
    Symmetry,
};
use finescale_field::{Boundary, Channels, Conditioning, Field3, Grid, Normalizer, Region, Transform};
use finescale_seed::{KeyedStream, Purpose};
use std::path::PathBuf;

/// Key of the validation patches: the same for every run.
const VALIDATION_SEED: u64 = 0;

/// Training and validation pairs, normalised, 4 bytes per voxel and channel.
#[derive(Clone, Debug)]
pub struct PairSet {
    normalizers: Normalizers,
    /// Least and largest value of each scalar in the training pairs.
    scalar_ranges: Vec<[f64; 2]>,
    training: Vec<Normalised>,
    validation: Vec<Normalised>,
    hold_out: Option<Region>,
    /// What may be done to a patch.
    symmetries: Vec<Symmetry>,
    condition_meta: GridMeta,
    truth_meta: Vec<GridMeta>,
    data_kind: DataKind,
    correlations: Vec<(PathBuf, f64)>,
    notes: Vec<String>,
}

/// A part of a box.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The channels of the condition, in network units.
    pub condition: Vec<Field3>,
    /// The truth, densities 1 + delta up to the rounding of the normalization.
    pub truth: Vec<Field3>,
    /// Periodic if it is the whole of a periodic box.
    pub boundary: Boundary,
}

#[derive(Clone, Debug)]
struct Normalised {
    /// A field for each channel.
    condition: Vec<Field3>,
    truth: Vec<Field3>,
    boundary: Boundary,
}

impl PairSet {
    /// Normalises pairs for training and validation; conditions get these `channels`. With `hold_out`,
    /// validation patches come from that region of the training boxes and training patches never touch it, but
    /// the surroundings in their condition do. A fit sees the whole training boxes.
    ///
    /// # Errors
    /// [`PairError::NoTraining`]; [`PairError::NoPair`] if the two fields of a pair are not of the same place
    /// and [`PairError::Unlike`] if pairs do not belong together; [`PairError::Density`] and
    /// [`PairError::Mean`] if a field is no density 1 + delta; [`PairError::NoScalar`] if a condition's file
    /// does not say the number for a channel; [`PairError::Split`] if `hold_out` is larger than a box or there
    /// are validation pairs too; [`PairError::Normalizer`] if the normalization is impossible.
    /// # Panics
    /// If normalizers are given, and not one for each high-resolution field.
    pub fn new(
        training: Vec<Pair>,
        validation: Vec<Pair>,
        hold_out: Option<Region>,
        normalization: Normalization,
        channels: Channels,
    ) -> Result<Self, PairError> {
        let first = training.first().ok_or(PairError::NoTraining)?;
        for pair in training.iter().chain(&validation) {
            pair.check()?;
            pair.check_like(first)?;
            pair.values(&channels.scalars)?;
        }
        check_hold_out(hold_out, &training, &validation)?;
        let normalizers = normalizers(&training, normalization)?;
        let condition_meta = first.condition.meta.clone();
        let truth_meta = first.truth.iter().map(|file| file.meta.clone()).collect();
        let conditioning = normalizers.conditioning(channels);
        let scalar_ranges = scalar_ranges(&training, &conditioning.channels)?;
        let data_kind = DataKind::from_pairs(&training);
        let pairs = training.iter().chain(&validation);
        let correlations = pairs.filter_map(|pair| Some((pair.files.condition(), pair.correlation()?)));
        let correlations = correlations.collect();
        let normalised = |pairs: Vec<Pair>| -> Result<Vec<_>, _> {
            pairs.into_iter().map(|pair| Normalised::new(pair, &conditioning)).collect()
        };
        let (training, validation) = (normalised(training)?, normalised(validation)?);
        Ok(Self {
            normalizers,
            scalar_ranges,
            training,
            validation,
            hold_out,
            symmetries: Symmetry::all(None),
            condition_meta,
            truth_meta,
            data_kind,
            correlations,
            notes: Vec::new(),
        })
    }

    /// Reads the pairs that `config` names and normalises them as it says.
    ///
    /// # Errors
    /// Those of [`DataConfig::check`] and [`PairSet::new`], and [`PairError::Read`] if a file cannot be read.
    pub fn load(config: &DataConfig) -> Result<Self, PairError> {
        Self::load_with(config, config.normalization())
    }

    /// As [`load`](Self::load) with another normalization: that of the checkpoint to train further.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(config: &DataConfig, normalization: Normalization) -> Result<Self, PairError> {
        config.check()?;
        let read = |pairs: &[PairFiles]| -> Result<(Vec<Pair>, Vec<Vec<String>>), PairError> {
            Ok(pairs.iter().map(load).collect::<Result<Vec<_>, _>>()?.into_iter().unzip())
        };
        let ((training, mut notes), (validation, of_validation)) =
            (read(&config.training)?, read(&config.validation)?);
        notes.extend(of_validation);
        let set = Self::new(training, validation, config.hold_out, normalization, config.channels())?;
        Ok(Self { symmetries: Symmetry::all(config.line_of_sight.axis()), notes: notes.concat(), ..set })
    }

    /// How densities became the values of the batches.
    #[must_use]
    pub fn normalizers(&self) -> &Normalizers {
        &self.normalizers
    }

    /// Least and largest value of each scalar in the training pairs, in the order of the scalars.
    #[must_use]
    pub fn scalar_ranges(&self) -> &[[f64; 2]] {
        &self.scalar_ranges
    }

    /// Geometry of the first training box.
    #[must_use]
    pub fn grid(&self) -> &Grid {
        self.training[0].grid()
    }

    /// The low-resolution density of each training box, in network units.
    pub fn densities(&self) -> impl Iterator<Item = &Field3> {
        self.training.iter().map(|pair| &pair.condition[0])
    }

    /// What the condition of the first training pair is.
    #[must_use]
    pub fn condition_meta(&self) -> &GridMeta {
        &self.condition_meta
    }

    /// What each high-resolution field of the first training pair is.
    #[must_use]
    pub fn truth_meta(&self) -> &[GridMeta] {
        &self.truth_meta
    }

    /// Whether the training pairs are mock or real, as far as their files tell.
    #[must_use]
    pub fn data_kind(&self) -> DataKind {
        self.data_kind
    }

    /// The files of conditions, and the correlation of each with its truth over large blocks: near 1 for runs of one
    /// universe. Of boxes that are not divided into blocks nothing is said.
    #[must_use]
    pub fn correlations(&self) -> &[(PathBuf, f64)] {
        &self.correlations
    }

    /// What somebody should know of how the files were taken.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Memory of all fields in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let pairs = self.training.iter().chain(&self.validation);
        let voxels = pairs.map(|pair| pair.grid().voxels() * (pair.condition.len() + pair.truth.len()));
        voxels.sum::<usize>() * size_of::<f32>()
    }

    /// Whether there is anything to validate on.
    #[must_use]
    pub fn has_validation(&self) -> bool {
        !self.validation.is_empty() || self.hold_out.is_some()
    }

    /// The patches of training step `step`: drawn evenly from all places, each under one of the 48 symmetries.
    /// Patch i depends on (`seed`, `step`, i) only, not on the batch size.
    ///
    /// # Errors
    /// [`PairError::NoRoom`] if no patch of `patch_cells`^3 fits.
    pub fn training_batch(
        &self,
        seed: u64,
        step: u32,
        batch_size: usize,
        patch_cells: usize,
    ) -> Result<PatchBatch, PairError> {
        let wanted = self.hold_out.map_or(Wanted::Anywhere, Wanted::Outside);
        let places = Places::new("training", &self.training, self.hold_out, patch_cells, wanted)?;
        let [crop, symmetry] = [Purpose::Crop, Purpose::Symmetry].map(|p| KeyedStream::new(seed, p));
        let drawn: Vec<_> = (0..batch_size as u64)
            .map(|i| {
                let number = scale(symmetry.uniform(step, i), self.symmetries.len());
                places.get(crop.uniform(step, i), self.symmetries[number])
            })
            .collect();
        Ok(PatchBatch::gather(&drawn, patch_cells))
    }

    /// Validation patches `index * batch_size ..`, upright: the same ones in every run.
    ///
    /// # Errors
    /// [`PairError::NoRoom`] if no patch of `patch_cells`^3 fits, or there is nothing to validate on.
    pub fn validation_batch(
        &self,
        index: usize,
        batch_size: usize,
        patch_cells: usize,
    ) -> Result<PatchBatch, PairError> {
        let (pairs, wanted) = match self.hold_out {
            Some(region) => (&self.training, Wanted::Inside(region)),
            None => (&self.validation, Wanted::Anywhere),
        };
        let places = Places::new("validation", pairs, self.hold_out, patch_cells, wanted)?;
        let stream = KeyedStream::new(VALIDATION_SEED, Purpose::Validation);
        let first = index * batch_size;
        let drawn: Vec<_> = (first..first + batch_size)
            .map(|i| places.get(stream.uniform(0, i as u64), Symmetry::IDENTITY))
            .collect();
        Ok(PatchBatch::gather(&drawn, patch_cells))
    }

    /// A fixed part of what validates, at most `cells` per axis: from the first cell on of the first validation
    /// box, or of the held-out region of the first training box. None if there is nothing to validate on.
    #[must_use]
    pub fn validation_part(&self, cells: usize) -> Option<Part> {
        let (pair, whole) = match self.hold_out {
            Some(region) => (self.training.first()?, region),
            None => (self.validation.first()?, Region::whole(self.validation.first()?.grid())),
        };
        let region = Region { start: whole.start, shape: whole.shape.map(|n| n.min(cells)) };
        let part = |y: &Field3| y.cut(&region).expect("the region was checked or cut to fit");
        let truth = pair.truth.iter().map(part).zip(&self.normalizers.truth);
        Some(Part {
            condition: pair.condition.iter().map(part).collect(),
            truth: truth.map(|(y, normalizer)| unclamped(normalizer, &y).denormalize_field(&y)).collect(),
            boundary: pair.boundary.of_part(region.shape, pair.grid().cells()),
        })
    }
}

/// The same normalizer with room for all of `y`, so that its inverse gives back what was normalised.
fn unclamped(normalizer: &Normalizer, y: &Field3) -> Normalizer {
    let transform = match normalizer.transform {
        Transform::Linear { mu, s, low, high } => {
            let values = y.as_slice().iter().map(|&value| f64::from(value));
            let (low, high) = values.fold((low, high), |(low, high), y| (low.min(y), high.max(y)));
            Transform::Linear { mu, s, low, high }
        }
        sigmoid @ Transform::Sigmoid { .. } => sigmoid,
    };
    Normalizer { transform, ..*normalizer }
}

impl Normalised {
    fn new(pair: Pair, conditioning: &Conditioning) -> Result<Self, PairError> {
        let boundary = pair.boundary();
        let values = pair.values(&conditioning.channels.scalars)?;
        let condition = conditioning.apply(&pair.condition.field, boundary, &values);
        Ok(Self {
            boundary,
            condition: condition
                .map_err(|source| PairError::Density { path: pair.files.condition(), source })?,
            truth: (conditioning.truth.iter().zip(&pair.truth))
                .map(|(normalizer, truth)| normalizer.normalize_field(&truth.field))
                .collect(),
        })
    }

    fn grid(&self) -> &Grid {
        self.condition[0].grid()
    }
}

/// All patches of one size in some boxes.
struct Places<'a> {
    boxes: Vec<(&'a Normalised, Crops)>,
    count: usize,
}

impl<'a> Places<'a> {
    fn new(
        set: &'static str,
        pairs: &'a [Normalised],
        hold_out: Option<Region>,
        patch_cells: usize,
        wanted: Wanted,
    ) -> Result<Self, PairError> {
        let cells = |pair: &Normalised| pair.grid().cells();
        let crops =
            |pair: &'a Normalised| (pair, Crops::new(cells(pair), pair.boundary, patch_cells, wanted));
        let boxes: Vec<_> = pairs.iter().map(crops).collect();
        let count = boxes.iter().map(|(_, crops)| crops.len()).sum();
        if count == 0 {
            let cells = pairs.iter().map(cells).collect();
            return Err(PairError::NoRoom { set, patch_cells, cells, hold_out });
        }
        Ok(Self { boxes, count })
    }

    /// The patch at `uniform` of [0, 1) in the row of all patches.
    fn get(&self, uniform: f64, symmetry: Symmetry) -> Place<'a> {
        let mut number = scale(uniform, self.count);
        for (pair, crops) in &self.boxes {
            if number < crops.len() {
                let (condition, truth) = (&pair.condition, &pair.truth);
                return Place { condition, truth, region: crops.get(number), symmetry };
            }
            number -= crops.len();
        }
        unreachable!("a number below the count lies in one of the boxes")
    }
}

/// A uniform number of [0, 1) as one of `0..count`.
fn scale(uniform: f64, count: usize) -> usize {
    ((uniform * count as f64) as usize).min(count - 1)
}

fn normalizers(training: &[Pair], normalization: Normalization) -> Result<Normalizers, PairError> {
    let named = |field: &'static str| move |source| PairError::Normalizer { field, source };
    match normalization {
        Normalization::Given(given) => {
            assert_eq!(given.truth.len(), training[0].truth.len(), "each field has a normalizer");
            given.condition.check().map_err(named("condition"))?;
            given.truth.iter().try_for_each(Normalizer::check).map_err(named("truth"))?;
            Ok(given)
        }
        Normalization::Fit { condition_mean_count, truth_mean_count } => {
            let conditions: Vec<_> = training.iter().map(|pair| &pair.condition.field).collect();
            let truth = |field: usize| {
                let truths: Vec<_> = training.iter().map(|pair| &pair.truth[field].field).collect();
                Normalizer::fit_linear(&truths, truth_mean_count).map_err(named("truth"))
            };
            Ok(Normalizers {
                condition: Normalizer::fit_linear(&conditions, condition_mean_count)
                    .map_err(named("condition"))?,
                truth: (0..training[0].truth.len()).map(truth).collect::<Result<_, _>>()?,
            })
        }
    }
}

fn scalar_ranges(training: &[Pair], channels: &Channels) -> Result<Vec<[f64; 2]>, PairError> {
    let mut ranges = vec![[f64::INFINITY, f64::NEG_INFINITY]; channels.scalars.len()];
    for pair in training {
        for ([least, largest], value) in ranges.iter_mut().zip(pair.values(&channels.scalars)?) {
            (*least, *largest) = (least.min(value), largest.max(value));
        }
    }
    Ok(ranges)
}

fn check_hold_out(hold_out: Option<Region>, training: &[Pair], validation: &[Pair]) -> Result<(), PairError> {
    let Some(region) = hold_out else { return Ok(()) };
    if !validation.is_empty() {
        let why = "there are validation boxes and a held-out region: choose one".to_owned();
        return Err(PairError::Split { why });
    }
    for pair in training {
        region.check_fits(pair.grid().cells()).map_err(|error| PairError::Split {
            why: format!("hold_out does not fit {}: {error}", pair.files.condition().display()),
        })?;
    }
    Ok(())
}
