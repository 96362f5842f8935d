//! Matrices as a file holds them: row by row, in a number type that saves space.

use crate::bf16::Bf16;
use crate::gemm::quantize_weights;

/// A stored matrix, row by row.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// [rows, columns].
    F32(&'a [f32]),
    /// [rows, columns].
    Bf16(&'a [Bf16]),
    /// Each number is its byte times the scale of its row.
    Int8 {
        /// [rows, columns], -127 to 127.
        bytes: &'a [i8],
        /// `[rows]`.
        scales: &'a [f32],
    },
}

/// Rounds a matrix [rows, columns] to bytes with a scale per row: those that a weight is packed as
/// for products of bytes.
///
/// # Panics
/// If `values` and `bytes` differ in length, or that is not a multiple of the number of scales.
pub fn quantize_rows(values: &[f32], bytes: &mut [i8], scales: &mut [f32]) {
    assert_eq!(values.len(), bytes.len(), "quantize_rows: lengths differ");
    assert!(
        values.len().is_multiple_of(scales.len().max(1)),
        "quantize_rows: rows differ in length"
    );
    let columns = (values.len() / scales.len().max(1)).max(1);
    for ((row, bytes), scale) in values.chunks(columns).zip(bytes.chunks_mut(columns)).zip(scales) {
        *scale = quantize_weights(row, bytes);
    }
}
