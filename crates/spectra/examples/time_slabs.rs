//! Times the modes and the power of a box in memory, shared by threads that stand in for ranks, or out of core.
//!
//! Usage: time_slabs CELLS whole | ranks COUNT | file FOLDER BLOCK_MIB: one line of JSON with seconds, the most memory that the
//! process had at a time, and P of the first shell in bits. The field is made plane by plane.

use finescale_field::{Boundary, Grid, Scheme};
use finescale_ranks::Ranks;
use finescale_spectra::{LineOfSight, ModeSlabs, Modes, SpectraError, Workspace};
use serde_json::{Value, json};
use std::error::Error;
use std::io::Write;
use std::time::Instant;

const WINDOW: Option<Scheme> = Some(Scheme::Cic);
const BOUNDARY: Boundary = Boundary::Periodic;

/// 1 + δ without much of a pattern.
fn fill(x: usize, plane: &mut [f32]) -> Result<(), SpectraError> {
    let mut state = x as u32 + 1;
    for value in plane {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = 0.5 + (state >> 8) as f32 / (1 << 24) as f32;
    }
    Ok(())
}

fn whole(grid: Grid) -> Result<Value, SpectraError> {
    let start = Instant::now();
    let modes = Modes::from_planes(grid, WINDOW, BOUNDARY, fill)?;
    let transformed = start.elapsed().as_secs_f64();
    let (power, of_power) = (modes.power(), start.elapsed().as_secs_f64() - transformed);
    let bits = modes.multipoles(LineOfSight::Z).monopole[0].to_bits();
    assert_eq!(bits, power.power[0].to_bits());
    Ok(
        json!({ "transform": transformed, "power": of_power, "all": start.elapsed().as_secs_f64(), "bits": bits }),
    )
}

fn slabs(ranks: &Ranks, grid: Grid, workspace: &Workspace) -> Result<Value, SpectraError> {
    let start = Instant::now();
    let modes = ModeSlabs::from_planes(ranks, grid, WINDOW, BOUNDARY, workspace, fill)?;
    let transformed = start.elapsed().as_secs_f64();
    let (power, of_power) = (modes.power()?, start.elapsed().as_secs_f64() - transformed);
    let bits = modes.multipoles(LineOfSight::Z)?.monopole[0].to_bits();
    assert_eq!(bits, power.power[0].to_bits());
    Ok(
        json!({ "transform": transformed, "power": of_power, "all": start.elapsed().as_secs_f64(), "bits": bits }),
    )
}

/// What Linux says of the most memory that this process had.
fn peak() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    Some(status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().to_owned())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [cells, how @ ..] = &arguments[..] else { return Err("usage: see the source".into()) };
    let grid = Grid::cube(cells.parse()?, 1000.0)?;
    let mut answer = match how {
        ["whole"] => whole(grid)?,
        ["ranks", count] => {
            let found = Ranks::on_threads(count.parse()?, |ranks| slabs(ranks, grid, &Workspace::memory()));
            found.into_iter().next().ok_or("there is a rank")??
        }
        ["file", folder, mib] => {
            let workspace = Workspace::folder(*folder, mib.parse::<usize>()? << 20);
            slabs(&Ranks::alone(), grid, &workspace)?
        }
        _ => return Err("whole, ranks COUNT, or file FOLDER BLOCK_MIB".into()),
    };
    answer["peak"] = json!(peak());
    writeln!(std::io::stdout(), "{answer}")?;
    Ok(())
}
