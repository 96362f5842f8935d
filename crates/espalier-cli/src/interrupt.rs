//! Ctrl-C and its like: the first asks for a halt, the second ends the program.

#[cfg(target_os = "linux")]
use signal_hook::consts::SIGHUP;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit status of a run that was interrupted: 128 and the number of the interrupt signal, as
/// shells have it.
pub const STATUS: u8 = 130;

/// Whether somebody asked for a halt.
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on the first interrupt (Ctrl-C), termination or hangup signal sets a flag; any
    /// later one ends the program at once.
    pub fn on_signals() -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in signals() {
            // In this order: the shutdown looks at the flag before this signal sets it.
            register_conditional_shutdown(signal, STATUS.into(), Arc::clone(&stop))?;
            register(signal, Arc::clone(&stop))?;
        }
        Ok(Self(stop))
    }

    /// Whether a signal came.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The signals that ask for a halt.
#[cfg(target_os = "linux")]
fn signals() -> Vec<i32> {
    // A hangup that was ignored from the start stays so: that is what nohup is for.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let hangup = (ignores(&status, SIGHUP) == Some(false)).then_some(SIGHUP);
    [SIGINT, SIGTERM].into_iter().chain(hangup).collect()
}

/// The signals that ask for a halt. Whether a hangup is ignored cannot be told here, so that it is
/// left as it is.
#[cfg(not(target_os = "linux"))]
fn signals() -> Vec<i32> {
    vec![SIGINT, SIGTERM]
}

/// Whether a process with this `/proc/PID/status` ignores a signal, if it says so.
#[cfg(target_os = "linux")]
fn ignores(status: &str, signal: i32) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some(mask >> (signal - 1) & 1 == 1)
}

/// A run was interrupted and can go on.
#[derive(Debug)]
pub struct Interrupted {
    /// The command that goes on with it.
    pub resume: String,
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "interrupted; go on with: {}", self.resume)
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
