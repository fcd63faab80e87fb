//! Progress with rate and time left: a bar on a terminal, a plain line now and then elsewhere.

use crate::stop::Stop;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(15);
/// Work that is done sooner needs no line.
const SOON: Duration = Duration::from_secs(2);

/// Progress of one piece of work.
pub(crate) struct Progress {
    label: String,
    unit: &'static str,
    total: u64,
    remark: String,
    first: u64,
    done: u64,
    started: Instant,
    last_set: Instant,
    last_line: Instant,
    display: Display,
    stop: Arc<Stop>,
}

enum Display {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Progress {
    pub(crate) fn new(
        label: &str,
        unit: &'static str,
        total: u64,
        done: u64,
        quiet: bool,
        stop: Arc<Stop>,
    ) -> Self {
        let display = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Display::Nothing,
            (false, true) => Display::Bar(bar(label, unit, total, done)),
            (false, false) => Display::Lines,
        };
        let now = Instant::now();
        stop.begins();
        let label = label.to_owned();
        Self {
            label,
            unit,
            total,
            remark: String::new(),
            first: done,
            done,
            started: now,
            last_set: now,
            last_line: now,
            display,
            stop,
        }
    }

    /// So much is done in all.
    pub(crate) fn set(&mut self, done: u64) {
        self.done = done;
        self.stop.took(self.last_set.elapsed());
        self.last_set = Instant::now();
        self.stop.begins();
        match &self.display {
            Display::Bar(bar) => bar.set_position(done),
            Display::Lines if self.last_line.elapsed() >= PLAIN_EVERY => self.line(),
            Display::Lines | Display::Nothing => {}
        }
    }

    /// So much more is done.
    pub(crate) fn add(&mut self, more: u64) {
        self.set(self.done + more);
    }

    /// A remark beside the numbers, such as a loss.
    pub(crate) fn remark(&mut self, text: String) {
        if let Display::Bar(bar) = &self.display {
            bar.set_message(text.clone());
        }
        self.remark = text;
    }

    /// A line that stays.
    pub(crate) fn note(&self, line: &str) {
        match &self.display {
            Display::Bar(bar) => bar.println(line),
            Display::Lines => to_stderr(line),
            Display::Nothing => {}
        }
    }

    /// The last word, where there is one to say.
    pub(crate) fn finish(mut self) {
        let has_news = self.has_news(self.started.elapsed());
        match &self.display {
            Display::Bar(bar) if has_news => bar.abandon(),
            Display::Bar(bar) => bar.finish_and_clear(),
            Display::Lines if has_news => self.line(),
            Display::Lines | Display::Nothing => {}
        }
    }

    /// Whether the last state is worth a line: it took a while to get there, or says more than that all is
    /// done.
    fn has_news(&self, elapsed: Duration) -> bool {
        elapsed >= SOON || !self.remark.is_empty()
    }

    fn line(&mut self) {
        self.last_line = Instant::now();
        let text = self.text(self.started.elapsed());
        let separator = if self.remark.is_empty() { "" } else { "; " };
        to_stderr(&format!("{text}{separator}{}", self.remark));
    }

    fn text(&self, elapsed: Duration) -> String {
        let Self { label, unit, total, .. } = self;
        let done = self.done;
        let fresh = done.saturating_sub(self.first) as f64;
        let rate = fresh / elapsed.as_secs_f64().max(1e-9);
        let start = format!("{label}: {done} of {total} {unit}");
        if done >= *total {
            format!("{start} in {}", duration(elapsed.as_secs_f64()))
        } else if fresh > 0.0 {
            let left = duration((total - done) as f64 / rate);
            format!("{start}, {}, {left} left", rate_text(rate, unit))
        } else {
            start
        }
    }
}

/// A rate below one per second is easier to grasp upside down.
fn rate_text(rate: f64, unit: &str) -> String {
    let one = unit.strip_suffix('s').unwrap_or(unit);
    if rate >= 1.0 { format!("{rate:.1} {unit}/s") } else { format!("{:.1} s per {one}", 1.0 / rate) }
}

/// Seconds as a person says them.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..120 => format!("{whole} s"),
        120..7200 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

fn bar(label: &str, unit: &str, total: u64, done: u64) -> ProgressBar {
    let template =
        format!("{{prefix}} {{wide_bar}} {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left {{msg}}");
    let style = ProgressStyle::with_template(&template).expect("a fixed template");
    let bar = ProgressBar::new(total).with_style(style).with_prefix(label.to_owned());
    bar.set_position(done);
    bar.reset_eta();
    bar
}

fn to_stderr(line: &str) {
    // Nowhere to tell that stderr is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_tell_rate_and_time_left() {
        let mut progress = Progress::new("upscale", "evaluations", 100, 20, true, Arc::default());
        progress.set(60);
        let text = progress.text(Duration::from_secs(80));
        assert_eq!(text, "upscale: 60 of 100 evaluations, 2.0 s per evaluation, 80 s left");
        progress.set(100);
        assert_eq!(progress.text(Duration::from_secs(200)), "upscale: 100 of 100 evaluations in 3 min 20 s");
    }

    #[test]
    fn what_is_done_soon_needs_no_line_unless_there_is_a_remark() {
        let mut progress = Progress::new("reading", "planes", 8, 0, true, Arc::default());
        let [soon, later] = [1, 3].map(Duration::from_secs);
        assert!(!progress.has_news(soon) && progress.has_news(later));
        progress.remark("loss 0.5".to_owned());
        assert!(progress.has_news(soon));
    }

    #[test]
    fn durations_read_well() {
        let texts = [(1.25, "1.2 s"), (70.0, "70 s"), (3725.0, "62 min 05 s"), (90_000.0, "25 h 00 min")];
        for (seconds, text) in texts {
            assert_eq!(duration(seconds), text);
        }
    }
}
