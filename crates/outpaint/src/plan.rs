//! What a generation will take.

use crate::lattice::Lattice;
use crate::{Boundary, GenerationConfig, Order, OutpaintError, Strategy};
use serde::Serialize;

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
    /// Disk space of the work folder in bytes.
    pub work_bytes: usize,
    /// Memory of the result in bytes; the network, some windows, and the condition come on top.
    pub volume_bytes: usize,
}

impl Plan {
    /// The plan of generating a volume of `cells` with windows of `window_cells`^3.
    ///
    /// # Errors
    /// [`OutpaintError::Diffusion`] if the sampling settings make no levels; [`OutpaintError::SmallerThanWindow`] and
    /// [`OutpaintError::Overlap`] if windows do not fit.
    pub fn new(
        config: &GenerationConfig,
        cells: [usize; 3],
        window_cells: usize,
        boundary: Boundary,
    ) -> Result<Self, OutpaintError> {
        match config.strategy {
            Strategy::Joint => {
                // On disk: state and memory of two steps, and the estimate.
                let lattices = Lattice::of_each_step(config, cells, window_cells, boundary)?;
                let last = lattices.last().expect("there is always a level").windows_per_axis();
                let evaluations = lattices.iter().map(Lattice::windows).sum();
                let steps = lattices.len();
                Ok(Self::of(cells, window_cells, last, (steps, steps, evaluations), 5))
            }
            _ => {
                let order = Order::of(config, cells, window_cells, boundary)?;
                let steps = config.sampling.levels.levels()?.len();
                let counts = (order.groups().len(), steps, order.windows() * steps);
                Ok(Self::of(cells, window_cells, order.tiling().windows_per_axis(), counts, 1))
            }
        }
    }

    /// The same for so many fields at once.
    #[must_use]
    pub fn of_fields(self, count: usize) -> Self {
        Self { work_bytes: count * self.work_bytes, volume_bytes: count * self.volume_bytes, ..self }
    }

    fn of(
        cells: [usize; 3],
        window_cells: usize,
        windows_per_axis: [usize; 3],
        (groups, steps, evaluations): (usize, usize, usize),
        volumes_on_disk: usize,
    ) -> Self {
        let voxels: usize = cells.iter().product();
        let evaluated = evaluations as f64 * (window_cells as f64).powi(3);
        Self {
            cells,
            window_cells,
            windows_per_axis,
            windows: windows_per_axis.iter().product(),
            groups,
            steps,
            evaluations,
            evaluations_per_voxel: evaluated / voxels as f64,
            work_bytes: volumes_on_disk * voxels * size_of::<f32>(),
            volume_bytes: voxels * size_of::<f32>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_diffusion::{SamplingConfig, SamplingLevels};

    fn plan(strategy: Strategy) -> Plan {
        // Five levels a factor of ten apart from 100 on: two of them below 1.
        let levels = SamplingLevels::LogUniform { steps: 5, sigma_min: 0.01, sigma_max: 100.0 };
        let sampling = SamplingConfig { levels, ..Default::default() };
        let config = GenerationConfig { strategy, sampling, overlap_below_sigma: 0.5, ..Default::default() };
        Plan::new(&config, [64; 3], 32, Boundary::Periodic).unwrap()
    }

    #[test]
    fn plans_by_hand() {
        let raster = plan(Strategy::Raster);
        assert_eq!((raster.windows, raster.steps, raster.groups, raster.evaluations), (27, 5, 27, 135));
        assert_eq!(raster.evaluations_per_voxel, 135.0 / 8.0);
        assert_eq!((raster.work_bytes, raster.of_fields(3).work_bytes), (1 << 20, 3 << 20));
        let colour = plan(Strategy::Colour);
        assert_eq!((colour.windows, colour.groups, colour.evaluations), (64, 8, 320));
        let joint = plan(Strategy::Joint);
        assert_eq!((joint.windows, joint.groups, joint.evaluations), (27, 5, 3 * 8 + 2 * 27));
        assert_eq!((joint.work_bytes, joint.volume_bytes), (5 << 20, 1 << 20));
    }
}
