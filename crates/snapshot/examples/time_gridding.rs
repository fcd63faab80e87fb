//! Times reading a snapshot, depositing it, and both at once, as `finescale grid` does: in turns, and prints the seconds of
//! each turn. The time of the two together should be hardly more than that of the slower one.
#![expect(clippy::print_stdout, reason = "an example may print")]

use finescale_field::{Depositor, Scheme};
use finescale_snapshot::{Batch, Particles, Snapshot, Wanted};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

const TURNS: usize = 5;
const PARTICLES_AT_ONCE: usize = 1 << 21;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, particles, cells, scheme] = &arguments[..] else {
        return Err("SNAPSHOT PARTICLES CELLS SCHEME are needed".into());
    };
    let (particles, scheme): (Particles, Scheme) = (particles.parse()?, scheme.parse()?);
    let snapshot = Snapshot::open(Path::new(path))?;
    let grid = snapshot.header().grid(cells.parse()?)?;
    let read = |visit: &mut dyn FnMut(Batch) -> Result<(), Box<dyn Error>>| {
        snapshot.for_each_batch(&particles, &Wanted::masses(), PARTICLES_AT_ONCE, 0, visit)
    };
    let mut batches = Vec::new();
    read(&mut |batch| {
        batches.push(batch);
        Ok(())
    })?;
    for _ in 0..TURNS {
        let began = Instant::now();
        read(&mut |_| Ok(()))?;
        let reading = began.elapsed().as_secs_f64();

        let began = Instant::now();
        let mut depositor = Depositor::new(grid, scheme)?;
        for batch in &batches {
            depositor.add(&batch.positions_mpc_h, batch.masses.as_deref())?;
        }
        drop(depositor);
        let depositing = began.elapsed().as_secs_f64();

        let began = Instant::now();
        let mut depositor = Depositor::new(grid, scheme)?;
        read(&mut |batch| Ok(depositor.add(&batch.positions_mpc_h, batch.masses.as_deref())?))?;
        drop(depositor);
        println!("{reading:.3} {depositing:.3} {:.3}", began.elapsed().as_secs_f64());
    }
    Ok(())
}
