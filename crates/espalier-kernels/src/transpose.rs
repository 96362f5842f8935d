//! Transposition of matrices of 32-bit numbers, a small square in registers at a time.

/// Rows and columns of a square.
pub(crate) const SQUARE: usize = 4;

/// Writes `rows` rows of `from` [rows, from_stride] as columns of `to` [.., to_stride]: `to[c][r] =
/// from[r][c]` for the first `columns` of each row.
///
/// # Panics
/// If a slice is too short.
pub(crate) fn transpose(
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
    assert!(
        from.len() >= (rows - 1) * from_stride + columns
            && to.len() >= (columns - 1) * to_stride + rows
    );
    let (square_rows, square_columns) = (rows / SQUARE * SQUARE, columns / SQUARE * SQUARE);
    for r in (0..square_rows).step_by(SQUARE) {
        for c in (0..square_columns).step_by(SQUARE) {
            // SAFETY: r + 4 <= rows and c + 4 <= columns, so that all four rows of the square and
            // all four of its transpose end within what was just asserted.
            unsafe {
                let square =
                    std::array::from_fn(|i| from.as_ptr().add((r + i) * from_stride + c).cast());
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
    rest(square_rows..rows, 0..square_columns);
    rest(0..rows, square_columns..columns);
}

/// Transposes a square in registers, by the vector instructions that every x86-64 processor has.
///
/// # Safety
/// All pointers are good for four numbers; none needs to be aligned.
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

/// Transposes a square.
///
/// # Safety
/// All pointers are good for four numbers; none needs to be aligned.
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
