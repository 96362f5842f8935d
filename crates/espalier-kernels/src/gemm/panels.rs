//! The right operand, packed into the order in which a micro-kernel reads it.
//!
//! B [k, n] becomes panels of as many columns as a tile has, [steps, width] words each: for each
//! word along the inner dimension one of every column, side by side. The last panel may be
//! narrower. Missing columns and steps are zeros.

use super::kernel::MicroKernel;
use super::matrix::Matrix;
use super::words::{words_across, words_along, words_in_place};
use crate::buffers::with_words;
use crate::element::Element;
use crate::precision::Precision;
use crate::tasks;
use crate::transpose::{SQUARE, transpose};
use std::ops::Range;

/// Steps of a panel that are written before the next panel's: panels lie whole pages apart, and
/// writing to many at once would have them compete for the same places of the first-level cache.
const STEPS: usize = 16;
/// Panels that a task packs at most.
const PANELS_PER_TASK: usize = 8;

/// How B is cut into panels.
#[derive(Clone, Copy)]
pub(super) struct PanelShape {
    /// n.
    pub columns: usize,
    /// Words along the inner dimension, filled up to the kernel's depth.
    pub steps: usize,
    /// Columns of a full panel.
    pub width: usize,
    lanes: usize,
}

impl PanelShape {
    pub fn new(code: &MicroKernel, precision: Precision, k: usize, n: usize) -> Self {
        let steps = k.div_ceil(precision.group()).next_multiple_of(code.depth);
        Self { columns: n, steps, width: code.columns, lanes: code.lanes }
    }

    /// Words of all panels.
    pub fn words(&self) -> usize {
        self.columns.next_multiple_of(self.lanes) * self.steps
    }

    /// Number of panels.
    pub fn count(&self) -> usize {
        self.columns.div_ceil(self.width)
    }

    /// First column of panel `index`, the columns of it that exist, and its width.
    pub fn place(&self, index: usize) -> (usize, usize, usize) {
        let first = index * self.width;
        let columns = self.width.min(self.columns - first);
        (first, columns, columns.next_multiple_of(self.lanes))
    }

    /// The words of panel `index`.
    pub fn panel<'w>(&self, words: &'w [u32], index: usize) -> &'w [u32] {
        let (first, _, width) = self.place(index);
        &words[first * self.steps..][..width * self.steps]
    }
}

/// Packs `b` [k, n] into `words`, panel by panel on the threads of the pool.
pub(super) fn pack<T: Element>(
    precision: Precision,
    b: Matrix<T>,
    shape: PanelShape,
    words: &mut [u32],
) {
    // A task takes neighbouring panels, so that it reads more than a few cache lines of each of B's
    // rows.
    let together =
        shape.count().div_ceil(2 * rayon::current_num_threads()).clamp(1, PANELS_PER_TASK);
    tasks::each_piece(words, together * shape.width * shape.steps, &|task, words| {
        let panels = task * together..shape.count().min((task + 1) * together);
        fill_padding(precision, b.rows(), shape, panels.clone(), words);
        match b.is_row_major() {
            true => rows_across(precision, b, shape, panels, words),
            false => {
                for (index, panel) in panels.zip(words.chunks_mut(shape.width * shape.steps)) {
                    let (first, columns, width) = shape.place(index);
                    columns_along(
                        precision,
                        b.block(0, first, b.rows(), columns).t(),
                        width,
                        panel,
                    );
                }
            }
        }
    });
}

/// Zeros where B has no columns or no rows.
pub(super) fn fill_padding(
    precision: Precision,
    k: usize,
    shape: PanelShape,
    panels: Range<usize>,
    words: &mut [u32],
) {
    let used = k.div_ceil(precision.group());
    for (index, panel) in panels.zip(words.chunks_mut(shape.width * shape.steps)) {
        let (_, columns, width) = shape.place(index);
        let kept = if columns < width { 0 } else { used * width };
        panel[kept..].fill(0);
    }
}

/// The rows of B are contiguous: a group of them side by side makes a step of each panel.
fn rows_across<T: Element>(
    precision: Precision,
    b: Matrix<T>,
    shape: PanelShape,
    panels: Range<usize>,
    words: &mut [u32],
) {
    let group = precision.group();
    let used = b.rows().div_ceil(group);
    for start in (0..used).step_by(STEPS) {
        for (index, panel) in panels.clone().zip(words.chunks_mut(shape.width * shape.steps)) {
            let (first, columns, width) = shape.place(index);
            for step in start..used.min(start + STEPS) {
                let p = step * group;
                let second =
                    (group > 1 && p + 1 < b.rows()).then(|| &b.from(p + 1, first)[..columns]);
                words_across(
                    precision,
                    &b.from(p, first)[..columns],
                    second,
                    &mut panel[step * width..][..columns],
                );
            }
        }
    }
}

/// The columns of B, rows of `columns` [n, k], are contiguous: their words are turned, four columns
/// at a time.
fn columns_along<T: Element>(
    precision: Precision,
    columns: Matrix<T>,
    width: usize,
    panel: &mut [u32],
) {
    let steps = columns.cols().div_ceil(precision.group());
    if let Some(words) = words_in_place(precision, columns.from(0, 0)) {
        return transpose(words, columns.row_stride(), (columns.rows(), steps), panel, width);
    }
    with_words(SQUARE * steps, |words| {
        for first in (0..columns.rows()).step_by(SQUARE) {
            let count = SQUARE.min(columns.rows() - first);
            for (c, words) in words.chunks_exact_mut(steps).enumerate().take(count) {
                words_along(precision, &columns.from(first + c, 0)[..columns.cols()], words);
            }
            transpose(words, steps, (count, steps), &mut panel[first..], width);
        }
    });
}
