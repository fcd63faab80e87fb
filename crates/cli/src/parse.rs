//! What options are given, read from text.

use clap::builder::{OsStringValueParser, TypedValueParser};
use finescale_field::{FieldError, Region, ScalarName, Scheme};
use std::path::PathBuf;
use std::str::FromStr;

/// A folder for what a command writes; `-` is no name for one.
pub(crate) fn folder() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|name| match name == "-" {
        true => Err("a folder is written, not standard output; name one, or ./-"),
        false => Ok(PathBuf::from(name)),
    })
}

/// How particles were assigned to the voxels of a field, if they were: a scheme, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Assignment(pub(crate) Option<Scheme>);

impl FromStr for Assignment {
    type Err = FieldError;

    fn from_str(name: &str) -> Result<Self, FieldError> {
        if name == "none" { Ok(Self(None)) } else { name.parse().map(|scheme| Self(Some(scheme))) }
    }
}

/// Three numbers separated by commas, or one for all axes.
pub(crate) fn three<T: FromStr + Copy>(text: &str) -> Result<[T; 3], String> {
    let numbers: Option<Vec<T>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[all]) => Ok([all; 3]),
        Some(&[x, y, z]) => Ok([x, y, z]),
        _ => Err("one number, or three separated by commas, are needed".to_owned()),
    }
}

/// First cell and cells of a region.
pub(crate) fn region(text: &str) -> Result<Region, String> {
    let (start, shape) = text.split_once(':').ok_or("X,Y,Z:NX,NY,NZ is needed")?;
    Ok(Region { start: three(start)?, shape: three(shape)? })
}

/// A number that holds for a whole box, as NAME=VALUE.
pub(crate) fn scalar(text: &str) -> Result<(ScalarName, f64), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is needed")?;
    let name = serde_json::from_value(name.trim().into()).map_err(|error| error.to_string())?;
    match value.trim().parse::<f64>() {
        Ok(value) if name == ScalarName::Redshift && value <= -1.0 => {
            Err(format!("`{value}` is no redshift"))
        }
        Ok(value) if name == ScalarName::OmegaM && !(0.0..=2.0).contains(&value) => {
            Err(format!("`{value}` is no omega_m from 0 to 2"))
        }
        Ok(value) if name == ScalarName::Sigma8 && !(0.0..=5.0).contains(&value) => {
            Err(format!("`{value}` is no sigma_8 from 0 to 5"))
        }
        Ok(value) if value.is_finite() => Ok((name, value)),
        _ => Err(format!("`{value}` is no number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triples_are_read() {
        assert_eq!(three::<f64>("2.5"), Ok([2.5; 3]));
        assert_eq!(three::<i64>("1, -2,3"), Ok([1, -2, 3]));
        assert!(three::<usize>("1,2").is_err());
    }

    #[test]
    fn regions_are_read() {
        assert_eq!(region("1,-2,3:64"), Ok(Region { start: [1, -2, 3], shape: [64; 3] }));
        assert_eq!(region("0:32,32,64"), Ok(Region { start: [0; 3], shape: [32, 32, 64] }));
        assert!(region("1,2,3").is_err());
        assert!(region("1,2,3:-4").is_err());
    }

    #[test]
    fn assignments_are_schemes_or_none() {
        assert_eq!("none".parse::<Assignment>().unwrap(), Assignment(None));
        assert_eq!("tsc".parse::<Assignment>().unwrap(), Assignment(Some(Scheme::Tsc)));
        assert!("spline".parse::<Assignment>().is_err());
    }

    #[test]
    fn scalars_are_read() {
        assert_eq!(scalar("sigma_8=0.8"), Ok((ScalarName::Sigma8, 0.8)));
        assert_eq!(scalar("redshift = 2"), Ok((ScalarName::Redshift, 2.0)));
        assert!(scalar("hubble=0.7").unwrap_err().contains("omega_m"));
        assert!(
            scalar("omega_m=many").is_err() && scalar("omega_m").is_err() && scalar("omega_m=inf").is_err()
        );
        assert!(scalar("omega_m=-1").is_err() && scalar("sigma_8=1e300").is_err());
    }
}
