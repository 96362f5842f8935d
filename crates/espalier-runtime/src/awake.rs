//! Keeps other threads of the pool ready while a short run needs them every few microseconds.
//!
//! A text goes through some thirty products, one after the other, each shared out among the
//! threads. In the pauses between them, a thread of the pool would fall asleep, and waking it takes
//! longer than a product does.

use rayon::Yield;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Threads that work on one text at most: its products are too small for more.
const THREADS: usize = 4;

thread_local! {
    /// Whether this thread does a short run, or stays awake for one.
    static ENGAGED: Cell<bool> = const { Cell::new(false) };
}

/// Does `work` on a thread of the pool while others stay awake.
pub(crate) fn awake<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| {
        let done = Arc::new(AtomicBool::new(false));
        // Neither waited for nor, once `done` is set, held up: what a thread has begun meanwhile is
        // not this run's matter.
        for _ in 1..rayon::current_num_threads().min(THREADS) {
            let done = done.clone();
            rayon::spawn(move || stay_awake(&done));
        }
        let _done = SetOnDrop(&done);
        let _engaged = Engaged::new();
        work()
    })
}

/// Takes work as it comes until `done`.
///
/// A thread that is engaged already has no time: if it took the run's own place in line, it would
/// wait for itself.
fn stay_awake(done: &AtomicBool) {
    if ENGAGED.get() {
        return;
    }
    let _engaged = Engaged::new();
    while !done.load(Ordering::Acquire) {
        if rayon::yield_now() != Some(Yield::Executed) {
            std::hint::spin_loop();
        }
    }
}

/// Marks this thread as engaged as long as it lives.
struct Engaged {
    before: bool,
}

impl Engaged {
    fn new() -> Self {
        Self { before: ENGAGED.replace(true) }
    }
}

impl Drop for Engaged {
    fn drop(&mut self) {
        ENGAGED.set(self.before);
    }
}

/// Also when the work panics.
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
    fn runs_of_many_threads_and_within_each_other_come_to_their_end() {
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for _ in 0..50 {
                            let sums = pool.install(|| awake(|| sum() + awake(sum)));
                            assert_eq!(sums, 2 * 499_500);
                        }
                    });
                }
            });
        }
    }

    #[test]
    fn a_panic_passes_and_leaves_nobody_engaged() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        for _ in 0..10 {
            let work = || pool.install(|| awake(|| -> u64 { panic!("of the test") }));
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            assert!(panicked.is_err());
            // A thread may be asked while it is about to see that the run is over, but not for
            // ever.
            while pool.broadcast(|_| ENGAGED.get()).contains(&true) {
                std::thread::yield_now();
            }
            assert_eq!(pool.install(|| awake(sum)), 499_500);
        }
    }
}
