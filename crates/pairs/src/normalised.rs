//! What a network sees of a pair: in memory, or made window by window of what its files hold.

use crate::{Pair, PairError};
use finescale_field::{Boundary, Conditioning, Field3, Grid, Region, Windows};
use ndarray::Array3;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A pair in network units.
#[derive(Clone)]
pub(crate) struct Normalised {
    grid: Grid,
    boundary: Boundary,
    conditioning: Arc<Conditioning>,
    values: Values,
}

/// Where the values of a pair come from.
#[derive(Clone)]
enum Values {
    /// All channels, as the network sees them.
    InMemory { condition: Vec<Field3>, truth: Vec<Field3> },
    /// The densities 1 + delta, of which channels are made where they are asked for.
    ByWindow { condition: Source, scalars: Vec<f64>, truth: Vec<Source> },
}

/// A density 1 + delta, and the file that errors name.
#[derive(Clone)]
struct Source {
    path: PathBuf,
    values: Arc<dyn Windows + Send>,
}

impl Normalised {
    /// A pair that is read window by window.
    pub(crate) fn by_window(pair: &Pair, conditioning: &Arc<Conditioning>) -> Result<Self, PairError> {
        let source = |path, values: &Arc<dyn Windows + Send>| Source { path, values: values.clone() };
        let values = Values::ByWindow {
            condition: source(pair.files.condition(), &pair.condition.values),
            scalars: pair.values(&conditioning.channels.scalars)?,
            truth: pair.truths().map(|(path, truth)| source(path, &truth.values)).collect(),
        };
        let (grid, boundary) = (*pair.grid(), pair.boundary());
        Ok(Self { grid, boundary, conditioning: conditioning.clone(), values })
    }

    /// The same pair with all its channels in memory: the same bits.
    pub(crate) fn in_memory(self) -> Result<Self, PairError> {
        let Values::ByWindow { condition, scalars, truth } = &self.values else { return Ok(self) };
        let density = condition.read_all()?;
        let channels = self.conditioning.apply(&density, self.boundary, scalars);
        let channels = channels.map_err(|error| PairError::reading(&condition.path, error.into()))?;
        drop(density);
        let normalised = self.conditioning.truth.iter().zip(truth);
        let normalised =
            normalised.map(|(normalizer, truth)| Ok(normalizer.normalize_field(&truth.read_all()?)));
        let truth = normalised.collect::<Result<_, PairError>>()?;
        Ok(Self { values: Values::InMemory { condition: channels, truth }, ..self })
    }

    pub(crate) fn grid(&self) -> &Grid {
        &self.grid
    }

    pub(crate) fn boundary(&self) -> Boundary {
        self.boundary
    }

    /// How many channels condition and truth have.
    pub(crate) fn channels(&self) -> [usize; 2] {
        let [before, after] = self.conditioning.channel_counts();
        [before + self.conditioning.channels.scalars.len() + after, self.conditioning.truth.len()]
    }

    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.values, Values::InMemory { .. })
    }

    /// Bytes of all channels.
    pub(crate) fn bytes(&self) -> usize {
        self.grid.voxels() * self.channels().iter().sum::<usize>() * size_of::<f32>()
    }

    /// A window of the low-resolution density, which is the first channel.
    pub(crate) fn density(&self, region: &Region) -> Result<Array3<f32>, PairError> {
        match &self.values {
            Values::InMemory { condition, .. } => Ok(window(&condition[0], region)),
            Values::ByWindow { condition, .. } => {
                Ok(condition.read(region)?.mapv_into(|value| self.conditioning.density.normalize(value)))
            }
        }
    }

    /// A window of all channels of the condition, and of the truth.
    pub(crate) fn windows(&self, region: &Region) -> Result<[Vec<Array3<f32>>; 2], PairError> {
        match &self.values {
            Values::InMemory { condition, truth } => {
                Ok([condition, truth]
                    .map(|fields| fields.iter().map(|field| window(field, region)).collect()))
            }
            Values::ByWindow { condition, scalars, truth } => {
                let channels = self.conditioning.window(&*condition.values, self.boundary, region);
                let [mut channels, after] =
                    channels.map_err(|error| PairError::reading(&condition.path, error))?;
                let constants = self.conditioning.constants(scalars).into_iter();
                channels.extend(constants.map(|value| Array3::from_elem(region.shape, value)));
                channels.extend(after);
                let truth = self.conditioning.truth.iter().zip(truth).map(|(normalizer, truth)| {
                    Ok(truth.read(region)?.mapv_into(|value| normalizer.normalize(value)))
                });
                Ok([channels, truth.collect::<Result<_, PairError>>()?])
            }
        }
    }
}

impl fmt::Debug for Normalised {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_in_memory = self.is_in_memory();
        out.debug_struct("Normalised")
            .field("grid", &self.grid)
            .field("is_in_memory", &is_in_memory)
            .finish_non_exhaustive()
    }
}

impl Source {
    fn read(&self, region: &Region) -> Result<Array3<f32>, PairError> {
        self.values.read(region).map_err(|error| PairError::reading(&self.path, error))
    }

    fn read_all(&self) -> Result<Field3, PairError> {
        Field3::read_from(&*self.values).map_err(|error| PairError::reading(&self.path, error))
    }
}

/// The window `region` of a field, which it fits.
fn window(field: &Field3, region: &Region) -> Array3<f32> {
    field.extract(region).expect("a window fits its box")
}
