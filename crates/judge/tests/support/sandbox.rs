//! A lognormal universe whose posterior is known: exact draws of it, and wrong ones.
//!
//! ln(1 + δ) = g + e − variance/2, with a long-waved Gaussian field g that the condition shows, 1 + δ_c = exp(g − variance/2),
//! and a short-waved one e that it does not. So a draw of the posterior is the same g with another e.

use finescale_field::{Boundary, Field3, Grid, TileFaces, position};
use finescale_judge::{Beside, Comparison, Fields, Labelled, Measurements};
use finescale_seed::{KeyedStream, Purpose};

/// Voxels of 0.78125 Mpc/h, as those of the shipped model.
const VOXEL_MPC_H: f64 = 0.781_25;
/// Standard deviation of the Gaussians that make g, which has two parts, and e of white noise, in cells, and what the
/// fields are multiplied by.
const LONG: (f64, f64) = (3.0, 0.75);
const MIDDLE: (f64, f64) = (0.8, 0.5);
const SHORT: (f64, f64) = (0.5, 0.2);
/// Environments whose condition is below this are voids.
const VOID: f64 = 0.5;
/// Cells of the windows whose faces are tested, and steps of the sampler.
const WINDOW: usize = 16;
const STEPS: usize = 4;

/// How samples are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sampler {
    /// As they should be.
    Exact,
    /// A fifth too much of what the condition does not show, in voids.
    OverdispersedInVoids,
    /// A fifth too little of it.
    UnderdispersedInVoids,
    /// 5 % too much mass in voids.
    BiasedInVoids,
    /// Windows of one step that do not know of each other.
    SeamsInOneStep,
    /// 1 % too much mass.
    Mass,
    /// A fifth more of the third moment, the second kept.
    Skewed,
    /// The same noise in all samples.
    PhasesShared,
    /// Of the right statistics, but of no universe in particular.
    OtherUniverse,
    /// The short waves damped a little.
    Smooth,
    /// Structure of another size along x than along y and z.
    Anisotropic,
    /// In voids, structure of twice the size.
    SmoothVoids,
    /// The best guess.
    PosteriorMean,
    /// Nothing below 0.07.
    FilledVoids,
    /// Nothing above the 99.9th percentile of 1 + δ.
    ClippedPeaks,
}

impl Sampler {
    /// All but the exact one.
    pub(crate) const WRONG: [Self; 14] = [
        Self::OverdispersedInVoids,
        Self::UnderdispersedInVoids,
        Self::BiasedInVoids,
        Self::SeamsInOneStep,
        Self::Mass,
        Self::Skewed,
        Self::PhasesShared,
        Self::OtherUniverse,
        Self::Smooth,
        Self::Anisotropic,
        Self::SmoothVoids,
        Self::PosteriorMean,
        Self::FilledVoids,
        Self::ClippedPeaks,
    ];
}

/// A Gaussian field of unit variance.
fn gaussian(grid: Grid, seed: u64, cells: f64) -> Field3 {
    let mut noise = Field3::zeros(grid);
    KeyedStream::new(seed, Purpose::Points).fill_normal(0, 0, noise.as_slice_mut());
    let smooth = noise.smoothed(cells, Boundary::Periodic);
    // Σ w² of the kernel along an axis, cut off as it is.
    let reach = (4.0 * cells).ceil() as i64;
    let weights: Vec<f64> = (-reach..=reach).map(|at| (-0.5 * (at as f64 / cells).powi(2)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let deviation = (weights.iter().map(|w| (w / sum).powi(2)).sum::<f64>()).powf(1.5);
    smooth.map(|value| (f64::from(value) / deviation) as f32)
}

/// What the condition shows.
fn shown(grid: Grid, seed: u64) -> Field3 {
    let mut g = gaussian(grid, seed, LONG.0);
    let middle = gaussian(grid, seed + 900, MIDDLE.0);
    for (value, middle) in g.as_slice_mut().iter_mut().zip(middle.as_slice()) {
        *value = (LONG.1 * f64::from(*value) + MIDDLE.1 * f64::from(*middle)) as f32;
    }
    g
}

/// Standard deviation of g.
fn deviation() -> f64 {
    LONG.1.hypot(MIDDLE.1)
}

/// exp(g + b e) of mean 1 over all universes.
fn lognormal(g: &Field3, e: &Field3) -> Field3 {
    let short = SHORT.1;
    let half = 0.5 * (deviation().powi(2) + short * short);
    let mut field = g.clone();
    for (value, e) in field.as_slice_mut().iter_mut().zip(e.as_slice()) {
        *value = (f64::from(*value) + short * f64::from(*e) - half).exp() as f32;
    }
    field
}

/// The comparison of `boxes` universes of `cells`³, `samples` of each, all drawn from `seed`.
pub(crate) fn compare(sampler: Sampler, cells: usize, boxes: u64, samples: u64, seed: u64) -> Comparison {
    let grid = Grid::cube(cells, cells as f64 * VOXEL_MPC_H).expect("a cube");
    let measured = (0..boxes).map(|number| {
        let of_box = seed * 1_000_000 + number * 1_000;
        let g = shown(grid, of_box);
        let condition = lognormal(&g, &Field3::zeros(grid))
            .map(|v| (f64::from(v) * (0.5 * SHORT.1 * SHORT.1).exp()) as f32);
        let truth = lognormal(&g, &gaussian(grid, of_box + 1, SHORT.0));
        let faces: Vec<TileFaces> = (0..STEPS)
            .map(|step| TileFaces::every(WINDOW, (5 * step + of_box as usize / 7) % cells, [cells; 3]))
            .collect();
        let drawn: Vec<Field3> = (0..samples)
            .map(|sample| draw(sampler, &g, &condition, of_box + 2 + sample, (of_box as usize / 7) % cells))
            .collect();
        let of_sample =
            |(number, field)| Labelled::new(format!("sample {number}"), field).with_faces(Ok(faces.clone()));
        let fields = Fields {
            truth: Labelled::new("truth", &truth),
            condition: Some(Labelled::new("condition", &condition)),
            samples: drawn.iter().enumerate().map(of_sample).collect(),
            independent_tiles: None,
            companion: None,
        };
        Measurements::new(&format!("box {number}"), &fields).expect("sound fields")
    });
    let mut measured: Vec<Measurements> = measured.collect();
    let first = measured.remove(0);
    let boxes = measured.into_iter().map(|other| other.summary).collect();
    Comparison::new(first, Beside { boxes, ..Beside::default() }).expect("one grid")
}

/// One sample.
fn draw(sampler: Sampler, g: &Field3, condition: &Field3, seed: u64, origin: usize) -> Field3 {
    let grid = *g.grid();
    let e = gaussian(grid, seed, SHORT.0);
    // Where the condition is below VOID, a, elsewhere b.
    let in_voids = |field: Field3, change: &dyn Fn(f32) -> f32| {
        let mut field = field;
        let smooth = condition.smoothed(2.0, Boundary::Periodic);
        for (value, environment) in field.as_slice_mut().iter_mut().zip(smooth.as_slice()) {
            if f64::from(*environment) < VOID {
                *value = change(*value);
            }
        }
        field
    };
    match sampler {
        Sampler::Exact => lognormal(g, &e),
        Sampler::OverdispersedInVoids => lognormal(g, &in_voids(e, &|e| 1.2 * e)),
        Sampler::UnderdispersedInVoids => lognormal(g, &in_voids(e, &|e| 0.8 * e)),
        Sampler::BiasedInVoids => in_voids(lognormal(g, &e), &|density| 1.05 * density),
        Sampler::SeamsInOneStep => lognormal(g, &tiled(grid, seed, origin)),
        Sampler::Mass => lognormal(g, &e).map(|density| 1.01 * density),
        Sampler::Skewed => skewed(&lognormal(g, &e)),
        Sampler::PhasesShared => lognormal(g, &gaussian(grid, 77, SHORT.0)),
        Sampler::OtherUniverse => lognormal(&shown(grid, seed + 500), &e),
        Sampler::Smooth => lognormal(g, &e.smoothed(0.45, Boundary::Periodic)),
        Sampler::Anisotropic => lognormal(g, &drawn_out(&e)),
        Sampler::SmoothVoids => {
            let wide = gaussian(grid, seed + 700, 2.0 * SHORT.0);
            let in_voids = in_voids(Field3::zeros(grid), &|_| 1.0);
            let mut mixed = e;
            for ((value, wide), is_void) in
                mixed.as_slice_mut().iter_mut().zip(wide.as_slice()).zip(in_voids.as_slice())
            {
                *value = if *is_void > 0.0 { *wide } else { *value };
            }
            lognormal(g, &mixed)
        }
        Sampler::PosteriorMean => condition.clone(),
        Sampler::FilledVoids => lognormal(g, &e).map(|density| density.max(0.07)),
        Sampler::ClippedPeaks => {
            let sigma = deviation().hypot(SHORT.1);
            let highest = (3.09 * sigma - 0.5 * sigma * sigma).exp() as f32;
            lognormal(g, &e).map(|density| density.min(highest))
        }
    }
}

/// Waves of unit variance that are smoothed along x.
fn drawn_out(e: &Field3) -> Field3 {
    let [_, ny, nz] = e.grid().cells();
    let (plane, values) = (ny * nz, e.as_slice());
    let mut smooth = e.clone();
    for (at, value) in smooth.as_slice_mut().iter_mut().enumerate() {
        *value = values[at] + values[(at + plane) % values.len()];
    }
    let square = smooth.as_slice().iter().map(|v| f64::from(v * v)).sum::<f64>() / values.len() as f64;
    smooth.map(|value| (f64::from(value) / square.sqrt()) as f32)
}

/// The short waves, of another draw in each window, as of the second step.
fn tiled(grid: Grid, seed: u64, origin: usize) -> Field3 {
    let cells = grid.cells()[0];
    let others: Vec<Field3> = (0..8).map(|tile| gaussian(grid, seed + 100 * (tile + 1), SHORT.0)).collect();
    let mut field = Field3::zeros(grid);
    for (at, value) in field.as_slice_mut().iter_mut().enumerate() {
        let window =
            position(at, [cells; 3]).map(|x| (x + 2 * cells - (origin + 5) % cells) % cells / WINDOW % 2);
        *value = others[window[0] * 4 + window[1] * 2 + window[2]].as_slice()[at];
    }
    field
}

/// δ + b (δ² − ⟨δ²⟩), scaled to the variance that it had.
fn skewed(field: &Field3) -> Field3 {
    let mean_of = |of: &dyn Fn(f64) -> f64| {
        field.as_slice().iter().map(|&value| of(f64::from(value))).sum::<f64>() / field.grid().voxels() as f64
    };
    let mean = mean_of(&|value| value);
    let square = mean_of(&|value| (value - mean).powi(2));
    let bent = |value: f64| (value - mean) + 0.004 * ((value - mean).powi(2) - square);
    let scale = (square / mean_of(&|value| bent(value).powi(2))).sqrt();
    field.map(|value| (mean + scale * bent(f64::from(value))).max(0.0) as f32)
}
