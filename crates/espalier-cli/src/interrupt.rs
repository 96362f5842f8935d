//! Ctrl-C and other signals: the first one asks the run to stop, the second ends the program.

#[cfg(target_os = "linux")]
use signal_hook::consts::SIGHUP;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit status of an interrupted run: 128 plus the number of the interrupt signal, as in shells.
pub const STATUS: u8 = 130;

/// Whether a signal asked the run to stop.
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Handles interrupt (Ctrl-C), termination and hangup signals: the first one sets a flag, any
    /// later one ends the program at once.
    pub fn on_signals() -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in signals() {
            // The order matters: the shutdown must see the flag before this signal sets it.
            register_conditional_shutdown(signal, STATUS.into(), Arc::clone(&stop))?;
            register(signal, Arc::clone(&stop))?;
        }
        Ok(Self(stop))
    }

    /// Whether a signal has arrived.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The handled signals.
#[cfg(target_os = "linux")]
fn signals() -> Vec<i32> {
    // If hangups are ignored from the start, as under nohup, they stay ignored.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let hangup = (ignores(&status, SIGHUP) == Some(false)).then_some(SIGHUP);
    [SIGINT, SIGTERM].into_iter().chain(hangup).collect()
}

/// The handled signals. On these systems we cannot tell whether hangups are ignored, so that they
/// are not handled.
#[cfg(not(target_os = "linux"))]
fn signals() -> Vec<i32> {
    vec![SIGINT, SIGTERM]
}

/// Whether a process with this `/proc/PID/status` ignores a signal, if the status tells.
#[cfg(target_os = "linux")]
fn ignores(status: &str, signal: i32) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some(mask >> (signal - 1) & 1 == 1)
}

/// A run was interrupted and can be resumed.
#[derive(Debug)]
pub struct Interrupted {
    /// The command that resumes it.
    pub resume: String,
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "interrupted; resume with: {}", self.resume)
    }
}

impl std::error::Error for Interrupted {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let status = "Name:\tespalier\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert_eq!(
            [SIGHUP, SIGINT, 13].map(|signal| ignores(status, signal)),
            [true, false, true].map(Some)
        );
        assert_eq!(ignores("", SIGHUP), None);
    }
}
