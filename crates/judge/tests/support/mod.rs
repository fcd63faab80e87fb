//! Small fields whose statistics are known; the tests of `report` use them, too.

use finescale_field::{Field3, Grid};
use finescale_judge::{Fields, Labelled};
use ndarray::Array3;
use std::f64::consts::TAU;

/// A lognormal-looking field; `scale` multiplies its contrast, `phase` moves its small waves.
pub(crate) fn waves(cells: usize, scale: f64, phase: f64) -> Field3 {
    let grid = Grid::cube(cells, 50.0).expect("a cube");
    let values = Array3::from_shape_fn([cells; 3], |(i, j, k)| {
        let [x, y, z] = [i, j, k].map(|v| TAU * v as f64 / cells as f64);
        let large = (x + 2.0 * y).cos() + (z - y + 0.7).sin() + 0.7 * (x - 2.0 * z).cos();
        let small = (5.0 * x + 3.0 * z + phase).sin() * (4.0 * y - 2.0 * z + 2.0 * phase).cos();
        (0.5 * (large + 0.6 * small)).exp() as f32
    });
    let field = Field3::new(grid, values).expect("the grid's own shape");
    let mean = field.mean();
    field.map(|v| (1.0 + scale * (f64::from(v) / mean - 1.0)) as f32)
}

/// Fields of unknown tiles.
pub(crate) fn fields<'a>(
    truth: &'a Field3,
    condition: Option<&'a Field3>,
    samples: &[&'a Field3],
) -> Fields<'a> {
    let sample = |(i, field): (usize, &&'a Field3)| Labelled::new(format!("sample {}", i + 1), field);
    Fields {
        truth: Labelled::new("truth", truth),
        condition: condition.map(|field| Labelled::new("condition", field)),
        samples: samples.iter().enumerate().map(sample).collect(),
        independent_tiles: None,
        companion: None,
    }
}
