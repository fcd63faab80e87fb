//! GADGET's binary formats 1 and 2: Fortran records of a header, and of blocks in a fixed order or with names.

use crate::header::FileHeader;
use crate::path_kind::first_bytes;
use crate::units::{GivenUnits, Units};
use crate::{Header, SnapshotError};
use finescale_field::{Cosmology, Grid};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Types of particles in such a file.
const TYPES: usize = 6;
/// Bytes of the header, and of the record before each block in format 2.
const HEADER_BYTES: u32 = 256;
const NAME_BYTES: u32 = 8;
/// A redshift and a scale factor that agree as well as this are those of one time.
const SAME: f64 = 1e-3;
/// Bytes of the numbers that enclose a record.
const MARK: u64 = 4;
/// Format 1 has its blocks in this order; those that only gas has last. Others may follow.
const ORDER: [&str; 9] = ["POS ", "VEL ", "ID  ", "MASS", "U   ", "RHO ", "NE  ", "NH  ", "HSML"];
const GAS_ONLY: [&str; 5] = ["U   ", "RHO ", "NE  ", "NH  ", "HSML"];
/// Only runs with cooling have these.
const COOLING: [&str; 2] = ["NE  ", "NH  "];
/// What blocks are called in HDF5.
const NAMES: [(&str, &str); 7] = [
    ("POS ", "Coordinates"),
    ("VEL ", "Velocities"),
    ("ID  ", "ParticleIDs"),
    ("MASS", "Masses"),
    ("U   ", "InternalEnergy"),
    ("RHO ", "Density"),
    ("HSML", "SmoothingLength"),
];

/// An open file: what its header says, and where its blocks lie.
pub(crate) struct GadgetFile {
    path: PathBuf,
    file: File,
    big_endian: bool,
    raw: RawHeader,
    blocks: Vec<Block>,
}

/// The header as it stands there, as far as anybody reads it.
struct RawHeader {
    counts: [u64; TYPES],
    masses: [f64; TYPES],
    time: f64,
    redshift: f64,
    totals: [u64; TYPES],
    has_cooling: bool,
    files: u32,
    box_size: f64,
    omega_m: f64,
    omega_lambda: f64,
    hubble: f64,
}

struct Block {
    name: String,
    /// Of its first value.
    at: u64,
    bytes: u64,
}

/// Numbers of one block for one type of particles: `columns` in a row.
#[derive(Debug)]
pub(crate) struct BlockColumn {
    file: File,
    at: u64,
    width: usize,
    are_integers: bool,
    big_endian: bool,
    rows: usize,
    columns: usize,
}

/// Whether a file begins as a snapshot in format 1 or 2 does.
///
/// # Errors
/// [`SnapshotError::Io`] if it cannot be read.
pub(crate) fn is_gadget(path: &Path) -> Result<bool, SnapshotError> {
    Ok(<[u8; 4]>::try_from(first_bytes(path, 4)?).is_ok_and(|start| endianness(start).is_some()))
}

/// Whether numbers are big-endian, by the length of the first record.
fn endianness(start: [u8; 4]) -> Option<bool> {
    let is_length = |length: u32| length == HEADER_BYTES || length == NAME_BYTES;
    if is_length(u32::from_le_bytes(start)) {
        Some(false)
    } else if is_length(u32::from_be_bytes(start)) {
        Some(true)
    } else {
        None
    }
}

impl GadgetFile {
    /// Reads the header and finds the blocks.
    ///
    /// # Errors
    /// [`SnapshotError::NotASnapshot`] if the records do not fit together, [`SnapshotError::Truncated`] if the file ends in one.
    pub(crate) fn open(path: &Path) -> Result<Self, SnapshotError> {
        let io = |source| SnapshotError::Io { path: path.into(), doing: "reading", source };
        let file = finescale_durable::open_to_read(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut records = Records { path, file: &file, big_endian: false, length, at: 0 };
        let start = records.bytes::<4>(0)?;
        records.big_endian =
            endianness(start).ok_or_else(|| records.wrong("its first record is no header".to_owned()))?;
        let is_named = records.number(0)? == NAME_BYTES;
        let first = if is_named { records.named()? } else { (String::new(), records.plain()?) };
        let (at, bytes) = first.1;
        if bytes != u64::from(HEADER_BYTES) {
            return Err(records.wrong(format!("its header has {bytes} bytes, not {HEADER_BYTES}")));
        }
        let raw = RawHeader::read(&records, at)?;
        let blocks = if is_named { records.named_blocks()? } else { records.ordered_blocks(&raw)? };
        let big_endian = records.big_endian;
        let found = Self { path: path.into(), file, big_endian, raw, blocks };
        found.check_positions()?;
        Ok(found)
    }

    /// The header in our units; the file says none, so that they are `given` or assumed.
    pub(crate) fn header(&self, given: GivenUnits) -> Result<FileHeader, SnapshotError> {
        let raw = &self.raw;
        let wrong = |name: &str, expected: &'static str, found: f64| SnapshotError::Attribute {
            path: self.path.clone(),
            group: "Header".to_owned(),
            name: name.to_owned(),
            expected,
            found: found.to_string(),
        };
        // Initial conditions of some programs have a redshift of 0 and the right time.
        let scale_factor = raw.time;
        if !(1e-6..=1000.0).contains(&scale_factor) {
            return Err(wrong("Time", "a scale factor from 1e-6 to 1000", scale_factor));
        }
        let redshift = 1.0 / scale_factor - 1.0;
        if raw.redshift != 0.0 && ((1.0 + raw.redshift) * scale_factor - 1.0).abs() > SAME {
            return Err(wrong("Redshift", "that of its Time, which is the scale factor", raw.redshift));
        }
        if !(raw.hubble.is_finite() && raw.hubble > 0.0) {
            return Err(wrong("HubbleParam", "a positive number", raw.hubble));
        }
        let (units, length_unit_is_assumed) = Units::unsaid(raw.hubble, scale_factor, given);
        let box_size_mpc_h = [raw.box_size * units.length_mpc_h; 3];
        if Grid::new([1; 3], box_size_mpc_h).is_err() {
            return Err(wrong("BoxSize", "the side of a periodic box", raw.box_size));
        }
        if let Some(&mass) = raw.masses.iter().find(|mass| !(mass.is_finite() && **mass >= 0.0)) {
            return Err(wrong("MassTable", "masses, none negative", mass));
        }
        let snapshot = Header {
            box_size_mpc_h,
            redshift,
            scale_factor,
            contradicting_time: None,
            cosmology: Cosmology {
                omega_m: Some(raw.omega_m),
                omega_lambda: Some(raw.omega_lambda),
                hubble: Some(raw.hubble),
                ..Cosmology::UNKNOWN
            },
            counts: raw.totals.to_vec(),
            mass_table: raw.masses.map(|mass| mass * units.mass_1e10_msun_h).to_vec(),
            length_unit_mpc_h: units.length_mpc_h,
            length_unit_is_assumed,
            origin: None,
            files: raw.files.max(1) as usize,
        };
        Ok(FileHeader::new(snapshot, raw.counts.to_vec(), units))
    }

    /// The block that is called `name` in HDF5, for particles of type `kind`, if the file has it.
    pub(crate) fn column(&self, kind: usize, name: &str) -> Result<Option<BlockColumn>, SnapshotError> {
        let Some(block) = self.block(name) else { return Ok(None) };
        let has_it = |of: &usize| match block.name.as_str() {
            "MASS" => self.raw.masses[*of] == 0.0,
            name if GAS_ONLY.contains(&name) => *of == 0,
            _ => true,
        };
        let rows = |of: usize| if has_it(&of) { self.raw.counts[of] } else { 0 };
        if kind >= TYPES || !has_it(&kind) {
            return Ok(None);
        }
        let before: u64 = (0..kind).map(rows).sum();
        let all = (0..TYPES).map(rows).sum::<u64>();
        let per_row = block.bytes.checked_div(all).unwrap_or(0);
        let columns = if matches!(block.name.as_str(), "POS " | "VEL ") { 3 } else { 1 };
        let width = per_row.div_euclid(columns);
        if per_row * all != block.bytes || !matches!(width, 4 | 8) || width * columns != per_row {
            let detail = format!("its block {name} has {} bytes for {all} particles", block.bytes);
            return Err(SnapshotError::NotASnapshot { path: self.path.clone(), detail });
        }
        let io = |source| SnapshotError::Io { path: self.path.clone(), doing: "opening", source };
        let too_many = |_| SnapshotError::NotASnapshot {
            path: self.path.clone(),
            detail: format!("{all} particles are more than this machine can count"),
        };
        Ok(Some(BlockColumn {
            file: self.file.try_clone().map_err(io)?,
            at: block.at + before * per_row,
            width: usize::try_from(width).map_err(too_many)?,
            are_integers: block.name == "ID  ",
            big_endian: self.big_endian,
            rows: usize::try_from(rows(kind)).map_err(too_many)?,
            columns: usize::try_from(columns).map_err(too_many)?,
        }))
    }

    fn block(&self, name: &str) -> Option<&Block> {
        // Of others nobody says which types have them.
        let (code, _) = NAMES.iter().find(|(_, hdf5)| *hdf5 == name)?;
        self.blocks.iter().find(|block| block.name.trim_end() == code.trim_end())
    }

    fn check_positions(&self) -> Result<(), SnapshotError> {
        match self.block("Coordinates") {
            Some(_) => Ok(()),
            None if self.raw.counts.iter().all(|&count| count == 0) => Ok(()),
            None => {
                let detail = "it has no block of positions (POS)".to_owned();
                Err(SnapshotError::NotASnapshot { path: self.path.clone(), detail })
            }
        }
    }
}

impl RawHeader {
    fn read(records: &Records<'_>, at: u64) -> Result<Self, SnapshotError> {
        let number = |offset: u64| records.number(at + offset);
        let float = |offset: u64| records.float(at + offset);
        let (mut counts, mut masses, mut totals) = ([0; TYPES], [0.0; TYPES], [0; TYPES]);
        for kind in 0..TYPES {
            let index = kind as u64;
            counts[kind] = u64::from(number(4 * index)?);
            masses[kind] = float(24 + 8 * index)?;
            let low = number(96 + 4 * index)?;
            let high = number(168 + 4 * index)?;
            totals[kind] = u64::from(low) | (u64::from(high) << 32);
        }
        let raw = Self {
            counts,
            masses,
            time: float(72)?,
            redshift: float(80)?,
            totals,
            has_cooling: number(120)? != 0,
            files: number(124)?,
            box_size: float(128)?,
            omega_m: float(136)?,
            omega_lambda: float(144)?,
            hubble: float(152)?,
        };
        // Programs that write one file may leave the totals at zero.
        let is_alone = raw.files <= 1;
        Ok(if is_alone && raw.totals.iter().all(|&total| total == 0) {
            Self { totals: raw.counts, ..raw }
        } else {
            raw
        })
    }
}

/// The records of a file, one after the other.
struct Records<'a> {
    path: &'a Path,
    file: &'a File,
    big_endian: bool,
    length: u64,
    /// Where the next one begins.
    at: u64,
}

impl Records<'_> {
    /// Where the next record has its contents, and how many bytes they are; the one after it is next.
    ///
    /// Its length stands before and after it, modulo 2^32.
    fn plain(&mut self) -> Result<(u64, u64), SnapshotError> {
        let mark = self.number(self.at)?;
        let mut bytes = u64::from(mark);
        loop {
            let end = self.at + MARK + bytes;
            if end + MARK > self.length {
                let detail = format!("a record of {mark} bytes at byte {} does not end in it", self.at);
                return Err(SnapshotError::Truncated { path: self.path.into(), detail });
            }
            if self.number(end)? == mark {
                let start = self.at + MARK;
                self.at = end + MARK;
                return Ok((start, bytes));
            }
            bytes += 1 << 32;
        }
    }

    /// The next record and the one with its name before it.
    fn named(&mut self) -> Result<(String, (u64, u64)), SnapshotError> {
        let (at, bytes) = self.plain()?;
        if bytes != u64::from(NAME_BYTES) {
            return Err(
                self.wrong(format!("a record of {bytes} bytes stands where the name of a block should"))
            );
        }
        let name = String::from_utf8_lossy(&self.bytes::<4>(at)?).into_owned();
        Ok((name, self.plain()?))
    }

    fn named_blocks(&mut self) -> Result<Vec<Block>, SnapshotError> {
        let mut blocks = Vec::new();
        while self.at < self.length {
            let (name, (at, bytes)) = self.named()?;
            blocks.push(Block { name, at, bytes });
        }
        Ok(blocks)
    }

    /// Blocks without names, in the order of format 1; what follows those that are known is left alone.
    fn ordered_blocks(&mut self, header: &RawHeader) -> Result<Vec<Block>, SnapshotError> {
        let counted = |kind: &usize| header.counts[*kind] > 0;
        let has_masses = (0..TYPES).filter(counted).any(|kind| header.masses[kind] == 0.0);
        let is_expected = |name: &&str| match *name {
            "MASS" => has_masses,
            name if COOLING.contains(&name) => counted(&0) && header.has_cooling,
            name if GAS_ONLY.contains(&name) => counted(&0),
            _ => true,
        };
        let mut blocks = Vec::new();
        for name in ORDER.into_iter().filter(is_expected) {
            if self.at == self.length {
                break;
            }
            let (at, bytes) = self.plain()?;
            blocks.push(Block { name: name.to_owned(), at, bytes });
        }
        Ok(blocks)
    }

    fn number(&self, at: u64) -> Result<u32, SnapshotError> {
        let bytes = self.bytes::<4>(at)?;
        Ok(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn float(&self, at: u64) -> Result<f64, SnapshotError> {
        let bytes = self.bytes::<8>(at)?;
        Ok(if self.big_endian { f64::from_be_bytes(bytes) } else { f64::from_le_bytes(bytes) })
    }

    fn bytes<const N: usize>(&self, at: u64) -> Result<[u8; N], SnapshotError> {
        let mut bytes = [0; N];
        match self.file.read_exact_at(&mut bytes, at) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let detail = format!("it has {} bytes", self.length);
                Err(SnapshotError::Truncated { path: self.path.into(), detail })
            }
            Err(source) => Err(SnapshotError::Io { path: self.path.into(), doing: "reading", source }),
        }
    }

    fn wrong(&self, detail: String) -> SnapshotError {
        SnapshotError::NotASnapshot { path: self.path.into(), detail }
    }
}

impl BlockColumn {
    /// Rows and columns.
    pub(crate) fn shape(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// The numbers of some rows, row by row.
    pub(crate) fn read(&self, rows: Range<usize>) -> io::Result<Vec<f64>> {
        let float = |wide: [u8; 8]| match self.width {
            4 => f64::from(f32::from_le_bytes([wide[0], wide[1], wide[2], wide[3]])),
            _ => f64::from_le_bytes(wide),
        };
        if self.are_integers {
            return Ok(self.read_integers(rows)?.into_iter().map(|number| number as f64).collect());
        }
        self.read_as(rows, float)
    }

    /// The same of integers.
    pub(crate) fn read_integers(&self, rows: Range<usize>) -> io::Result<Vec<u64>> {
        self.read_as(rows, u64::from_le_bytes)
    }

    /// Numbers of some rows from their bytes, the lowest first, filled up with zeros.
    fn read_as<T>(&self, rows: Range<usize>, number: impl Fn([u8; 8]) -> T) -> io::Result<Vec<T>> {
        let row = self.width * self.columns;
        let mut bytes = vec![0; rows.len() * row];
        self.file.read_exact_at(&mut bytes, self.at + (rows.start * row) as u64)?;
        let value = |bytes: &[u8]| {
            let mut wide = [0; 8];
            wide[..bytes.len()].copy_from_slice(bytes);
            if self.big_endian {
                wide[..bytes.len()].reverse();
            }
            number(wide)
        };
        Ok(bytes.chunks_exact(self.width).map(value).collect())
    }
}
