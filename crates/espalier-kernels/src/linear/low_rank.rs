//! Low-rank updates of a linear map's result.

use crate::dtype::{Bf16, Element};
use crate::gemm::driver::Place;
use crate::simd::{LANES, load, madd, simd, store};
use std::ops::Range;

/// Terms of the update's sum that are added at a time: this many vectors of `up` stay in registers
/// for all rows of a tile.
const TERMS: usize = 8;

/// A low-rank update of a block of the result: y[rows, columns] += scale down up.
#[derive(Clone, Debug)]
pub struct LowRank<'a> {
    /// The rows it applies to.
    pub rows: Range<usize>,
    /// The columns it applies to.
    pub columns: Range<usize>,
    /// Factor of the product.
    pub scale: f32,
    /// [rows, r].
    pub down: &'a [f32],
    /// [r, columns].
    pub up: Up<'a>,
}

/// The right factor of an update.
#[derive(Clone, Copy, Debug)]
pub enum Up<'a> {
    /// In f32.
    F32(&'a [f32]),
    /// In bfloat16.
    Bf16(&'a [Bf16]),
}

impl Up<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(up) => up.len(),
            Self::Bf16(up) => up.len(),
        }
    }
}

impl LowRank<'_> {
    /// r.
    fn rank(&self) -> usize {
        self.up.len() / self.columns.len().max(1)
    }

    /// # Panics
    /// If the update does not fit a result [rows, columns], or its factors do not fit each other.
    pub(super) fn check(&self, rows: usize, columns: usize) {
        assert!(
            self.columns.end <= columns && self.rows.end <= rows,
            "linear: an update lies outside of the result"
        );
        let rank = self.rank();
        assert!(
            self.down.len() == self.rows.len() * rank && self.up.len() == self.columns.len() * rank,
            "linear: an update's factors do not fit it"
        );
    }

    /// Adds the update's part of a tile, if it has one.
    pub(super) fn add_to(&self, at: Place, sums: &mut [f32]) {
        let columns =
            self.columns.start.max(at.column)..self.columns.end.min(at.column + at.columns);
        let rows = self.rows.start.max(at.row)..self.rows.end.min(at.row + at.rows);
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        match self.up {
            Up::F32(up) => add(self, up, rows, columns, at, sums),
            Up::Bf16(up) => add(self, up, rows, columns, at, sums),
        }
    }
}

simd! {
    fn add<U: Element>(
        update: &LowRank,
        up: &[U],
        rows: Range<usize>,
        columns: Range<usize>,
        at: Place,
        sums: &mut [f32],
    ) {
        let rest = columns.start + columns.len() / LANES * LANES;
        for start in (columns.start..rest).step_by(LANES) {
            add_columns::<FMA, true, U>(update, up, &rows, start..start + LANES, at, sums);
        }
        if rest < columns.end {
            add_columns::<FMA, false, U>(update, up, &rows, rest..columns.end, at, sums);
        }
    }
}

#[inline(always)]
fn add_columns<const FMA: bool, const FULL: bool, U: Element>(
    update: &LowRank,
    up: &[U],
    rows: &Range<usize>,
    columns: Range<usize>,
    at: Place,
    sums: &mut [f32],
) {
    let (rank, width) = (update.rank(), update.columns.len());
    let first = columns.start - update.columns.start;
    for term in (0..rank).step_by(TERMS) {
        let terms = TERMS.min(rank - term);
        let mut ups = [[0.0; LANES]; TERMS];
        for (i, to) in ups.iter_mut().enumerate().take(terms) {
            *to = load::<FULL, U>(&up[(term + i) * width + first..][..columns.len()]);
        }
        for row in rows.clone() {
            let down = &update.down[(row - update.rows.start) * rank + term..][..terms];
            let downs = scaled(down, update.scale);
            let sums = &mut sums[(row - at.row) * at.stride + columns.start - at.column..]
                [..columns.len()];
            let mut held = load::<FULL, f32>(sums);
            for (down, up) in downs.iter().zip(&ups) {
                for i in 0..LANES {
                    held[i] = madd::<FMA>(*down, up[i], held[i]);
                }
            }
            store::<FULL, f32>(held, sums);
        }
    }
}

#[inline(always)]
fn scaled(down: &[f32], scale: f32) -> [f32; TERMS] {
    let mut scaled = [0.0; TERMS];
    match down.first_chunk::<TERMS>() {
        Some(down) => {
            for i in 0..TERMS {
                scaled[i] = scale * down[i];
            }
        }
        None => scaled.iter_mut().zip(down).for_each(|(to, down)| *to = scale * down),
    }
    scaled
}
