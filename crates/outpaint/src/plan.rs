//! What a generation will take.

use crate::{GenerationConfig, OutpaintError, Tiling};
use serde::Serialize;

/// Windows, evaluations and memory of a generation, known before it starts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Cells of the volume.
    pub cells: [usize; 3],
    /// Cells of a window per axis.
    pub window_cells: usize,
    /// Windows per axis.
    pub windows_per_axis: [usize; 3],
    /// Number of windows.
    pub windows: usize,
    /// Least overlap per axis, in cells.
    pub overlap_cells: [usize; 3],
    /// Steps of the sampler.
    pub steps: usize,
    /// Network evaluations, of all windows.
    pub evaluations: usize,
    /// Voxels that the network evaluates per voxel of the volume.
    pub evaluations_per_voxel: f64,
    /// Disk space of the work folder in bytes.
    pub work_bytes: usize,
    /// Memory of the volume's sample and its condition in bytes; the network comes on top.
    pub volume_bytes: usize,
}

impl Plan {
    /// The plan of generating the volume of `tiling`.
    ///
    /// # Errors
    /// [`OutpaintError::Diffusion`] if the sampling settings make no levels.
    pub fn new(tiling: &Tiling, config: &GenerationConfig) -> Result<Self, OutpaintError> {
        let steps = config.sampling.levels.levels()?.len();
        let voxels: usize = tiling.cells().iter().product();
        let evaluations = tiling.windows() * steps;
        let evaluated = evaluations as f64 * (tiling.window_cells() as f64).powi(3);
        Ok(Self {
            cells: tiling.cells(),
            window_cells: tiling.window_cells(),
            windows_per_axis: tiling.windows_per_axis(),
            windows: tiling.windows(),
            overlap_cells: tiling.overlap_cells(),
            steps,
            evaluations,
            evaluations_per_voxel: evaluated / voxels as f64,
            work_bytes: voxels * size_of::<f32>(),
            volume_bytes: 2 * voxels * size_of::<f32>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Boundary;

    #[test]
    fn the_plan_by_hand() {
        let tiling = Tiling::new([64; 3], 32, 8, Boundary::Periodic).unwrap();
        let plan = Plan::new(&tiling, &GenerationConfig::default()).unwrap();
        assert_eq!((plan.windows, plan.steps, plan.evaluations), (27, 20, 540));
        assert_eq!(plan.evaluations_per_voxel, 540.0 / 8.0);
        assert_eq!(plan.work_bytes, 1 << 20);
    }
}
