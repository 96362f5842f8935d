//! Numbers as bytes: weights with a scale per output, activations with a scale and a zero point per
//! row.
//!
//! A weight w of output j is s_j q with q in -127..=127. An activation x of a row is s (u - z) with
//! u in 0..=255, where s and z are such that the row's smallest and largest value, and zero, are
//! met. A product of a row by an output is then exactly
//!
//! ```text
//! s s_j (sum u q - z sum q)
//! ```
//!
//! of which the first sum is what the kernels compute, in i32 without rounding, and the second is
//! kept per output.
//!
//! AVX2 has one instruction for u q + u' q' of neighbours, and 16 bits for the result: 255 times
//! 128 is all that these hold. So s_j is such that the q of the same sign of two neighbours, which
//! alone can add up, never exceed 128 together. The processor then needs no second instruction to
//! keep signs and sizes apart, which takes as long again (measured: 161 against 81 GOP/s on a core
//! of Zen 3), and steps are some 1.3 times as large as the largest weight alone would have them:
//! most of what bytes lose is lost on activations.

use super::driver::{Epilogue, Place};
use crate::element::Element;
use crate::simd::{LANES, simd};

/// Bytes in a word.
pub(super) const GROUP: usize = 4;

/// How a row of activations was quantised.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RowScale {
    /// s.
    pub scale: f32,
    /// z.
    pub zero: i32,
}

/// How the outputs' weights were quantised.
#[derive(Clone, Debug, Default)]
pub(super) struct ColumnScales {
    /// s_j of each output.
    pub scales: Vec<f32>,
    /// Sum of each output's q.
    pub sums: Vec<i32>,
}

/// Quantises the weights of one output to `bytes`, as long as they are, and returns their scale.
pub(crate) fn quantize_weights<T: Element>(weights: &[T], bytes: &mut [i8]) -> f32 {
    // Two numbers that are at most 127 together are at most 128 when each has been rounded.
    let scale = largest_of_neighbours(weights) / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    for (byte, w) in bytes.iter_mut().zip(weights) {
        *byte = (w.to_f32() * inverse).round_ties_even().clamp(-127.0, 127.0) as i8;
    }
    scale
}

/// The largest sum of what two neighbours have above zero, or below it.
fn largest_of_neighbours<T: Element>(weights: &[T]) -> f32 {
    weights.chunks(2).fold(0.0, |largest, pair| {
        let above: f32 = pair.iter().map(|w| w.to_f32().max(0.0)).sum();
        let below: f32 = pair.iter().map(|w| -w.to_f32().min(0.0)).sum();
        largest.max(above).max(below)
    })
}

simd! {
    /// Quantises one row of activations to `bytes`, at least as many. Bytes beyond the row meet
    /// weights that are zero.
    pub(super) fn quantize_row<T: Element>(row: &[T], bytes: &mut [u8]) -> RowScale {
        // Adding 1.5 * 2^23 rounds to the nearest integer and leaves its low byte in the low bits.
        const ROUND: f32 = 12_582_912.0;
        let (lowest, highest) = extremes(row);
        let scale = (highest - lowest) / 255.0;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let zero = (-lowest * inverse).round_ties_even();
        for (byte, x) in bytes.iter_mut().zip(row) {
            let level = (x.to_f32() * inverse + zero).clamp(0.0, 255.0);
            *byte = (level + ROUND).to_bits() as u8;
        }
        bytes[row.len()..].fill(0);
        RowScale { scale, zero: zero as i32 }
    }
}

/// The smallest and the largest of a row's values and zero, in lanes so that the search vectorises.
#[inline(always)]
fn extremes<T: Element>(row: &[T]) -> (f32, f32) {
    let lower = |a: f32, b: f32| if b < a { b } else { a };
    let higher = |a: f32, b: f32| if b > a { b } else { a };
    let (mut lowest, mut highest) = ([0.0f32; LANES], [0.0f32; LANES]);
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            let x = chunk[lane].to_f32();
            (lowest[lane], highest[lane]) = (lower(lowest[lane], x), higher(highest[lane], x));
        }
    }
    for (lane, x) in rest.iter().enumerate() {
        (lowest[lane], highest[lane]) =
            (lower(lowest[lane], x.to_f32()), higher(highest[lane], x.to_f32()));
    }
    (lowest.into_iter().fold(0.0, lower), highest.into_iter().fold(0.0, higher))
}

/// Turns sums of products of bytes into numbers, and hands these on.
pub(super) struct Dequantize<'a, E> {
    pub rows: &'a [RowScale],
    pub columns: &'a ColumnScales,
    /// What the kernel subtracts from each activation.
    pub offset: i32,
    pub next: &'a E,
}

impl<E: Epilogue> Epilogue for Dequantize<'_, E> {
    fn tile(&self, at: Place, sums: &mut [f32]) {
        dequantize(&self.rows[at.row..at.row + at.rows], self.offset, self.columns, at, sums);
        self.next.tile(at, sums);
    }
}

simd! {
    fn dequantize(rows: &[RowScale], offset: i32, columns: &ColumnScales, at: Place, sums: &mut [f32]) {
        let (scales, column_sums) = (&columns.scales[at.column..], &columns.sums[at.column..]);
        let whole = at.columns / LANES * LANES;
        for (r, row) in rows.iter().enumerate() {
            let zero = row.zero - offset;
            let number = |sum: f32, scale: f32, column_sum: i32| {
                row.scale * scale * (sum.to_bits() as i32).wrapping_sub(zero.wrapping_mul(column_sum)) as f32
            };
            let sums = &mut sums[r * at.stride..][..at.columns];
            for start in (0..whole).step_by(LANES) {
                let part = start..start + LANES;
                let (sums, scales, column_sums) = (&mut sums[part.clone()], &scales[part.clone()], &column_sums[part]);
                for i in 0..LANES {
                    sums[i] = number(sums[i], scales[i], column_sums[i]);
                }
            }
            for i in whole..at.columns {
                sums[i] = number(sums[i], scales[i], column_sums[i]);
            }
        }
    }
}
