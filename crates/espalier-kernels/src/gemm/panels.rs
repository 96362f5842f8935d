//! The right operand B [k, n]: packed into the order in which a micro-kernel reads it.
//!
//! B becomes panels of as many columns as a tile has, [steps, width] lanes each: for each lane
//! along the inner dimension one of every column, side by side. The last panel may be narrower.
//! Missing columns and steps are zeros.

use super::kernels::MicroKernel;
use super::lanes::{lanes_across, lanes_along, lanes_in_place};
use super::matrix::Matrix;
use crate::buffers::with_u32;
use crate::dtype::{Element, Precision};
use crate::parallel::for_each_chunk;
use crate::transpose::{SQUARE, transpose};
use std::ops::Range;

/// Steps of a panel that are written before the next panel's: panels lie a multiple of a page
/// apart, and if many were written at once, they would compete for the same places of the
/// first-level cache.
const STEPS: usize = 16;
/// Panels that a task packs at most.
const PANELS_PER_TASK: usize = 8;

/// How B is cut into panels.
#[derive(Clone, Copy)]
pub(super) struct PanelShape {
    /// n.
    pub columns: usize,
    /// Lanes along the inner dimension, filled up to the kernel's depth.
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

    /// Number of lanes of all panels.
    pub fn len(&self) -> usize {
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

    /// Panel `index` of all `panels`.
    pub fn panel<'p>(&self, panels: &'p [u32], index: usize) -> &'p [u32] {
        let (first, _, width) = self.place(index);
        &panels[first * self.steps..][..width * self.steps]
    }
}

/// Packs `b` [k, n] into `panels`, in parallel.
pub(super) fn pack<T: Element>(
    precision: Precision,
    b: Matrix<T>,
    shape: PanelShape,
    panels: &mut [u32],
) {
    // A task takes neighbouring panels, so that it reads more than a few cache lines of each of B's
    // rows.
    let together =
        shape.count().div_ceil(2 * rayon::current_num_threads()).clamp(1, PANELS_PER_TASK);
    for_each_chunk(panels, together * shape.width * shape.steps, &|task, panels| {
        let indices = task * together..shape.count().min((task + 1) * together);
        fill_padding(precision, b.rows(), shape, indices.clone(), panels);
        match b.is_row_major() {
            true => pack_rows(precision, b, shape, indices, panels),
            false => {
                for (index, panel) in indices.zip(panels.chunks_mut(shape.width * shape.steps)) {
                    let (first, columns, width) = shape.place(index);
                    let columns = b.block(0, first, b.rows(), columns).t();
                    pack_columns(precision, columns, width, panel);
                }
            }
        }
    });
}

/// Zeros where B has no columns or no rows, in the panels `indices`.
pub(super) fn fill_padding(
    precision: Precision,
    k: usize,
    shape: PanelShape,
    indices: Range<usize>,
    panels: &mut [u32],
) {
    let used = k.div_ceil(precision.group());
    for (index, panel) in indices.zip(panels.chunks_mut(shape.width * shape.steps)) {
        let (_, columns, width) = shape.place(index);
        let kept = if columns < width { 0 } else { used * width };
        panel[kept..].fill(0);
    }
}

/// Packs a B whose rows are contiguous: a group of them side by side makes a step of each panel.
fn pack_rows<T: Element>(
    precision: Precision,
    b: Matrix<T>,
    shape: PanelShape,
    indices: Range<usize>,
    panels: &mut [u32],
) {
    let group = precision.group();
    let used = b.rows().div_ceil(group);
    for start in (0..used).step_by(STEPS) {
        for (index, panel) in indices.clone().zip(panels.chunks_mut(shape.width * shape.steps)) {
            let (first, columns, width) = shape.place(index);
            for step in start..used.min(start + STEPS) {
                let row = |p: usize| &b.from(p, first)[..columns];
                let p = step * group;
                let second = (group > 1 && p + 1 < b.rows()).then(|| row(p + 1));
                let out = &mut panel[step * width..][..columns];
                lanes_across(precision, row(p), second, out);
            }
        }
    }
}

/// Packs a panel of a B whose columns, rows of `columns` [n, k], are contiguous: their lanes are
/// transposed, four columns at a time.
fn pack_columns<T: Element>(
    precision: Precision,
    columns: Matrix<T>,
    width: usize,
    panel: &mut [u32],
) {
    let steps = columns.cols().div_ceil(precision.group());
    if let Some(lanes) = lanes_in_place(precision, columns.from(0, 0)) {
        return transpose(lanes, columns.row_stride(), (columns.rows(), steps), panel, width);
    }
    with_u32(SQUARE * steps, |lanes| {
        for first in (0..columns.rows()).step_by(SQUARE) {
            let count = SQUARE.min(columns.rows() - first);
            for (c, lanes) in lanes.chunks_exact_mut(steps).enumerate().take(count) {
                lanes_along(precision, &columns.from(first + c, 0)[..columns.cols()], lanes);
            }
            transpose(lanes, steps, (count, steps), &mut panel[first..], width);
        }
    });
}
