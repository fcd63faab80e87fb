//! What is summed over particles.

use super::Gridding;
use super::window::Window;
use crate::context::Context;
use crate::failure::bad_input;
use finescale_field::{Boundary, Depositor, Field3, LocalDensity};
use finescale_ranks::Ranks;
use finescale_snapshot::{Batch, Header, SizeOf};

/// Particles at the beginning of a file by which it is known.
const COMPARED: usize = 16;
/// Shares of the box within which all positions lie if they are in another unit, or beyond which some do; and particles from
/// which on that says something.
const NEAREST: f64 = 0.02;
const FARTHEST: f64 = 3.0;
const FEWEST: u64 = 1000;
/// Cells of more times the volume of their box are in other units.
const MOST_FILLED: f64 = 10.0;
/// Times the volume of the box that all of its gas cells can have.
const PLAUSIBLE_FILLED: std::ops::RangeInclusive<f64> = 0.5..=2.0;

/// What the first batch of a file is known by.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    /// Of the first particles.
    pub(super) sum: u64,
    pub(super) file: usize,
    pub(super) kind: usize,
    /// A few particles may lie in the same places.
    pub(super) says_much: bool,
}

impl Mark {
    /// Of a batch of this file.
    pub(super) fn new(batch: &Batch, file: usize) -> Self {
        let first = &batch.positions_mpc_h[..batch.positions_mpc_h.len().min(COMPARED)];
        let mut hash = crc32fast::Hasher::new();
        first.as_flattened().iter().for_each(|x| hash.update(&x.to_le_bytes()));
        let sum = u64::from(hash.finalize()) << 32 | batch.positions_mpc_h.len() as u64 & 0xffff_ffff;
        Self { sum, file, kind: batch.kind, says_much: first.len() == COMPARED }
    }
}

/// Particles as they are put on grids.
pub(super) struct Parcel {
    /// In the box.
    pub(super) positions_mpc_h: Vec<[f64; 3]>,
    /// Of what they are spread over, if they are.
    pub(super) sides_mpc_h: Option<Vec<f32>>,
    /// For each grid; 1 without weights.
    pub(super) weights: Vec<Option<Vec<f32>>>,
    /// The sum of the particles' own weights.
    pub(super) total: f64,
}

/// Sums over particles on a grid, and of all of them.
pub(crate) struct Sums<'a> {
    window: Window,
    /// What particles are spread by, if not by what the snapshot says of their cells.
    local_density: Option<&'a LocalDensity>,
    /// Sums of weights, or of weights times a quantity; then sums of weights, if each voxel's mean is wanted.
    pub(super) depositors: Vec<Depositor>,
    /// The sum of all weights.
    pub(super) total: f64,
    /// Particles so far.
    pub(super) done: u64,
    /// Volume of all cells in (Mpc/h)^3.
    pub(super) filled_mpc_h3: f64,
    volume_mpc_h3: f64,
    /// Sums over the first particles of each file and type, and what they are of.
    pub(super) seen: Vec<(u64, usize, usize)>,
    /// The largest position along each axis in Mpc/h, whatever its sign.
    farthest_mpc_h: [f64; 3],
    sides_mpc_h: [f64; 3],
    /// What the sizes of cells come from.
    pub(super) sizes_from: Option<SizeOf>,
    /// Mpc/h per km/s along an axis, if particles are where their redshifts put them.
    shift: Option<(usize, f64)>,
}

impl<'a> Sums<'a> {
    pub(super) fn new(
        window: Window,
        how: &Gridding,
        header: &Header,
        local_density: Option<&'a LocalDensity>,
    ) -> anyhow::Result<Self> {
        let grids = if how.quantity.is_mean() { 2 } else { 1 };
        let make = |_| Depositor::in_window(window.grid, window.periods_mpc_h, how.scheme);
        let shift =
            how.redshift_space.map(|axis| Ok::<_, anyhow::Error>((axis.index(), shift_mpc_h(header)?)));
        Ok(Self {
            depositors: (0..grids).map(make).collect::<Result<_, _>>()?,
            window,
            local_density,
            total: 0.0,
            done: 0,
            filled_mpc_h3: 0.0,
            sizes_from: None,
            seen: Vec::new(),
            farthest_mpc_h: [0.0; 3],
            sides_mpc_h: header.box_size_mpc_h,
            volume_mpc_h3: header.box_size_mpc_h.iter().product(),
            shift: shift.transpose()?,
        })
    }

    /// Checks that no other file of the snapshot begins with the same particles: one was copied over another, or sent in its
    /// place.
    pub(super) fn check_new(&mut self, Mark { sum, file, kind, says_much }: Mark) -> anyhow::Result<()> {
        if self.seen.iter().any(|&(_, of, other)| (of, other) == (file, kind)) {
            return Ok(());
        }
        let same = self.seen.iter().find(|&&(seen, of, other)| seen == sum && other == kind && of != file);
        if let Some((_, of, _)) = same.filter(|_| says_much) {
            return Err(bad_input(format!(
                "holds the particles of file {of} again: was one copied or sent in place of the other?"
            )));
        }
        self.seen.push((sum, file, kind));
        Ok(())
    }

    pub(super) fn add(&mut self, batch: Batch, how: &Gridding) -> anyhow::Result<()> {
        let parcel = self.parcel(batch, how)?;
        self.total += parcel.total;
        self.done += parcel.positions_mpc_h.len() as u64;
        self.deposit(parcel)
    }

    /// What of a batch is put on grids, and where.
    pub(super) fn parcel(&mut self, mut batch: Batch, how: &Gridding) -> anyhow::Result<Parcel> {
        for position in &batch.positions_mpc_h {
            for (farthest, x) in self.farthest_mpc_h.iter_mut().zip(position) {
                *farthest = farthest.max(x.abs());
            }
        }
        // By where particles are, not by where their redshifts put them.
        let by_density = self.local_density.map(|density| density.sides_mpc_h(&batch.positions_mpc_h));
        self.place(&mut batch);
        let weights = how.weight.of(&batch)?;
        let values = how.quantity.values(&batch);
        let weighted = values.map(|values| match &weights {
            None => values,
            Some(weights) => values.iter().zip(weights).map(|(value, weight)| value * weight).collect(),
        });
        self.sizes_from = self.sizes_from.or(batch.sides_from);
        // Kernels overlap.
        let are_volumes = batch.sides_from != Some(SizeOf::SmoothingLength);
        if let Some(sides) = batch.sides_mpc_h.as_ref().filter(|_| are_volumes) {
            self.filled_mpc_h3 += sides.iter().map(|&side| f64::from(side).powi(3)).sum::<f64>();
            // Before hours go into cells that are larger than the box.
            if self.filled_mpc_h3 > MOST_FILLED * self.volume_mpc_h3 {
                return Err(bad_input(format!(
                    "--spread: the cells have more than {MOST_FILLED} times the volume of the box: is {} in the units of the file?",
                    self.sizes_from.map_or("their volume".to_owned(), |name| name.to_string())
                )));
            }
        }
        let particles = batch.positions_mpc_h.len() as f64;
        let total = weights.as_ref().map_or(particles, |w| w.iter().map(|&weight| f64::from(weight)).sum());
        // Means have a second grid, of the weights alone.
        let weights = match (self.depositors.len(), weighted, weights) {
            (1, Some(weighted), _) => vec![Some(weighted)],
            (1, None, weights) => vec![weights],
            (_, weighted, weights) => vec![weighted.or_else(|| weights.clone()), weights],
        };
        let sides_mpc_h = by_density.or(batch.sides_mpc_h);
        Ok(Parcel { positions_mpc_h: batch.positions_mpc_h, sides_mpc_h, weights, total })
    }

    /// Adds a parcel to the grids.
    pub(super) fn deposit(&mut self, mut parcel: Parcel) -> anyhow::Result<()> {
        if self.window.start_mpc_h != [0.0; 3] {
            parcel.positions_mpc_h.iter_mut().for_each(|position| *position = self.window.moved(*position));
        }
        for (depositor, weights) in self.depositors.iter_mut().zip(&parcel.weights) {
            match &parcel.sides_mpc_h {
                Some(sides) => depositor.add_cells(&parcel.positions_mpc_h, sides, weights.as_deref())?,
                None => depositor.add(&parcel.positions_mpc_h, weights.as_deref())?,
            }
        }
        Ok(())
    }

    /// Moves particles to where their redshifts put them.
    fn place(&self, batch: &mut Batch) {
        if let (Some((axis, shift)), Some(velocities)) = (self.shift, &batch.velocities_km_s) {
            for (position, velocity) in batch.positions_mpc_h.iter_mut().zip(velocities) {
                position[axis] += shift * f64::from(velocity[axis]);
            }
        }
    }

    /// Puts together what each rank has seen.
    pub(super) fn agree(&mut self, ranks: &Ranks) -> anyhow::Result<()> {
        let [x, y, z] = self.farthest_mpc_h;
        let all = ranks.gather(&[x, y, z, self.filled_mpc_h3])?;
        let values = |number: usize| all.iter().map(move |values| values[number]);
        self.farthest_mpc_h = [0, 1, 2].map(|axis| values(axis).fold(0.0, f64::max));
        self.filled_mpc_h3 = values(3).sum();
        // A rank that reads no file does not know it.
        const NAMES: [SizeOf; 3] = [SizeOf::Volume, SizeOf::Density, SizeOf::SmoothingLength];
        let own = self.sizes_from.and_then(|name| NAMES.iter().position(|&other| other == name));
        let all = ranks.gather(own.map(|number| number as u64).as_slice())?;
        self.sizes_from = all.concat().first().map(|&number| NAMES[number as usize]);
        Ok(())
    }

    /// Particles of a whole box are all over it: others have positions in another unit than the box.
    pub(super) fn warn_of_positions(&self, context: &Context) {
        let (farthest, sides) = (self.farthest_mpc_h, self.sides_mpc_h);
        let is_odd = |axis: usize| !(NEAREST..=FARTHEST).contains(&(farthest[axis] / sides[axis]));
        if self.done >= FEWEST && (0..3).all(is_odd) {
            context.warn(format_args!(
                "all positions lie within {farthest:?} Mpc/h, and the box has sides of {sides:?}: are Coordinates and BoxSize in one \
                 unit?"
            ));
        }
    }

    /// The gas of a whole box fills it: other volumes are likely to be in other units.
    pub(super) fn warn_of_volumes(&self, context: &Context) {
        let filled = self.filled_mpc_h3 / self.volume_mpc_h3;
        if filled > 0.0 && !PLAUSIBLE_FILLED.contains(&filled) {
            context.warn(format_args!(
                "--spread: all cells together have {filled:.3} times the volume of the box: is it a whole box, and is {} in the units of \
                 the file?",
                self.sizes_from.map_or("their volume".to_owned(), |name| name.to_string())
            ));
        }
    }

    /// What lies beyond the faces of the field.
    pub(super) fn boundary(&self) -> Boundary {
        self.window.boundary()
    }

    /// The field that is wanted.
    pub(super) fn finish(self) -> anyhow::Result<Field3> {
        let mut depositors = self.depositors.into_iter();
        let (Some(first), second) = (depositors.next(), depositors.next()) else {
            anyhow::bail!("there is no grid");
        };
        let field = match second {
            None => first.finish_over(self.total)?,
            Some(weights) => {
                let (grid, mut sums) = (*first.grid(), first.finish().into_values());
                let weights = weights.finish().into_values();
                // Where nothing is, nothing has a mean.
                let divide =
                    |sum: &mut f32, &weight: &f32| *sum = if weight > 0.0 { *sum / weight } else { 0.0 };
                sums.zip_mut_with(&weights, divide);
                Field3::new(grid, sums)?
            }
        };
        Ok(self.window.cut(field)?)
    }
}

/// How far a velocity of 1 km/s moves a particle in redshift space, in comoving Mpc/h: (1 + z) / H(z) (Kaiser 1987, MNRAS
/// 227, 1, eq. 3.1, in comoving distances).
fn shift_mpc_h(header: &Header) -> anyhow::Result<f64> {
    let unknown = || bad_input("--redshift-space: the snapshot does not say its Omega0 and OmegaLambda");
    let omega_m = header.cosmology.omega_m.ok_or_else(unknown)?;
    let omega_lambda = header.cosmology.omega_lambda.ok_or_else(unknown)?;
    let stretch = 1.0 / header.scale_factor;
    if omega_m.is_nan() || omega_m <= 0.0 {
        return Err(bad_input(format!(
            "--redshift-space: the snapshot says Omega0 = {omega_m}, and so no expansion rate"
        )));
    }
    let curvature = 1.0 - omega_m - omega_lambda;
    let expansion = (omega_m * stretch.powi(3) + curvature * stretch.powi(2) + omega_lambda).sqrt();
    let shift = stretch / (100.0 * expansion);
    anyhow::ensure!(shift.is_finite(), "--redshift-space: the snapshot's universe has no expansion rate");
    Ok(shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Cosmology;

    #[test]
    fn redshift_space_is_kaisers() {
        let cosmology = Cosmology { omega_m: Some(0.3), omega_lambda: Some(0.7), ..Cosmology::UNKNOWN };
        let mut header = Header {
            box_size_mpc_h: [100.0; 3],
            redshift: 0.0,
            scale_factor: 1.0,
            contradicting_time: None,
            cosmology,
            counts: Vec::new(),
            mass_table: Vec::new(),
            length_unit_mpc_h: 1e-3,
            length_unit_is_assumed: false,
            origin: None,
            files: 1,
        };
        // Today 100 km/s are 1 Mpc/h.
        assert!((shift_mpc_h(&header).unwrap() - 0.01).abs() < 1e-15);
        header.scale_factor = 0.5;
        // E(z = 1)^2 = 0.3 * 8 + 0.7.
        assert!((shift_mpc_h(&header).unwrap() - 0.02 / 3.1f64.sqrt()).abs() < 1e-15);
        header.cosmology = Cosmology::UNKNOWN;
        assert!(shift_mpc_h(&header).is_err());
    }
}
