//! The epilogue of a plain product: C = start + alpha * sums.

use super::driver::{Epilogue, Place};
use super::matrix::MatrixMut;
use crate::simd::simd;
use std::marker::PhantomData;

/// What C holds before products are added.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// Nothing: what C held is overwritten.
    Zero,
    /// What it held.
    Accumulate,
    /// This vector, as long as a row, in each row.
    Bias(&'a [f32]),
}

impl Start<'_> {
    /// # Panics
    /// If a bias is not as long as a row of C.
    pub(super) fn check(&self, c: &MatrixMut) {
        if let Start::Bias(bias) = self {
            assert_eq!(bias.len(), c.cols(), "gemm: the bias is not as long as a row of C");
        }
    }
}

/// C, as a bare pointer because tasks on several threads write parts of it.
pub(super) struct Target<'a> {
    first: *mut f32,
    stride: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: what is behind `first` is only touched by `Update::tile`, and tiles share no element.
unsafe impl Sync for Target<'_> {}

impl<'a> Target<'a> {
    pub(super) fn new(c: MatrixMut<'a>) -> Self {
        let (first, stride) = c.into_raw();
        Self { first, stride, borrow: PhantomData }
    }
}

/// C = start + alpha * sums, for a C whose shape is that of the product.
pub(super) struct Update<'a> {
    pub alpha: f32,
    pub start: Start<'a>,
    pub c: &'a Target<'a>,
}

impl Epilogue for Update<'_> {
    fn tile(&self, at: Place, sums: &mut [f32]) {
        for (row, sums) in at.each_row(sums) {
            // SAFETY: the driver's tiles lie inside C, whose shape was checked against the
            // operands', and this is the only tile that has these columns of this row.
            let row = unsafe {
                let start = self.c.first.add(row * self.c.stride + at.column);
                std::slice::from_raw_parts_mut(start, at.columns)
            };
            match self.start {
                Start::Zero => set(self.alpha, sums, row),
                Start::Accumulate => add(self.alpha, sums, row),
                Start::Bias(bias) => {
                    row.copy_from_slice(&bias[at.column..][..at.columns]);
                    add(self.alpha, sums, row);
                }
            }
        }
    }
}

simd! {
    fn set(alpha: f32, sums: &[f32], row: &mut [f32]) {
        for (c, sum) in row.iter_mut().zip(sums) {
            *c = alpha * sum;
        }
    }
}

simd! {
    fn add(alpha: f32, sums: &[f32], row: &mut [f32]) {
        for (c, sum) in row.iter_mut().zip(sums) {
            *c += alpha * sum;
        }
    }
}
