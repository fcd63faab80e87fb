//! Paints fine structure into a cube that is in memory, with the model in data/, and compares its power with the truth's.
//!
//! ```sh
//! cargo run --release --example upscale_a_cube -- runs/my/model.safetensors
//! ```
#![expect(clippy::print_stdout, reason = "an example may print")]

use candle_core::Device;
use finescale_field::{Boundary, Field3, Grid, Region};
use finescale_outpaint::{Job, PreparedCondition, Store, generate};
use finescale_ranks::Ranks;
use finescale_snapshot::GridReader;
use finescale_spectra::power_spectrum;
use finescale_training::Model;
use ndarray::Array3;
use serde_json::json;
use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/demo");

fn main() -> Result<(), Box<dyn Error>> {
    let demo = Path::new(DEMO);
    // Four steps are enough for this one.
    let model = std::env::args().nth(1).map_or_else(|| demo.join("model_4_steps.safetensors"), Into::into);
    let model = Model::load(&model, &Device::Cpu)?;
    let denoiser = model.denoiser()?;
    let configuration = model.description.configuration.clone();

    // The cube: a density in units of its mean, x slowest, in voxels of the size that the model was trained on.
    let cells = configuration.training.patch_cells;
    let cube: Array3<f32> = part_of(&demo.join("condition.hdf5"), cells)?;
    let side_mpc_h = cells as f64 * model.description.voxel_mpc_h[0];
    let coarse = Field3::new(Grid::cube(cells, side_mpc_h)?, cube)?;

    // What the network sees of it. It is a part of a box, so nothing lies beyond its faces. A model with scalars
    // (redshift, ...) is told their values, in place of `&[]`.
    let (boundary, whole) = (Boundary::Open, Region::whole(coarse.grid()));
    let conditioning = model.description.conditioning();
    let condition = PreparedCondition::new(&conditioning, &coarse, boundary, &[], whole, None)?;
    let job = Job {
        denoiser: &denoiser,
        model_hash: model.sha256().unwrap_or_default(),
        window_cells: cells,
        condition: &condition,
        boundary,
        truth_normalizers: &model.description.normalizers().truth,
        region: whole,
        given: None,
        config: configuration.generation, // strategy, sampler, seed
        batch: 4,
        device: &Device::Cpu,
        ranks: &Ranks::alone(),
        program: &json!({ "program": "upscale_a_cube" }),
    };

    // `Store::Folder` keeps the work of large volumes on disk, and goes on with it after a kill.
    let never = AtomicBool::new(false); // set by another thread, it would stop the work
    let generated = generate(&job, &Store::Memory, &mut |_| (), &never)?;
    let fine = generated.in_memory()?.remove(0); // the first field of the model
    println!("# {:?} cells of mean density {:.3}", fine.values().dim(), fine.mean());

    let truth = Field3::new(*coarse.grid(), part_of(&demo.join("truth.hdf5"), cells)?)?;
    let [before, after, truth] = [&coarse, &fine, &truth].map(|field| power_spectrum(field, None));
    let (before, after, truth) = (before?, after?, truth?);
    println!("# k [h/Mpc]  P / P_truth: cube  sample");
    for (bin, k_h_mpc) in truth.k_h_mpc.iter().enumerate() {
        let [before, after] = [&before, &after].map(|spectrum| spectrum.power[bin] / truth.power[bin]);
        println!("{k_h_mpc:11.3}  {before:17.3}  {after:6.3}");
    }
    Ok(())
}

/// Stands for a cube of one's own, of any origin: the corner of a grid file.
fn part_of(path: &Path, cells: usize) -> Result<Array3<f32>, Box<dyn Error>> {
    Ok(GridReader::open(path)?.read(&Region::cube([0; 3], cells))?)
}
