//! Matrices that stay in a mapped file.

use espalier_kernels::mapped::View;
use espalier_kernels::{Bf16, Rows};

/// A matrix in a mapped file, row by row.
#[derive(Clone, Debug)]
pub enum StoredMatrix {
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

impl StoredMatrix {
    /// Its rows, in place.
    pub fn rows(&self) -> Rows<'_> {
        match self {
            Self::F32(values) => Rows::F32(values),
            Self::Bf16(values) => Rows::Bf16(values),
            Self::Int8 { bytes, scales } => Rows::Int8 { bytes, scales },
        }
    }
}
