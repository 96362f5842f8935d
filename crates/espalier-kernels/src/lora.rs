//! Low-rank adaptation of a linear map (LoRA, arXiv 2106.09685): y += s (x A^T) B^T with s = alpha
//! / r.
//!
//! The update is applied where y is computed, as a [`LowRank`] update of [`linear`]; so is that of
//! dx in the backward pass.
//!
//! [`linear`]: crate::linear::linear

use crate::dtype::{Bf16, Element, Precision};
use crate::gemm::{Matrix, MatrixMut, Packed, Start, Update, gemm_in};
use crate::linear::{LowRank, Up};
use crate::processor::processor;
use std::ops::Range;
use std::sync::OnceLock;

/// The two factors of one adapted module.
#[derive(Clone, Copy, Debug)]
pub struct LoraPair<'a> {
    /// A, [r, in] row by row.
    pub a: &'a [f32],
    /// B, [out, r] row by row.
    pub b: &'a [f32],
    /// r.
    pub rank: usize,
    /// s = alpha / r (or alpha / sqrt(r) for rank-stabilised LoRA).
    pub scale: f32,
}

impl<'a> LoraPair<'a> {
    fn a(&self) -> Matrix<'a> {
        Matrix::new(self.a, self.rank, self.a.len() / self.rank)
    }

    fn b(&self) -> Matrix<'a> {
        Matrix::new(self.b, self.b.len() / self.rank, self.rank)
    }
}

/// B^T, [r, out], in the number type that goes with a precision.
#[derive(Clone, Debug)]
enum OwnedUp {
    F32(Vec<f32>),
    Bf16(Vec<Bf16>),
}

/// A pair's factors in the form in which the forward and the backward pass read them.
///
/// ```
/// use espalier_kernels::Precision;
/// use espalier_kernels::gemm::{Matrix, Packed};
/// use espalier_kernels::linear::{Store, linear};
/// use espalier_kernels::lora::{LoraPair, PackedPair};
///
/// let weight = [1.0, 0.0, 0.0, 1.0]; // [out, in] = [2, 2]
/// let packed_weight = Packed::new(Precision::F32, Matrix::new(&weight, 2, 2).t());
/// let pair = LoraPair { a: &[1.0, 1.0], b: &[3.0, 0.0], rank: 1, scale: 2.0 };
/// let packed = PackedPair::new(Precision::F32, pair);
///
/// let (x, mut down, mut y) = ([1.0f32, 2.0], [0.0], [0.0f32; 2]); // one row
/// packed.down(&x, &mut down);
/// assert_eq!(down, [3.0]); // x A^T
/// linear(&x, &packed_weight, None, &[packed.update(0..1, 0..2, &down)], Store(&mut y));
/// assert_eq!(y, [19.0, 2.0]); // x W^T + 2 down B^T
/// ```
#[derive(Clone, Debug)]
pub struct PackedPair {
    /// A^T, [in, r].
    a_t: Packed,
    /// B, [out, r], packed by the first backward pass.
    b: OnceLock<Packed>,
    up: OwnedUp,
    scale: f32,
}

impl PackedPair {
    /// Packs a pair for activations of a precision. The factors are too small to be worth
    /// quantising: with [`Precision::Int8`] products are computed in the faster one of f32 and
    /// bf16, and B is in bf16, which trained adapters are rounded to.
    pub fn new(precision: Precision, pair: LoraPair) -> Self {
        let products = match precision {
            Precision::Int8 if processor().fast_bf16 => Precision::Bf16,
            Precision::Int8 => Precision::F32,
            precision => precision,
        };
        let a_t = Packed::new(products, pair.a().t());
        let up = match precision {
            Precision::F32 => OwnedUp::F32(vec![0.0; pair.b.len()]),
            _ => OwnedUp::Bf16(vec![Bf16::default(); pair.b.len()]),
        };
        let mut packed = Self { a_t, b: OnceLock::new(), up, scale: pair.scale };
        packed.set_up(pair);
        packed
    }

    /// Packs other values of the same shape, in the same memory.
    pub fn pack(&mut self, pair: LoraPair) {
        self.a_t.pack(pair.a().t());
        if let Some(b) = self.b.get_mut() {
            b.pack(pair.b());
        }
        self.set_up(pair);
    }

    fn set_up(&mut self, pair: LoraPair) {
        self.scale = pair.scale;
        match &mut self.up {
            OwnedUp::F32(up) => transpose_up(pair, up),
            OwnedUp::Bf16(up) => transpose_up(pair, up),
        }
    }

    /// r.
    pub fn rank(&self) -> usize {
        self.a_t.columns()
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.a_t.rows()
    }

    /// down = x A^T, for x [T, in], down [T, r].
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn down<E: Element>(&self, x: &[E], down: &mut [f32]) {
        let rows = down.len() / self.rank();
        let down = MatrixMut::new(down, rows, self.rank());
        self.a_t.gemm(Matrix::new(x, rows, self.inputs()), Start::Zero, down);
    }

    /// The update of rows `rows` and columns `columns` of y, given the `down` that
    /// [`PackedPair::down`] computed for these rows.
    pub fn update<'a>(
        &'a self,
        rows: Range<usize>,
        columns: Range<usize>,
        down: &'a [f32],
    ) -> LowRank<'a> {
        let up = match &self.up {
            OwnedUp::F32(up) => Up::F32(up),
            OwnedUp::Bf16(up) => Up::Bf16(up),
        };
        LowRank { rows, columns, scale: self.scale, down, up }
    }

    /// Gradient at `down`: d_down = s dy B, for dy [T, out], d_down [T, r]. `pair` must be the one
    /// that this was packed from.
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn down_gradient<E: Element>(&self, pair: LoraPair, dy: Matrix<E>, d_down: &mut [f32]) {
        let d_down = MatrixMut::new(d_down, dy.rows(), self.rank());
        let b = self.b.get_or_init(|| Packed::new(self.a_t.precision(), pair.b()));
        b.gemm(dy, Update { alpha: pair.scale, start: Start::Zero }, d_down);
    }

    /// The update of dx [T, in], all rows and columns: dx += d_down A.
    pub fn update_back<'a>(&self, pair: LoraPair<'a>, d_down: &'a [f32]) -> LowRank<'a> {
        let rows = 0..d_down.len() / self.rank();
        LowRank { rows, columns: 0..self.inputs(), scale: 1.0, down: d_down, up: Up::F32(pair.a) }
    }
}

/// Writes B^T [r, out] of a pair.
fn transpose_up<E: Element>(pair: LoraPair, up: &mut [E]) {
    let outputs = up.len() / pair.rank;
    for (r, row) in up.chunks_exact_mut(outputs).enumerate() {
        for (up, &b) in row.iter_mut().zip(pair.b[r..].iter().step_by(pair.rank)) {
            *up = E::from_f32(b);
        }
    }
}

/// Where the gradients of one pair are accumulated.
#[derive(Debug)]
pub struct LoraPairMut<'a> {
    /// Gradient of A, [r, in].
    pub a: &'a mut [f32],
    /// Gradient of B, [out, r].
    pub b: &'a mut [f32],
}

/// The activations of one pair's forward and backward pass that its gradients are made of, for T
/// rows.
#[derive(Clone, Copy, Debug)]
pub struct LoraActivations<'a, E> {
    /// The input of the module, [T, in].
    pub x: &'a [E],
    /// The gradient at its output, [T, out].
    pub dy: Matrix<'a, E>,
    /// What [`PackedPair::down`] computed, [T, r].
    pub down: &'a [f32],
    /// What [`PackedPair::down_gradient`] computed, [T, r].
    pub d_down: &'a [f32],
}

impl LoraPairMut<'_> {
    /// dB += s dy^T down, dA += d_down^T x.
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn accumulate<E: Element>(self, scale: f32, activations: LoraActivations<E>) {
        let LoraActivations { x, dy, down, d_down } = activations;
        let rows = dy.rows();
        let rank = down.len() / rows;
        let (inputs, outputs) = (self.a.len() / rank, self.b.len() / rank);
        let small = |x| Matrix::new(x, rows, rank);
        let (da, db) =
            (MatrixMut::new(self.a, rank, inputs), MatrixMut::new(self.b, outputs, rank));
        let update = Update { alpha: scale, start: Start::Accumulate };
        gemm_in(E::PRECISION, dy.t(), small(down), update, db);
        let x = Matrix::new(x, rows, inputs);
        gemm_in(E::PRECISION, small(d_down).t(), x, Start::Accumulate, da);
    }
}
