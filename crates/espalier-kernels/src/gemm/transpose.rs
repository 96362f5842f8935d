//! The transposition of a 4 x 4 square in registers, by the vector instructions that every processor of a kind has.

/// Side of a square.
pub(super) const SQUARE: usize = 4;

/// The transpose: what was row r, column q comes back in row q, column r.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn transpose(rows: [&[f32; SQUARE]; SQUARE]) -> [[f32; SQUARE]; SQUARE] {
    use std::arch::x86_64::*;
    // SAFETY: SSE is part of x86-64; each row is 4 floats, as is each of the results, for which all bits are valid.
    unsafe {
        let [mut a, mut b, mut c, mut d] = rows.map(|row| _mm_loadu_ps(row.as_ptr()));
        _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
        std::mem::transmute([a, b, c, d])
    }
}

/// The transpose: what was row r, column q comes back in row q, column r.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) fn transpose(rows: [&[f32; SQUARE]; SQUARE]) -> [[f32; SQUARE]; SQUARE] {
    std::array::from_fn(|q| rows.map(|row| row[q]))
}
