//! What a generation will take.

use crate::checks::check_inside;
use crate::moving_lattice::MovingLattice;
use crate::store::StepStore;
use crate::{Boundary, GenerationConfig, Order, OutpaintError, Place, Strategy, updates};
use finescale_field::Region;
use serde::Serialize;

/// Bytes of the blocks on their way into a file, and of that file's own cache.
const OUTPUT_BYTES: usize = 8 << 20;

/// Windows, evaluations and memory of a generation, known before it starts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Cells of the volume.
    pub cells: [usize; 3],
    /// Cells of a window per axis.
    pub window_cells: usize,
    /// Windows per axis; in joint sampling, at the last step.
    pub windows_per_axis: [usize; 3],
    /// Number of windows.
    pub windows: usize,
    /// Groups of windows that wait for each other: in joint sampling one a step, else as the strategy orders them.
    pub groups: usize,
    /// Steps of a window from noise to clean, or of a volume in joint sampling: one evaluation each.
    pub steps: usize,
    /// Network evaluations, of all windows.
    pub evaluations: usize,
    /// Voxels that the network evaluates per voxel of the volume.
    pub evaluations_per_voxel: f64,
    /// Bytes of the work, in the work folder or in memory.
    pub work_bytes: usize,
    /// Bytes of the result.
    pub result_bytes: usize,
    /// Bytes of memory beside the network, and what is kept in memory instead of in a work folder: the windows of a batch
    /// on their way, or the blocks of an update, or of a file that is written; and what guides a sample by mass, which alone depends on the
    /// volume.
    pub buffer_bytes: usize,
}

impl Plan {
    /// Checks that a region of a box of `cells` can be generated, whatever its values are.
    ///
    /// # Errors
    /// [`OutpaintError::Setting`], [`OutpaintError::Region`], and as [`Plan::new`].
    pub fn check(
        config: &GenerationConfig,
        region: &Region,
        cells: [usize; 3],
        window_cells: usize,
        boundary: Boundary,
    ) -> Result<(), OutpaintError> {
        config.check()?;
        check_inside(region, cells, boundary)?;
        Self::new(config, config.seed, &Place::part(*region, cells, boundary), window_cells, 1).map(drop)
    }

    /// The plan of generating some fields of the volume at `place` with windows of `window_cells`^3. Along open axes, how
    /// many windows there are depends on where `noise_seed` puts them.
    ///
    /// # Errors
    /// [`OutpaintError::Diffusion`] if the sampling settings make no levels; [`OutpaintError::SmallerThanWindow`] and
    /// [`OutpaintError::Overlap`] if windows do not fit.
    pub fn new(
        config: &GenerationConfig,
        noise_seed: u64,
        place: &Place,
        window_cells: usize,
        fields: usize,
    ) -> Result<Self, OutpaintError> {
        let cells = place.cells();
        let (windows_per_axis, groups, steps, evaluations, volumes, update_bytes);
        match config.strategy {
            Strategy::Joint(joint) => {
                let levels = config.sampling.levels.levels()?;
                let lattices = MovingLattice::at_each_level(joint, &levels, noise_seed, place, window_cells)?;
                let last = lattices.last().expect("there is always a level");
                (windows_per_axis, groups, steps) = (last.windows_per_axis(), lattices.len(), lattices.len());
                evaluations = lattices.iter().map(MovingLattice::windows).sum::<usize>();
                (volumes, update_bytes) = (StepStore::VOLUMES, updates::update_bytes(fields));
            }
            Strategy::Sequential(sequential) => {
                let order = Order::new(sequential, cells, window_cells, *place)?;
                (windows_per_axis, groups) = (order.tiling().windows_per_axis(), order.groups().len());
                steps = config.sampling.levels.levels()?.len();
                evaluations = order.windows() * steps;
                (volumes, update_bytes) = (1, 0);
            }
        }
        let voxels = cells.iter().product::<usize>();
        let volume_bytes = fields * voxels * size_of::<f32>();
        let evaluated = evaluations as f64 * (window_cells as f64).powi(3);
        Ok(Self {
            cells,
            window_cells,
            windows_per_axis,
            windows: windows_per_axis.iter().product(),
            groups,
            steps,
            evaluations,
            evaluations_per_voxel: evaluated / voxels as f64,
            work_bytes: volumes * volume_bytes,
            result_bytes: volume_bytes,
            buffer_bytes: update_bytes.max(OUTPUT_BYTES),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StrategyName;
    use finescale_diffusion::{SamplingConfig, SamplingLevels};

    fn plan(name: StrategyName, fields: usize) -> Plan {
        // Five levels a factor of ten apart from 100 on: two of them below 1.
        let levels = SamplingLevels::LogUniform { steps: 5, sigma_min: 0.01, sigma_max: 100.0 };
        let sampling = SamplingConfig { levels, ..Default::default() };
        let mut strategy = Strategy::new(name, 8);
        if let Strategy::Joint(joint) = &mut strategy {
            joint.overlap_below_sigma = 0.5;
        }
        let config = GenerationConfig { strategy, sampling, ..Default::default() };
        Plan::new(&config, 0, &Place::whole([64; 3], Boundary::Periodic), 32, fields).unwrap()
    }

    #[test]
    fn plans_by_hand() {
        let raster = plan(StrategyName::Raster, 1);
        assert_eq!((raster.windows, raster.steps, raster.groups, raster.evaluations), (27, 5, 27, 135));
        assert_eq!(raster.evaluations_per_voxel, 135.0 / 8.0);
        assert_eq!((raster.work_bytes, plan(StrategyName::Raster, 3).work_bytes), (1 << 20, 3 << 20));
        let colour = plan(StrategyName::Colour, 1);
        assert_eq!((colour.windows, colour.groups, colour.evaluations), (64, 8, 320));
        let joint = plan(StrategyName::Joint, 1);
        assert_eq!((joint.windows, joint.groups, joint.evaluations), (27, 5, 3 * 8 + 2 * 27));
        assert_eq!((joint.work_bytes, joint.result_bytes), (6 << 20, 1 << 20));
    }
}
