//! The modes of a snapshot's particles.

use super::measured::Measured;
use super::modes::FieldModes;
use crate::context::Context;
use crate::failure::bad_input;
use crate::gridding::Weight;
use anyhow::Context as _;
use finescale_field::{Depositor, FieldError, Grid, Scheme};
use finescale_snapshot::{Particles, Snapshot, Species};
use finescale_spectra::{InterlacedDepositor, Modes, ShotNoise};
use std::path::PathBuf;

/// Particles of a batch: 50 MB of positions; up to three batches are in memory.
const PARTICLES_AT_ONCE: usize = 1 << 21;
/// Cells per side that nobody asked for: at least so many that there is a spectrum, at most a transform of half
/// a GB.
const DEFAULT_CELLS: std::ops::RangeInclusive<usize> = 16..=512;

/// How particles become modes.
pub(super) struct Gridding {
    pub(super) particles: Particles,
    pub(super) cells: usize,
    pub(super) scheme: Scheme,
    pub(super) weight: Weight,
    pub(super) interlaced: bool,
}

/// The particles that are meant: those that were named, or the only ones.
pub(super) fn named(snapshot: &Snapshot, named: Option<Particles>) -> anyhow::Result<Particles> {
    let all = || Species::ALL.into_iter().map(Particles::from);
    let present = || all().filter(|particles| snapshot.header().count(particles) > 0);
    if let Some(named) = named {
        return Ok(named);
    }
    let mut found = present();
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(bad_input("it holds no gas, dm or stars")),
        _ => {
            let found: Vec<String> = present().map(|particles| particles.to_string()).collect();
            Err(bad_input(format!("it holds {}; say which with --particles", found.join(" and "))))
        }
    }
}

/// About one cell per particle: an even number whose only factors are 2, 3 and 5, for fast transforms.
pub(super) fn default_cells(particles: u64) -> usize {
    let wanted =
        ((particles as f64).cbrt().round() as usize).clamp(*DEFAULT_CELLS.start(), *DEFAULT_CELLS.end());
    let is_fast = |cells: &usize| {
        let rest = [2, 3, 5].into_iter().fold(*cells, |mut rest, factor| {
            while rest.is_multiple_of(factor) {
                rest /= factor;
            }
            rest
        });
        rest == 1 && cells.is_multiple_of(2)
    };
    (wanted..=*DEFAULT_CELLS.end()).find(is_fast).unwrap_or(*DEFAULT_CELLS.end())
}

/// Grids the particles and measures their modes.
pub(super) fn measure(
    context: &Context,
    path: PathBuf,
    snapshot: &Snapshot,
    how: &Gridding,
) -> anyhow::Result<Measured<'static>> {
    let header = snapshot.header();
    let grid = header.grid(how.cells).with_context(|| format!("--cells {}", how.cells))?;
    let count = header.count(&how.particles);
    let mut mesh = Mesh::new(grid, how).with_context(|| format!("--cells {}", how.cells))?;
    let (mut shot_noise, mut done) = (ShotNoise::default(), 0);
    let mut progress = context.progress("gridding", "particles", count, 0);
    snapshot
        .for_each_batch(&how.particles, &how.weight.wanted(), PARTICLES_AT_ONCE, 0, |batch| {
            let weights = how.weight.of(&batch)?;
            let positions = &batch.positions_mpc_h;
            mesh.add(positions, weights.as_deref())?;
            shot_noise.add(positions.len(), weights.as_deref());
            done += positions.len() as u64;
            progress.set(done);
            anyhow::Ok(())
        })
        .context("gridding a snapshot")?;
    progress.finish();
    let [x, y, z] = grid.cells();
    context.note(format_args!(
        "{}: {done} {} particles on {x} x {y} x {z} cells ({}{})",
        path.display(),
        how.particles,
        how.scheme,
        if how.interlaced { ", interlaced" } else { "" }
    ));
    let modes = mesh.modes(how.scheme).with_context(|| format!("measuring {}", path.display()))?;
    Ok(Measured {
        centring: finescale_field::Centring::Cell,
        modes: FieldModes::Whole(modes),
        path,
        particles: Some(how.particles.clone()),
        window: Some(how.scheme),
        interlaced: how.interlaced,
        shot_noise_mpc_h3: Some(shot_noise.power_mpc_h3(&grid)),
    })
}

/// One grid, or two that are interlaced.
#[expect(clippy::large_enum_variant, reason = "one of them is made for a spectrum")]
enum Mesh {
    Single(Depositor),
    Interlaced(InterlacedDepositor),
}

impl Mesh {
    fn new(grid: Grid, how: &Gridding) -> Result<Self, FieldError> {
        if how.interlaced {
            InterlacedDepositor::new(grid, how.scheme).map(Self::Interlaced)
        } else {
            Depositor::new(grid, how.scheme).map(Self::Single)
        }
    }

    fn add(&mut self, positions_mpc_h: &[[f64; 3]], weights: Option<&[f32]>) -> Result<(), FieldError> {
        match self {
            Self::Single(mesh) => mesh.add(positions_mpc_h, weights),
            Self::Interlaced(meshes) => meshes.add(positions_mpc_h, weights),
        }
    }

    fn modes(self, scheme: Scheme) -> anyhow::Result<Modes> {
        Ok(match self {
            Self::Single(mesh) => Modes::new(&mesh.finish_overdensity()?, Some(scheme))?,
            Self::Interlaced(meshes) => meshes.finish()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_cells_are_about_one_per_particle_and_transform_fast() {
        let cells = [0, 1000, 64u64.pow(3), 97u64.pow(3), 32_845, 2500u64.pow(3)].map(default_cells);
        assert_eq!(cells, [16, 16, 64, 100, 32, 512]);
    }
}
