//! Whether the threads of the pool are there.
//!
//! fork() copies one thread, the one that calls it. In the child, rayon still takes the others for
//! running, and whoever hands them work waits for ever.

use std::sync::atomic::{AtomicU32, Ordering};

/// The process in which the pool's threads were last known to be; 0 before that.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Whether the pool does what it is given: not in a process that was forked from one in which it
/// was running.
///
/// Where the global pool has not started yet, this starts it.
pub fn pool_is_alive() -> bool {
    // A thread of a pool does itself what no other takes. Elsewhere than on Unix there is no fork.
    if !cfg!(unix) || rayon::current_thread_index().is_some() {
        return true;
    }
    let (process, known) = (std::process::id(), PROCESS.load(Ordering::Relaxed));
    if known == 0 && starts_or_runs() {
        PROCESS.store(process, Ordering::Relaxed);
        return true;
    }
    known == process
}

/// Starts the global pool, or, where somebody else in this process or before a fork has started it,
/// counts.
fn starts_or_runs() -> bool {
    rayon::ThreadPoolBuilder::new().build_global().is_ok()
        || threads().is_none_or(|threads| threads > rayon::current_num_threads())
}

/// Threads of this process, where the system lists them: with a pool there are its own and the one
/// that asks.
fn threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}
