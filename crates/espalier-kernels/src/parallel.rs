//! Work shared among the threads of the current rayon pool.
//!
//! Tasks are called through a pointer (`&dyn Fn`), so that rayon's code is compiled once, not for
//! every caller and every number type: it would be a large part of the library for devices.

use rayon::prelude::*;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};

/// Runs `task` for each number below `count`. A thread takes at most `together` neighbouring
/// numbers at a time, and fewer where threads wait for work.
pub(crate) fn for_each(count: usize, together: usize, task: &(dyn Fn(usize) + Sync)) {
    match count {
        1 => task(0),
        _ => (0..count).into_par_iter().with_max_len(together).for_each(task),
    }
}

/// Runs `task` for each chunk of `size` elements, with the chunk's index. The last chunk may be
/// shorter.
pub(crate) fn for_each_chunk<T: Send>(
    data: &mut [T],
    size: usize,
    task: &(dyn Fn(usize, &mut [T]) + Sync),
) {
    data.par_chunks_mut(size.max(1)).enumerate().for_each(|(index, chunk)| task(index, chunk));
}

/// A mutable matrix [T, stride] that tasks share, each writing rows and columns of its own.
pub(crate) struct DisjointBlocks<'a, T> {
    data: *mut T,
    length: usize,
    stride: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: access goes through `row`, whose callers promise that no two tasks touch the same
// elements.
unsafe impl<T: Send> Sync for DisjointBlocks<'_, T> {}

impl<'a, T> DisjointBlocks<'a, T> {
    /// `data` as rows that start `stride` elements apart.
    pub(crate) fn new(data: &'a mut [T], stride: usize) -> Self {
        Self { data: data.as_mut_ptr(), length: data.len(), stride, borrow: PhantomData }
    }

    /// Columns `column..column + width` of `row`.
    ///
    /// # Safety
    /// No other slice over the same elements may be alive.
    #[expect(clippy::mut_from_ref, reason = "disjointness is the caller's promise, see Safety")]
    #[inline(always)]
    pub(crate) unsafe fn row(&self, row: usize, column: usize, width: usize) -> &mut [T] {
        let start = row * self.stride + column;
        assert!(
            column + width <= self.stride && start + width <= self.length,
            "block out of bounds"
        );
        // SAFETY: in bounds by the assertion; unaliased by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), width) }
    }
}

/// The process in which the pool's threads were last known to be running; 0 before that.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Whether the pool runs what it is given. It does not in a process that was forked from one in
/// which it was running: fork() copies only the thread that calls it, while rayon in the child
/// believes that the others still run, and whoever gives them work waits for ever.
///
/// Where the global pool has not started yet, this starts it.
///
/// ```
/// assert!(espalier_kernels::pool_is_alive());
/// ```
pub fn pool_is_alive() -> bool {
    // A thread of a pool does itself what no other thread takes. Only Unix has fork().
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

/// Starts the global pool. Where it was started before, in this process or before a fork, finds out
/// by counting whether its threads are running.
fn starts_or_runs() -> bool {
    rayon::ThreadPoolBuilder::new().build_global().is_ok()
        || threads().is_none_or(|threads| threads > rayon::current_num_threads())
}

/// Number of threads of this process, where the system lists them: those of the pool and at least
/// the one that asks.
fn threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}
