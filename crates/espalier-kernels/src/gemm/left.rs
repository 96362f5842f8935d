//! The left operand: rows of words.

use super::kernel::MicroKernel;
use super::matrix::Matrix;
use super::words::{words_across, words_along, words_in_place};
use crate::buffers::with_words;
use crate::element::Element;
use crate::precision::Precision;
use crate::tasks;
use crate::transpose::transpose;
use std::marker::PhantomData;

/// Words of a page of memory.
const PAGE: usize = 1024;
/// Rows that a task converts at a time.
const ROWS: usize = 16;
/// Rows of a transposed operand that a task makes at a time, and words of each that it turns at a
/// time: both sides are read and written by whole cache lines, and not by more pages at a time than
/// the processor keeps addresses of.
const STRIP: usize = 64;
const BLOCK: usize = 64;

/// A [m, k] as rows of words, `stride` bytes apart.
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
    /// Rows of `steps` words each.
    pub fn of_words(words: &'a [u32], rows: usize, steps: usize) -> Self {
        assert!(words.len() >= rows * steps);
        Self { data: words.as_ptr().cast(), stride: steps * 4, rows, borrow: PhantomData }
    }

    /// The matrix as it lies in memory, if a kernel can read it there.
    fn in_place<T: Element>(
        a: Matrix<'a, T>,
        precision: Precision,
        code: &MicroKernel,
    ) -> Option<Self> {
        let whole = a.cols().is_multiple_of(precision.group() * code.depth);
        let fits = a.is_row_major() && T::PRECISION == precision && whole && a.rows() > 0;
        fits.then(|| Self {
            data: a.from(0, 0).as_ptr().cast(),
            stride: a.row_stride() * size_of::<T>(),
            rows: a.rows(),
            borrow: PhantomData,
        })
    }
}

/// Hands `f` the rows of `a` in the words of `precision`: as they lie in memory where that is
/// possible, else converted.
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
    with_words(a.rows() * stride, |words| {
        match a.is_row_major() {
            true => convert_rows(precision, a, stride, words),
            false => turn_columns(precision, a, stride, words),
        }
        f(Left::of_words(words, a.rows(), stride))
    })
}

/// The rows of A are contiguous.
fn convert_rows<T: Element>(precision: Precision, a: Matrix<T>, steps: usize, words: &mut [u32]) {
    let used = a.cols().div_ceil(precision.group());
    tasks::each_piece(words, ROWS * steps, &|block, words| {
        for (i, words) in words.chunks_exact_mut(steps).enumerate() {
            let (words, padding) = words.split_at_mut(used);
            words_along(precision, &a.from(block * ROWS + i, 0)[..a.cols()], words);
            padding.fill(0);
        }
    });
}

/// The columns of A are contiguous: groups of them are made words, and blocks of these are turned.
fn turn_columns<T: Element>(precision: Precision, a: Matrix<T>, steps: usize, words: &mut [u32]) {
    let (group, k, columns) = (precision.group(), a.cols(), a.t());
    tasks::each_piece(words, STRIP * steps, &|strip, out| {
        let rows = out.len() / steps;
        if let Some(words) = words_in_place(precision, columns.from(0, strip * STRIP)) {
            return turn_in_place(words, columns.row_stride(), (k, rows), out, steps);
        }
        let column = |p: usize| &columns.from(p, strip * STRIP)[..rows];
        let mut block = [0; BLOCK * STRIP];
        for step in (0..steps).step_by(BLOCK) {
            let count = BLOCK.min(steps - step);
            for (i, words) in block.chunks_exact_mut(STRIP).enumerate().take(count) {
                let p = (step + i) * group;
                let second = (group > 1 && p + 1 < k).then(|| column(p + 1));
                match p < k {
                    true => words_across(precision, column(p), second, &mut words[..rows]),
                    false => words.fill(0),
                }
            }
            transpose(&block, STRIP, (count, rows), &mut out[step..], steps);
        }
    });
}

/// Turns `count` columns that are words already, a cache line of each row of `out` at a time.
fn turn_in_place(
    words: &[u32],
    stride: usize,
    (count, rows): (usize, usize),
    out: &mut [u32],
    steps: usize,
) {
    for step in (0..count).step_by(BLOCK) {
        transpose(
            &words[step * stride..],
            stride,
            (BLOCK.min(count - step), rows),
            &mut out[step..],
            steps,
        );
    }
    if count < steps {
        out.chunks_exact_mut(steps).for_each(|row| row[count..].fill(0));
    }
}
