//! Errors of this crate.

/// What can go wrong with schedules, levels and samplers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffusionError {
    /// Betas that do not make a noise schedule.
    #[error(
        "a linear schedule needs 0 < beta_start <= beta_end < 1 and 2 to 100,000 steps, found {beta_start} to {beta_end} in {steps} steps"
    )]
    Schedule {
        /// First beta.
        beta_start: f64,
        /// Last beta.
        beta_end: f64,
        /// Number of steps.
        steps: usize,
    },
    /// Sampling settings that do not make a list of noise levels.
    #[error(
        "sampling needs 1 to 100,000 steps and 0 < sigma_min < sigma_max, both finite; found {steps} steps from {sigma_max} to {sigma_min}"
    )]
    Sigmas {
        /// Number of steps.
        steps: usize,
        /// Least noise.
        sigma_min: f64,
        /// Most noise.
        sigma_max: f64,
    },
    /// Levels that do not lead from noise to the clean state.
    #[error("noise levels must rise strictly within (0, 1), found alpha_bar {found} at step {step}")]
    Levels {
        /// The step at fault.
        step: usize,
        /// Its alpha_bar.
        found: f64,
    },
    /// Training levels whose logarithms have no normal distribution.
    #[error(
        "log-normal training levels need a finite mean and a positive deviation, found {mean} and {deviation}"
    )]
    LogNormal {
        /// Mean of ln sigma.
        mean: f64,
        /// Standard deviation of ln sigma.
        deviation: f64,
    },
    /// A step that the sampler does not have.
    #[error("step {step} is outside the {levels} noise levels of this sampler")]
    Step {
        /// The step asked for.
        step: usize,
        /// Steps there are.
        levels: usize,
    },
    /// A sampler that nobody knows.
    #[error("unknown sampler `{found}`: use ddpm, ddim, dpm_solver++2m or sde_dpm_solver++2m")]
    Sampler {
        /// The text given.
        found: String,
    },
    /// A solver that is resumed without its memory.
    #[error("step {step} goes on from the one before, but the memory of that one is missing")]
    Memory {
        /// The step that asked.
        step: usize,
    },
    /// Tensors whose shapes should agree.
    #[error("{what} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor at fault.
        what: &'static str,
        /// The shape that was needed.
        expected: Vec<usize>,
        /// The shape that was given.
        found: Vec<usize>,
    },
    /// A noise window that does not fit its grid.
    #[error("noise for a window of {shape:?} voxels does not fit a periodic grid of {cells:?} cells")]
    Window {
        /// Voxels of the window.
        shape: [usize; 3],
        /// Cells of the grid.
        cells: [usize; 3],
    },
    /// Prescribed noise that ends before the sampler does.
    #[error("noise is prescribed for {given} steps, step {step} needs more")]
    PrescribedNoise {
        /// The step that asked.
        step: usize,
        /// Tensors there are.
        given: usize,
    },
    /// An error of the tensor library.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
