//! The files of a report.

use crate::figures::{Figure, of_comparison, of_upscaled};
use crate::raster::png;
use crate::svg::{Place, svg};
use crate::theme::Theme;
use crate::{Comparison, ReportError, page, tables};
use std::path::{Path, PathBuf};

/// Where a report was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportPaths {
    /// All numbers.
    pub json: PathBuf,
    /// The page, with all figures inside of it.
    pub html: PathBuf,
    /// The figures as PNG and SVG files, for slides and papers.
    pub figures: Vec<PathBuf>,
    /// The statistics as CSV files.
    pub tables: Vec<PathBuf>,
}

impl Comparison {
    /// Writes `figures/`, `tables/`, `report.json` and `report.html` to the folder `dir`, which is made if need be. Each
    /// file appears whole or not at all, the page last.
    ///
    /// # Errors
    /// [`ReportError::Write`] names the file that could not be written.
    pub fn write(&self, dir: &Path) -> Result<ReportPaths, ReportError> {
        let made = |folder: PathBuf| match finescale_durable::create_folder(&folder) {
            Ok(()) => Ok(folder),
            Err(source) => Err(ReportError::Write { path: folder, source }),
        };
        let dir = made(dir.to_owned())?;
        let sections = self.sections();
        let (mut figures, mut written_tables) = (Vec::new(), Vec::new());
        let of_figures = made(dir.join("figures"))?;
        for figure in sections.iter().flat_map(|section| &section.figures) {
            let Some((_, drawing)) = figure.drawings.first() else { continue };
            let vector = svg(drawing, Place::File, &figure.name, &figure.description);
            for (ending, bytes) in [("png", png(drawing, Theme::Light)), ("svg", vector.into_bytes())] {
                let path = of_figures.join(format!("{}.{ending}", figure.name));
                write_whole(&path, &bytes)?;
                figures.push(path);
            }
        }
        let of_tables = made(dir.join("tables"))?;
        for table in tables::tables(self) {
            let path = of_tables.join(format!("{}.csv", table.name));
            write_whole(&path, table.csv().as_bytes())?;
            written_tables.push(path);
        }
        let (json, html) = (dir.join("report.json"), dir.join("report.html"));
        let mut numbers = serde_json::to_vec_pretty(&self.to_json()).expect("names and numbers are JSON");
        numbers.push(b'\n');
        write_whole(&json, &numbers)?;
        write_whole(&html, page::page(self, &sections).as_bytes())?;
        Ok(ReportPaths { json, html, figures, tables: written_tables })
    }

    fn sections(&self) -> Vec<Section> {
        let upscaled = self.upscaled.iter().enumerate().map(|(index, u)| of_upscaled(u, index + 1));
        std::iter::once(of_comparison(self)).chain(upscaled).map(|figures| Section { figures }).collect()
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    finescale_durable::write(path, |file| file.write_all(bytes))
        .map_err(|source| ReportError::Write { path: path.to_owned(), source })
}

/// Figures that belong together: those of the comparison, then those of each upscaled field.
pub(crate) struct Section {
    pub(crate) figures: Vec<Figure>,
}
