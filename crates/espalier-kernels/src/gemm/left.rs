//! The left operand A [m, k]: rows of lanes.

use super::kernels::MicroKernel;
use super::lanes::{lanes_across, lanes_along, lanes_in_place};
use super::matrix::Matrix;
use crate::buffers::with_u32;
use crate::dtype::{Element, Precision};
use crate::parallel::for_each_chunk;
use crate::transpose::transpose;
use std::marker::PhantomData;

/// Lanes in a page of memory.
const PAGE: usize = 1024;
/// Rows that a task converts.
const ROWS: usize = 16;
/// Rows of a transposed operand that a task writes, and lanes of each that it transposes at a time:
/// both sides are read and written by whole cache lines, and not in more pages at a time than the
/// processor keeps addresses of (TLB entries).
const STRIP: usize = 64;
const BLOCK: usize = 64;

/// A as rows of lanes, `stride` bytes apart.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub data: *const u8,
    pub stride: usize,
    pub rows: usize,
    borrow: PhantomData<&'a [u32]>,
}

// SAFETY: a `Left` is a shared borrow of plain numbers.
unsafe impl Sync for Left<'_> {}

impl<'a> Left<'a> {
    /// Rows of `steps` lanes each.
    pub fn of_lanes(lanes: &'a [u32], rows: usize, steps: usize) -> Self {
        assert!(lanes.len() >= rows * steps);
        Self { data: lanes.as_ptr().cast(), stride: steps * 4, rows, borrow: PhantomData }
    }

    /// The matrix as it lies in memory, if a kernel can read it there.
    fn in_place<T: Element>(
        a: Matrix<'a, T>,
        precision: Precision,
        code: &MicroKernel,
    ) -> Option<Self> {
        let unpadded = a.cols().is_multiple_of(precision.group() * code.depth);
        let fits = a.is_row_major() && T::PRECISION == precision && unpadded && a.rows() > 0;
        fits.then(|| Self {
            data: a.from(0, 0).as_ptr().cast(),
            stride: a.row_stride() * size_of::<T>(),
            rows: a.rows(),
            borrow: PhantomData,
        })
    }
}

/// Calls `f` with the rows of `a` in the lanes of `precision`: in place where that is possible,
/// else converted.
pub(super) fn with_left<T: Element, R>(
    precision: Precision,
    code: &MicroKernel,
    a: Matrix<T>,
    f: impl FnOnce(Left) -> R,
) -> R {
    if let Some(left) = Left::in_place(a, precision, code) {
        return f(left);
    }
    let steps = a.cols().div_ceil(precision.group()).next_multiple_of(code.depth);
    // Rows a multiple of a page apart would compete for the same few places of the first-level
    // cache.
    let stride = if steps.is_multiple_of(PAGE) { steps + PAGE / 64 } else { steps };
    with_u32(a.rows() * stride, |lanes| {
        match a.is_row_major() {
            true => convert_rows(precision, a, stride, lanes),
            false => transpose_columns(precision, a, stride, lanes),
        }
        f(Left::of_lanes(lanes, a.rows(), stride))
    })
}

/// Converts an A whose rows are contiguous.
fn convert_rows<T: Element>(precision: Precision, a: Matrix<T>, steps: usize, lanes: &mut [u32]) {
    let used = a.cols().div_ceil(precision.group());
    for_each_chunk(lanes, ROWS * steps, &|block, lanes| {
        for (i, lanes) in lanes.chunks_exact_mut(steps).enumerate() {
            let (lanes, padding) = lanes.split_at_mut(used);
            lanes_along(precision, &a.from(block * ROWS + i, 0)[..a.cols()], lanes);
            padding.fill(0);
        }
    });
}

/// Converts an A whose columns are contiguous: groups of columns become lanes, and blocks of these
/// are transposed.
fn transpose_columns<T: Element>(
    precision: Precision,
    a: Matrix<T>,
    steps: usize,
    lanes: &mut [u32],
) {
    let (group, k, columns) = (precision.group(), a.cols(), a.t());
    for_each_chunk(lanes, STRIP * steps, &|strip, out| {
        let rows = out.len() / steps;
        if let Some(lanes) = lanes_in_place(precision, columns.from(0, strip * STRIP)) {
            return transpose_lanes(lanes, columns.row_stride(), (k, rows), out, steps);
        }
        let column = |p: usize| &columns.from(p, strip * STRIP)[..rows];
        let mut block = [0; BLOCK * STRIP];
        for step in (0..steps).step_by(BLOCK) {
            let count = BLOCK.min(steps - step);
            for (i, lanes) in block.chunks_exact_mut(STRIP).enumerate().take(count) {
                let p = (step + i) * group;
                let second = (group > 1 && p + 1 < k).then(|| column(p + 1));
                match p < k {
                    true => lanes_across(precision, column(p), second, &mut lanes[..rows]),
                    false => lanes.fill(0),
                }
            }
            transpose(&block, STRIP, (count, rows), &mut out[step..], steps);
        }
    });
}

/// Transposes `count` columns that are lanes already, a cache line of each row of `out` at a time.
fn transpose_lanes(
    lanes: &[u32],
    stride: usize,
    (count, rows): (usize, usize),
    out: &mut [u32],
    steps: usize,
) {
    for step in (0..count).step_by(BLOCK) {
        let block = (BLOCK.min(count - step), rows);
        transpose(&lanes[step * stride..], stride, block, &mut out[step..], steps);
    }
    if count < steps {
        out.chunks_exact_mut(steps).for_each(|row| row[count..].fill(0));
    }
}
