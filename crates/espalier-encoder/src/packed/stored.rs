//! Matrices that stay in a mapped file.

use crate::compute::Compute;
use espalier_kernels::mapped::View;
use espalier_kernels::{Bf16, Precision, Rows};

/// A matrix in a mapped file, row by row.
#[derive(Clone, Debug)]
pub enum MappedMatrix {
    /// [rows, columns].
    F32(View<f32>),
    /// [rows, columns].
    Bf16(View<Bf16>),
    /// Bytes with a scale per row.
    Int8 {
        /// [rows, columns].
        bytes: View<i8>,
        /// `[rows]`.
        scales: View<f32>,
    },
}

impl MappedMatrix {
    /// What its products are computed in, in a model of some precision: numbers kept in bf16 are
    /// not to be rounded to bytes.
    pub(super) fn product_precision(&self, model: Precision) -> Precision {
        match (self, model) {
            (Self::Bf16(_), Precision::Int8) => Compute::Auto.precision(),
            _ => model,
        }
    }

    /// Its rows, in place.
    pub fn rows(&self) -> Rows<'_> {
        match self {
            Self::F32(values) => Rows::F32(values),
            Self::Bf16(values) => Rows::Bf16(values),
            Self::Int8 { bytes, scales } => Rows::Int8 { bytes, scales },
        }
    }
}
