//! What one box adds to the means over boxes.

use crate::Labelled;
use crate::bands::BandMeans;
use crate::calibration::CalibrationReport;
use crate::companion::CompanionReport;
use crate::coverage::CoverageReport;
use crate::environment::EnvironmentReport;
use crate::estimate::{Estimate, mean_of, over, ratios};
use crate::estimates::Estimates;
use crate::limits::{DENSE_PERCENT, LEAST_R2, LOW_PERCENTS, NEARLY_EMPTY};
use crate::measured::Measured;
use crate::octants::{OCTANTS, octant_ratio_error};
use crate::statistics::{AgainstTruth, FieldStatistics, share};
use finescale_field::{Field3, Grid};
use finescale_spectra::{SpectraError, mean_density, percentile};
use serde::Serialize;

/// Means over the samples of one box, with the errors that it knows of itself.
#[derive(Clone, Debug, Serialize)]
pub struct BoxSummary {
    /// Its name.
    pub label: String,
    /// Number of samples.
    pub samples: usize,
    /// What is pooled.
    #[serde(flatten)]
    pub estimates: Estimates,
    /// Power of the truth by band, in (Mpc/h)³.
    pub truth_power: Vec<f64>,
    /// The same of each sample.
    pub sample_power: Vec<Vec<f64>>,
    /// Per sample whose tiles are known: whether it is seamless.
    pub seamless: Vec<bool>,
    /// The same of the truth at the faces of that sample.
    pub truth_seamless: Vec<bool>,
    /// Why seams were not looked for, if they were not.
    pub seams_skipped: Option<String>,
    #[serde(skip)]
    pub(crate) grid: Grid,
}

/// All that was measured of a box.
pub(crate) struct Found<'a> {
    pub(crate) truth: (&'a Field3, &'a FieldStatistics),
    pub(crate) samples: (&'a [Labelled<'a>], &'a [FieldStatistics]),
    pub(crate) bands: &'a BandMeans,
    pub(crate) calibration: &'a Measured<CalibrationReport>,
    pub(crate) environments: &'a Measured<EnvironmentReport>,
    pub(crate) coverage: &'a Measured<CoverageReport>,
    pub(crate) companion: &'a Measured<CompanionReport>,
}

impl BoxSummary {
    pub(crate) fn new(label: &str, found: &Found<'_>) -> Self {
        let statistics = found.samples.1;
        let against = || statistics.iter().filter_map(|s| s.against_truth.as_ref());
        let seams = || against().filter_map(|a| a.seams.done());
        Self {
            label: label.to_owned(),
            samples: statistics.len(),
            estimates: found.estimates(),
            truth_power: found.truth.1.band_power.clone(),
            sample_power: statistics.iter().map(|s| s.band_power.clone()).collect(),
            seamless: seams().map(|seams| seams.seamless).collect(),
            truth_seamless: seams().map(|seams| seams.truth.gradient.is_expected()).collect(),
            seams_skipped: against().find_map(|a| a.seams.reason()).map(str::to_owned),
            grid: *found.truth.0.grid(),
        }
    }
}

#[cfg(test)]
impl BoxSummary {
    /// One of nothing.
    pub(crate) fn blank() -> Self {
        Self {
            label: String::new(),
            samples: 0,
            estimates: Estimates::default(),
            truth_power: Vec::new(),
            sample_power: Vec::new(),
            seamless: Vec::new(),
            truth_seamless: Vec::new(),
            seams_skipped: None,
            grid: Grid::cube(2, 1.0).expect("it has cells"),
        }
    }
}

impl Found<'_> {
    fn estimates(&self) -> Estimates {
        let Self { truth: (_, truth), samples: (_, samples), bands, .. } = self;
        let against = || samples.iter().filter_map(|s| s.against_truth.as_ref());
        let mean =
            |of: fn(&AgainstTruth) -> &Vec<f64>| Estimate::against_truth(against().map(|a| of(a).as_slice()));
        let seams = || against().filter_map(|a| a.seams.done());
        let calibration = self.calibration.done();
        let of_pairs = |value: &[f64], error: &[f64], r2: &[f64]| {
            let judged = value.iter().zip(r2);
            let value = judged.map(|(&ratio, &r2)| if r2 > LEAST_R2 { ratio } else { f64::NAN }).collect();
            Estimate::new(value, error.to_vec()).with_freedom(samples.len().saturating_sub(1))
        };
        let log_power = truth.beyond(|b| &b.log_power).cloned().unwrap_or_default();
        // A bispectrum over the truth's scatters much, and one rich box is most of a sum: s / (s + t) and t / (s + t) are
        // exchanged with sample and truth, so that their means over boxes have a ratio without bias.
        let balanced = |of: fn(&AgainstTruth) -> &Vec<f64>| {
            let shares: Vec<Vec<f64>> =
                against().map(|a| of(a).iter().map(|ratio| ratio / (1.0 + ratio)).collect()).collect();
            let share = mean_of(shares.iter().map(Vec::as_slice));
            let ratio: Vec<f64> = share.iter().map(|share| share / (1.0 - share)).collect();
            let rest: Vec<f64> = share.iter().map(|share| 1.0 - share).collect();
            let Estimate { standard_error, freedom, .. } = mean(of);
            Estimate { freedom, ..Estimate::new(ratio, standard_error) }.over(&rest)
        };
        let [companion_power_ratio, companion_correlation_ratio] =
            self.companion.done().map(CompanionReport::estimates).unwrap_or_default();
        let responses: Vec<Vec<f64>> =
            samples.iter().map(|sample| ratios(&sample.response, &truth.response)).collect();
        let by_environment = self.environments.done();
        Estimates {
            ratio: self.power_ratio().over(&bands.truth_power),
            cross_correlation: mean(|a| &a.band_cross_correlation),
            sample_agreement: Estimate::new(bands.sample_agreement.clone(), Vec::new()),
            pair_ratio: calibration.map_or_else(Estimate::default, |c| {
                of_pairs(&c.pair_ratio, &c.pair_ratio_standard_error, &self.predictable(&c.r2))
            }),
            log_power_ratio: mean(|a| &a.log_power_ratio).over(&log_power),
            log_agreement_ratio: calibration.map_or_else(Estimate::default, |c| {
                let r2: Vec<f64> = c.log_among_samples.iter().map(|r| r * r.abs()).collect();
                of_pairs(&c.log_agreement_ratio, &c.log_agreement_ratio_standard_error, &r2)
            }),
            response_ratio: Estimate::against_truth(responses.iter().map(Vec::as_slice))
                .over(&truth.response),
            companion_power_ratio,
            companion_correlation_ratio,
            bispectrum_ratio: balanced(|a| &a.bispectrum_ratio),
            cross_bispectrum_ratio: balanced(|a| &a.cross_bispectrum_ratio),
            double_cross_bispectrum_ratio: balanced(|a| &a.double_cross_bispectrum_ratio),
            percentile_99_9_ratio: self
                .with_octants(|s| s.percentile_99_9, |octant| percentile(octant, DENSE_PERCENT)),
            low_percentile_ratio: self.low_percentiles(),
            nearly_empty_ratio: self.nearly_empty(),
            void_ratio: self.voids(),
            mass_ratio: self.with_octants(|s| s.mean_density, mean_density),
            environment_mass_ratio: by_environment.map(|e| e.mass_ratio.clone()).unwrap_or_default(),
            environment_step_ratio: by_environment.map(|e| e.step_ratio.clone()).unwrap_or_default(),
            environment_spread_over_error: by_environment
                .map(|e| e.spread_over_error.clone())
                .unwrap_or_default(),
            environment_rank_excess: by_environment.map(|e| e.rank_excess.clone()).unwrap_or_default(),
            coverage_excess: self.coverage.done().map(CoverageReport::excesses).unwrap_or_default(),
            seam_gradient_ratio: Estimate::against_truth(
                seams().map(|test| test.gradient_ratio_by_step.as_slice()),
            ),
        }
    }
    /// How much of the truth can be known, by band: r²(condition, truth), whatever the samples are, or theirs without one.
    fn predictable(&self, of_samples: &[f64]) -> Vec<f64> {
        match self.bands.condition_cross_correlation.is_empty() {
            true => of_samples.to_vec(),
            false => self.bands.condition_cross_correlation.iter().map(|r| r * r).collect(),
        }
    }

    /// P / P_truth: errors by bootstrap over sub-volumes, and where these do not resolve a band by the samples' scatter.
    fn power_ratio(&self) -> Estimate {
        let of_samples = self.samples.1.iter().filter_map(|s| s.against_truth.as_ref());
        let of_samples = Estimate::against_truth(of_samples.map(|a| a.band_ratio.as_slice()));
        let errors = self.bands.sample_ratio_bootstrap_error.iter().zip(&of_samples.standard_error);
        let of_band = |(&bootstrap, &scatter): (&f64, &f64)| match bootstrap.is_finite() {
            true => (bootstrap, OCTANTS - 1),
            false => (scatter, self.samples.1.len().saturating_sub(1)),
        };
        let (standard_error, freedom) = errors.map(of_band).unzip();
        Estimate { freedom, ..Estimate::new(self.bands.sample_ratio.clone(), standard_error) }
    }

    /// A number of the samples over that of the truth, with an error from the octants.
    fn with_octants(
        &self,
        whole: impl Fn(&FieldStatistics) -> f64,
        of_octant: impl Fn(&Field3) -> Result<f64, SpectraError>,
    ) -> Estimate {
        let Self { truth: (truth, of_truth), samples: (samples, statistics), .. } = self;
        let fields: Vec<&Field3> = samples.iter().map(|sample| sample.field).collect();
        let mean = statistics.iter().map(&whole).sum::<f64>() / statistics.len() as f64;
        let error = octant_ratio_error(truth, &fields, of_octant);
        let sums = [mean, whole(of_truth)];
        let estimate = Estimate::new(vec![over(sums[0], sums[1])], vec![error]);
        Estimate { sums: vec![sums], ..estimate.with_freedom(OCTANTS - 1) }
    }

    fn low_percentiles(&self) -> Estimate {
        let of = |(number, &percent): (usize, &f64)| {
            let of_voxels = move |field: &FieldStatistics| {
                let voxels = field.densities.first().and_then(|densities| densities.of_blocks.done());
                voxels.map_or(f64::NAN, |voxels| voxels.percentiles[number])
            };
            self.with_octants(of_voxels, move |octant| percentile(octant, percent))
        };
        let each: Vec<Estimate> = LOW_PERCENTS.iter().enumerate().map(of).collect();
        let all = |part: fn(&Estimate) -> &Vec<f64>| each.iter().flat_map(part).copied().collect();
        Estimate {
            value: all(|e| &e.value),
            standard_error: all(|e| &e.standard_error),
            sums: each.iter().flat_map(|e| &e.sums).copied().collect(),
            freedom: each.iter().flat_map(|e| &e.freedom).copied().collect(),
        }
    }

    fn nearly_empty(&self) -> Estimate {
        let below = |density: f32| f64::from(density) < NEARLY_EMPTY;
        self.with_octants(|s| s.nearly_empty, |octant| Ok(share(octant, below)))
    }

    /// Voids of each radius and more over those of the truth; the error is that of the samples' scatter.
    fn voids(&self) -> Estimate {
        let number = |field: &FieldStatistics| -> Option<Vec<f64>> {
            let mut sum = 0.0;
            let counts = &field.beyond(|b| &b.voids)?.counts;
            Some(
                counts
                    .iter()
                    .map(|&count| {
                        sum += count as f64;
                        sum
                    })
                    .collect(),
            )
        };
        let Some(of_truth) = number(self.truth.1) else { return Estimate::default() };
        let of_samples: Option<Vec<Vec<f64>>> = self.samples.1.iter().map(number).collect();
        let of_samples = of_samples.unwrap_or_default();
        let numbers = Estimate::against_truth(of_samples.iter().map(Vec::as_slice));
        let standard_error = ratios(&numbers.standard_error, &of_truth);
        Estimate { standard_error, freedom: numbers.freedom, ..Estimate::ratio_of(&numbers.value, &of_truth) }
    }
}
