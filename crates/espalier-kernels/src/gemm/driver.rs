//! The loop over the tiles of a product, and its division among threads.
//!
//! C is cut into blocks, one task each, which share nothing and need no barrier. A task goes panel
//! by panel over its columns, and for each panel over its rows: the panel is read again and again
//! from the second-level cache, and so are the block's rows of A, a tile's worth of which stays in
//! the first. A tile covers the whole inner dimension, so that its sums are complete when they
//! leave the registers, and the [`Epilogue`] handles them while they are in the cache.

use super::kernels::{MAX_TILE, MicroKernel, Tile};
use super::left::Left;
use super::panels::PanelShape;
use crate::parallel::for_each;
use std::ops::Range;

/// Products of fewer operations than this (some 10 microseconds) are not worth a second thread.
const OPERATIONS_PER_TASK: usize = 1 << 20;
/// Tasks per thread, so that others take over the share of a thread that is held up.
const TASKS_PER_THREAD: usize = 4;
/// Bytes of A that a block's rows may have: a quarter of a second-level cache of 1 MiB.
const BLOCK_BYTES: usize = 256 << 10;

/// What is done with complete sums.
pub(crate) trait Epilogue: Sync {
    /// Takes the sums of a tile, which it may overwrite.
    fn tile(&self, at: Place, sums: &mut [f32]);
}

/// Where a tile lies in C: its sums are `rows` rows, `stride` apart, of which the first `columns`
/// are C's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub row: usize,
    pub rows: usize,
    pub column: usize,
    pub columns: usize,
    pub stride: usize,
}

impl Place {
    /// The tile's rows: each one's index in C and its sums.
    #[inline(always)]
    pub(crate) fn each_row<'s>(&self, sums: &'s [f32]) -> impl Iterator<Item = (usize, &'s [f32])> {
        let Self { row, rows, columns, stride, .. } = *self;
        // Not `chunks`: cutting a slice into chunks takes a division, as long as a vector's work.
        (0..rows).map(move |r| (row + r, &sums[r * stride..][..columns]))
    }
}

/// The sums of a tile, aligned for whole vectors.
#[repr(align(64))]
struct Sums([f32; MAX_TILE]);

/// One product in progress.
struct Product<'a> {
    code: &'a MicroKernel,
    left: Left<'a>,
    shape: PanelShape,
    panels: &'a [u32],
    epilogue: &'a dyn Epilogue,
}

/// Multiplies rows by panels and gives each tile of sums to the epilogue, once.
///
/// # Safety
/// The processor has the kernel's instructions, and the rows have `shape.steps` lanes.
pub(super) unsafe fn multiply(
    code: &MicroKernel,
    left: Left,
    shape: PanelShape,
    panels: &[u32],
    epilogue: &dyn Epilogue,
) {
    if left.rows == 0 || shape.columns == 0 {
        return;
    }
    assert!(panels.len() >= shape.len());
    let product = Product { code, left, shape, panels, epilogue };
    let (height, together) = product.block_shape();
    let across = shape.count().div_ceil(together);
    let task = |index: usize| {
        let (row, panel) = (index / across * height, index % across * together);
        let rows = row..left.rows.min(row + height);
        // SAFETY: as promised by the caller.
        unsafe { product.block(rows, panel..shape.count().min(panel + together)) };
    };
    for_each(left.rows.div_ceil(height) * across, 1, &task);
}

impl Product<'_> {
    /// # Safety
    /// As for [`multiply`].
    unsafe fn block(&self, rows: Range<usize>, panels: Range<usize>) {
        let mut sums = Sums([0.0; MAX_TILE]);
        // SAFETY: the caller promises the instructions.
        unsafe { (self.code.enter)() };
        for panel in panels {
            let (column, columns, width) = self.shape.place(panel);
            let b = self.shape.panel(self.panels, panel).as_ptr();
            for row in rows.clone().step_by(self.code.rows) {
                let count = self.code.rows.min(rows.end - row);
                let tile = Tile {
                    // SAFETY: `row` is one of the operand's rows.
                    a: unsafe { self.left.data.add(row * self.left.stride) },
                    a_stride: self.left.stride,
                    rows: count,
                    b,
                    width,
                    steps: self.shape.steps,
                    sums: sums.0.as_mut_ptr(),
                };
                // SAFETY: `count` rows of A follow, of `steps` lanes each by the caller's promise;
                // the panel was cut out as [steps, width]; `sums` has MAX_TILE numbers.
                unsafe { (self.code.tile)(&tile) };
                let at = Place { row, rows: count, column, columns, stride: width };
                self.epilogue.tile(at, &mut sums.0[..count * width]);
            }
        }
        // SAFETY: as for `enter`.
        unsafe { (self.code.leave)() };
    }

    /// Rows and panels of the blocks that C is cut into: as few blocks as keep the threads busy,
    /// and nearly square, because a block of h x w elements reads h rows and w columns.
    fn block_shape(&self) -> (usize, usize) {
        let (m, n, row_bytes) = (self.left.rows, self.shape.columns, self.shape.steps * 4);
        let operations =
            2usize.saturating_mul(m).saturating_mul(n).saturating_mul(self.shape.steps);
        let worth_it = operations / OPERATIONS_PER_TASK;
        let wanted = if worth_it <= 1 {
            1
        } else {
            worth_it.min(TASKS_PER_THREAD * rayon::current_num_threads())
        };
        let (tile_rows, tile_columns) = (self.code.rows, self.code.columns);
        let in_cache = (BLOCK_BYTES / row_bytes.max(1)).max(tile_rows) / tile_rows * tile_rows;
        let (mut height, mut panels) =
            (m.next_multiple_of(tile_rows).min(in_cache), self.shape.count());
        while m.div_ceil(height) * self.shape.count().div_ceil(panels) < wanted {
            if height > panels * tile_columns && height > tile_rows {
                height = (height / 2).next_multiple_of(tile_rows);
            } else if panels > 1 {
                panels = panels.div_ceil(2);
            } else if height > tile_rows {
                height = (height / 2).next_multiple_of(tile_rows);
            } else {
                break;
            }
        }
        (height, panels)
    }
}
