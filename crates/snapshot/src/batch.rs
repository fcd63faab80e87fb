//! What is read of particles, and how it is handed on.

/// What is wanted of each particle beside its position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Its mass.
    pub masses: bool,
    /// Its velocity.
    pub velocities: bool,
    /// Its identifier, if the file has them.
    pub ids: bool,
    /// The side of a cube of its volume.
    pub sides: bool,
    /// Numbers of other datasets.
    pub columns: Vec<DatasetColumn>,
}

impl Wanted {
    /// Positions and masses.
    #[must_use]
    pub fn masses() -> Self {
        Self { masses: true, ..Self::default() }
    }
}

/// One number of each particle, in the file's units: a dataset of one column, or one of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetColumn {
    /// The dataset's name in its group, such as `InternalEnergy`.
    pub dataset: String,
    /// Which column of it, if it has several.
    pub column: Option<usize>,
}

impl std::fmt::Display for DatasetColumn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.dataset)?;
        self.column.map_or(Ok(()), |column| write!(f, ":{column}"))
    }
}

/// Which dataset says the sizes of gas cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeOf {
    /// Their volumes, which fill the box.
    Volume,
    /// Their densities, over which masses are volumes.
    Density,
    /// Radii of kernels, which overlap.
    SmoothingLength,
}

impl std::fmt::Display for SizeOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Volume => "Volume",
            Self::Density => "Density",
            Self::SmoothingLength => "SmoothingLength",
        })
    }
}

/// Some particles of one file, with what was wanted of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Which of the snapshot's files they come from.
    pub file: usize,
    /// Their type.
    pub kind: usize,
    /// Positions in comoving Mpc/h, as the file has them: not wrapped into the box.
    pub positions_mpc_h: Vec<[f64; 3]>,
    /// Masses in 1e10 Msun/h, if they were wanted.
    pub masses: Option<Vec<f32>>,
    /// Peculiar velocities in km/s, if they were wanted.
    pub velocities_km_s: Option<Vec<[f32; 3]>>,
    /// Identifiers, if they were wanted and the file has them.
    pub ids: Option<Vec<u64>>,
    /// Sides of cubes of the volumes of gas cells in comoving Mpc/h, if they were wanted; 0 of particles that are no gas.
    pub sides_mpc_h: Option<Vec<f32>>,
    /// The dataset that they come from, if there are any.
    pub sides_from: Option<SizeOf>,
    /// The columns that were wanted, in that order, in the file's units.
    pub columns: Vec<Vec<f32>>,
}
