//! What is summed over particles.

use super::Gridding;
use super::window::Window;
use crate::context::Context;
use crate::failure::bad_input;
use finescale_field::{Boundary, Depositor, Field3, LocalDensity};
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
    pub(super) fn check_new(&mut self, batch: &Batch, file: usize) -> anyhow::Result<()> {
        if self.seen.iter().any(|&(_, of, kind)| (of, kind) == (file, batch.kind)) {
            return Ok(());
        }
        let first = &batch.positions_mpc_h[..batch.positions_mpc_h.len().min(COMPARED)];
        let mut hash = crc32fast::Hasher::new();
        first.as_flattened().iter().for_each(|x| hash.update(&x.to_le_bytes()));
        let sum = u64::from(hash.finalize()) << 32 | batch.positions_mpc_h.len() as u64 & 0xffff_ffff;
        let same =
            self.seen.iter().find(|&&(seen, of, kind)| seen == sum && kind == batch.kind && of != file);
        // A few particles may lie in the same places.
        if let Some((_, of, _)) = same.filter(|_| first.len() == COMPARED) {
            return Err(bad_input(format!(
                "holds the particles of file {of} again: was one copied or sent in place of the other?"
            )));
        }
        self.seen.push((sum, file, batch.kind));
        Ok(())
    }

    pub(super) fn add(&mut self, mut batch: Batch, how: &Gridding) -> anyhow::Result<()> {
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
        // Means have a second grid, of the weights alone.
        let summed = [weighted.as_deref().or(weights.as_deref()), weights.as_deref()];
        for (depositor, weights) in self.depositors.iter_mut().zip(summed) {
            match by_density.as_ref().or(batch.sides_mpc_h.as_ref()) {
                Some(sides) => depositor.add_cells(&batch.positions_mpc_h, sides, weights)?,
                None => depositor.add(&batch.positions_mpc_h, weights)?,
            }
        }
        let particles = batch.positions_mpc_h.len();
        self.total += weights.map_or(particles as f64, |w| w.iter().map(|&weight| f64::from(weight)).sum());
        self.done += particles as u64;
        Ok(())
    }

    /// Moves particles to where their redshifts put them, and to the coordinates of the grid.
    fn place(&self, batch: &mut Batch) {
        if let (Some((axis, shift)), Some(velocities)) = (self.shift, &batch.velocities_km_s) {
            for (position, velocity) in batch.positions_mpc_h.iter_mut().zip(velocities) {
                position[axis] += shift * f64::from(velocity[axis]);
            }
        }
        if self.window.start_mpc_h != [0.0; 3] {
            batch.positions_mpc_h.iter_mut().for_each(|position| *position = self.window.moved(*position));
        }
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
