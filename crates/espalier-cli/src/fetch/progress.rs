//! How far a download is: a bar on a terminal, a plain line otherwise.

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// A bar for `total` bytes of `what`.
pub fn bar(what: &str, total: u64) -> ProgressBar {
    announce(&format!("{what} ({})", HumanBytes(total)));
    let style = ProgressStyle::with_template(
        "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    );
    // The template is a constant; should indicatif ever refuse it, its own default serves.
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style).with_message(what.to_string())
}

/// A sign of life for work of unknown length.
pub fn spinner(what: &str) -> ProgressBar {
    announce(what);
    let spinner = ProgressBar::new_spinner().with_message(what.to_string());
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

/// indicatif draws nothing where standard error is no terminal: say it once, in words.
fn announce(what: &str) {
    if !std::io::stderr().is_terminal() {
        note!("{what}");
    }
}
