//! A report of synthetic fields, to look at: `cargo run -p finescale-report --example synthetic_report -- DIR`.
//!
//! A random field with a cosmology-like spectrum is exponentiated; the samples share its large scales only, the
//! condition lacks small scales.

use finescale_field::{Field3, Grid};
use finescale_report::{Comparison, Fields, Labelled};
use finescale_spectra::TileFaces;
use finescale_spectra::{Complex32, Fft3, fft::frequency};
use ndarray::Array3;
use serde_json::json;

const CELLS: usize = 128;
const BOX_SIZE_MPC_H: f64 = 100.0;

/// White noise in [-0.5, 0.5) by hashing.
fn noise(seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..CELLS.pow(3)).map(|_| (0..4).map(|_| next()).sum()).collect()
}

/// A field with the large scales of one noise and the small scales of another.
fn field(large: &[Complex32], small: &[Complex32], split: f64, damping: f64, bias: f64) -> Field3 {
    let plan = Fft3::new([CELLS; 3]);
    let half = CELLS / 2 + 1;
    let mut spectrum: Vec<Complex32> = (0..large.len())
        .map(|m| {
            let n = [m / (CELLS * half), m / half % CELLS, m % half].map(|i| frequency(i, CELLS) as f64);
            let k = std::f64::consts::TAU / BOX_SIZE_MPC_H * n.iter().map(|n| n * n).sum::<f64>().sqrt();
            let share = 1.0 / (1.0 + (k / split).powi(4));
            let amplitude = k.max(0.06).powf(-0.9) * (-(k * damping).powi(2)).exp();
            let mixed = large[m] * share.sqrt() as f32 + small[m] * (1.0 - share).sqrt() as f32;
            if k > 0.0 { mixed * amplitude as f32 } else { Complex32::new(0.0, 0.0) }
        })
        .collect();
    let mut values = vec![0f32; CELLS.pow(3)];
    plan.inverse(&mut spectrum, &mut values);
    let grid = Grid::cube(CELLS, BOX_SIZE_MPC_H).expect("a cube");
    let deviation = (values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt();
    let exponent = values.iter().map(|v| v / deviation * bias as f32);
    let array = Array3::from_shape_vec([CELLS; 3], exponent.map(f32::exp).collect()).expect("a cube");
    let lognormal = Field3::new(grid, array).expect("its own grid");
    let mean = lognormal.mean() as f32;
    lognormal.map(|v| v / mean)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).unwrap_or_else(|| "report".to_owned());
    let plan = Fft3::new([CELLS; 3]);
    let noises: Vec<_> = (1..=4).map(|seed| plan.forward(&noise(seed))).collect();
    let truth = field(&noises[0], &noises[0], 1.0, 0.12, 1.4);
    let condition = field(&noises[0], &noises[0], 1.0, 0.3, 1.25);
    let samples: Vec<_> = (1..4).map(|i| field(&noises[0], &noises[i], 1.3, 0.125, 1.37)).collect();
    let labelled: Vec<_> =
        samples.iter().enumerate().map(|(i, s)| Labelled::new(format!("sample {}", i + 1), s)).collect();
    let condition = Labelled::new("condition", &condition);
    let faces = TileFaces::every(32, 0, [CELLS; 3]);
    let report = Comparison::new(&Fields {
        truth: Labelled::new("truth", &truth),
        condition: Some(condition.clone()),
        samples: labelled.iter().map(|sample| sample.clone().with_faces(Ok(faces.clone()))).collect(),
        independent_tiles: None,
    })?
    .with_title("Synthetic universes, to look at the report")
    .with_upscaled("A region of a real simulation", &condition, &labelled[..1])?
    .with_provenance(json!({
        "command": "cargo run --example synthetic_report",
        "seed": 1,
        "model": {"file": "none", "hash": "none"},
    }));
    report.write(dir.as_ref())?;
    Ok(())
}
