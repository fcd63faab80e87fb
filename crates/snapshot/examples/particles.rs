//! Writes what is read of a snapshot as raw f64, for `scripts/check_particles.py`: per particle its position in Mpc/h, its
//! peculiar velocity in km/s and its mass in 1e10 Msun/h.

use finescale_snapshot::{Batch, Particles, Snapshot, Wanted};
use std::error::Error;
use std::io::{BufWriter, Write};
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, particles, output] = &arguments[..] else {
        return Err("SNAPSHOT PARTICLES OUTPUT are needed".into());
    };
    let particles: Particles = particles.parse()?;
    let wanted = Wanted { masses: true, velocities: true, ..Wanted::default() };
    let mut out = BufWriter::new(std::fs::File::create(output)?);
    let write = |batch: Batch| -> Result<(), Box<dyn Error>> {
        let velocities = batch.velocities_km_s.unwrap_or_default();
        let masses = batch.masses.unwrap_or_default();
        for ((position, velocity), mass) in batch.positions_mpc_h.iter().zip(&velocities).zip(&masses) {
            let numbers = position.iter().copied().chain(velocity.map(f64::from)).chain([f64::from(*mass)]);
            for number in numbers {
                out.write_all(&number.to_le_bytes())?;
            }
        }
        Ok(())
    };
    Snapshot::open(Path::new(path))?.for_each_batch(&particles, &wanted, 1 << 16, 0, write)?;
    Ok(())
}
