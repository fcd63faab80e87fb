//! A report of synthetic fields, to look at: `cargo run -p finescale-report --example synthetic_report -- DIR`.
//!
//! Smoothed noise is exponentiated; the samples share its large scales only, the condition lacks small scales.

use finescale_field::{Boundary, Field3, Grid};
use finescale_judge::{Beside, Comparison, Fields, Labelled, Measurements, TileFaces, Upscaled};
use finescale_report::{Pictures, write};
use ndarray::Array3;
use serde_json::json;

const CELLS: usize = 128;
const BOX_SIZE_MPC_H: f64 = 100.0;
/// Radii in cells and amplitudes of the noise that a field is made of, the largest first.
const SCALES: [(f64, f64); 5] = [(12.0, 0.5), (6.0, 0.6), (3.0, 0.7), (1.5, 0.7), (0.7, 0.5)];
/// Scales that samples share with the truth; the condition has one more.
const SHARED: usize = 3;

/// Smooth noise of unit variance.
fn noise(seed: u64, radius_cells: f64) -> Field3 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let grid = Grid::cube(CELLS, BOX_SIZE_MPC_H).expect("a cube");
    let white = Array3::from_shape_fn([CELLS; 3], |_| next());
    let smooth = Field3::new(grid, white).expect("its own grid").smoothed(radius_cells, Boundary::Periodic);
    let squares = smooth.as_slice().iter().map(|v| v * v).sum::<f32>();
    let deviation = (squares / CELLS.pow(3) as f32).sqrt();
    smooth.map(|v| v / deviation)
}

/// The exponential of `count` scales, those from [`SHARED`] on with noise of their own, over its mean.
fn field(seed: u64, count: usize) -> Field3 {
    let mut exponent = Array3::<f32>::zeros([CELLS; 3]);
    for (index, (radius, amplitude)) in SCALES.into_iter().enumerate().take(count) {
        let seed = 100 * index as u64 + if index < SHARED { 1 } else { seed };
        exponent.scaled_add(amplitude as f32, noise(seed, radius).values());
    }
    let grid = Grid::cube(CELLS, BOX_SIZE_MPC_H).expect("a cube");
    let lognormal = Field3::new(grid, exponent.mapv(f32::exp)).expect("its own grid");
    let mean = lognormal.mean() as f32;
    lognormal.map(|v| v / mean)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).unwrap_or_else(|| "report".to_owned());
    let (truth, condition) = (field(1, SCALES.len()), field(1, SHARED + 1));
    let samples: Vec<_> = (2..5).map(|seed| field(seed, SCALES.len())).collect();
    let labelled: Vec<_> =
        samples.iter().enumerate().map(|(i, s)| Labelled::new(format!("sample {}", i + 1), s)).collect();
    let condition = Labelled::new("condition", &condition);
    let faces = TileFaces::every(32, 0, [CELLS; 3]);
    let fields = Fields {
        truth: Labelled::new("truth", &truth),
        condition: Some(condition.clone()),
        samples: labelled.iter().map(|sample| sample.clone().with_faces(Ok(vec![faces.clone()]))).collect(),
        independent_tiles: None,
        companion: None,
    };
    let beside = Beside {
        title: "Synthetic universes, to look at the report".to_owned(),
        upscaled: vec![Upscaled::new("A region of a real simulation", &condition, &labelled[..1])?],
        provenance: json!({
            "command": "cargo run --example synthetic_report",
            "seed": 1,
            "model": {"file": "none", "hash": "none"},
        }),
        ..Beside::default()
    };
    let comparison = Comparison::new(Measurements::new("box 1", &fields)?, beside)?;
    let pictures = Pictures::new(&fields).with_upscaled(&condition, &labelled[..1]);
    write(&comparison, &pictures, dir.as_ref())?;
    Ok(())
}
