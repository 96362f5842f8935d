//! Low-rank updates of a linear map's result.

use crate::bf16::Bf16;
use crate::element::Element;
use crate::gemm::driver::Place;
use crate::simd::{LANES, madd, simd};
use std::ops::Range;

/// Terms of the update's sum that are added at a time: as many vectors of `up` stay in registers over all rows of a tile.
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
        assert!(self.columns.end <= columns && self.rows.end <= rows, "linear: an update lies outside of the result");
        let rank = self.rank();
        assert!(
            self.down.len() == self.rows.len() * rank && self.up.len() == self.columns.len() * rank,
            "linear: an update's factors do not fit it"
        );
    }

    /// Adds the update's part of a tile, if it has one.
    pub(super) fn add_to(&self, at: Place, sums: &mut [f32]) {
        let columns = self.columns.start.max(at.column)..self.columns.end.min(at.column + at.columns);
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
        update: &LowRank, up: &[U], rows: Range<usize>, columns: Range<usize>, at: Place, sums: &mut [f32],
    ) {
        let (rank, width) = (update.rank(), update.columns.len());
        for term in (0..rank).step_by(TERMS) {
            let terms = TERMS.min(rank - term);
            for column in columns.clone().step_by(LANES) {
                let count = LANES.min(columns.end - column);
                let up = &up[term * width + column - update.columns.start..];
                let ups = match terms == TERMS && count == LANES {
                    true => whole_block(up, width),
                    false => part_of_block(up, width, terms, count),
                };
                for row in rows.clone() {
                    let down = &update.down[(row - update.rows.start) * rank + term..][..terms];
                    let downs = scaled(down, update.scale);
                    let sums = &mut sums[(row - at.row) * at.stride + column - at.column..][..count];
                    match sums.first_chunk_mut::<LANES>() {
                        Some(sums) => add_terms::<FMA>(&downs, &ups, sums),
                        None => {
                            let mut whole = [0.0; LANES];
                            whole[..count].copy_from_slice(sums);
                            add_terms::<FMA>(&downs, &ups, &mut whole);
                            sums.copy_from_slice(&whole[..count]);
                        }
                    }
                }
            }
        }
    }
}

/// Some columns of some terms of `up`, whose rows are `width` apart.
type Block = [[f32; LANES]; TERMS];

#[inline(always)]
fn whole_block<U: Element>(up: &[U], width: usize) -> Block {
    let mut block = [[0.0; LANES]; TERMS];
    for (i, to) in block.iter_mut().enumerate() {
        let up: &[U; LANES] = up[i * width..].first_chunk().expect("a block inside of the factor");
        for lane in 0..LANES {
            to[lane] = up[lane].to_f32();
        }
    }
    block
}

/// The same with zeros where there are fewer columns or terms.
#[inline(never)]
fn part_of_block<U: Element>(up: &[U], width: usize, terms: usize, columns: usize) -> Block {
    let mut block = [[0.0; LANES]; TERMS];
    for (to, up) in block.iter_mut().zip(up.chunks(width)).take(terms) {
        for (to, up) in to.iter_mut().zip(&up[..columns]) {
            *to = up.to_f32();
        }
    }
    block
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

/// sums += downs ups, in registers.
#[inline(always)]
fn add_terms<const FMA: bool>(downs: &[f32; TERMS], ups: &Block, sums: &mut [f32; LANES]) {
    let mut held = *sums;
    for (down, up) in downs.iter().zip(ups) {
        for i in 0..LANES {
            held[i] = madd::<FMA>(*down, up[i], held[i]);
        }
    }
    *sums = held;
}
