//! The events of a training on a terminal.

use crate::context::Context;
use crate::progress::Progress;
use finescale_training::{Event, SpectrumMetrics, ValidationMetrics};

/// Tells a person how a training goes.
pub(super) struct Display<'a> {
    context: &'a Context,
    progress: Option<Progress>,
    batch_size: usize,
    /// Seconds of all updates so far, without what lies between them.
    update_seconds: f64,
    updates: u64,
    /// None before the first update.
    last_loss: Option<f64>,
    validation_loss: Option<f64>,
    spectrum_error: Option<f64>,
}

impl<'a> Display<'a> {
    pub(super) fn new(context: &'a Context, batch_size: usize) -> Self {
        Self {
            context,
            progress: None,
            batch_size,
            update_seconds: 0.0,
            updates: 0,
            last_loss: None,
            validation_loss: None,
            spectrum_error: None,
        }
    }

    pub(super) fn show(&mut self, event: &Event) {
        if let Event::Started { step, steps, parameters } = event {
            let progress = self.context.progress("train", "updates", *steps, *step);
            progress.note(&format!("{parameters} parameters, {steps} updates, {step} of them done"));
            self.progress = Some(progress);
        }
        self.remember(event);
        let remark = self.remark();
        let last_loss = self.last_loss;
        let Some(progress) = &mut self.progress else { return };
        progress.remark(remark);
        match event {
            Event::Step(metrics) => progress.set(metrics.step),
            Event::Validation(metrics) => progress.note(&validation_line(metrics, last_loss)),
            Event::Spectrum(metrics) => progress.note(&spectrum_line(metrics)),
            _ => {}
        }
    }

    /// The last word.
    pub(super) fn finish(self) {
        if let Some(progress) = self.progress {
            progress.finish();
        }
    }

    fn remember(&mut self, event: &Event) {
        match event {
            Event::Step(metrics) => {
                self.last_loss = Some(metrics.loss);
                self.update_seconds += self.batch_size as f64 / metrics.samples_per_second;
                self.updates += 1;
            }
            Event::Validation(metrics) => self.validation_loss = Some(metrics.validation_loss),
            Event::Spectrum(metrics) => self.spectrum_error = Some(metrics.spectrum_error),
            _ => {}
        }
    }

    /// The latest numbers, for the line that tells updates and time left.
    fn remark(&self) -> String {
        let mut remarks = Vec::new();
        if let Some(loss) = self.last_loss {
            let samples = self.updates as f64 * self.batch_size as f64;
            remarks.push(format!("loss {loss:.4}, {:.2} samples/s", samples / self.update_seconds));
        }
        remarks.extend(self.validation_loss.map(|loss| format!("validation {loss:.4}")));
        remarks.extend(self.spectrum_error.map(|error| format!("P(k) off by {error:.3}")));
        remarks.join(", ")
    }
}

fn validation_line(metrics: &ValidationMetrics, last_loss: Option<f64>) -> String {
    let (step, loss) = (metrics.step, metrics.validation_loss);
    match last_loss {
        Some(last) => format!("update {step}: training loss {last:.4}, validation loss {loss:.5}"),
        None => format!("before update {}: validation loss {loss:.5}", step + 1),
    }
}

fn spectrum_line(metrics: &SpectrumMetrics) -> String {
    let ratios: Vec<String> = metrics.power_ratio.iter().map(|ratio| format!("{ratio:.2}")).collect();
    let k = |end: Option<&f64>| end.copied().unwrap_or_default();
    format!(
        "update {}: P(k) of a sample over the truth's {} from k = {:.2} to {:.2} h/Mpc, mean |ln| {:.3}",
        metrics.step,
        ratios.join(" "),
        k(metrics.k_h_mpc.first()),
        k(metrics.k_h_mpc.last()),
        metrics.spectrum_error
    )
}
