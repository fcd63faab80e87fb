//! The files of a report.

use crate::characters::{visible, visible_json};
use crate::figures::{Figure, figure_ids, of_comparison, of_upscaled};
use crate::page::page;
use crate::raster::png;
use crate::svg::Place;
use crate::tables::{table_names, tables};
use crate::{Pictures, ReportError};
use finescale_judge::Comparison;
use serde_json::json;
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

/// Writes `figures/`, `tables/`, `report.json` and `report.html` to the folder `dir`, which is made if need
/// be. Each file appears whole or not at all, the page last.
///
/// # Errors
/// [`ReportError::Write`] names the file that could not be written.
pub fn write(comparison: &Comparison, pictures: &Pictures, dir: &Path) -> Result<ReportPaths, ReportError> {
    let made = |folder: PathBuf| match finescale_durable::create_folder(&folder) {
        Ok(()) => Ok(folder),
        Err(source) => Err(ReportError::Write { path: folder, source }),
    };
    let dir = made(dir.to_owned())?;
    let (json, html) = (dir.join("report.json"), dir.join("report.html"));
    // No earlier page stands beside new figures, whatever stops this.
    for path in earlier(&dir).iter().chain([&html, &json]) {
        finescale_durable::remove_file(path)
            .and_then(|()| finescale_durable::sync_folder(&dir))
            .map_err(|source| ReportError::Write { path: path.clone(), source })?;
    }
    let shown = of_comparison(comparison, pictures);
    let upscaled = comparison.also_upscaled.iter().zip(&pictures.upscaled).enumerate();
    let upscaled: Vec<[Figure<'_>; 2]> =
        upscaled.map(|(index, (upscaled, slices))| of_upscaled(upscaled, slices, index + 1)).collect();
    let (mut figures, mut written_tables) = (Vec::new(), Vec::new());
    let of_figures = made(dir.join("figures"))?;
    for figure in shown.iter().chain(upscaled.iter().flatten()) {
        let svg = visible(&figure.svg(Place::File, figure.widths[0])).into_owned();
        for (ending, bytes) in [("png", png(&svg)), ("svg", svg.clone().into_bytes())] {
            let path = of_figures.join(format!("{}.{ending}", figure.id));
            write_whole(&path, &bytes)?;
            figures.push(path);
        }
    }
    let of_tables = made(dir.join("tables"))?;
    let report = visible_json(json!(comparison));
    for (name, csv) in tables(&report) {
        let path = of_tables.join(format!("{name}.csv"));
        write_whole(&path, csv.as_bytes())?;
        written_tables.push(path);
    }
    let mut numbers = serde_json::to_vec_pretty(&report).expect("names and numbers are JSON");
    numbers.push(b'\n');
    write_whole(&json, &numbers)?;
    write_whole(&html, visible(&page(comparison, pictures, &shown, &upscaled)).as_bytes())?;
    Ok(ReportPaths { json, html, figures, tables: written_tables })
}

/// Figures and tables of ours that an earlier report left, which this one may not have.
fn earlier(dir: &Path) -> Vec<PathBuf> {
    let named =
        figure_ids().flat_map(|id| ["png", "svg"].map(|ending| dir.join(format!("figures/{id}.{ending}"))));
    let of_tables = table_names().map(|name| dir.join(format!("tables/{name}.csv")));
    let is_there = |path: &PathBuf| path.exists();
    let in_figures = std::fs::read_dir(dir.join("figures")).into_iter().flatten().flatten();
    let of_upscaled = in_figures.filter(|entry| entry.file_name().to_string_lossy().starts_with("upscaled-"));
    let of_upscaled = of_upscaled.map(|entry| entry.path());
    named.chain(of_tables).filter(is_there).chain(of_upscaled).collect()
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    finescale_durable::write(path, |file| file.write_all(bytes))
        .map_err(|source| ReportError::Write { path: path.to_owned(), source })
}
