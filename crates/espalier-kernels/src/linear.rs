//! Linear maps of rows by packed weights, with all that can be done while the sums are at hand: bias, low-rank updates,
//! the residual, GELU and its gradient.
//!
//! Weights are stored as PyTorch stores them, W [out, in]: y = x W^T + b multiplies by W^T, the way back dx = dy W by W.

use crate::bf16::Bf16;
use crate::blocks::Blocks;
use crate::element::Element;
use crate::gelu::{gelu, gelu_slope};
use crate::gemm::driver::{Epilogue, Place};
use crate::gemm::kernel::MAX_TILE;
use crate::gemm::{Matrix, MatrixMut, Packed, Start, gemm_in};
use crate::simd::{madd, simd};
use rayon::prelude::*;
use std::ops::Range;

/// Columns a task takes when it sums a bias gradient.
const COLUMNS: usize = 64;
/// Columns of a row that a low-rank update takes at a time: four vectors of sixteen.
const STRETCH: usize = 64;

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

/// What becomes of y = x W^T (+ bias + low-rank updates), all [T, n].
#[derive(Debug)]
pub enum Output<'a, E> {
    /// out = y.
    Store(&'a mut [E]),
    /// out += y.
    Add(&'a mut [f32]),
    /// out = residual + y.
    Residual {
        /// What is added.
        residual: &'a [E],
        /// The sum.
        out: &'a mut [f32],
    },
    /// out = GELU(y).
    Gelu {
        /// y itself, for the way back.
        kept: Option<&'a mut [E]>,
        /// After GELU.
        out: &'a mut [E],
    },
    /// out = y GELU'(kept): the way back through GELU.
    GeluGradient {
        /// What went into GELU.
        kept: &'a [E],
        /// Gradient at `kept`.
        out: &'a mut [E],
    },
}

/// Multiplies x [T, k] by packed weights [k, n] and makes `output` of the result.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn linear<E: Element>(x: &[E], weight: &Packed, bias: Option<&[f32]>, updates: &[LowRank], output: Output<E>) {
    let n = weight.columns();
    assert!(bias.is_none_or(|bias| bias.len() == n), "linear: the bias is not as long as a row");
    let target = Target::new(output, n);
    let rows = target.elements / n.max(1);
    for update in updates {
        let rank = update.up.len() / update.columns.len().max(1);
        assert!(update.columns.end <= n && update.rows.end <= rows, "linear: an update lies outside of the result");
        assert!(
            update.down.len() == update.rows.len() * rank && update.up.len() == update.columns.len() * rank,
            "linear: an update's factors do not fit it"
        );
    }
    weight.multiply(Matrix::new(x, rows, weight.rows()), &Finish { bias, updates, target });
}

/// An output whose tiles different tasks write.
struct Target<'a, E> {
    kind: Kind<'a, E>,
    elements: usize,
}

enum Kind<'a, E> {
    Store(Blocks<'a, E>),
    Add(Blocks<'a, f32>),
    Residual(Matrix<'a, E>, Blocks<'a, f32>),
    Gelu(Option<Blocks<'a, E>>, Blocks<'a, E>),
    GeluGradient(Matrix<'a, E>, Blocks<'a, E>),
}

impl<'a, E: Element> Target<'a, E> {
    fn new(output: Output<'a, E>, n: usize) -> Self {
        let matrix = |data: &'a [E], elements: usize| {
            assert_eq!(data.len(), elements, "linear: shapes do not fit");
            Matrix::new(data, elements / n.max(1), n)
        };
        let (kind, elements) = match output {
            Output::Store(out) => {
                let elements = out.len();
                (Kind::Store(Blocks::new(out, n)), elements)
            }
            Output::Add(out) => {
                let elements = out.len();
                (Kind::Add(Blocks::new(out, n)), elements)
            }
            Output::Residual { residual, out } => {
                let elements = out.len();
                (Kind::Residual(matrix(residual, elements), Blocks::new(out, n)), elements)
            }
            Output::Gelu { kept, out } => {
                let elements = out.len();
                assert!(kept.as_ref().is_none_or(|kept| kept.len() == elements), "linear: shapes do not fit");
                (Kind::Gelu(kept.map(|kept| Blocks::new(kept, n)), Blocks::new(out, n)), elements)
            }
            Output::GeluGradient { kept, out } => {
                let elements = out.len();
                (Kind::GeluGradient(matrix(kept, elements), Blocks::new(out, n)), elements)
            }
        };
        Self { kind, elements }
    }
}

/// The epilogue: bias, updates, then the output.
struct Finish<'a, E> {
    bias: Option<&'a [f32]>,
    updates: &'a [LowRank<'a>],
    target: Target<'a, E>,
}

impl<E: Element> Epilogue for Finish<'_, E> {
    fn tile(&self, at: Place, sums: &mut [f32]) {
        finish(self, at, sums);
    }
}

simd! {
    fn finish<E: Element>(finish: &Finish<E>, at: Place, sums: &mut [f32]) {
        if let Some(bias) = finish.bias {
            let bias = &bias[at.column..][..at.columns];
            sums.chunks_exact_mut(at.stride).for_each(|sums| add(sums, bias));
        }
        for update in finish.updates {
            update.add_to::<FMA>(at, sums);
        }
        finish.target.take::<FMA>(at, sums);
    }
}

impl<E: Element> Target<'_, E> {
    /// Takes a tile. What is computed is computed over all of it at once, which suits vectors better than row by row.
    #[inline(always)]
    fn take<const FMA: bool>(&self, at: Place, sums: &mut [f32]) {
        match &self.kind {
            Kind::Store(out) => store(at, sums, out),
            Kind::Add(out) => {
                for (row, sums) in at.rows(sums) {
                    // SAFETY: tiles share no element, and this is the only one with these columns of the row.
                    add(unsafe { out.row(row, at.column, at.columns) }, sums);
                }
            }
            Kind::Residual(residual, out) => {
                for (row, sums) in at.rows(sums) {
                    // SAFETY: as above.
                    let out = unsafe { out.row(row, at.column, at.columns) };
                    for ((out, sum), residual) in out.iter_mut().zip(sums).zip(residual.from(row, at.column)) {
                        *out = residual.to_f32() + *sum;
                    }
                }
            }
            Kind::Gelu(kept, out) => {
                if let Some(kept) = kept {
                    store(at, sums, kept);
                }
                for x in sums.iter_mut() {
                    *x = gelu::<FMA>(*x);
                }
                store(at, sums, out);
            }
            Kind::GeluGradient(kept, out) => {
                let mut x = [0.0; MAX_TILE];
                for (r, x) in x[..sums.len()].chunks_exact_mut(at.stride).enumerate() {
                    for (x, kept) in x.iter_mut().zip(&kept.from(at.row + r, at.column)[..at.columns]) {
                        *x = kept.to_f32();
                    }
                }
                for (dy, x) in sums.iter_mut().zip(x) {
                    *dy *= gelu_slope::<FMA>(x);
                }
                store(at, sums, out);
            }
        }
    }
}

/// Writes a tile to its place.
#[inline(always)]
fn store<E: Element>(at: Place, sums: &[f32], out: &Blocks<E>) {
    for (row, sums) in at.rows(sums) {
        // SAFETY: tiles share no element, and this is the only one with these columns of the row.
        let out = unsafe { out.row(row, at.column, at.columns) };
        for (out, &sum) in out.iter_mut().zip(sums) {
            *out = E::from_f32(sum);
        }
    }
}

impl LowRank<'_> {
    /// Adds the update's part of a tile.
    #[inline(always)]
    fn add_to<const FMA: bool>(&self, at: Place, sums: &mut [f32]) {
        match self.up {
            Up::F32(up) => self.add::<FMA, f32>(up, at, sums),
            Up::Bf16(up) => self.add::<FMA, Bf16>(up, at, sums),
        }
    }

    #[inline(always)]
    fn add<const FMA: bool, U: Element>(&self, up: &[U], at: Place, sums: &mut [f32]) {
        let (start, end) = (self.columns.start.max(at.column), self.columns.end.min(at.column + at.columns));
        let rows = sums.len() / at.stride;
        let (first, last) = (self.rows.start.max(at.row), self.rows.end.min(at.row + rows));
        if start >= end {
            return;
        }
        let width = self.columns.len();
        let rank = up.len() / width;
        for row in first..last {
            let down = &self.down[(row - self.rows.start) * rank..][..rank];
            let sums = &mut sums[(row - at.row) * at.stride..][start - at.column..end - at.column];
            // Sums stay in registers while all of the rank is added to them.
            let (whole, rest) = sums.as_chunks_mut::<STRETCH>();
            let mut column = start - self.columns.start;
            for sums in whole {
                let mut held = *sums;
                for (&down, up) in down.iter().zip(up.chunks_exact(width)) {
                    let down = self.scale * down;
                    for (sum, up) in held.iter_mut().zip(&up[column..column + STRETCH]) {
                        *sum = madd::<FMA>(down, up.to_f32(), *sum);
                    }
                }
                *sums = held;
                column += STRETCH;
            }
            for (&down, up) in down.iter().zip(up.chunks_exact(width)) {
                let down = self.scale * down;
                for (sum, up) in rest.iter_mut().zip(&up[column..]) {
                    *sum = madd::<FMA>(down, up.to_f32(), *sum);
                }
            }
        }
    }
}

#[inline(always)]
fn add(to: &mut [f32], x: &[f32]) {
    for (to, x) in to.iter_mut().zip(x) {
        *to += x;
    }
}

/// dW += dy^T x and db += column sums of dy, for x [T, in], dy [T, out], dW [out, in], db `[out]`, multiplied in the
/// precision of the elements.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn linear_parameter_gradients<E: Element>(x: &[E], dy: &[E], d_weight: &mut [f32], d_bias: &mut [f32]) {
    let outputs = d_bias.len();
    let (rows, inputs) = (dy.len() / outputs, d_weight.len() / outputs);
    let d_weight = MatrixMut::new(d_weight, outputs, inputs);
    let (dy_t, x) = (Matrix::new(dy, rows, outputs).t(), Matrix::new(x, rows, inputs));
    gemm_in(E::PRECISION, 1.0, dy_t, x, Start::Accumulate, d_weight);
    bias_gradient(dy, d_bias);
}

/// db += column sums of dy, for dy [T, out] and db `[out]`.
///
/// # Panics
/// If `dy` does not consist of whole rows.
pub fn bias_gradient<E: Element>(dy: &[E], d_bias: &mut [f32]) {
    let outputs = d_bias.len();
    assert!(dy.len().is_multiple_of(outputs), "bias_gradient: shapes do not fit");
    d_bias.par_chunks_mut(COLUMNS).enumerate().for_each(|(block, db)| add_columns(dy, outputs, block * COLUMNS, db));
}

simd! {
    fn add_columns<E: Element>(dy: &[E], width: usize, first: usize, db: &mut [f32]) {
        for row in dy.chunks_exact(width) {
            for (db, g) in db.iter_mut().zip(&row[first..]) {
                *db += g.to_f32();
            }
        }
    }
}
