//! Rows of numbers as the 32-bit lanes that micro-kernels read: one f32, or two bf16 that are
//! neighbours along the inner dimension.

use crate::dtype::{Element, Precision};
use crate::simd::simd;

/// The lanes of a row whose elements are neighbours along the inner dimension, `out` [row / group];
/// a last group that is not full is filled up with zeros.
pub(super) fn lanes_along<T: Element>(precision: Precision, row: &[T], out: &mut [u32]) {
    match precision {
        Precision::F32 => singles(row, out),
        _ => pairs_along(row, out),
    }
}

/// The lanes of the rows of one group along the inner dimension, `out` [row]: one row for f32, two
/// for bf16, of which the second may be missing.
pub(super) fn lanes_across<T: Element>(
    precision: Precision,
    first: &[T],
    second: Option<&[T]>,
    out: &mut [u32],
) {
    match (precision, second) {
        (Precision::F32, _) => singles(first, out),
        (_, Some(second)) => pairs_across(first, second, out),
        (_, None) => halves(first, out),
    }
}

/// Numbers as lanes without a copy, where each is one lane already: f32 for products of f32.
pub(super) fn lanes_in_place<T: Element>(precision: Precision, numbers: &[T]) -> Option<&[u32]> {
    let same = precision == Precision::F32 && T::PRECISION == Precision::F32;
    // SAFETY: the only element type of this precision is f32, which is as large and as aligned as
    // u32, and all bits are valid for both.
    same.then(|| unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), numbers.len()) })
}

simd! {
    fn singles<T: Element>(row: &[T], out: &mut [u32]) {
        for (out, x) in out.iter_mut().zip(row) {
            *out = x.to_f32().to_bits();
        }
    }
}

simd! {
    fn pairs_along<T: Element>(row: &[T], out: &mut [u32]) {
        let (pairs, rest) = row.as_chunks::<2>();
        for (out, [low, high]) in out.iter_mut().zip(pairs) {
            *out = pair(*low, *high);
        }
        if let ([last], Some(out)) = (rest, out.last_mut()) {
            *out = pair(*last, T::default());
        }
    }
}

simd! {
    fn pairs_across<T: Element>(first: &[T], second: &[T], out: &mut [u32]) {
        for ((out, &low), &high) in out.iter_mut().zip(first).zip(second) {
            *out = pair(low, high);
        }
    }
}

simd! {
    fn halves<T: Element>(row: &[T], out: &mut [u32]) {
        for (out, &low) in out.iter_mut().zip(row) {
            *out = pair(low, T::default());
        }
    }
}

#[inline(always)]
fn pair<T: Element>(low: T, high: T) -> u32 {
    let bits = |x: T| u32::from(x.to_bf16().to_bits());
    bits(low) | bits(high) << 16
}
