//! Times the spectra of a raw f32 field on request; `scripts/measure_pylians.py` talks to it.
//!
//! Usage: time_spectra FIELD CELLS BOX_SIZE_MPC_H K1 K2 THETA...: the field holds 1 + δ, x slowest. Each line
//! of input, `power` or `bispectrum`, is answered by one line of JSON.

use finescale_field::{Field3, Grid, Scheme};
use finescale_spectra::{bispectrum, power_spectrum, triangles_by_angle};
use ndarray::Array3;
use serde_json::json;
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, cells, box_size, k1, k2, theta @ ..] = &arguments[..] else {
        return Err("usage: time_spectra FIELD CELLS BOX_SIZE_MPC_H K1 K2 THETA...".into());
    };
    let grid = Grid::cube(cells.parse()?, box_size.parse()?)?;
    let bytes = std::fs::read(path)?;
    let values = bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
    let field = Field3::new(grid, Array3::from_shape_vec(grid.cells(), values)?)?;
    drop(bytes);
    let theta = theta.iter().map(|theta| theta.parse()).collect::<Result<Vec<f64>, _>>()?;
    let triangles = triangles_by_angle(k1.parse()?, k2.parse()?, &theta);

    for line in std::io::stdin().lock().lines() {
        let start = Instant::now();
        let values = match line?.as_str() {
            "power" => power_spectrum(&field, Some(Scheme::Cic))?.power,
            "bispectrum" => bispectrum(&field, Some(Scheme::Cic), &triangles)?.bispectrum,
            other => return Err(format!("power or bispectrum, found {other}").into()),
        };
        let answer = json!({ "seconds": start.elapsed().as_secs_f64(), "values": values });
        writeln!(std::io::stdout(), "{answer}")?;
    }
    Ok(())
}
