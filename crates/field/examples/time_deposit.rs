//! Times mass assignment for `scripts/measure_deposit.py`: reads positions as raw f32 triples in Mpc/h, deposits them,
//! and prints the seconds that took; the sums go into a raw f32 file if there is a name for it.
#![expect(clippy::print_stdout, reason = "an example may print")]

use finescale_field::{Depositor, FieldError, Grid, Scheme};
use std::error::Error;
use std::time::Instant;

const REPEAT: u32 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, cells, box_size, scheme, rest @ ..] = &arguments[..] else {
        return Err("POSITIONS CELLS BOX_SIZE SCHEME [SUMS] [SIDE] are needed".into());
    };
    let scheme: Scheme = scheme.parse()?;
    let grid = Grid::cube(cells.parse()?, box_size.parse()?)?;
    let bytes = std::fs::read(path)?;
    let (numbers, _) = bytes.as_chunks::<4>();
    let numbers: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let (positions, _) = numbers.as_chunks::<3>();
    // With a side in Mpc/h, all particles are cells of that size.
    let side: Option<f32> = rest.get(1).map(|side| side.parse()).transpose()?;
    let wide: Vec<[f64; 3]> =
        if side.is_some() { positions.iter().map(|p| p.map(f64::from)).collect() } else { Vec::new() };
    let sides = vec![side.unwrap_or_default(); wide.len()];

    let deposit = || -> Result<_, FieldError> {
        let mut depositor = Depositor::new(grid, scheme)?;
        match side {
            Some(_) => depositor.add_cells(&wide, &sides, None)?,
            None => depositor.add(positions, None)?,
        }
        Ok(depositor.finish())
    };
    // The first time, pages come from far away: a virtual machine has to ask its host for them.
    let mut sums = deposit()?;
    let began = Instant::now();
    for _ in 0..REPEAT {
        sums = deposit()?;
    }
    println!("{}", began.elapsed().as_secs_f64() / f64::from(REPEAT));
    if let Some(output) = rest.first().filter(|name| !name.is_empty()) {
        let bytes: Vec<u8> = sums.as_slice().iter().flat_map(|sum| sum.to_le_bytes()).collect();
        std::fs::write(output, bytes)?;
    }
    Ok(())
}
