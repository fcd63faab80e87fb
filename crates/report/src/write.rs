//! The files of a report.

use crate::figures::{Figure, Width, correlation, density, power, power_alone, slices};
use crate::files::write_whole;
use crate::theme::Theme;
use crate::{Comparison, ReportError, page};
use std::fs;
use std::path::{Path, PathBuf};

/// Where a report was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportPaths {
    /// All numbers.
    pub json: PathBuf,
    /// The page, with all figures inside of it.
    pub html: PathBuf,
    /// The figures as PNG files, for slides and papers.
    pub figures: Vec<PathBuf>,
}

impl Comparison {
    /// Writes figures, `report.json` and `report.html` to the folder `dir`, which is made if need be. Each file
    /// appears whole or not at all, the page last.
    ///
    /// # Errors
    /// [`ReportError::Write`] names the file that could not be written.
    pub fn write(&self, dir: &Path) -> Result<ReportPaths, ReportError> {
        fs::create_dir_all(dir).map_err(|source| ReportError::Write { path: dir.to_owned(), source })?;
        let drawn = self.figures();
        let mut figures = Vec::new();
        for figure in drawn.iter().flat_map(|section| &section.figures) {
            let path = dir.join(format!("{}.png", figure.name));
            let file = figure.pictures.iter().find(|picture| picture.theme == Theme::Light);
            write_whole(&path, &file.expect("every figure is drawn for light pages").png)?;
            figures.push(path);
        }
        let (json, html) = (dir.join("report.json"), dir.join("report.html"));
        let mut numbers = serde_json::to_vec_pretty(&self.to_json()).expect("names and numbers are JSON");
        numbers.push(b'\n');
        write_whole(&json, &numbers)?;
        write_whole(&html, page::page(self, &drawn).as_bytes())?;
        Ok(ReportPaths { json, html, figures })
    }

    fn figures(&self) -> Vec<Section> {
        let panels = |slices: &crate::slices::Slices| {
            let names: Vec<_> = slices.panels.iter().map(|panel| panel.label.as_str()).collect();
            format!("Slices of the density: {}.", names.join(", "))
        };
        let mut sections = vec![Section {
            figures: vec![
                Figure::draw("slices", panels(&self.slices), &Width::ALL, |palette, width| {
                    slices(&self.slices, palette, width)
                }),
                Figure::draw(
                    "power",
                    "Power spectra of truth, samples and condition, and their ratio to the truth.",
                    &Width::ALL,
                    |palette, width| power(self, palette, width),
                ),
                Figure::draw(
                    "correlation",
                    "Cross-correlation with the truth by wavenumber.",
                    &[Width::Narrow],
                    |palette, width| correlation(self, palette, width),
                ),
                Figure::draw("pdf", "Distribution of the density.", &[Width::Narrow], |palette, width| {
                    density(self, palette, width)
                }),
            ],
        }];
        sections.extend(self.upscaled.iter().enumerate().map(|(index, upscaled)| Section {
            figures: vec![
                Figure::draw(
                    &format!("upscaled-{}-slices", index + 1),
                    panels(&upscaled.slices),
                    &Width::ALL,
                    |palette, width| slices(&upscaled.slices, palette, width),
                ),
                Figure::draw(
                    &format!("upscaled-{}-power", index + 1),
                    "Power spectra of condition and samples.",
                    &Width::ALL,
                    |palette, width| power_alone(upscaled, palette, width),
                ),
            ],
        }));
        sections
    }
}

/// Figures that belong together: those of the comparison, then those of each upscaled field.
pub(crate) struct Section {
    pub(crate) figures: Vec<Figure>,
}
