//! The files of a comparison, by box, before their values are read.

use crate::cube::{Cube, Mean};
use crate::failure::bad_input;
use crate::fields;
use crate::files::Stamp;
use crate::progress::Progress;
use anyhow::Context as _;
use finescale_field::{Boundary, Field3, Grid, Region};
use finescale_outpaint::hash_of_density;
use finescale_snapshot::GridMeta;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Redshifts closer than this are the same.
pub(crate) const SAME_REDSHIFT: f64 = 0.02;

/// Cosmological parameters closer than this are the same.
pub(crate) const SAME_PARAMETER: f64 = 1e-3;

/// The role of a field that is judged as it is.
const SAMPLE: &str = "sample";

/// The files of one box by name.
#[derive(Clone, Debug)]
pub(crate) struct BoxFiles {
    pub(crate) name: String,
    pub(crate) truth: PathBuf,
    pub(crate) samples: Vec<PathBuf>,
    /// A name for each sample.
    pub(crate) labels: Vec<String>,
    pub(crate) condition: Option<PathBuf>,
    /// Another field of the same universe: the truth's, and those that the samples were drawn with.
    pub(crate) companion: Option<PathBuf>,
    pub(crate) companion_samples: Vec<PathBuf>,
}

/// What a file is, but for its values.
pub(crate) struct Input {
    role: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) sha256: String,
    pub(crate) grid: Grid,
    pub(crate) meta: GridMeta,
    /// What is said of it, if it is a numpy cube.
    cube: Cube,
    is_cube: bool,
    pub(crate) note: Option<String>,
    stamp: Stamp,
}

/// What the files of one box are.
pub(crate) struct BoxInputs {
    pub(crate) name: String,
    pub(crate) truth: Input,
    pub(crate) condition: Option<Input>,
    pub(crate) samples: Vec<Input>,
    pub(crate) labels: Vec<String>,
    pub(crate) independent_tiles: Option<Input>,
    pub(crate) companion: Option<Input>,
    pub(crate) companion_samples: Vec<Input>,
}

impl BoxFiles {
    /// The files of a box by their names in its folder.
    pub(crate) fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        let shown = folder.display();
        let entries = std::fs::read_dir(folder)
            .map_err(|error| bad_input(format!("{shown}: {error}; --box needs a folder")))?;
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        let named = |path: &PathBuf, stem: &str| {
            let is_grid = path.extension().is_some_and(|ending| ending == "hdf5" || ending == "npy");
            is_grid && path.file_stem().is_some_and(|name| name.to_string_lossy().starts_with(stem))
        };
        // Not some `truth_old` beside it.
        let one = |stem: &str| {
            files.iter().find(|path| named(path, stem) && path.file_stem() == Some(stem.as_ref())).cloned()
        };
        let samples: Vec<PathBuf> = files.iter().filter(|path| named(path, "sample")).cloned().collect();
        let (Some(truth), false) = (one("truth"), samples.is_empty()) else {
            return Err(bad_input(format!(
                "{shown}: a box needs truth.hdf5 and sample*.hdf5 (or .npy), and one of the two is missing"
            )));
        };
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        Ok(Self {
            name,
            truth,
            labels: numbered(samples.len()),
            samples,
            condition: one("condition"),
            companion: one("companion"),
            companion_samples: files.iter().filter(|path| named(path, "companion_sample")).cloned().collect(),
        })
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &PathBuf> {
        let one = [&self.truth].into_iter().chain(&self.condition);
        one.chain(&self.samples).chain(&self.companion).chain(&self.companion_samples)
    }

    /// Checks that there is another field of the truth and of each sample, or of none.
    fn check_companions(&self) -> anyhow::Result<()> {
        let (expected, found) = (self.samples.len(), self.companion_samples.len());
        if found == if self.companion.is_some() { expected } else { 0 } {
            return Ok(());
        }
        Err(bad_input(format!(
            "{}: the other field of the truth is {}, and those of {found} of {expected} samples are: give --companion and one \
             --companion-sample for each --sample, in their order, or in a --box companion.hdf5 and companion_sample*.hdf5",
            self.name,
            if self.companion.is_some() { "given" } else { "not given" }
        )))
    }
}

impl BoxInputs {
    /// How its files are taken, and what its samples are beside the truth, where that is something else: nothing that a
    /// file does not say counts.
    pub(crate) fn notes(&self) -> impl Iterator<Item = String> {
        let units = fields::unit_warning(&self.truth.path, &self.truth.grid);
        let of_files = self.all().filter_map(|input| input.note.clone());
        units
            .into_iter()
            .chain(of_files)
            .chain(self.samples.iter().flat_map(|sample| sample.differences(&self.truth)))
            .chain(self.condition.iter().flat_map(|condition| condition.other_time(&self.truth)))
            .chain(self.companion.iter().flat_map(|companion| companion.other_time(&self.truth)))
            .chain(self.companion.iter().flat_map(|companion| {
                self.companion_samples.iter().flat_map(|its| its.differences(companion))
            }))
    }
}

/// Names for samples that have none.
pub(crate) fn numbered(samples: usize) -> Vec<String> {
    (1..=samples).map(|number| format!("sample {number}")).collect()
}

impl Input {
    /// Opens and hashes a file.
    pub(crate) fn open(role: &'static str, path: &Path, cube: Cube) -> anyhow::Result<Self> {
        let stamp = Stamp::read(path)?;
        let open = fields::open_header(path, &cube)?;
        let (grid, meta, note, is_cube) = (*open.values.grid(), open.meta, open.note, open.is_cube);
        let cube = Cube { box_size: Some(grid.box_size_mpc_h()), ..cube };
        let (path, sha256) = (path.to_owned(), stamp.sha256(path)?);
        Ok(Self { role, path, sha256, grid, meta, cube, is_cube, note, stamp })
    }

    /// Whether it is a numpy cube beside which nothing says its redshift: 0 then stands for any.
    pub(crate) fn is_bare_cube(&self) -> anyhow::Result<bool> {
        Ok(self.is_cube && !fields::says_redshift(&self.path)?)
    }

    /// In what it differs from the truth.
    fn differences(&self, truth: &Self) -> Vec<String> {
        let (mine, its) = (&self.meta.quantity, &truth.meta.quantity);
        let is_other = mine != its && mine != "unknown" && its != "unknown";
        let other = truth.role;
        let quantity = is_other.then(|| format!("{} holds {mine}, the {other} {its}", self.path.display()));
        quantity.into_iter().chain(self.other_origin(truth)).collect()
    }

    /// In what its time and its making differ from those of the truth, whatever it is the density of.
    pub(crate) fn other_origin(&self, truth: &Self) -> Vec<String> {
        let (mine, its, other) = (&self.meta, &truth.meta, truth.role);
        let mut found = self.other_time(truth);
        if let (Some(a), Some(b)) = (mine.assignment, its.assignment)
            && a != b
        {
            found.push(format!(
                "{} was assigned by {a}, the {other} by {b}: their windows do not drop out of P/P_truth",
                self.path.display()
            ));
        }
        if mine.redshift_space != its.redshift_space {
            let named = |axis: &Option<String>| axis.clone().unwrap_or("none".to_owned());
            found.push(format!(
                "{} is in redshift space along {}, the {other} along {}: they are different fields",
                self.path.display(),
                named(&mine.redshift_space),
                named(&its.redshift_space)
            ));
        }
        if let (Some(mine), Some(its)) = (mine.start_mpc_h, its.start_mpc_h)
            && mine != its
        {
            found.push(format!(
                "{} begins at {mine:?} Mpc/h of its box, the {other} at {its:?}: they are different parts of it",
                self.path.display()
            ));
        }
        found
    }

    /// Whether its time is not that of the truth.
    fn other_time(&self, truth: &Self) -> Vec<String> {
        let (mine, its, other) = (self.meta.redshift, truth.meta.redshift, truth.role);
        let is_same = (mine - its).abs() <= SAME_REDSHIFT;
        let text = || format!("{} is at redshift {mine:.2}, the {other} at {its:.2}", self.path.display());
        (!is_same).then(text).into_iter().collect()
    }

    /// In what the universe of another box differs, if a mean over both is one of different things.
    pub(crate) fn other_universe(&self, first: &Self) -> Vec<String> {
        let mut found = self.differences(first);
        let pairs = self.meta.cosmology.parameters().into_iter().zip(first.meta.cosmology.parameters());
        for ((name, mine), (_, its)) in pairs {
            if let (Some(mine), Some(its)) = (mine, its)
                && (mine - its).abs() > SAME_PARAMETER
            {
                found.push(format!("{} has {name} = {mine}, the first box {its}", self.path.display()));
            }
        }
        found
    }

    /// The values of `window`, which lie on `grid`, of a file in which nothing has changed since it was opened. Nothing
    /// else of it is held in memory.
    /// What is odd about them is added to `notes`.
    ///
    /// # Errors
    /// If they are no density, or, of a whole box that is no sample, far from a mean of 1.
    pub(crate) fn read(
        &self,
        window: &Region,
        grid: Grid,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<Field3> {
        let values = match *window == Region::whole(&self.grid) {
            true => fields::load(&self.path, &self.cube)?.field.into_values(),
            false => {
                let open = fields::open(&self.path, &self.cube)?;
                open.values.read(window).map_err(anyhow::Error::from_boxed).context("reading values")?
            }
        };
        self.stamp.check(&self.path)?;
        let field = Field3::new(grid, values).with_context(|| self.path.display().to_string())?;
        fields::check_density(&self.path, &field)?;
        let is_box = self.meta.boundary == Boundary::Periodic && *window == Region::whole(&self.grid);
        if is_box && self.role != SAMPLE {
            notes.extend(fields::check_box_mean(&self.path, field.mean())?);
        }
        Ok(field)
    }

    /// The hash of its values that samples know their condition by.
    pub(crate) fn hash_of_values(&self) -> anyhow::Result<String> {
        let open = fields::open_header(&self.path, &self.cube)?;
        let hash = hash_of_density(open.values.as_ref()).with_context(|| self.path.display().to_string())?;
        self.stamp.check(&self.path)?;
        Ok(hash)
    }

    /// What a report says of it.
    pub(crate) fn json(&self) -> Value {
        let Self { role, path, sha256, meta, .. } = self;
        json!({ "role": role, "file": path.to_string_lossy(), "sha256": sha256, "provenance": meta.provenance })
    }
}

impl BoxInputs {
    /// Opens and hashes all files of a box.
    pub(crate) fn open(
        files: &BoxFiles,
        independent_tiles: Option<&Path>,
        cube: Cube,
        progress: &mut Progress,
    ) -> anyhow::Result<Self> {
        if cube.mean == Some(Mean::Own) {
            return Err(bad_input(
                "--mean own: would make every sample's mass that of the truth; give the mean of the whole universe as a number",
            ));
        }
        files.check_companions()?;
        let mut open = |role, path: &Path| {
            progress.add(1);
            Input::open(role, path, cube)
        };
        Ok(Self {
            name: files.name.clone(),
            truth: open("truth", &files.truth)?,
            condition: files.condition.as_deref().map(|path| open("condition", path)).transpose()?,
            samples: files.samples.iter().map(|path| open(SAMPLE, path)).collect::<anyhow::Result<_>>()?,
            labels: files.labels.clone(),
            independent_tiles: independent_tiles.map(|path| open("independent tiles", path)).transpose()?,
            companion: files.companion.as_deref().map(|path| open("companion", path)).transpose()?,
            companion_samples: (files.companion_samples.iter())
                .map(|path| open("companion of a sample", path))
                .collect::<anyhow::Result<_>>()?,
        })
    }

    /// All of them, the truth first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Input> {
        let one = [&self.truth].into_iter().chain(&self.condition);
        let of_samples = one.chain(&self.samples).chain(&self.independent_tiles);
        of_samples.chain(&self.companion).chain(&self.companion_samples)
    }
}
