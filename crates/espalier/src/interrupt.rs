//! Ctrl-C: the first asks for a halt, the second ends the program.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit status of a run that was interrupted: 128 and the number of the interrupt signal, as shells have it.
pub const STATUS: u8 = 130;

/// Whether somebody asked for a halt.
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on the first interrupt (Ctrl-C) or termination signal sets a flag; any later one ends the program at once.
    pub fn on_signals() -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
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
