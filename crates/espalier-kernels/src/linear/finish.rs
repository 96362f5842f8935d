//! The epilogue of a linear map: updates, bias, then the output.

use super::{LowRank, Output};
use crate::dtype::Element;
use crate::gelu::{gelu, gelu_derivative};
use crate::gemm::Matrix;
use crate::gemm::driver::{Epilogue, Place};
use crate::gemm::kernels::MAX_COLUMNS;
use crate::parallel::DisjointBlocks;
use crate::simd::{LANES, Vector, load, simd, store};
use std::marker::PhantomData;
use std::ops::Range;

/// The bias of a map that has none.
static NO_BIAS: [f32; MAX_COLUMNS] = [0.0; MAX_COLUMNS];

/// What is made of sums.
pub(super) struct Finish<'a, E> {
    pub bias: Option<&'a [f32]>,
    pub updates: &'a [LowRank<'a>],
    pub target: Target<'a, E>,
}

impl<E: Element> Epilogue for Finish<'_, E> {
    fn tile(&self, at: Place, sums: &mut [f32]) {
        for update in self.updates {
            update.add_to(at, sums);
        }
        let bias =
            self.bias.map_or(&NO_BIAS[..at.columns], |bias| &bias[at.column..][..at.columns]);
        self.target.take(at, sums, bias);
    }
}

/// An output whose tiles different tasks write.
pub(super) struct Target<'a, E> {
    kind: Kind<'a, E>,
    elements: usize,
}

enum Kind<'a, E> {
    Store(DisjointBlocks<'a, E>),
    Add(DisjointBlocks<'a, f32>),
    Residual(Matrix<'a, E>, DisjointBlocks<'a, f32>),
    Gelu(Option<DisjointBlocks<'a, E>>, DisjointBlocks<'a, E>),
    GeluGradient(Matrix<'a, E>, DisjointBlocks<'a, E>),
}

impl<'a, E: Element> Target<'a, E> {
    /// # Panics
    /// If what `output` consists of differs in length.
    pub(super) fn new(output: Output<'a, E>, n: usize) -> Self {
        let matrix = |data: &'a [E], elements: usize| {
            assert_eq!(data.len(), elements, "linear: shapes do not fit");
            Matrix::new(data, elements / n.max(1), n)
        };
        let (kind, elements) = match output {
            Output::Store(out) => {
                let elements = out.len();
                (Kind::Store(DisjointBlocks::new(out, n)), elements)
            }
            Output::Add(out) => {
                let elements = out.len();
                (Kind::Add(DisjointBlocks::new(out, n)), elements)
            }
            Output::Residual { residual, out } => {
                let elements = out.len();
                (Kind::Residual(matrix(residual, elements), DisjointBlocks::new(out, n)), elements)
            }
            Output::Gelu { kept, out } => {
                let elements = out.len();
                assert!(
                    kept.as_ref().is_none_or(|kept| kept.len() == elements),
                    "linear: shapes do not fit"
                );
                (
                    Kind::Gelu(
                        kept.map(|kept| DisjointBlocks::new(kept, n)),
                        DisjointBlocks::new(out, n),
                    ),
                    elements,
                )
            }
            Output::GeluGradient { kept, out } => {
                let elements = out.len();
                (Kind::GeluGradient(matrix(kept, elements), DisjointBlocks::new(out, n)), elements)
            }
        };
        Self { kind, elements }
    }

    /// Numbers of the output.
    pub(super) fn elements(&self) -> usize {
        self.elements
    }

    /// Takes a tile of sums, to which `bias` is still to be added.
    fn take(&self, at: Place, sums: &[f32], bias: &[f32]) {
        match &self.kind {
            Kind::Store(out) => write(&Plain(PhantomData), at, sums, bias, out),
            Kind::Add(out) => write(&Added(out), at, sums, bias, out),
            Kind::Residual(residual, out) => write(&Residual(*residual), at, sums, bias, out),
            Kind::Gelu(kept, out) => {
                if let Some(kept) = kept {
                    write(&Plain(PhantomData), at, sums, bias, kept);
                }
                write(&Gelu(PhantomData), at, sums, bias, out);
            }
            Kind::GeluGradient(kept, out) => write(&Slope(*kept), at, sums, bias, out),
        }
    }
}

simd! {
    /// Makes an output of a tile: a vector at a time, because rows of tiles are too short for the
    /// loops that the compiler makes of rows.
    fn write<M: Make>(
        make: &M,
        at: Place,
        sums: &[f32],
        bias: &[f32],
        out: &DisjointBlocks<M::Out>,
    ) {
        let whole = at.columns / LANES * LANES;
        for start in (0..whole).step_by(LANES) {
            write_columns::<FMA, true, M>(make, at, start..start + LANES, sums, bias, out);
        }
        if whole < at.columns {
            write_columns::<FMA, false, M>(make, at, whole..at.columns, sums, bias, out);
        }
    }
}

#[inline(always)]
fn write_columns<const FMA: bool, const FULL: bool, M: Make>(
    make: &M,
    at: Place,
    columns: Range<usize>,
    sums: &[f32],
    bias: &[f32],
    out: &DisjointBlocks<M::Out>,
) {
    let (column, width) = (at.column + columns.start, columns.len());
    let bias = load::<FULL, _>(&bias[columns.clone()]);
    for r in 0..at.rows {
        let y = plus(load::<FULL, _>(&sums[r * at.stride + columns.start..][..width]), bias);
        let made = make.of::<FMA, FULL>(y, at.row + r, column, width);
        // SAFETY: tiles share no element, and this is the only one with these columns of the row.
        store::<FULL, _>(made, unsafe { out.row(at.row + r, column, width) });
    }
}

/// What an output is made of a part of a row of y.
trait Make {
    type Out: Element;

    fn of<const FMA: bool, const FULL: bool>(
        &self,
        y: Vector,
        row: usize,
        column: usize,
        width: usize,
    ) -> Vector;
}

struct Plain<E>(PhantomData<E>);

impl<E: Element> Make for Plain<E> {
    type Out = E;

    #[inline(always)]
    fn of<const FMA: bool, const FULL: bool>(
        &self,
        y: Vector,
        _: usize,
        _: usize,
        _: usize,
    ) -> Vector {
        y
    }
}

struct Added<'a>(&'a DisjointBlocks<'a, f32>);

impl Make for Added<'_> {
    type Out = f32;

    #[inline(always)]
    fn of<const FMA: bool, const FULL: bool>(
        &self,
        y: Vector,
        row: usize,
        column: usize,
        width: usize,
    ) -> Vector {
        // SAFETY: as in `write`, which makes its own slice when this one is gone.
        plus(load::<FULL, _>(unsafe { self.0.row(row, column, width) }), y)
    }
}

struct Residual<'a, E>(Matrix<'a, E>);

impl<E: Element> Make for Residual<'_, E> {
    type Out = f32;

    #[inline(always)]
    fn of<const FMA: bool, const FULL: bool>(
        &self,
        y: Vector,
        row: usize,
        column: usize,
        width: usize,
    ) -> Vector {
        plus(load::<FULL, _>(&self.0.from(row, column)[..width]), y)
    }
}

struct Gelu<E>(PhantomData<E>);

impl<E: Element> Make for Gelu<E> {
    type Out = E;

    #[inline(always)]
    fn of<const FMA: bool, const FULL: bool>(
        &self,
        mut y: Vector,
        _: usize,
        _: usize,
        _: usize,
    ) -> Vector {
        for y in &mut y {
            *y = gelu::<FMA>(*y);
        }
        y
    }
}

struct Slope<'a, E>(Matrix<'a, E>);

impl<E: Element> Make for Slope<'_, E> {
    type Out = E;

    #[inline(always)]
    fn of<const FMA: bool, const FULL: bool>(
        &self,
        mut dy: Vector,
        row: usize,
        column: usize,
        width: usize,
    ) -> Vector {
        let x = load::<FULL, _>(&self.0.from(row, column)[..width]);
        for i in 0..LANES {
            dy[i] *= gelu_derivative::<FMA>(x[i]);
        }
        dy
    }
}

#[inline(always)]
fn plus(mut x: Vector, y: Vector) -> Vector {
    for i in 0..LANES {
        x[i] += y[i];
    }
    x
}
