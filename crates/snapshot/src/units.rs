//! The units of a snapshot.

use crate::SnapshotError;
use crate::attributes::Attributes;

/// A megaparsec in cm (IAU 2015: the parsec is 648000/π astronomical units).
const MPC_CM: f64 = 3.085_677_581_491_367e24;
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
}

impl Units {
    /// From `/Header` or `/Parameters`; kpc/h and 1e10 Msun/h, as IllustrisTNG has, where neither says.
    pub(crate) fn read(header: &Attributes, parameters: Option<&Attributes>) -> Result<Self, SnapshotError> {
        let unit = |name: &str, ours: f64, default: f64| -> Result<f64, SnapshotError> {
            for group in [Some(header), parameters].into_iter().flatten() {
                if let Some(value) = group.optional_number(name)? {
                    return match value.is_finite() && value > 0.0 {
                        true => Ok(snapped(value / ours)),
                        false => Err(group.wrong(name, "a positive unit", value.to_string())),
                    };
                }
            }
            Ok(default)
        };
        Ok(Self {
            length_mpc_h: unit("UnitLength_in_cm", MPC_CM, 1e-3)?,
            mass_1e10_msun_h: unit("UnitMass_in_g", MSUN_1E10_G, 1.0)?,
        })
    }
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

    #[test]
    fn units_come_from_the_header_then_the_parameters_then_tng() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("units.hdf5");
        let file = hdf5::File::create(&path).unwrap();
        let (header, parameters) = (file.create_group("h").unwrap(), file.create_group("p").unwrap());
        let read =
            || Units::read(&Attributes::new(&path, &header), Some(&Attributes::new(&path, &parameters)));
        assert_eq!(read().unwrap(), Units { length_mpc_h: 1e-3, mass_1e10_msun_h: 1.0 });
        write_scalar(&parameters, "UnitLength_in_cm", 3.085_678e24f64).unwrap();
        assert_eq!(read().unwrap().length_mpc_h, 1.0);
        write_scalar(&header, "UnitLength_in_cm", -1f64).unwrap();
        assert!(matches!(read(), Err(SnapshotError::Attribute { .. })));
    }
}
