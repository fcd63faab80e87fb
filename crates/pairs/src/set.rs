//! All pairs of a run.

use crate::crops::{Crops, Wanted};
use crate::normalised::Normalised;
use crate::open::open;
use crate::patch_batch::Place;
use crate::source::Source;
use crate::{
    DataConfig, DataKind, GridMeta, Normalization, Normalizers, Pair, PairError, PairFiles, PatchBatch,
    Scale, Symmetry,
};
use finescale_field::{Boundary, Channels, Field3, FieldError, Grid, Normalizer, Region, Windows};
use finescale_seed::{KeyedStream, Purpose};
use ndarray::Array3;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Key of the validation patches: the same for every run.
const VALIDATION_SEED: u64 = 0;

/// Training and validation pairs, normalised: in memory, 4 bytes per voxel and channel, or read window by window.
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

impl PairSet {
    /// Normalises pairs for training and validation, in memory; conditions get these `channels`. With `hold_out`,
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
        Self::by_window(training, validation, hold_out, normalization, channels)?.in_memory()
    }

    /// As [`new`](Self::new), but densities stay where they are, and are read and normalised where a patch is: the same bits.
    /// Reads each density a few times, some planes or a block of a quarter of its sides at a time.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    /// # Panics
    /// As [`new`](Self::new).
    pub fn by_window(
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
        let conditioning = Arc::new(normalizers.conditioning(channels));
        let scalar_ranges = scalar_ranges(&training, &conditioning.channels)?;
        let data_kind = DataKind::from_pairs(&training);
        let mut correlations = Vec::new();
        for pair in training.iter().chain(&validation) {
            correlations.extend(pair.correlation()?.map(|r| (pair.files.condition(), r)));
        }
        let normalised = |pairs: &[Pair]| -> Result<Vec<_>, _> {
            pairs.iter().map(|pair| Normalised::by_window(pair, &conditioning)).collect()
        };
        let (training, validation) = (normalised(&training)?, normalised(&validation)?);
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

    /// Reads the pairs that `config` names and normalises them as it says, in memory.
    ///
    /// # Errors
    /// Those of [`DataConfig::check`] and [`PairSet::new`], and [`PairError::Read`] if a file cannot be read.
    pub fn load(config: &DataConfig) -> Result<Self, PairError> {
        Self::open(config, config.normalization())?.in_memory()
    }

    /// Opens the pairs that `config` names, to be read window by window, with its normalization or another one: that of the
    /// checkpoint to train further.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn open(config: &DataConfig, normalization: Normalization) -> Result<Self, PairError> {
        config.check()?;
        let open = |pairs: &[PairFiles]| -> Result<(Vec<Pair>, Vec<Vec<String>>), PairError> {
            Ok(pairs.iter().map(open).collect::<Result<Vec<_>, _>>()?.into_iter().unzip())
        };
        let ((training, mut notes), (validation, of_validation)) =
            (open(&config.training)?, open(&config.validation)?);
        notes.extend(of_validation);
        let set = Self::by_window(training, validation, config.hold_out, normalization, config.channels())?;
        Ok(Self { symmetries: Symmetry::all(config.line_of_sight.axis()), notes: notes.concat(), ..set })
    }

    /// The same set with all channels in memory: the same bits, sooner.
    ///
    /// # Errors
    /// [`PairError::Read`] if a file cannot be read, or there is no room; [`PairError::Changed`] or [`PairError::Density`] if it is not
    /// what it was.
    pub fn in_memory(self) -> Result<Self, PairError> {
        let in_memory = |pairs: Vec<Normalised>| -> Result<Vec<_>, _> {
            pairs.into_iter().map(Normalised::in_memory).collect()
        };
        Ok(Self { training: in_memory(self.training)?, validation: in_memory(self.validation)?, ..self })
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

    /// Cells and box of each training pair.
    pub fn grids(&self) -> impl Iterator<Item = &Grid> {
        self.training.iter().map(Normalised::grid)
    }

    /// A window of the low-resolution density of training pair `number`, in network units.
    ///
    /// # Errors
    /// Those of reading, as in [`training_batch`](Self::training_batch).
    /// # Panics
    /// If there is no such pair, or if the window is larger than a box in memory.
    pub fn density_window(&self, number: usize, region: &Region) -> Result<Array3<f32>, PairError> {
        self.training[number].density(region)
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

    /// Bytes of all channels of all pairs, in memory or not.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.training.iter().chain(&self.validation).map(Normalised::bytes).sum()
    }

    /// Bytes that are taken for a while to read a patch of `cells`^3, if pairs are not in memory.
    #[must_use]
    pub fn window_bytes(&self, cells: usize) -> usize {
        let pairs = self.training.iter().chain(&self.validation).filter(|pair| !pair.is_in_memory());
        pairs.map(|pair| pair.window_bytes(cells)).max().unwrap_or_default()
    }

    /// Bytes of what is in memory of them.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let pairs = self.training.iter().chain(&self.validation);
        pairs.filter(|pair| pair.is_in_memory()).map(Normalised::bytes).sum()
    }

    /// How many channels a condition and a truth have.
    fn channels(&self) -> [usize; 2] {
        self.training[0].channels()
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
    /// [`PairError::NoRoom`] if no patch of `patch_cells`^3 fits; [`PairError::Read`], [`PairError::Changed`] or
    /// [`PairError::Density`] if a file cannot be read, or is not what it was.
    pub fn training_batch(
        &self,
        seed: u64,
        step: u32,
        batch_size: usize,
        patch_cells: usize,
    ) -> Result<PatchBatch, PairError> {
        self.part_of_training_batch(seed, step, batch_size, patch_cells, |_| true)
    }

    /// As [`training_batch`](Self::training_batch), but only the patches whose numbers `is_wanted` are read: the others are zero.
    ///
    /// # Errors
    /// As [`training_batch`](Self::training_batch).
    pub fn part_of_training_batch(
        &self,
        seed: u64,
        step: u32,
        batch_size: usize,
        patch_cells: usize,
        is_wanted: impl Fn(usize) -> bool,
    ) -> Result<PatchBatch, PairError> {
        let wanted = self.hold_out.map_or(Wanted::Anywhere, Wanted::Outside);
        let places = Places::new("training", &self.training, self.hold_out, patch_cells, wanted)?;
        let [crop, symmetry] = [Purpose::Crop, Purpose::Symmetry].map(|p| KeyedStream::new(seed, p));
        let drawn = (0..batch_size).map(|patch| {
            let i = patch as u64;
            let number = one_of(symmetry.uniform(step, i), self.symmetries.len());
            is_wanted(patch).then(|| places.get(crop.uniform(step, i), self.symmetries[number]))
        });
        PatchBatch::gather(&drawn.collect::<Vec<_>>(), self.channels(), patch_cells)
    }

    /// Validation patches `index * batch_size ..`, upright: the same ones in every run.
    ///
    /// # Errors
    /// [`PairError::NoRoom`] if no patch of `patch_cells`^3 fits, or there is nothing to validate on; else as
    /// [`training_batch`](Self::training_batch).
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
        let drawn = (first..first + batch_size)
            .map(|i| Some(places.get(stream.uniform(0, i as u64), Symmetry::IDENTITY)));
        PatchBatch::gather(&drawn.collect::<Vec<_>>(), self.channels(), patch_cells)
    }

    /// A fixed part of what validates, at most `cells` per axis: from the first cell on of the first validation
    /// box, or of the held-out region of the first training box. None if there is nothing to validate on.
    ///
    /// # Errors
    /// Those of reading, as in [`training_batch`](Self::training_batch).
    pub fn validation_part(&self, cells: usize) -> Result<Option<Part>, PairError> {
        let found = match self.hold_out {
            Some(region) => self.training.first().map(|pair| (pair, region)),
            None => self.validation.first().map(|pair| (pair, Region::whole(pair.grid()))),
        };
        let Some((pair, whole)) = found else { return Ok(None) };
        let region = Region { start: whole.start, shape: whole.shape.map(|n| n.min(cells)) };
        let grid = pair.grid().part(region.shape).expect("a part of a box has cells");
        let field = |values| Field3::new(grid, values).expect("a window has its region's shape");
        let [condition, truth] = pair.windows(&region)?;
        let truth = truth.into_iter().map(field).zip(&self.normalizers.truth);
        Ok(Some(Part {
            condition: condition.into_iter().map(field).collect(),
            truth: truth.map(|(y, normalizer)| normalizer.unbounded().denormalize_field(&y)).collect(),
            boundary: pair.boundary().of_part(region.shape, pair.grid().cells()),
        }))
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
            |pair: &'a Normalised| (pair, Crops::new(cells(pair), pair.boundary(), patch_cells, wanted));
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
        let mut number = one_of(uniform, self.count);
        for (pair, crops) in &self.boxes {
            if number < crops.len() {
                return Place { pair, region: crops.get(number), symmetry };
            }
            number -= crops.len();
        }
        unreachable!("a number below the count lies in one of the boxes")
    }
}

/// A uniform number of [0, 1) as one of `0..count`.
fn one_of(uniform: f64, count: usize) -> usize {
    ((uniform * count as f64) as usize).min(count - 1)
}

fn normalizers(training: &[Pair], normalization: Normalization) -> Result<Normalizers, PairError> {
    let condition = scale("condition", normalization.condition, 1, |_| {
        training.iter().map(Pair::condition_source).collect()
    })?;
    let fields = training[0].truth.len();
    let truth = scale("truth", normalization.truth, fields, |field| {
        training.iter().flat_map(|pair| pair.truth_sources().nth(field)).collect()
    })?;
    Ok(Normalizers { condition: condition[0], truth })
}

/// The normalizers of so many fields, of which `sources` gives what all training pairs have.
fn scale(
    name: &'static str,
    scale: Scale,
    fields: usize,
    sources: impl Fn(usize) -> Vec<Source>,
) -> Result<Vec<Normalizer>, PairError> {
    match scale {
        Scale::Known(known) => {
            assert_eq!(known.len(), fields, "each field has a normalizer");
            let named = |source| PairError::Normalizer { field: name, source };
            known.iter().try_for_each(Normalizer::check).map_err(named)?;
            Ok(known)
        }
        Scale::Fit(mean_count) => (0..fields).map(|field| fit(name, sources(field), mean_count)).collect(),
    }
}

/// The normalizer of a field of all training pairs.
fn fit(field: &'static str, sources: Vec<Source>, mean_count: f64) -> Result<Normalizer, PairError> {
    let values: Vec<&dyn Windows> = sources.iter().map(|source| source as _).collect();
    Normalizer::fit_linear(&values, mean_count).map_err(|error| match error.downcast::<FieldError>() {
        Ok(source) => PairError::Normalizer { field, source: *source },
        Err(error) => PairError::reading(Path::new(field), error),
    })
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
        let ends = [0, 1, 2].map(|axis| region.start[axis] + region.shape[axis] as i64);
        let is_inside =
            (0..3).all(|axis| region.start[axis] >= 0 && ends[axis] <= pair.grid().cells()[axis] as i64);
        if !pair.boundary().is_periodic() && !is_inside {
            let path = pair.files.condition();
            let why = format!("hold_out reaches through a face of {}, which is not periodic", path.display());
            return Err(PairError::Split { why });
        }
    }
    Ok(())
}
