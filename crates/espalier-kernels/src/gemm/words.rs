//! Rows of numbers as the 32-bit words that micro-kernels read: one f32, or two bf16 that are neighbours along the inner
//! dimension.

use crate::element::Element;
use crate::precision::Precision;
use crate::simd::simd;

/// Side of a square that [`transpose`] turns.
pub(super) const SQUARE: usize = 4;

/// The words of a row whose elements are neighbours along the inner dimension, `out` [row / group]; a last group that
/// is not full is filled up with zeros.
pub(super) fn words_along<T: Element>(precision: Precision, row: &[T], out: &mut [u32]) {
    match precision {
        Precision::F32 => singles(row, out),
        _ => pairs_along(row, out),
    }
}

/// The words of the rows of one group along the inner dimension, `out` [row]: one row for f32, two for bf16, of which
/// the second may be missing.
pub(super) fn words_across<T: Element>(precision: Precision, first: &[T], second: Option<&[T]>, out: &mut [u32]) {
    match (precision, second) {
        (Precision::F32, _) => singles(first, out),
        (_, Some(second)) => pairs_across(first, second, out),
        (_, None) => halves(first, out),
    }
}

/// Numbers as words without a copy, where each is one word already: f32 for products of f32.
pub(super) fn words_in_place<T: Element>(precision: Precision, numbers: &[T]) -> Option<&[u32]> {
    let same = precision == Precision::F32 && T::PRECISION == Precision::F32;
    // SAFETY: the only element type of this precision is f32, which is as large and as aligned as u32, and all bits are
    // valid for both.
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

/// Writes `rows` rows of `from` [rows, from_stride] as columns of `to` [.., to_stride]: `to[c][r] = from[r][c]` for the
/// first `columns` of each row.
///
/// # Panics
/// If a slice is too short.
pub(super) fn transpose(
    from: &[u32],
    from_stride: usize,
    (rows, columns): (usize, usize),
    to: &mut [u32],
    to_stride: usize,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(columns <= from_stride && rows <= to_stride);
    assert!(from.len() >= (rows - 1) * from_stride + columns && to.len() >= (columns - 1) * to_stride + rows);
    let (whole_rows, whole_columns) = (rows / SQUARE * SQUARE, columns / SQUARE * SQUARE);
    for r in (0..whole_rows).step_by(SQUARE) {
        for c in (0..whole_columns).step_by(SQUARE) {
            // SAFETY: r + 4 <= rows and c + 4 <= columns, so that all four rows of the square and all four of its
            // transpose end within what was just asserted.
            unsafe {
                let square = std::array::from_fn(|i| from.as_ptr().add((r + i) * from_stride + c).cast());
                let to = to.as_mut_ptr().add(c * to_stride + r);
                transpose_square(square, std::array::from_fn(|i| to.add(i * to_stride).cast()));
            }
        }
    }
    let mut rest = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
        for r in rows {
            for c in columns.clone() {
                to[c * to_stride + r] = from[r * from_stride + c];
            }
        }
    };
    rest(whole_rows..rows, 0..whole_columns);
    rest(0..rows, whole_columns..columns);
}

/// Turns a square in registers, by the vector instructions that every x86-64 processor has.
///
/// # Safety
/// All pointers are good for four words; none needs to be aligned.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn transpose_square(from: [*const [u32; SQUARE]; SQUARE], to: [*mut [u32; SQUARE]; SQUARE]) {
    use std::arch::x86_64::*;
    // SAFETY: SSE is part of x86-64; the pointers are good by the caller's promise.
    unsafe {
        let [mut a, mut b, mut c, mut d] = from.map(|row| _mm_loadu_ps(row.cast()));
        _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
        for (to, row) in to.into_iter().zip([a, b, c, d]) {
            _mm_storeu_ps(to.cast(), row);
        }
    }
}

/// Turns a square.
///
/// # Safety
/// All pointers are good for four words; none needs to be aligned.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
unsafe fn transpose_square(from: [*const [u32; SQUARE]; SQUARE], to: [*mut [u32; SQUARE]; SQUARE]) {
    // SAFETY: the pointers are good by the caller's promise.
    let rows = from.map(|row| unsafe { row.read_unaligned() });
    for (c, to) in to.into_iter().enumerate() {
        // SAFETY: as above.
        unsafe { to.write_unaligned(rows.map(|row| row[c])) };
    }
}
