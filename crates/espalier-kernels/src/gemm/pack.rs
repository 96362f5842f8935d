//! Packing: copies a block of an operand into the order in which a micro-kernel reads it.
//!
//! A panel holds some rows of A (or columns of B) interleaved: for each step along k, one value of each, side by side. Both
//! operands go through here; B comes transposed, so that the "lanes" of a panel are rows of the source in both cases.

use super::matrix::Matrix;
use super::transpose::{SQUARE, transpose};
use std::ops::Range;

/// Steps along k that all panels advance together where a step's lanes are contiguous.
const COPY_STEPS: usize = 16;
/// Steps along k that all lanes of a panel advance together where they have to be transposed: long enough pieces of the
/// source's rows for the processor to fetch ahead, short enough for the piece of the panel to stay in the first-level cache.
const TRANSPOSE_STEPS: usize = 64;

/// Packs `source` [lanes, depth] into panels [depth, width], one behind the other.
///
/// The last panel is as wide as the rest of `panels` is long; lanes beyond those of the source become zero.
pub(super) fn pack(source: Matrix, width: usize, panels: &mut [f32]) {
    let (lanes, depth) = (source.rows(), source.cols());
    debug_assert!(panels.len() >= lanes * depth && panels.len() < (lanes + width) * depth);
    if source.row_stride() == 1 {
        copy_steps(source, width, panels);
    } else {
        interleave_rows(source, width, panels);
    }
}

/// The lanes of a step are contiguous: copies. All panels advance together, to use up a source row while it is at hand.
fn copy_steps(source: Matrix, width: usize, panels: &mut [f32]) {
    let (lanes, depth) = (source.rows(), source.cols());
    for steps in (0..depth).step_by(COPY_STEPS) {
        for (first, panel) in (0..lanes).step_by(width).zip(panels.chunks_mut(depth * width)) {
            let width = panel.len() / depth;
            let lanes = width.min(lanes - first);
            for (p, step) in panel.chunks_exact_mut(width).enumerate().skip(steps).take(COPY_STEPS) {
                copy(&source.from(first, p)[..lanes], &mut step[..lanes]);
                step[lanes..].fill(0.0);
            }
        }
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
fn interleave_rows(source: Matrix, width: usize, panels: &mut [f32]) {
    let (lanes, depth) = (source.rows(), source.cols());
    let whole_depth = depth / SQUARE * SQUARE;
    for (first, panel) in (0..lanes).step_by(width).zip(panels.chunks_mut(depth * width)) {
        let width = panel.len() / depth;
        let lanes = width.min(lanes - first);
        let whole_lanes = lanes / SQUARE * SQUARE;
        let source = source.block(first, 0, lanes, depth);
        if lanes < width {
            panel.fill(0.0);
        }
        for start in (0..whole_depth).step_by(TRANSPOSE_STEPS) {
            let steps = start..whole_depth.min(start + TRANSPOSE_STEPS);
            let piece = &mut panel[start * width..steps.end * width];
            for lane in (0..whole_lanes).step_by(SQUARE) {
                let rows = std::array::from_fn(|r| &source.from(lane + r, start)[..steps.len()]);
                interleave_squares(rows, lane, width, piece);
            }
        }
        interleave(source, whole_lanes..lanes, 0..whole_depth, width, panel);
        interleave(source, 0..lanes, whole_depth..depth, width, panel);
    }
}

/// Writes four rows, whose length is a multiple of four, into the lanes from `lane` on.
fn interleave_squares(rows: [&[f32]; SQUARE], lane: usize, width: usize, steps: &mut [f32]) {
    let squares = rows.map(|row| row.as_chunks::<SQUARE>().0);
    let count = squares[0].len();
    assert!(squares.iter().all(|row| row.len() == count));
    assert!(steps.len() >= count * SQUARE * width && lane + SQUARE <= width);
    for p in 0..count {
        for (q, values) in transpose(squares.map(|row| &row[p])).into_iter().enumerate() {
            let at = (p * SQUARE + q) * width + lane;
            // SAFETY: this is step p * SQUARE + q < count * SQUARE, and lane + SQUARE <= width, so that the four values
            // end inside `steps`, whose length was checked once for all of them.
            unsafe { steps.as_mut_ptr().add(at).cast::<[f32; SQUARE]>().write_unaligned(values) };
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
