//! What a generation will take.

use crate::{Job, Order, OutpaintError};
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
    /// Evaluations that a window takes from noise to clean, or a volume in joint sampling.
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
    pub(crate) fn joint(job: &Job) -> Result<Self, OutpaintError> {
        let lattices = job.lattices()?;
        let last = lattices.last().expect("there is always a level");
        let evaluations = lattices.iter().map(|lattice| lattice.windows()).sum();
        // State, memory and estimate, the next of the first two, and the condition.
        Ok(Self::new(job, last.windows_per_axis(), (lattices.len(), lattices.len(), evaluations), (4, 6)))
    }

    pub(crate) fn of_order(job: &Job, order: &Order) -> Result<Self, OutpaintError> {
        let steps = job.config.sampling.evaluations()?;
        let windows = order.tiling().windows_per_axis();
        Ok(Self::new(job, windows, (order.groups().len(), steps, order.windows() * steps), (1, 2)))
    }

    fn new(
        job: &Job,
        windows_per_axis: [usize; 3],
        (groups, steps, evaluations): (usize, usize, usize),
        (volumes_on_disk, volumes_in_memory): (usize, usize),
    ) -> Self {
        let voxels = job.region.voxels();
        let evaluated = evaluations as f64 * (job.window_cells as f64).powi(3);
        Self {
            cells: job.region.shape,
            window_cells: job.window_cells,
            windows_per_axis,
            windows: windows_per_axis.iter().product(),
            groups,
            steps,
            evaluations,
            evaluations_per_voxel: evaluated / voxels as f64,
            work_bytes: volumes_on_disk * voxels * size_of::<f32>(),
            volume_bytes: volumes_in_memory * voxels * size_of::<f32>(),
        }
    }
}
