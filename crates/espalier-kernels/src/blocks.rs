//! Disjoint blocks of one matrix, written by different tasks.

use std::marker::PhantomData;

/// A mutable matrix [T, stride] that tasks share, each writing rows and columns of its own.
pub(crate) struct Blocks<'a, T> {
    data: *mut T,
    length: usize,
    stride: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: access goes through `row`, whose callers promise that no two tasks touch the same
// elements.
unsafe impl<T: Send> Sync for Blocks<'_, T> {}

impl<'a, T> Blocks<'a, T> {
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
