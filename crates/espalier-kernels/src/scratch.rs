//! Working memory of a task: one growing buffer per thread, so that the steady state allocates nothing.

use std::cell::RefCell;

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Hands `f` one zeroed slice per requested length. Calls do not nest.
pub(crate) fn with_scratch<const N: usize, R>(lengths: [usize; N], f: impl FnOnce([&mut [f32]; N]) -> R) -> R {
    SCRATCH.with_borrow_mut(|buffer| {
        buffer.clear();
        buffer.resize(lengths.iter().sum(), 0.0);
        let mut rest = buffer.as_mut_slice();
        f(lengths.map(|length| {
            let (slice, tail) = std::mem::take(&mut rest).split_at_mut(length);
            rest = tail;
            slice
        }))
    })
}
