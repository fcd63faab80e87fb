//! Puts the particles of a snapshot on a grid and prints their power spectrum.
//!
//! ```sh
//! cargo run --release --example power_of_a_snapshot -- path/to/snapdir_099 256
//! ```
//!
//! Without arguments: 64³ particles of dark matter that lie in data/, on 64³ cells. Memory does not depend on the
//! number of particles, only on that of cells.
#![expect(clippy::print_stdout, reason = "an example may print")]

use finescale_field::{Depositor, Scheme};
use finescale_snapshot::{Batch, Snapshot, Species, Wanted};
use finescale_spectra::{Modes, ShotNoise, nyquist_h_mpc};
use std::error::Error;
use std::path::PathBuf;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/demo/gadget4_dm_64/snapdir_003");
const PARTICLES_AT_ONCE: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().unwrap_or_else(|| DEMO.to_owned()));
    let cells = arguments.next().map_or(Ok(64), |text| text.parse())?;

    // A snapshot is one file, any file of a set, or the folder of the set. Opening it reads headers only.
    let snapshot = Snapshot::open(&path)?;
    let header = snapshot.header();
    let grid = header.grid(cells)?;
    println!("# {}: {:?} Mpc/h at redshift {:.3}", path.display(), header.box_size_mpc_h, header.redshift);

    // Every particle is shared out among the cells around it, by cloud in cell.
    let mut mesh = Depositor::new(grid, Scheme::Cic)?;
    let mut noise = ShotNoise::default();
    let deposit = |batch: Batch| -> Result<(), Box<dyn Error>> {
        let (positions_mpc_h, masses) = (&batch.positions_mpc_h, batch.masses.as_deref());
        noise.add(positions_mpc_h.len(), masses);
        Ok(mesh.add(positions_mpc_h, masses)?)
    };
    snapshot.for_each_batch(&Species::DarkMatter.into(), &Wanted::masses(), PARTICLES_AT_ONCE, 0, deposit)?;
    let density = mesh.finish_overdensity()?; // 1 + δ, of mean 1

    // Naming the scheme divides the modes by its window. The shot noise is that of the same modes, with its aliases.
    let modes = Modes::new(&density, Some(Scheme::Cic))?;
    let spectrum = modes.power();
    let shot_noise = modes.shot_noise(noise.power_mpc_h3(&grid), Scheme::Cic);

    println!("# k [h/Mpc]  P [(Mpc/h)^3]  P - shot noise  modes");
    let without_noise = spectrum.minus(&shot_noise);
    for bin in 0..spectrum.len() {
        let k_h_mpc = spectrum.k_h_mpc[bin];
        if k_h_mpc > nyquist_h_mpc(&grid) {
            break; // corners of the cube: few directions, many images
        }
        let (power, clean, count) = (spectrum.power[bin], without_noise.power[bin], spectrum.modes[bin]);
        println!("{k_h_mpc:11.4}  {power:13.3}  {clean:14.3}  {count:5}");
    }
    Ok(())
}
