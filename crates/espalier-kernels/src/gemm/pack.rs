//! Packing: copies a strip of an operand into the order in which a micro-kernel reads it.
//!
//! A panel holds some rows of A (or columns of B) interleaved: for each step along k, one value of each, side by
//! side. Both operands go through here; B comes transposed, so that the "lanes" of a panel are rows of the source in
//! both cases.

use super::matrix::Matrix;
use super::transpose::{SQUARE, transpose};
use std::ops::Range;

/// Packs `source` [lanes, depth], neither zero, into a panel [depth, width]; lanes that the source lacks become zero.
pub(super) fn pack(source: Matrix, panel: &mut [f32]) {
    let (lanes, depth) = (source.rows(), source.cols());
    let width = panel.len() / depth;
    debug_assert!(lanes <= width && panel.len() == depth * width);
    if lanes < width {
        panel.fill(0.0);
    }
    if source.row_stride() == 1 {
        for (p, step) in panel.chunks_exact_mut(width).enumerate() {
            copy(&source.from(0, p)[..lanes], &mut step[..lanes]);
        }
    } else {
        interleave_rows(source, width, panel);
    }
}

/// A short copy: by squares' sides rather than by a call of the C library for each step.
#[inline(always)]
fn copy(from: &[f32], to: &mut [f32]) {
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks::<SQUARE>(), to.as_chunks_mut::<SQUARE>());
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    to_rest.iter_mut().zip(from_rest).for_each(|(to, from)| *to = *from);
}

/// The rows of the source are contiguous: a transposition, by squares as long as whole ones are left.
fn interleave_rows(source: Matrix, width: usize, panel: &mut [f32]) {
    let (lanes, depth) = (source.rows(), source.cols());
    let (whole_lanes, whole_depth) = (lanes / SQUARE * SQUARE, depth / SQUARE * SQUARE);
    for lane in (0..whole_lanes).step_by(SQUARE) {
        let rows = std::array::from_fn(|r| &source.from(lane + r, 0)[..whole_depth]);
        interleave_squares(rows, lane, width, panel);
    }
    interleave(source, whole_lanes..lanes, 0..whole_depth, width, panel);
    interleave(source, 0..lanes, whole_depth..depth, width, panel);
}

/// Writes four rows, whose length is a multiple of four, into the lanes from `lane` on.
fn interleave_squares(rows: [&[f32]; SQUARE], lane: usize, width: usize, panel: &mut [f32]) {
    let squares = rows.map(|row| row.as_chunks::<SQUARE>().0);
    let count = squares[0].len();
    assert!(squares.iter().all(|row| row.len() == count));
    assert!(panel.len() >= count * SQUARE * width && lane + SQUARE <= width);
    for p in 0..count {
        for (q, values) in transpose(squares.map(|row| &row[p])).into_iter().enumerate() {
            let at = (p * SQUARE + q) * width + lane;
            // SAFETY: this is step p * SQUARE + q < count * SQUARE, and lane + SQUARE <= width, so that the four
            // values end inside `panel`, whose length was checked once for all of them.
            unsafe { panel.as_mut_ptr().add(at).cast::<[f32; SQUARE]>().write_unaligned(values) };
        }
    }
}

/// One element at a time, for what squares leave over.
fn interleave(source: Matrix, lanes: Range<usize>, steps: Range<usize>, width: usize, panel: &mut [f32]) {
    if steps.is_empty() {
        return;
    }
    for lane in lanes {
        let row = &source.from(lane, steps.start)[..steps.len()];
        for (step, value) in panel[steps.start * width..].chunks_exact_mut(width).zip(row) {
            step[lane] = *value;
        }
    }
}
