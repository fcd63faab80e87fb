//! A volume that was generated, read window by window.

use crate::OutpaintError;
use crate::given::GivenValues;
use crate::slabs::fetch;
use crate::store::{StepStore, WindowStore};
use crate::volume::Volume;
use finescale_field::{Field3, Grid, Normalizer, Region, WindowError, Windows};
use finescale_ranks::Ranks;
use ndarray::Array3;
use serde_json::Value;
use std::fmt;

/// A volume that is generated. Its values stay where the work was, to be read window by window: by rank 0, while the others
/// [serve](Self::serve) it.
pub struct Generated<'a> {
    pub(crate) values: Values,
    pub(crate) grid: Grid,
    pub(crate) normalizers: &'a [Normalizer],
    pub(crate) given: Option<GivenValues<'a>>,
    pub(crate) ranks: &'a Ranks,
}

/// The work of a volume, done.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of them")]
pub(crate) enum Values {
    Steps(StepStore),
    Windows(WindowStore),
}

/// One field of a volume that is generated: the density 1 + delta.
#[derive(Clone, Copy)]
pub struct GeneratedField<'a> {
    generated: &'a Generated<'a>,
    field: usize,
}

impl fmt::Debug for Generated<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Generated").field("grid", &self.grid).finish_non_exhaustive()
    }
}

impl Generated<'_> {
    /// What the fields are of, as [`identity`](crate::identity()) says, and all programs that worked on them.
    #[must_use]
    pub fn identity(&self) -> &Value {
        match &self.values {
            Values::Steps(store) => store.identity(),
            Values::Windows(store) => store.identity(),
        }
    }

    /// The fields, window by window.
    pub fn fields(&self) -> impl Iterator<Item = GeneratedField<'_>> {
        (0..self.normalizers.len()).map(|field| GeneratedField { generated: self, field })
    }

    /// The fields, in memory.
    ///
    /// # Errors
    /// [`OutpaintError::Read`] if they cannot be read, or memory has no room for them.
    pub fn in_memory(&self) -> Result<Vec<Field3>, OutpaintError> {
        self.fields().map(|field| Field3::read_from(&field).map_err(OutpaintError::Read)).collect()
    }

    /// The fields in the memory of rank 0, and nothing on the others. Nothing more can be read then.
    ///
    /// # Errors
    /// As [`in_memory`](Self::in_memory) and [`serve`](Self::serve).
    pub fn for_first(self) -> Result<Vec<Field3>, OutpaintError> {
        if !self.ranks.is_first() {
            self.serve()?;
            return Ok(Vec::new());
        }
        let fields = self.in_memory()?;
        self.read_all()?;
        Ok(fields)
    }

    /// Gives rank 0 what it reads, until it has [read all](Self::read_all). Returns at once on rank 0.
    ///
    /// # Errors
    /// [`OutpaintError::Ranks`] if rank 0 ends before; [`OutpaintError::Io`] if the values cannot be read.
    pub fn serve(&self) -> Result<(), OutpaintError> {
        while !self.ranks.is_first() {
            let mut wanted = Vec::new();
            self.ranks.broadcast::<i64>(&mut wanted)?;
            let Some(region) = region_of(&wanted) else { break };
            fetch(self.ranks, self.values(), &by_first(self.ranks, region))?;
        }
        Ok(())
    }

    /// Tells the others, on rank 0, that nothing more will be read.
    ///
    /// # Errors
    /// [`OutpaintError::Ranks`] if another rank has ended.
    pub fn read_all(self) -> Result<(), OutpaintError> {
        Ok(self.ranks.broadcast::<i64>(&mut Vec::new())?)
    }

    /// The values of one field, in network units.
    fn read_values(&self, field: usize, region: &Region, values: &mut [f32]) -> Result<(), OutpaintError> {
        if self.ranks.count() == 1 {
            return self.values().read_field(field, region, values);
        }
        self.ranks.broadcast(&mut [region.start, region.shape.map(|cells| cells as i64)].concat())?;
        let all = fetch(self.ranks, self.values(), &by_first(self.ranks, *region))?.remove(0);
        values.copy_from_slice(&all[field * values.len()..][..values.len()]);
        Ok(())
    }

    /// Network units, of this rank's slab.
    fn values(&self) -> &Volume {
        match &self.values {
            Values::Steps(store) => &store.present()[0],
            Values::Windows(store) => store.values(),
        }
    }
}

impl Windows for GeneratedField<'_> {
    fn grid(&self) -> &Grid {
        &self.generated.grid
    }

    fn read(&self, region: &Region) -> Result<Array3<f32>, WindowError> {
        let Generated { grid, normalizers, given, .. } = self.generated;
        region.check_fits(grid.cells())?;
        let mut density = vec![0.0; region.voxels()];
        self.generated.read_values(self.field, region, &mut density)?;
        for density in &mut density {
            *density = normalizers[self.field].denormalize(*density);
        }
        // What was given stays as it was, to the bit.
        given.map_or(Ok(()), |given| given.lay_density_over(self.field, region, &mut density))?;
        Ok(Array3::from_shape_vec(region.shape, density)?)
    }
}

/// A region that rank 0 wants and no other, by rank.
fn by_first(ranks: &Ranks, region: Region) -> Vec<Vec<Region>> {
    let mut regions = vec![Vec::new(); ranks.count()];
    regions[0].push(region);
    regions
}

/// The region that rank 0 has sent; none when it has read all.
fn region_of(wanted: &[i64]) -> Option<Region> {
    let (start, shape) = wanted.split_first_chunk()?;
    let shape = shape.first_chunk::<3>()?;
    Some(Region { start: *start, shape: shape.map(|cells| cells as usize) })
}
