//! Disjoint column blocks of one matrix, written by different tasks.

use std::marker::PhantomData;

/// A mutable matrix [T, stride] that tasks share, each writing rows and columns of its own.
pub(super) struct Blocks<'a> {
    data: *mut f32,
    length: usize,
    stride: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: access goes through `row`, whose callers promise that no two tasks touch the same elements.
unsafe impl Sync for Blocks<'_> {}

impl<'a> Blocks<'a> {
    pub(super) fn new(data: &'a mut [f32], stride: usize) -> Self {
        Self { data: data.as_mut_ptr(), length: data.len(), stride, borrow: PhantomData }
    }

    /// Columns `column..column + width` of `row`.
    ///
    /// # Safety
    /// No other slice over the same elements may be alive.
    #[expect(clippy::mut_from_ref, reason = "disjointness is the caller's promise, see Safety")]
    #[inline(always)]
    pub(super) unsafe fn row(&self, row: usize, column: usize, width: usize) -> &mut [f32] {
        let start = row * self.stride + column;
        assert!(column + width <= self.stride && start + width <= self.length, "attention: block out of bounds");
        // SAFETY: in bounds by the assertion; unaliased by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), width) }
    }
}
