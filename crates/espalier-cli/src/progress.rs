//! Progress: a bar with rate and time left on a terminal, a plain line now and then elsewhere.

use espalier_encoder::text::escape_control;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Seconds between plain lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Progress of one piece of work, on standard error.
pub struct Progress {
    title: String,
    bar: Option<ProgressBar>,
    /// The steps that were done when the work began.
    first: usize,
    start: Instant,
    last_line: Instant,
}

impl Progress {
    /// Starts a bar, or nothing yet where there is no terminal.
    pub fn new(title: &str, steps: usize) -> Self {
        let title = escape_control(title).into_owned();
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{prefix:32} {bar:24} {pos}/{len} {rate} {eta} left  {msg}",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
                // Nobody is left to tell when a line of a progress bar cannot be formatted.
                let _ = write!(out, "{:.1}/s", state.per_sec());
            });
            ProgressBar::new(steps as u64).with_style(style).with_prefix(title.clone())
        });
        let now = Instant::now();
        Self { title, bar, first: 0, start: now, last_line: now }
    }

    /// Begins after `step` instead of at the beginning.
    pub fn start_at(&mut self, step: usize) {
        (self.first, self.start) = (step, Instant::now());
        if let Some(bar) = self.bar.take() {
            self.bar = Some(bar.with_position(step as u64));
        }
        self.bar.iter().for_each(ProgressBar::reset_eta);
    }

    /// Says something apart from the progress.
    pub fn note(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note!("{message}")),
            None => note!("{message}"),
        }
    }

    /// Reports that `step` of `steps` is done.
    pub fn step(&mut self, step: usize, steps: usize, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_position(step as u64);
            bar.set_message(escape_control(&message()).into_owned());
        } else if self.last_line.elapsed() >= INTERVAL {
            self.last_line = Instant::now();
            let seconds = self.start.elapsed().as_secs_f64();
            let rate = (step - self.first) as f64 / seconds;
            let left = (steps - step) as f64 / rate;
            note!("{}: {step}/{steps}, {rate:.1}/s, {left:.0} s left, {}", self.title, message());
        }
    }

    /// Ends the bar and leaves a line with the time taken.
    pub fn finish(self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        note!("{}: {message} ({:.1} s)", self.title, self.start.elapsed().as_secs_f64());
    }
}
