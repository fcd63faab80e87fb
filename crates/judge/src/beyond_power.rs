//! Statistics beyond the power spectrum, of one field.

use crate::Labelled;
use crate::limits::{MINKOWSKI_VOXELS, VOID_CONTRAST};
use crate::measured::Measured;
use crate::triangles::{Bispectra, Triangles};
use finescale_field::{Boundary, Field3, Grid};
use finescale_spectra::{
    Bands, Kernel, LineOfSight, Minkowski, Modes, Multipoles, PeakCounts, Scattering, Smoother, SpectraError,
    VoidSizeFunction, find_voids, log_density, minkowski, peak_counts, scattering,
};
use serde::Serialize;

/// The smallest void in voxels, the step to the next radius, and the largest in parts of the box.
const VOID_VOXELS: f64 = 4.0;
const VOID_STEP: f64 = 1.2;
const VOID_OF_BOX: f64 = 1.0 / 6.0;
/// Height of peaks in standard deviations: 0, 0.5, ... 5.
const PEAK_STEPS: usize = 11;
/// log10 of the thresholds of 1 + δ for Minkowski functionals: from, to, number.
const MINKOWSKI_RANGE: (f64, f64, usize) = (-1.0, 1.2, 23);
/// Most octaves of the scattering transform.
const OCTAVES: usize = 4;

/// Statistics of a field beyond its power spectrum, each with its reason where it could not be measured.
#[derive(Clone, Debug, Serialize)]
pub struct BeyondPower {
    /// P_0, P_2 and P_4 along z, in the bands of the report: P_2 and P_4 of a statistically isotropic field
    /// are zero.
    pub multipoles: Multipoles,
    /// Power of ln(1 + δ) in the bands of the report, in (Mpc/h)³.
    pub log_power: Measured<Vec<f64>>,
    /// Bispectra of the triangles that the grid allows.
    pub bispectrum: Measured<Bispectra>,
    /// Number density of spherical voids by radius.
    pub voids: Measured<VoidSizeFunction>,
    /// Peaks of the smoothed logarithmic density.
    pub peaks: Measured<PeakCounts>,
    /// Minkowski functionals of the density smoothed by [`Self::minkowski_radius_mpc_h`].
    pub minkowski: Measured<Minkowski>,
    /// Radius of the Gaussian before the Minkowski functionals, in Mpc/h.
    pub minkowski_radius_mpc_h: f64,
    /// Scattering coefficients of the logarithmic density.
    pub scattering: Measured<Scattering>,
}

impl BeyondPower {
    /// Of a field with its `modes`; `tell` is called before each statistic that takes time.
    pub(crate) fn new(
        labelled: &Labelled<'_>,
        modes: &Modes,
        bands: &Bands,
        triangles: &Result<Triangles, String>,
        tell: &dyn Fn(&'static str),
    ) -> Self {
        let (field, boundary) = (labelled.field, labelled.boundary);
        let grid = field.grid();
        tell("bispectrum");
        let bispectrum = match triangles {
            Ok(triangles) => triangles.measure(modes).into(),
            Err(reason) => Measured::skipped(reason),
        };
        let radius = MINKOWSKI_VOXELS * coarsest(grid);
        tell("voids");
        let voids = if_closed(boundary, || voids(field));
        tell("peaks");
        let heights: Vec<f64> = (0..PEAK_STEPS).map(|i| 0.5 * i as f64).collect();
        let peaks = if_closed(boundary, || peak_counts(field, &heights).into());
        tell("Minkowski functionals");
        let minkowski = if_closed(boundary, || functionals(field, radius).into());
        tell("scattering");
        Self {
            multipoles: modes.multipoles_in(LineOfSight::Z, bands),
            log_power: Modes::from_log_density_within(field, boundary)
                .map(|modes| modes.power_in(bands).power)
                .into(),
            bispectrum,
            voids,
            peaks,
            minkowski,
            minkowski_radius_mpc_h: radius,
            scattering: if_closed(boundary, || octaves(field)),
        }
    }
}

/// What sees the opposite face is measured in periodic boxes only.
fn if_closed<T>(boundary: Boundary, measure: impl FnOnce() -> Measured<T>) -> Measured<T> {
    match boundary {
        Boundary::Periodic => measure(),
        Boundary::Open => {
            Measured::skipped("the volume is open: what is smoothed would see the opposite face")
        }
    }
}

fn coarsest(grid: &Grid) -> f64 {
    grid.voxel_mpc_h().into_iter().fold(0.0, f64::max)
}

fn shortest(grid: &Grid) -> f64 {
    grid.box_size_mpc_h().into_iter().fold(f64::INFINITY, f64::min)
}

fn voids(field: &Field3) -> Measured<VoidSizeFunction> {
    let (smallest, largest) = (VOID_VOXELS * coarsest(field.grid()), VOID_OF_BOX * shortest(field.grid()));
    let radii: Vec<f64> = (0..).map(|i| smallest * VOID_STEP.powi(i)).take_while(|&r| r <= largest).collect();
    if radii.len() < 3 {
        let reason = format!("voids of {VOID_VOXELS} voxels or more are too large for this box");
        return Measured::skipped(reason);
    }
    find_voids(field, &radii, VOID_CONTRAST).map(|voids| voids.size_function()).into()
}

fn functionals(field: &Field3, radius_mpc_h: f64) -> Result<Minkowski, SpectraError> {
    let (low, high, count) = MINKOWSKI_RANGE;
    let threshold = |i: usize| 10f64.powf(low + (high - low) * i as f64 / (count - 1) as f64);
    let smooth = Smoother::new(field)?.smooth(Kernel::Gaussian, radius_mpc_h)?;
    minkowski(&smooth, &(0..count).map(threshold).collect::<Vec<_>>())
}

fn octaves(field: &Field3) -> Measured<Scattering> {
    let room = 0.25 * shortest(field.grid()) / coarsest(field.grid());
    match (room.log2().floor().max(0.0) as usize).min(OCTAVES) {
        0 => Measured::skipped("the box holds no octave of wavelets"),
        octaves => log_density(field).and_then(|f| scattering(&f, octaves)).into(),
    }
}
