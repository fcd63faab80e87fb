//! What a network sees of a pair: in memory, or made window by window of what its files hold.

use crate::source::Source;
use crate::{Pair, PairError};
use finescale_field::{Boundary, Conditioning, Field3, Grid, Region};
use ndarray::Array3;
use std::fmt;
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

impl Normalised {
    /// A pair that is read window by window.
    pub(crate) fn by_window(pair: &Pair, conditioning: &Arc<Conditioning>) -> Result<Self, PairError> {
        let values = Values::ByWindow {
            condition: pair.condition_source(),
            scalars: pair.values(&conditioning.channels.scalars)?,
            truth: pair.truth_sources().collect(),
        };
        let (grid, boundary) = (*pair.grid(), pair.boundary());
        Ok(Self { grid, boundary, conditioning: conditioning.clone(), values })
    }

    /// The same pair with all its channels in memory: the same bits.
    pub(crate) fn in_memory(self) -> Result<Self, PairError> {
        let Values::ByWindow { condition, scalars, truth } = &self.values else { return Ok(self) };
        let density = condition.all()?;
        let channels = self.conditioning.apply(&density, self.boundary, scalars);
        let channels = channels.map_err(|error| PairError::reading(condition.path(), error.into()))?;
        drop(density);
        let normalised = self.conditioning.truth.iter().zip(truth);
        let normalised = normalised.map(|(normalizer, truth)| Ok(normalizer.normalize_field(&truth.all()?)));
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

    /// Bytes that reading a window of `cells`^3 takes for a while: with its surroundings three times, and its channels.
    pub(crate) fn window_bytes(&self, cells: usize) -> usize {
        let reach = self.conditioning.reach_cells();
        let wide: usize = self.grid.cells().iter().map(|&n| n.min(cells + 2 * reach)).product();
        let channels = self.channels().iter().sum::<usize>();
        (3 * wide + channels * cells.pow(3)) * size_of::<f32>()
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
                Ok(condition.window(region)?.mapv_into(|value| self.conditioning.density.normalize(value)))
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
                let channels = self.conditioning.window(condition, self.boundary, region);
                let [mut channels, after] =
                    channels.map_err(|error| PairError::reading(condition.path(), error))?;
                let constants = self.conditioning.constants(scalars).into_iter();
                channels.extend(constants.map(|value| Array3::from_elem(region.shape, value)));
                channels.extend(after);
                let truth = self.conditioning.truth.iter().zip(truth).map(|(normalizer, truth)| {
                    Ok(truth.window(region)?.mapv_into(|value| normalizer.normalize(value)))
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

/// The window `region` of a field, which it fits.
fn window(field: &Field3, region: &Region) -> Array3<f32> {
    field.extract(region).expect("a window fits its box")
}
