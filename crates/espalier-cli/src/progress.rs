//! Progress on standard error: bars on a terminal, plain lines elsewhere.

use espalier_encoder::text::escape_control;
use espalier_hub::Event;
use indicatif::{HumanBytes, ProgressBar, ProgressState, ProgressStyle};
use std::cell::RefCell;
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Time between plain lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Progress of work that has steps: a bar with rate and time left, or a plain line now and then.
pub struct Progress {
    title: String,
    bar: Option<ProgressBar>,
    /// The steps that were done before.
    first: usize,
    start: Instant,
    last_line: Instant,
}

impl Progress {
    /// Starts a bar, if standard error is a terminal.
    pub fn new(title: &str, steps: usize) -> Self {
        let title = escape_control(title).into_owned();
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{prefix:32} {bar:24} {pos}/{len} {rate} {eta} left  {msg}",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
                // An error here cannot be reported anywhere.
                let _ = write!(out, "{:.1}/s", state.per_sec());
            });
            ProgressBar::new(steps as u64).with_style(style).with_prefix(title.clone())
        });
        let now = Instant::now();
        Self { title, bar, first: 0, start: now, last_line: now }
    }

    /// Starts after `step` instead of at the beginning.
    pub fn start_at(&mut self, step: usize) {
        (self.first, self.start) = (step, Instant::now());
        if let Some(bar) = self.bar.take() {
            self.bar = Some(bar.with_position(step as u64));
        }
        self.bar.iter().for_each(ProgressBar::reset_eta);
    }

    /// Prints a message above the bar.
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

    /// Removes the bar and prints a line with the time taken.
    pub fn finish(self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        note!("{}: {message} ({:.1} s)", self.title, self.start.elapsed().as_secs_f64());
    }
}

/// Shows the events of a download: a bar for known sizes, otherwise a spinner. Without a terminal,
/// one line says what is downloaded.
pub fn download_bar() -> impl Fn(Event) {
    // The bar disappears when it is dropped, after an error too.
    let shown: RefCell<Option<ProgressBar>> = RefCell::default();
    move |event| match event {
        Event::Started { what, bytes } => {
            if !std::io::stderr().is_terminal() {
                match bytes {
                    Some(bytes) => note!("{what} ({})", HumanBytes(bytes)),
                    None => note!("{what}"),
                }
            }
            shown
                .replace(Some(bytes.map_or_else(spinner, byte_bar).with_message(what.to_string())));
        }
        Event::Received { bytes } => shown.borrow().iter().for_each(|bar| bar.set_position(bytes)),
        Event::Finished => shown.take().iter().for_each(ProgressBar::finish_and_clear),
        _ => {}
    }
}

fn byte_bar(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style)
}

fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}
