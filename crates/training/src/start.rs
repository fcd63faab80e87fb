//! Where a run starts.

use crate::Model;

/// Where a run starts.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// From weights drawn by the seed, or those of the teacher, if there is one.
    Fresh,
    /// Where the run in the same folder stopped, with the bits of a run that never stopped.
    Resume,
    /// The same, even if another program, device or instruction set computed it so far: with other bits.
    ResumeAnyway,
    /// From the weights and normalizers of a model, with a new optimizer.
    From(&'a Model),
}
