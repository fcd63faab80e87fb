//! What generating a volume takes each of several ranks.

use crate::moving_lattice::MovingLattice;
use crate::shares::burdens;
use crate::{GenerationConfig, OutpaintError, Place, Strategy};
use serde::Serialize;

/// Bytes of a voxel beyond a rank's slab, of each field: its state, and what is summed up there.
const HALO_BYTES: usize = size_of::<f32>() + size_of::<i64>();

/// What generating a volume by joint sampling takes one of several ranks: of each, the rank that has most. None of it is
/// measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RanksPlan {
    /// Processes.
    pub ranks: usize,
    /// Evaluations of the network that all ranks wait for: in each step those of the rank with most windows.
    pub evaluations: usize,
    /// Evaluations of all ranks over those times their number: 1 if nobody waits.
    pub efficiency: f64,
    /// What a rank needs of planes that others own, in bytes of memory.
    pub halo_bytes: usize,
    /// What a rank receives in a sample: states of planes that others own.
    pub received_bytes: usize,
    /// What a rank sends to their owners in a sample: sums over its windows.
    pub sent_bytes: usize,
}

impl RanksPlan {
    /// That of some fields of the volume at `place`, as [`Plan::new`](crate::Plan::new) has them; none if windows follow each other,
    /// and ranks take what does not wait.
    ///
    /// # Errors
    /// As [`Plan::new`](crate::Plan::new).
    /// # Panics
    /// If `ranks` is 0.
    pub fn new(
        config: &GenerationConfig,
        noise_seed: u64,
        place: &Place,
        window_cells: usize,
        (fields, ranks): (usize, usize),
    ) -> Result<Option<Self>, OutpaintError> {
        let Strategy::Joint(joint) = config.strategy else { return Ok(None) };
        let levels = config.sampling.levels.levels()?;
        let lattices = MovingLattice::at_each_level(joint, &levels, noise_seed, place, window_cells)?;
        let [_, ny, nz] = place.cells();
        let (mut all, mut evaluations, mut most_planes, mut planes_in_all) = (0, 0, 0, 0);
        for lattice in &lattices {
            let (mut windows, mut planes) = (0, 0);
            for (of_rank, reached) in burdens(lattice, place.cells(), ranks) {
                (windows, planes) = (windows.max(of_rank), planes.max(reached));
            }
            all += lattice.windows();
            evaluations += windows;
            planes_in_all += planes;
            most_planes = most_planes.max(planes);
        }
        let of_plane = fields * ny * nz;
        Ok(Some(Self {
            ranks,
            evaluations,
            efficiency: all as f64 / (evaluations * ranks) as f64,
            halo_bytes: most_planes * of_plane * HALO_BYTES,
            received_bytes: planes_in_all * of_plane * size_of::<f32>(),
            sent_bytes: planes_in_all * of_plane * size_of::<i64>(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Boundary, Joint};

    fn plan(ranks: usize) -> RanksPlan {
        let joint = Joint { overlap_cells: 0, ..Joint::default() };
        let config = GenerationConfig { strategy: Strategy::Joint(joint), ..GenerationConfig::default() };
        let place = Place::whole([64, 32, 32], Boundary::Periodic);
        RanksPlan::new(&config, 1, &place, 16, (2, ranks)).unwrap().unwrap()
    }

    #[test]
    fn plans_by_hand() {
        // Four windows along x, and sixteen in all, in each step.
        let steps = GenerationConfig::default().sampling.levels.levels().unwrap().len();
        let alone = plan(1);
        assert_eq!((alone.evaluations, alone.efficiency, alone.halo_bytes), (16 * steps, 1.0, 0));
        let four = plan(4);
        assert_eq!((four.evaluations, four.efficiency), (4 * steps, 1.0));
        // Windows begin anywhere in the slab of sixteen planes of a rank, so that they reach into at most as many of the next.
        assert!(four.halo_bytes <= 16 * 32 * 32 * 2 * 12 && four.halo_bytes > 0);
        assert_eq!(2 * four.received_bytes, four.sent_bytes);
        // Of five ranks one has four windows, and others three.
        let five = plan(5);
        assert_eq!(five.evaluations, 4 * steps);
        assert!((five.efficiency - 16.0 / 20.0).abs() < 1e-12);
        assert_eq!(plan(64).evaluations, steps);
    }
}
