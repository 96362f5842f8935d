//! Keeps threads of the pool awake during a short run, which needs them every few microseconds.
//!
//! A text goes through some thirty matrix products, one after the other, and the threads share the
//! work of each. Between two products a thread of the pool would go to sleep, and waking it up
//! takes longer than a product.

use rayon::Yield;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Threads for one run at most: the products of a short text are too small for more.
const THREADS: usize = 4;

thread_local! {
    /// Whether this thread does a short run, or spins for one.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Does `work` on a thread of the pool while others spin.
pub(crate) fn with_spinning_threads<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| {
        let done = Arc::new(AtomicBool::new(false));
        // Spawned outside of the scope, so that the run does not wait for them: they may have begun
        // other work.
        for _ in 1..rayon::current_num_threads().min(THREADS) {
            let done = done.clone();
            rayon::spawn(move || spin(&done));
        }
        let _done = SetOnDrop(&done);
        let _busy = Busy::new();
        work()
    })
}

/// Does any work of the pool until `done`.
///
/// Not on a thread that is busy already: if it did this while it waits for its own run, it would
/// wait for itself.
fn spin(done: &AtomicBool) {
    if BUSY.get() {
        return;
    }
    let _busy = Busy::new();
    while !done.load(Ordering::Acquire) {
        if rayon::yield_now() != Some(Yield::Executed) {
            std::hint::spin_loop();
        }
    }
}

/// Marks this thread as busy until it is dropped.
struct Busy {
    before: bool,
}

impl Busy {
    fn new() -> Self {
        Self { before: BUSY.replace(true) }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.set(self.before);
    }
}

/// Sets the flag when it is dropped, also by a panic.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    fn sum() -> u64 {
        (0..1000u32).into_par_iter().with_max_len(1).map(u64::from).sum()
    }

    #[test]
    fn concurrent_and_nested_runs_finish() {
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for _ in 0..50 {
                            let sums = pool.install(|| {
                                with_spinning_threads(|| sum() + with_spinning_threads(sum))
                            });
                            assert_eq!(sums, 2 * 499_500);
                        }
                    });
                }
            });
        }
    }

    #[test]
    fn a_panic_is_passed_on_and_leaves_no_thread_busy() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        for _ in 0..10 {
            let work =
                || pool.install(|| with_spinning_threads(|| -> u64 { panic!("of the test") }));
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            assert!(panicked.is_err());
            // A thread needs a moment to see that the run is over.
            while pool.broadcast(|_| BUSY.get()).contains(&true) {
                std::thread::yield_now();
            }
            assert_eq!(pool.install(|| with_spinning_threads(sum)), 499_500);
        }
    }
}
