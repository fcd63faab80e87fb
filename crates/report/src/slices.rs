//! Slices of fields, one voxel thick, on one colour scale.

use finescale_field::Field3;
use finescale_judge::Labelled;
use ndarray::{Array2, Axis};

/// Panels larger than this are averaged over blocks of voxels.
const LARGEST_PANEL: usize = 760;
/// Samples shown beside the condition and the truth.
const SAMPLES_SHOWN: usize = 2;

/// One slice.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) label: String,
    /// log10(1 + δ) over (x, y); minus infinity where empty.
    pub(crate) log10_density: Array2<f32>,
}

/// Slices of several fields at the same place.
#[derive(Clone, Debug)]
pub(crate) struct Slices {
    pub(crate) panels: Vec<Panel>,
    /// log10(1 + δ) of the darkest and the brightest colour.
    pub(crate) range: (f64, f64),
    /// Size of a panel in Mpc/h.
    pub(crate) size_mpc_h: [f64; 2],
    /// Where along z, and how thick, in Mpc/h.
    pub(crate) depth_mpc_h: f64,
    pub(crate) thickness_mpc_h: f64,
}

impl Slices {
    /// Slices through the densest voxel of `reference`, whose values also set the colour scale.
    pub(crate) fn through_densest(
        reference: &Field3,
        condition: Option<&Labelled<'_>>,
        samples: &[Labelled<'_>],
        truth: Option<&Labelled<'_>>,
    ) -> Self {
        let z = densest_plane(reference);
        let shown = condition.into_iter().chain(samples.iter().take(SAMPLES_SHOWN)).chain(truth);
        let panels: Vec<Panel> = shown
            .map(|field| Panel { label: field.label.clone(), log10_density: slice(field.field, z) })
            .collect();
        let grid = reference.grid();
        let [x, y, _] = grid.box_size_mpc_h();
        let thickness = grid.voxel_mpc_h()[2];
        Self {
            panels,
            range: colour_range(&slice(reference, z)),
            size_mpc_h: [x, y],
            depth_mpc_h: (z as f64 + 0.5) * thickness,
            thickness_mpc_h: thickness,
        }
    }
}

fn densest_plane(field: &Field3) -> usize {
    let values = field.as_slice().iter().enumerate();
    let densest = values.max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(index, _)| index);
    densest % field.grid().cells()[2]
}

fn slice(field: &Field3, z: usize) -> Array2<f32> {
    let plane = field.values().index_axis(Axis(2), z);
    let (nx, ny) = plane.dim();
    let block = nx.max(ny).div_ceil(LARGEST_PANEL);
    let mean_of_block = |(i, j): (usize, usize)| {
        let (x, y) = (i * block, j * block);
        let part = plane.slice(ndarray::s![x..(x + block).min(nx), y..(y + block).min(ny)]);
        part.mean().map_or(f32::NEG_INFINITY, |density| density.max(0.0).log10())
    };
    Array2::from_shape_fn((nx.div_ceil(block), ny.div_ceil(block)), mean_of_block)
}

/// From the 2nd to the 99.95th percentile of what is not empty, in tenths, at least half a decade.
fn colour_range(log10_density: &Array2<f32>) -> (f64, f64) {
    let mut values: Vec<f32> = log10_density.iter().copied().filter(|v| v.is_finite()).collect();
    values.sort_unstable_by(f32::total_cmp);
    let at = |part: f64| values.get((part * values.len() as f64) as usize).map_or(0.0, |&v| f64::from(v));
    let low = ((at(0.02) * 10.0).floor() / 10.0).max(-4.0);
    (low, ((at(0.9995) * 10.0).ceil() / 10.0).max(low + 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Grid;
    use ndarray::Array3;

    #[test]
    fn slices_go_through_the_densest_voxel() {
        let grid = Grid::new([4, 3, 5], [8.0, 6.0, 10.0]).unwrap();
        let mut values = Array3::from_elem((4, 3, 5), 1.0);
        values[[2, 1, 3]] = 1000.0;
        values[[0, 2, 3]] = 0.0;
        let field = Field3::new(grid, values).unwrap();
        let slices = Slices::through_densest(&field, None, &[], Some(&Labelled::new("truth", &field)));
        let panel = &slices.panels[0].log10_density;
        assert_eq!(panel.dim(), (4, 3));
        assert_eq!((panel[[2, 1]], panel[[1, 1]], panel[[0, 2]]), (3.0, 0.0, f32::NEG_INFINITY));
        assert_eq!((slices.depth_mpc_h, slices.thickness_mpc_h), (7.0, 2.0));
        assert_eq!(slices.range, (0.0, 3.0));
        assert_eq!(slices.size_mpc_h, [8.0, 6.0]);
    }

    #[test]
    fn large_slices_are_block_means() {
        let grid = Grid::new([1600, 2, 1], [16.0, 2.0, 1.0]).unwrap();
        let values = Array3::from_shape_fn((1600, 2, 1), |(i, _, _)| if i % 4 == 0 { 40.0 } else { 0.0 });
        let panel = slice(&Field3::new(grid, values).unwrap(), 0);
        assert_eq!(panel.dim(), (534, 1));
        assert!((panel[[0, 0]] - (80.0f32 / 6.0).log10()).abs() < 1e-6);
    }
}
