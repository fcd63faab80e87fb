//! The units of a snapshot.

use crate::SnapshotError;
use crate::attributes::Attributes;

/// A megaparsec in cm (IAU 2015: the parsec is 648000/π astronomical units).
pub(crate) const MPC_CM: f64 = 3.085_677_581_491_367e24;
/// 1e10 solar masses in g (IAU 2015 nominal solar mass parameter over CODATA 2018 G).
const MSUN_1E10_G: f64 = 1.988_41e43;
/// Units this close to a power of ten of ours are that: codes round the parsec and the solar mass.
const ROUNDED: f64 = 1e-3;

/// Code units in ours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Units {
    /// The unit of length in comoving Mpc/h.
    pub(crate) length_mpc_h: f64,
    /// The unit of mass in 1e10 Msun/h.
    pub(crate) mass_1e10_msun_h: f64,
    /// What a number of the velocities is as a peculiar velocity in km/s.
    pub(crate) velocity_km_s: f64,
}

/// Units that somebody says in the place of the file, or that nobody says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GivenUnits {
    /// The unit of length in comoving Mpc, or Mpc/h.
    pub length: Option<GivenUnit>,
    /// The unit of mass in 1e10 Msun, or Msun/h.
    pub mass: Option<GivenUnit>,
}

/// A unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GivenUnit {
    /// How many of ours it is.
    pub value: f64,
    /// Whether it has 1/h in it, as ours have; the snapshot's own h converts what has not.
    pub per_h: bool,
}

/// Where a file may say its units, and what it says beside them.
pub(crate) struct Places<'a> {
    /// `/Header`, `/Parameters` and `/Units`, those that are there.
    pub(crate) groups: Vec<Attributes<'a>>,
    /// The positions of some particles.
    pub(crate) coordinates: Option<Attributes<'a>>,
    /// The masses of some.
    pub(crate) masses: Option<Attributes<'a>>,
    /// The velocities of some.
    pub(crate) velocities: Option<Attributes<'a>>,
    pub(crate) hubble: Option<f64>,
    pub(crate) scale_factor: f64,
}

/// A unit, and how the file names it.
struct Unit {
    /// In groups, as GADGET, AREPO and EAGLE; GIZMO; SWIFT have it.
    names: [&'static str; 3],
    /// In cgs.
    ours: f64,
    /// The powers of h and of the scale factor in ours.
    power_of_h: f64,
    power_of_a: f64,
    /// The power of the scale factor that numbers have where no dataset says it.
    usual_power_of_a: f64,
    /// What is assumed where nobody says.
    assumed: f64,
}

const LENGTH: Unit = Unit {
    names: ["UnitLength_in_cm", "UnitLength_In_CGS", SWIFT_LENGTH],
    ours: MPC_CM,
    power_of_h: -1.0,
    power_of_a: 1.0,
    usual_power_of_a: 1.0,
    assumed: 1e-3,
};
const MASS: Unit = Unit {
    names: ["UnitMass_in_g", "UnitMass_In_CGS", "Unit mass in cgs (U_M)"],
    ours: MSUN_1E10_G,
    power_of_h: -1.0,
    power_of_a: 0.0,
    usual_power_of_a: 0.0,
    assumed: 1.0,
};
/// GADGET and its children store peculiar velocities over the root of the scale factor.
const VELOCITY: Unit = Unit {
    names: ["UnitVelocity_in_cm_per_s", "UnitVelocity_In_CGS", "Unit velocity in cgs"],
    ours: 1e5,
    power_of_h: 0.0,
    power_of_a: 0.0,
    usual_power_of_a: 0.5,
    assumed: 1.0,
};
/// SWIFT's units have no 1/h in them.
pub(crate) const SWIFT_LENGTH: &str = "Unit length in cgs (U_L)";
pub(crate) const SWIFT_TIME: &str = "Unit time in cgs (U_t)";
/// On datasets: the unit in cgs (EAGLE, AREPO), and the powers of h and of the scale factor that are not in it.
const IN_CGS: [&str; 3] =
    ["CGSConversionFactor", "to_cgs", "Conversion factor to CGS (not including cosmological corrections)"];
const POWER_OF_H: [&str; 3] = ["h-scale-exponent", "h_scaling", "h-scale exponent"];
const POWER_OF_A: [&str; 3] = ["aexp-scale-exponent", "a_scaling", "a-scale exponent"];
/// Two ways of saying a unit are the same if they are this close.
const SAME: f64 = 0.01;

impl Units {
    /// From what is `given`, or else from the file; kpc/h and 1e10 Msun/h, as IllustrisTNG has, where neither says. Whether
    /// the length had to be assumed.
    ///
    /// # Errors
    /// [`SnapshotError::Attribute`] for a unit that is none, or two places that contradict each other.
    pub(crate) fn read(places: &Places<'_>, given: GivenUnits) -> Result<(Self, bool), SnapshotError> {
        let length = match given.length {
            Some(given) => Some(places.given(given)?),
            None => places.find(&LENGTH, places.coordinates.as_ref())?,
        };
        let mass = match given.mass {
            Some(given) => Some(places.given(given)?),
            None => places.find(&MASS, places.masses.as_ref())?,
        };
        let velocity = match places.velocity_of_swift()? {
            Some(unit) => Some(unit),
            None => places.find(&VELOCITY, places.velocities.as_ref())?,
        };
        let units = Self {
            length_mpc_h: length.unwrap_or(LENGTH.assumed),
            mass_1e10_msun_h: mass.unwrap_or(MASS.assumed),
            velocity_km_s: match velocity {
                Some(unit) => unit,
                // The dataset may say its power of the scale factor and no unit.
                None => VELOCITY.assumed * places.scale_factor.powf(places.power_of_velocity()?),
            },
        };
        for (name, unit) in [
            ("length", units.length_mpc_h),
            ("mass", units.mass_1e10_msun_h),
            ("velocity", units.velocity_km_s),
        ] {
            if !(unit.is_finite() && unit > 0.0) {
                let group = places.groups.first().expect("there is a header");
                return Err(group.wrong(
                    &format!("the unit of {name}"),
                    "a positive number",
                    unit.to_string(),
                ));
            }
        }
        Ok((units, length.is_none()))
    }

    /// The same of files that never say their units.
    pub(crate) fn unsaid(hubble: f64, scale_factor: f64, given: GivenUnits) -> (Self, bool) {
        let ours = |given: GivenUnit| given.value * if given.per_h { 1.0 } else { hubble };
        let units = Self {
            length_mpc_h: given.length.map_or(LENGTH.assumed, ours),
            mass_1e10_msun_h: given.mass.map_or(MASS.assumed, ours),
            velocity_km_s: VELOCITY.assumed * scale_factor.powf(VELOCITY.usual_power_of_a),
        };
        (units, given.length.is_none())
    }
}

impl Places<'_> {
    /// The power of the scale factor in velocities.
    fn power_of_velocity(&self) -> Result<f64, SnapshotError> {
        let dataset = self.velocities.as_ref();
        let said =
            dataset.and_then(|dataset| Some((dataset, POWER_OF_A.iter().find(|name| dataset.has(name))?)));
        said.map_or(Ok(VELOCITY.usual_power_of_a), |(dataset, name)| dataset.number(name))
    }

    /// SWIFT stores peculiar velocities, and says the units of length and time.
    fn velocity_of_swift(&self) -> Result<Option<f64>, SnapshotError> {
        let swift = self.groups.iter().find(|group| group.has(SWIFT_LENGTH) && group.has(SWIFT_TIME));
        let Some(group) = swift.filter(|_| !self.velocities.as_ref().is_some_and(says_its_unit)) else {
            return Ok(None);
        };
        let unit = group.number(SWIFT_LENGTH)? / group.number(SWIFT_TIME)?;
        if unit.is_finite() && unit > 0.0 {
            return Ok(Some(snapped(unit / VELOCITY.ours)));
        }
        Err(group.wrong(SWIFT_TIME, "a positive unit", unit.to_string()))
    }

    /// A unit in ours, if it is said anywhere.
    fn find(&self, unit: &Unit, dataset: Option<&Attributes<'_>>) -> Result<Option<f64>, SnapshotError> {
        let in_groups = self.groups.iter().flat_map(|group| unit.names.map(|name| (group, name)));
        let in_group = in_groups.filter(|(group, name)| group.has(name));
        let mut said: Option<f64> = None;
        let mut without_h = false;
        if let Some((group, name)) = in_group.into_iter().next() {
            let value = group.number(name)?;
            if !(value.is_finite() && value > 0.0) {
                return Err(group.wrong(name, "a positive unit", value.to_string()));
            }
            (said, without_h) = (Some(value), name == unit.names[2]);
        }
        let of_dataset = |names: &[&'static str]| -> Result<Option<(&'static str, f64)>, SnapshotError> {
            let Some(dataset) = dataset else { return Ok(None) };
            let Some(&name) = names.iter().find(|name| dataset.has(name)) else { return Ok(None) };
            Ok(Some((name, dataset.number(name)?)))
        };
        // Some files have a zero where nobody filled it in.
        if let (Some((name, value)), Some(dataset)) =
            (of_dataset(&IN_CGS)?.filter(|said| said.1 > 0.0), dataset)
        {
            match said {
                Some(group) if (value / group - 1.0).abs() > SAME => {
                    let found = format!("{value:e}, and {group:e} in a group of units");
                    return Err(dataset.wrong(
                        name,
                        "one unit in all places (or --unit-length, --unit-mass)",
                        found,
                    ));
                }
                _ => said = Some(said.unwrap_or(value)),
            }
        }
        let Some(cgs) = said else { return Ok(None) };
        let usual_power_of_h = if without_h { 0.0 } else { unit.power_of_h };
        let power_of_h = of_dataset(&POWER_OF_H)?.map_or(usual_power_of_h, |(_, power)| power);
        let power_of_a = of_dataset(&POWER_OF_A)?.map_or(unit.usual_power_of_a, |(_, power)| power);
        let of_h = self.power_of_h(power_of_h - unit.power_of_h)?;
        Ok(Some(snapped(cgs / unit.ours) * of_h * self.scale_factor.powf(power_of_a - unit.power_of_a)))
    }

    fn given(&self, GivenUnit { value, per_h }: GivenUnit) -> Result<f64, SnapshotError> {
        Ok(value * self.power_of_h(if per_h { 0.0 } else { 1.0 })?)
    }

    /// h to some power, where h is needed.
    fn power_of_h(&self, power: f64) -> Result<f64, SnapshotError> {
        match (power, self.hubble) {
            (0.0, _) => Ok(1.0),
            (power, Some(hubble)) => Ok(hubble.powf(power)),
            (_, None) => {
                let group = self.groups.first().expect("there is a header");
                let expected =
                    "the Hubble parameter h, which its units do not hold (or --unit-length and --unit-mass)";
                Err(group.wrong("HubbleParam", expected, "no such attribute".to_owned()))
            }
        }
    }
}

fn says_its_unit(dataset: &Attributes<'_>) -> bool {
    IN_CGS.iter().any(|name| dataset.has(name))
}

/// The nearest power of ten, if it is near.
fn snapped(ratio: f64) -> f64 {
    let power = 10f64.powf(ratio.log10().round());
    if (ratio / power - 1.0).abs() < ROUNDED { power } else { ratio }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::write_scalar;

    #[test]
    fn rounded_parsecs_and_suns_give_round_numbers() {
        assert_eq!(snapped(3.085_678e21 / MPC_CM), 1e-3);
        assert_eq!(snapped(3.085_678e24 / MPC_CM), 1.0);
        assert_eq!(snapped(1.989e43 / MSUN_1E10_G), 1.0);
        assert_eq!(snapped(1.989e33 / MSUN_1E10_G), 1e-10);
        assert_eq!(snapped(0.7), 0.7);
    }

    /// The units of a file with such attributes, by group or dataset.
    fn units(said: &[(&str, &str, f64)], hubble: Option<f64>) -> Result<(Units, bool), SnapshotError> {
        units_given(said, hubble, None)
    }

    fn units_given(
        said: &[(&str, &str, f64)],
        hubble: Option<f64>,
        given: Option<GivenUnit>,
    ) -> Result<(Units, bool), SnapshotError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("units.hdf5");
        let file = hdf5::File::create(&path).unwrap();
        let names = ["Header", "Parameters", "Units", "Coordinates", "Masses", "Velocities"];
        let groups = names.map(|name| file.create_group(name).unwrap());
        for &(group, name, value) in said {
            let group = &groups[names.iter().position(|known| *known == group).unwrap()];
            write_scalar(group, name, value).unwrap();
        }
        let of = |number: usize| Attributes::new(&path, &groups[number]);
        let places = Places {
            groups: vec![of(0), of(1), of(2)],
            coordinates: Some(of(3)),
            masses: Some(of(4)),
            velocities: Some(of(5)),
            hubble,
            scale_factor: 0.5,
        };
        let given = GivenUnits { length: given, ..GivenUnits::default() };
        Units::read(&places, given)
    }

    #[test]
    fn units_are_found_wherever_codes_say_them() {
        let length = |said: &[(&str, &str, f64)]| units(said, Some(0.7)).unwrap().0.length_mpc_h;
        let assumed = Units { length_mpc_h: 1e-3, mass_1e10_msun_h: 1.0, velocity_km_s: 0.5f64.sqrt() };
        assert_eq!(units(&[], None).unwrap(), (assumed, true));
        assert_eq!(length(&[("Parameters", "UnitLength_in_cm", 3.085_678e24)]), 1.0);
        assert_eq!(length(&[("Header", "UnitLength_In_CGS", 3.085_678e18)]), 1e-6);
        assert_eq!(length(&[("Units", "UnitLength_in_cm", 3.085_678e24)]), 1.0);
        // SWIFT's have no 1/h in them: a Mpc is 0.7 Mpc/h.
        let swift = [
            ("Units", "Unit length in cgs (U_L)", 3.085_678e24),
            ("Units", "Unit mass in cgs (U_M)", 1.988_41e43),
        ];
        assert_eq!(
            units(&swift, Some(0.7)).unwrap(),
            (Units { length_mpc_h: 0.7, mass_1e10_msun_h: 0.7, ..assumed }, false)
        );
        assert!(units(&swift, None).unwrap_err().to_string().contains("the Hubble parameter"));
        // On datasets, with and without h; in physical lengths, which are twice as large in comoving ones at z = 1.
        let eagle = ("Coordinates", "CGSConversionFactor", 3.085_678e24);
        assert_eq!(length(&[eagle, ("Coordinates", "h-scale-exponent", -1.0)]), 1.0);
        assert_eq!(length(&[eagle, ("Coordinates", "h-scale-exponent", 0.0)]), 0.7);
        assert_eq!(length(&[eagle, ("Coordinates", "aexp-scale-exponent", 0.0)]), 2.0);
        assert_eq!(length(&[("Coordinates", "to_cgs", 0.0)]), 1e-3);
        let mass = [("Masses", "to_cgs", 1.989e33)];
        assert_eq!(units(&mass, None).unwrap().0.mass_1e10_msun_h, 1e-10);
    }

    #[test]
    fn velocities_become_peculiar_ones_in_km_s() {
        let velocity = |said: &[(&str, &str, f64)]| units(said, Some(0.7)).unwrap().0.velocity_km_s;
        // GADGET's: over the root of the scale factor, which is 1/2 here.
        assert_eq!(velocity(&[("Header", "UnitVelocity_in_cm_per_s", 1e5)]), 0.5f64.sqrt());
        assert_eq!(velocity(&[("Parameters", "UnitVelocity_in_cm_per_s", 1e2)]), 1e-3 * 0.5f64.sqrt());
        // As the dataset says it, without 1/h whatever the units of length have.
        let arepo = [
            ("Velocities", "to_cgs", 1e5),
            ("Velocities", "a_scaling", 0.5),
            ("Velocities", "h_scaling", 0.0),
        ];
        assert_eq!(velocity(&arepo), 0.5f64.sqrt());
        let eagle = [("Velocities", "CGSConversionFactor", 1e5), ("Velocities", "aexp-scale-exponent", 0.0)];
        assert_eq!(velocity(&eagle), 1.0);
        // SWIFT's are peculiar, here in Mpc per 1e18 s.
        let swift = [("Units", SWIFT_LENGTH, MPC_CM), ("Units", SWIFT_TIME, 1e18)];
        assert!((velocity(&swift) - 30.856_775_8).abs() < 1e-6);
        let said =
            [swift[0], swift[1], ("Velocities", IN_CGS[2], 1e5), ("Velocities", "a-scale exponent", 0.0)];
        assert_eq!(velocity(&said), 1.0);
    }

    #[test]
    fn given_units_go_before_all_others() {
        let said = [("Header", "UnitLength_in_cm", 3.085_678e21)];
        let mpc = |per_h: bool| Some(GivenUnit { value: 1.0, per_h });
        let length = |hubble, given| units_given(&said, hubble, given).map(|(units, _)| units.length_mpc_h);
        assert_eq!((length(None, mpc(true)).unwrap(), length(Some(0.7), mpc(false)).unwrap()), (1.0, 0.7));
        assert!(length(None, mpc(false)).is_err());
    }

    #[test]
    fn units_that_are_none_or_two_are_errors() {
        let refused =
            |said: &[(&str, &str, f64)]| matches!(units(said, None), Err(SnapshotError::Attribute { .. }));
        assert!(refused(&[("Header", "UnitLength_in_cm", -1.0)]));
        assert!(refused(&[("Header", "UnitMass_in_g", f64::NAN)]));
        let kpc = ("Header", "UnitLength_in_cm", 3.085_678e21);
        assert!(refused(&[kpc, ("Coordinates", "to_cgs", 3.085_678e24)]));
        assert!(!refused(&[kpc, ("Coordinates", "to_cgs", 3.085_677_58e21)]));
    }
}
