//! The part of a box that is compared: what a sample covers, or what somebody asks for.

use crate::failure::bad_input;
use crate::inputs::{BoxInputs, Input};
use finescale_field::{Boundary, Grid, Region};

/// Voxels whose sizes differ by less than this fraction are the same: box sizes are rounded differently.
const VOXEL_TOLERANCE: f64 = 1e-6;

/// A region of the box of the truth, and the grid that it is as a field of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    /// In cells of the truth's box.
    pub(crate) region: Region,
    pub(crate) grid: Grid,
    /// Whether nothing of the box is left out.
    pub(crate) is_whole: bool,
    /// Whether its opposite faces meet.
    pub(crate) boundary: Boundary,
}

impl Part {
    /// The part `asked` of a box, or else the one that its samples cover, which must be the same for all.
    pub(crate) fn new(inputs: &BoxInputs, asked: Option<Region>) -> anyhow::Result<Self> {
        let truth = &inputs.truth;
        let whole = Region::whole(&truth.grid);
        let places = inputs.samples.iter().map(|sample| place(sample, truth));
        let places = places.collect::<anyhow::Result<Vec<_>>>()?;
        let region = asked.or(places.into_iter().find(|place| *place != whole)).unwrap_or(whole);
        check(&region, truth)?;
        let cells = truth.grid.cells();
        let is_whole = region.shape == cells;
        let grid = if is_whole { truth.grid } else { truth.grid.part(region.shape)? };
        let part =
            Self { region, grid, is_whole, boundary: truth.meta.boundary.of_part(region.shape, cells) };
        inputs.all().try_for_each(|input| part.window(input, truth).map(drop))?;
        Ok(part)
    }

    /// Where the part lies in the cells of a file.
    pub(crate) fn window(&self, input: &Input, truth: &Input) -> anyhow::Result<Region> {
        let (own, cells) = (place(input, truth)?, truth.grid.cells());
        let (wanted, shape) = (&self.region, self.region.shape);
        let start = [0, 1, 2].map(|axis| {
            let offset = i128::from(wanted.start[axis]) - i128::from(own.start[axis]);
            offset.rem_euclid(cells[axis] as i128) as usize
        });
        let covers =
            (0..3).all(|axis| own.shape[axis] == cells[axis] || start[axis] + shape[axis] <= own.shape[axis]);
        if covers {
            return Ok(Region { start: start.map(|cell| cell as i64), shape });
        }
        Err(bad_input(format!(
            "{}: covers the {:?} cells from {:?} on of the box of {}, and the {:?} from {:?} on are compared; give fields \
             of one region, or compare what they share with --region",
            input.path.display(),
            own.shape,
            own.start,
            truth.path.display(),
            shape,
            wanted.start,
        )))
    }

    /// The warning about a field whose opposite faces do not meet.
    pub(crate) fn warning(&self, inputs: &BoxInputs) -> Option<String> {
        if self.boundary.is_periodic() {
            return None;
        }
        let Region { start, shape } = self.region;
        let what = match self.is_whole {
            true => format!("{} is not periodic", inputs.truth.path.display()),
            false => format!(
                "only the {shape:?} cells from {start:?} on of {} are compared, which are not periodic",
                inputs.truth.path.display()
            ),
        };
        Some(format!(
            "{what}: they are tapered at their faces before they are transformed, and what sees the opposite face (voids, peaks, \
             Minkowski functionals, scattering) is not measured"
        ))
    }
}

/// Where a file lies in the box of the truth: what a sample says of itself, or the whole box.
fn place(input: &Input, truth: &Input) -> anyhow::Result<Region> {
    let (own, cells) = (input.grid.cells(), truth.grid.cells());
    check_voxels(input, truth)?;
    let said = said_region(input);
    match said {
        // Of a box that was cut to the sample by hand nothing is left to cut.
        Some(region) if own == cells && !input.meta.boundary.is_periodic() => match said_region(truth) {
            Some(other) if other != region => Err(elsewhere(input, &region, truth)),
            _ => Ok(Region { start: [0; 3], ..region }),
        },
        Some(region) => check(&region, truth).map(|()| region).map_err(|_| elsewhere(input, &region, truth)),
        None if own == cells => Ok(Region::whole(&truth.grid)),
        None => {
            Err(other_grid(input, truth, "and it does not say which part of that box it is, as samples do"))
        }
    }
}

/// The part of a box that a file says it is, as samples do.
fn said_region(input: &Input) -> Option<Region> {
    let said: Option<Region> = serde_json::from_value(input.meta.provenance["region"].clone()).ok();
    said.filter(|region| region.shape == input.grid.cells())
}

/// Checks that a region lies in the box of the truth; in a periodic one it may reach over a face.
fn check(region: &Region, truth: &Input) -> anyhow::Result<()> {
    let cells = truth.grid.cells();
    let lies_inside = |axis: usize| {
        let (start, shape, n) = (region.start[axis], region.shape[axis] as i128, cells[axis] as i128);
        let first = if truth.meta.boundary.is_periodic() { -n..n } else { 0..n };
        let end = i128::from(start) + shape;
        first.contains(&i128::from(start))
            && shape > 0
            && shape <= n
            && (truth.meta.boundary.is_periodic() || end <= n)
    };
    if (0..3).all(lies_inside) {
        return Ok(());
    }
    Err(bad_input(format!(
        "--region: {:?} cells from {:?} on do not lie in the {cells:?} cells of {}; choose a part of them",
        region.shape,
        region.start,
        truth.path.display()
    )))
}

fn check_voxels(input: &Input, truth: &Input) -> anyhow::Result<()> {
    let (found, expected) = (input.grid.voxel_mpc_h(), truth.grid.voxel_mpc_h());
    let are_same = (0..3).all(|axis| (found[axis] / expected[axis] - 1.0).abs() < VOXEL_TOLERANCE);
    if !are_same {
        return Err(other_grid(input, truth, &format!("voxels of {found:?} and of {expected:?} Mpc/h")));
    }
    let (found, expected) = (input.meta.centring, truth.meta.centring);
    if found != expected {
        let why = format!("values at voxel {found}s and at voxel {expected}s, half a voxel apart");
        return Err(other_grid(input, truth, &why));
    }
    Ok(())
}

fn other_grid(input: &Input, truth: &Input, why: &str) -> anyhow::Error {
    bad_input(format!(
        "{}: {:?} cells over {:?} Mpc/h, but {} has {:?} cells over {:?} Mpc/h, {why}; only fields of one box on one \
         grid can be compared",
        input.path.display(),
        input.grid.cells(),
        input.grid.box_size_mpc_h(),
        truth.path.display(),
        truth.grid.cells(),
        truth.grid.box_size_mpc_h(),
    ))
}

fn elsewhere(input: &Input, region: &Region, truth: &Input) -> anyhow::Error {
    bad_input(format!(
        "{}: is the {:?} cells from {:?} on of its box, and {} has {:?} cells; give the truth of the box that it was drawn \
         for",
        input.path.display(),
        region.shape,
        region.start,
        truth.path.display(),
        truth.grid.cells()
    ))
}
