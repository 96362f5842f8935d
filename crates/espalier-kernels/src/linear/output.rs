//! What becomes of the result of a linear map: the list of outputs, and the epilogue that writes
//! one while a tile's sums are in the cache.

use super::LowRank;
use crate::dtype::Element;
use crate::gelu::{gelu, gelu_derivative};
use crate::gemm::driver::{Epilogue, Place};
use crate::gemm::kernels::MAX_COLUMNS;
use crate::parallel::DisjointBlocks;
use crate::simd::{LANES, Vector, load, simd, store};
use std::ops::Range;

/// What becomes of y = x W^T + bias + low-rank updates, [T, n]: one of [`Store`], [`Accumulate`],
/// [`AddResidual`], [`Gelu`] and [`GeluBackward`]. `'a` is the lifetime of the matrices that it
/// writes.
pub trait Output<'a>: Formula<'a> {}

impl<'a, F: Formula<'a>> Output<'a> for F {}

/// The part of [`Output`] that only this crate implements and uses.
pub trait Formula<'a>: Sync {
    /// The number type of the matrices that are written.
    type Out: Element;

    /// Takes the matrices that are written, [T, n], out of `self`.
    fn take(&mut self) -> Written<'a, Self::Out>;

    /// The length of the matrix that the formula reads beside y, if it reads one.
    fn operand(&self) -> Option<usize> {
        None
    }

    /// Writes `out`, elements `range` of the matrix, given the same elements of y.
    fn write<const FMA: bool, const FULL: bool>(
        &self,
        y: Vector,
        range: Range<usize>,
        out: &mut [Self::Out],
    );
}

/// The matrices that an output writes, [T, n].
pub struct Written<'a, E> {
    /// For y itself, if it is kept.
    y: Option<&'a mut [E]>,
    out: &'a mut [E],
}

impl<'a, E> Written<'a, E> {
    fn only(out: &mut &'a mut [E]) -> Self {
        Self { y: None, out: std::mem::take(out) }
    }
}

/// out = y, for out [T, n].
#[derive(Debug)]
pub struct Store<'a, E>(pub &'a mut [E]);

impl<'a, E: Element> Formula<'a> for Store<'a, E> {
    type Out = E;

    fn take(&mut self) -> Written<'a, E> {
        Written::only(&mut self.0)
    }

    #[inline(always)]
    fn write<const FMA: bool, const FULL: bool>(&self, y: Vector, _: Range<usize>, out: &mut [E]) {
        store::<FULL, _>(y, out);
    }
}

/// out += y, for out [T, n].
#[derive(Debug)]
pub struct Accumulate<'a>(pub &'a mut [f32]);

impl<'a> Formula<'a> for Accumulate<'a> {
    type Out = f32;

    fn take(&mut self) -> Written<'a, f32> {
        Written::only(&mut self.0)
    }

    #[inline(always)]
    fn write<const FMA: bool, const FULL: bool>(
        &self,
        y: Vector,
        _: Range<usize>,
        out: &mut [f32],
    ) {
        store::<FULL, _>(plus(load::<FULL, _>(out), y), out);
    }
}

/// out = residual + y, all [T, n].
#[derive(Debug)]
pub struct AddResidual<'a, E> {
    /// What is added.
    pub residual: &'a [E],
    /// The sum.
    pub out: &'a mut [f32],
}

impl<'a, E: Element> Formula<'a> for AddResidual<'a, E> {
    type Out = f32;

    fn take(&mut self) -> Written<'a, f32> {
        Written::only(&mut self.out)
    }

    fn operand(&self) -> Option<usize> {
        Some(self.residual.len())
    }

    #[inline(always)]
    fn write<const FMA: bool, const FULL: bool>(
        &self,
        y: Vector,
        range: Range<usize>,
        out: &mut [f32],
    ) {
        store::<FULL, _>(plus(load::<FULL, _>(&self.residual[range]), y), out);
    }
}

/// out = GELU(y), all [T, n].
#[derive(Debug)]
pub struct Gelu<'a, E> {
    /// Receives y itself, which the backward pass needs.
    pub y: Option<&'a mut [E]>,
    /// After GELU.
    pub out: &'a mut [E],
}

impl<'a, E: Element> Formula<'a> for Gelu<'a, E> {
    type Out = E;

    fn take(&mut self) -> Written<'a, E> {
        Written { y: self.y.take(), ..Written::only(&mut self.out) }
    }

    #[inline(always)]
    fn write<const FMA: bool, const FULL: bool>(
        &self,
        mut y: Vector,
        _: Range<usize>,
        out: &mut [E],
    ) {
        for y in &mut y {
            *y = gelu::<FMA>(*y);
        }
        store::<FULL, _>(y, out);
    }
}

/// Backward pass of GELU: out = y GELU'(x), all [T, n], where y is the gradient at GELU(x).
#[derive(Debug)]
pub struct GeluBackward<'a, E> {
    /// The input of GELU.
    pub x: &'a [E],
    /// The gradient at `x`.
    pub out: &'a mut [E],
}

impl<'a, E: Element> Formula<'a> for GeluBackward<'a, E> {
    type Out = E;

    fn take(&mut self) -> Written<'a, E> {
        Written::only(&mut self.out)
    }

    fn operand(&self) -> Option<usize> {
        Some(self.x.len())
    }

    #[inline(always)]
    fn write<const FMA: bool, const FULL: bool>(
        &self,
        mut y: Vector,
        range: Range<usize>,
        out: &mut [E],
    ) {
        let x = load::<FULL, _>(&self.x[range]);
        for i in 0..LANES {
            y[i] *= gelu_derivative::<FMA>(x[i]);
        }
        store::<FULL, _>(y, out);
    }
}

#[inline(always)]
fn plus(mut x: Vector, y: Vector) -> Vector {
    for i in 0..LANES {
        x[i] += y[i];
    }
    x
}

/// The bias of a map that has none.
static NO_BIAS: [f32; MAX_COLUMNS] = [0.0; MAX_COLUMNS];

/// The epilogue of a linear map: adds the updates and the bias to a tile of sums, then writes the
/// output.
pub(super) struct Finish<'a, 'o, F: Formula<'o>> {
    bias: Option<&'a [f32]>,
    updates: &'a [LowRank<'a>],
    formula: F,
    /// For y itself.
    y: Option<DisjointBlocks<'o, F::Out>>,
    out: DisjointBlocks<'o, F::Out>,
    /// T.
    rows: usize,
    /// n.
    columns: usize,
}

impl<'a, 'o, F: Formula<'o>> Finish<'a, 'o, F> {
    /// # Panics
    /// If the matrices of `output` differ in length or do not have rows of `n` numbers.
    pub(super) fn new(
        bias: Option<&'a [f32]>,
        updates: &'a [LowRank<'a>],
        mut output: F,
        n: usize,
    ) -> Self {
        let Written { y, out } = output.take();
        let length = out.len();
        assert!(
            length.is_multiple_of(n.max(1))
                && y.as_ref().is_none_or(|y| y.len() == length)
                && output.operand().is_none_or(|operand| operand == length),
            "linear: shapes do not fit"
        );
        Self {
            bias,
            updates,
            formula: output,
            y: y.map(|y| DisjointBlocks::new(y, n)),
            out: DisjointBlocks::new(out, n),
            rows: length / n.max(1),
            columns: n,
        }
    }

    /// T.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }
}

impl<'o, F: Formula<'o>> Epilogue for Finish<'_, 'o, F> {
    fn tile(&self, at: Place, sums: &mut [f32]) {
        for update in self.updates {
            update.add_to(at, sums);
        }
        let bias =
            self.bias.map_or(&NO_BIAS[..at.columns], |bias| &bias[at.column..][..at.columns]);
        if let Some(y) = &self.y {
            write(&Store::<F::Out>(&mut []), at, sums, bias, self.columns, y);
        }
        write(&self.formula, at, sums, bias, self.columns, &self.out);
    }
}

simd! {
    /// Writes an output's part of a tile: a vector at a time, because rows of tiles are too short
    /// for the loops that the compiler would make of rows.
    fn write<'o, F: Formula<'o>>(
        formula: &F,
        at: Place,
        sums: &[f32],
        bias: &[f32],
        n: usize,
        out: &DisjointBlocks<F::Out>,
    ) {
        let full = at.columns / LANES * LANES;
        for start in (0..full).step_by(LANES) {
            let columns = start..start + LANES;
            write_columns::<FMA, true, F>(formula, at, columns, sums, bias, n, out);
        }
        if full < at.columns {
            let columns = full..at.columns;
            write_columns::<FMA, false, F>(formula, at, columns, sums, bias, n, out);
        }
    }
}

#[inline(always)]
fn write_columns<'o, const FMA: bool, const FULL: bool, F: Formula<'o>>(
    formula: &F,
    at: Place,
    columns: Range<usize>,
    sums: &[f32],
    bias: &[f32],
    n: usize,
    out: &DisjointBlocks<F::Out>,
) {
    let (column, width) = (at.column + columns.start, columns.len());
    let bias = load::<FULL, _>(&bias[columns.clone()]);
    for r in 0..at.rows {
        let y = plus(load::<FULL, _>(&sums[r * at.stride + columns.start..][..width]), bias);
        let start = (at.row + r) * n + column;
        // SAFETY: tiles share no element, and this is the only slice with these columns of the row.
        let out = unsafe { out.row(at.row + r, column, width) };
        formula.write::<FMA, FULL>(y, start..start + width, out);
    }
}
