//! What options are given, read from text.

use clap::builder::{OsStringValueParser, TypedValueParser};
use finescale_field::{FieldError, Region, ScalarName, Scheme};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// Bytes of 1 GiB.
pub(crate) const GIB: f64 = 1_073_741_824.0;

/// A positive number.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a positive number is needed".to_owned())
}

/// First cell and cells of a region.
pub(crate) fn region(text: &str) -> Result<Region, String> {
    let (start, shape) = text.split_once(':').ok_or("X,Y,Z:NX,NY,NZ is needed")?;
    Ok(Region { start: three(start)?, shape: three(shape)? })
}

/// A time limit as Slurm takes it: minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes,
/// days-hours:minutes:seconds; or `slurm` for what is left of the job.
pub(crate) fn walltime(text: &str) -> Result<Duration, String> {
    if text == "slurm" {
        let end = end_of_job().ok_or("Slurm does not say when this job ends, if it is one; say the time")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        return Ok(Duration::from_secs(end).saturating_sub(now));
    }
    let numbers = |text: &str| -> Option<Vec<u64>> { text.split(':').map(|n| n.parse().ok()).collect() };
    let seconds = match text.split_once('-') {
        Some((days, rest)) => match (days.parse().ok(), numbers(rest).as_deref()) {
            (Some(days), Some(&[hours])) => in_seconds([days, hours, 0, 0]),
            (Some(days), Some(&[hours, minutes])) => in_seconds([days, hours, minutes, 0]),
            (Some(days), Some(&[hours, minutes, seconds])) => in_seconds([days, hours, minutes, seconds]),
            _ => None,
        },
        None => match numbers(text).as_deref() {
            Some(&[minutes]) => in_seconds([0, 0, minutes, 0]),
            Some(&[minutes, seconds]) => in_seconds([0, 0, minutes, seconds]),
            Some(&[hours, minutes, seconds]) => in_seconds([0, hours, minutes, seconds]),
            _ => None,
        },
    };
    let expected =
        "MINUTES, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, DAYS-HOURS[:MINUTES[:SECONDS]] or slurm is needed";
    seconds.map(Duration::from_secs).ok_or_else(|| expected.to_owned())
}

/// When the job of Slurm that this is part of ends, in seconds since 1970. Older versions do not set the variable.
fn end_of_job() -> Option<u64> {
    let said = |name| std::env::var(name).ok();
    if let Some(end) = said("SLURM_JOB_END_TIME") {
        return end.parse().ok();
    }
    // The number of an array's last job is that of the array, too.
    let in_array = said("SLURM_ARRAY_JOB_ID").zip(said("SLURM_ARRAY_TASK_ID"));
    let job = in_array.map(|(array, task)| format!("{array}_{task}")).or_else(|| said("SLURM_JOB_ID"))?;
    let mut squeue = std::process::Command::new("squeue");
    let said = squeue.env("SLURM_TIME_FORMAT", "%s").args(["-h", "-o", "%e", "-j", &job]).output().ok()?;
    String::from_utf8(said.stdout).ok()?.trim().parse().ok()
}

/// Of days, hours, minutes and seconds; none if there are too many.
fn in_seconds(parts: [u64; 4]) -> Option<u64> {
    parts
        .into_iter()
        .zip([86_400, 3_600, 60, 1])
        .try_fold(0u64, |sum, (part, unit)| sum.checked_add(part.checked_mul(unit)?))
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
    fn time_limits_are_those_of_slurm() {
        let seconds = |text| walltime(text).map(|time| time.as_secs());
        for (text, expected) in [
            ("90", 5_400),
            ("1:30", 90),
            ("2:00:05", 7_205),
            ("1-0", 86_400),
            ("1-2:3", 93_780),
            ("0-0:0:7", 7),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "1h", "-5", "1:2:3:4", "1-", "99999999999999999-0", "1.5"] {
            assert!(seconds(text).unwrap_err().contains("HOURS:MINUTES:SECONDS"), "{text}");
        }
    }

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
