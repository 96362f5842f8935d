//! Weights as files store them: row by row, in a number type that saves space.

use crate::dtype::Bf16;
use crate::simd::simd;

/// A stored matrix, row by row.
///
/// [`Packed::of_rows`](crate::gemm::Packed::of_rows) packs one for matrix products,
/// [`embed`](crate::embedding::embed) looks up its rows. [`round_to_bf16`] and [`quantize_rows`]
/// make the smaller types.
///
/// [`quantize_rows`]: crate::quantize_rows
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

simd! {
    /// Rounds each number to the nearest bf16.
    ///
    /// ```
    /// use espalier_kernels::{Bf16, round_to_bf16};
    ///
    /// let mut rounded = [Bf16::default(); 2];
    /// round_to_bf16(&[1.0, 0.1], &mut rounded);
    /// assert_eq!(rounded.map(Bf16::to_f32), [1.0, 0.100_097_656_25]);
    /// ```
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn round_to_bf16(x: &[f32], out: &mut [Bf16]) {
        assert_eq!(x.len(), out.len(), "round_to_bf16: lengths differ");
        for (out, &x) in out.iter_mut().zip(x) {
            *out = Bf16::from_f32(x);
        }
    }
}

simd! {
    /// Rounds each number to the nearest bf16, in place.
    pub fn round_through_bf16(x: &mut [f32]) {
        for x in x {
            *x = Bf16::from_f32(*x).to_f32();
        }
    }
}
