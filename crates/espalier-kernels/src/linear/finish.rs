//! The epilogue of a linear map: updates, bias, then the output.

use super::{LowRank, Output};
use crate::blocks::Blocks;
use crate::element::Element;
use crate::gelu::{gelu, gelu_slope};
use crate::gemm::Matrix;
use crate::gemm::driver::{Epilogue, Place};
use crate::gemm::kernel::MAX_COLUMNS;
use crate::simd::simd;

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
        finish(self, at, sums);
    }
}

simd! {
    fn finish<E: Element>(finish: &Finish<E>, at: Place, sums: &mut [f32]) {
        for update in finish.updates {
            update.add_to::<FMA>(at, sums);
        }
        let bias = finish.bias.map_or(&NO_BIAS[..at.columns], |bias| &bias[at.column..][..at.columns]);
        finish.target.take::<FMA>(at, sums, bias);
    }
}

/// An output whose tiles different tasks write.
pub(super) struct Target<'a, E> {
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

    /// Numbers of the output.
    pub(super) fn elements(&self) -> usize {
        self.elements
    }

    /// Takes a tile of sums, to which `bias` is still to be added.
    #[inline(always)]
    fn take<const FMA: bool>(&self, at: Place, sums: &[f32], bias: &[f32]) {
        for (row, sums) in at.rows(sums) {
            let y = sums.iter().zip(bias).map(|(sum, bias)| sum + bias);
            // SAFETY (of all calls of `row`): tiles share no element, and this is the only one with these columns of the row.
            match &self.kind {
                Kind::Store(out) => {
                    // SAFETY: as above.
                    let out = unsafe { out.row(row, at.column, at.columns) };
                    for (out, y) in out.iter_mut().zip(y) {
                        *out = E::from_f32(y);
                    }
                }
                Kind::Add(out) => {
                    // SAFETY: as above.
                    let out = unsafe { out.row(row, at.column, at.columns) };
                    for (out, y) in out.iter_mut().zip(y) {
                        *out += y;
                    }
                }
                Kind::Residual(residual, out) => {
                    // SAFETY: as above.
                    let out = unsafe { out.row(row, at.column, at.columns) };
                    for ((out, y), residual) in out.iter_mut().zip(y).zip(residual.from(row, at.column)) {
                        *out = residual.to_f32() + y;
                    }
                }
                Kind::Gelu(kept, out) => {
                    if let Some(kept) = kept {
                        // SAFETY: as above.
                        let kept = unsafe { kept.row(row, at.column, at.columns) };
                        for (kept, y) in kept.iter_mut().zip(y.clone()) {
                            *kept = E::from_f32(y);
                        }
                    }
                    // SAFETY: as above.
                    let out = unsafe { out.row(row, at.column, at.columns) };
                    for (out, y) in out.iter_mut().zip(y) {
                        *out = E::from_f32(gelu::<FMA>(y));
                    }
                }
                Kind::GeluGradient(kept, out) => {
                    // SAFETY: as above.
                    let out = unsafe { out.row(row, at.column, at.columns) };
                    for ((out, dy), kept) in out.iter_mut().zip(y).zip(kept.from(row, at.column)) {
                        *out = E::from_f32(dy * gelu_slope::<FMA>(kept.to_f32()));
                    }
                }
            }
        }
    }
}
