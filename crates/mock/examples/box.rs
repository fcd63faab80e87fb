//! Makes one universe: `box CONFIG.json FOLDER`, where the configuration may leave out what is at its default.

use finescale_mock::{MockConfig, make_universe};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, config, folder] = arguments.as_slice() else {
        return Err("usage: box CONFIG.json FOLDER".into());
    };
    let config: MockConfig = serde_json::from_str(&std::fs::read_to_string(config)?)?;
    let start = Instant::now();
    let universe = make_universe(&config, &mut |progress| {
        eprintln!(
            "{:7.1} s: {} {}/{}",
            start.elapsed().as_secs_f64(),
            progress.stage,
            progress.step,
            progress.steps
        );
    })?;
    universe.write_grids(Path::new(folder))?;
    eprintln!("{:7.1} s: {folder} written", start.elapsed().as_secs_f64());
    Ok(())
}
