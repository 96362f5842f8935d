//! Quantisation to 8 bits: weights with a scale per output, activations with a scale and a zero
//! point per row; and the products of both back to f32.
//!
//! A weight w of output j is s_j q with q in -127..=127. An activation x of a row is s (u - z) with
//! u in 0..=255, where s and z are such that the row's smallest and largest value, and zero, are in
//! range. A product of a row by an output is then exactly
//!
//! ```text
//! s s_j (sum u q - z sum q)
//! ```
//!
//! of which the first sum is what the kernels compute, in i32 without rounding, and the second is
//! kept per output.
//!
//! AVX2 has one instruction for u q + u' q' of neighbours, with 16 bits for the result, which hold
//! at most 255 times 128. So s_j is such that the q of two neighbours of the same sign, which alone
//! can add up, never exceed 128 together. That saves a second instruction to keep signs and sizes
//! apart, which would take as long again (measured: 161 against 81 GOP/s on a core of Zen 3). It
//! makes steps some 1.3 times as large as the largest weight alone would: most of the error of 8
//! bits comes from activations.

use super::driver::{Epilogue, Place};
use super::left::Left;
use super::matrix::Matrix;
use crate::buffers::{as_u8_mut, with_u32};
use crate::dtype::Element;
use crate::parallel::{DisjointBlocks, for_each_chunk};
use crate::simd::{LANES, simd};

/// Bytes in a lane.
pub(super) const GROUP: usize = 4;
/// Bytes that a task makes of activations: fewer are not worth a second thread.
const BYTES_PER_TASK: usize = 12 << 10;

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

/// Rounds a matrix [rows, columns] to bytes with a scale per row, the same bytes that
/// [`Packed`](super::Packed) makes of a weight in [`Precision::Int8`](crate::Precision::Int8).
///
/// ```
/// use espalier_kernels::quantize_rows;
///
/// let (mut bytes, mut scales) = ([0; 4], [0.0; 2]);
/// quantize_rows(&[1.27, -0.5, 0.0, 0.0], &mut bytes, &mut scales);
/// assert_eq!(bytes, [127, -50, 0, 0]);
/// assert!((scales[0] - 0.01).abs() < 1e-6 && scales[1] == 0.0);
/// ```
///
/// # Panics
/// If `values` and `bytes` differ in length, or the length is not a multiple of the number of
/// scales.
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

/// Quantises the weights of one output to `bytes`, as long as they are, and returns their scale.
pub(super) fn quantize_weights<T: Element>(weights: &[T], bytes: &mut [i8]) -> f32 {
    // Two numbers that are at most 127 together are at most 128 when each has been rounded.
    let scale = largest_of_neighbours(weights) / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    for (byte, w) in bytes.iter_mut().zip(weights) {
        *byte = (w.to_f32() * inverse).round_ties_even().clamp(-127.0, 127.0) as i8;
    }
    scale
}

/// The largest absolute sum of two neighbours of the same sign, or of one number alone.
fn largest_of_neighbours<T: Element>(weights: &[T]) -> f32 {
    weights.chunks(2).fold(0.0, |largest, pair| {
        let above: f32 = pair.iter().map(|w| w.to_f32().max(0.0)).sum();
        let below: f32 = pair.iter().map(|w| -w.to_f32().min(0.0)).sum();
        largest.max(above).max(below)
    })
}

/// Calls `f` with the rows of activations `a` as bytes, `steps` lanes each, and their scales.
///
/// # Panics
/// If the rows of `a` are not contiguous.
pub(super) fn with_quantized<T: Element, R>(
    a: Matrix<T>,
    steps: usize,
    f: impl FnOnce(Left, &[RowScale]) -> R,
) -> R {
    assert!(a.is_row_major(), "rows of activations are contiguous");
    let m = a.rows();
    let mut scales = vec![RowScale::default(); m];
    with_u32(m * steps, |lanes| {
        quantize_activations(a, steps, lanes, &mut scales);
        f(Left::of_lanes(lanes, m, steps), &scales)
    })
}

fn quantize_activations<T: Element>(
    a: Matrix<T>,
    steps: usize,
    lanes: &mut [u32],
    scales: &mut [RowScale],
) {
    let rows = (BYTES_PER_TASK / (steps * GROUP).max(1)).max(1);
    let scales = DisjointBlocks::new(scales, rows);
    for_each_chunk(lanes, rows * steps, &|block, lanes| {
        // SAFETY: only this task writes these rows' scales.
        let scales = unsafe { scales.row(block, 0, lanes.len() / steps) };
        for (i, (lanes, scale)) in lanes.chunks_exact_mut(steps).zip(scales).enumerate() {
            *scale = quantize_row(&a.from(block * rows + i, 0)[..a.cols()], as_u8_mut(lanes));
        }
    });
}

simd! {
    /// Quantises one row of activations to `bytes`, at least as many. Bytes beyond the row are
    /// multiplied by weights that are zero.
    fn quantize_row<T: Element>(row: &[T], bytes: &mut [u8]) -> RowScale {
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

/// Converts sums of products of bytes to f32 and passes these on.
pub(super) struct Dequantize<'a> {
    pub rows: &'a [RowScale],
    pub columns: &'a ColumnScales,
    /// What the kernel subtracts from each activation.
    pub offset: i32,
    pub next: &'a dyn Epilogue,
}

impl Epilogue for Dequantize<'_> {
    fn tile(&self, at: Place, sums: &mut [f32]) {
        dequantize(&self.rows[at.row..at.row + at.rows], self.offset, self.columns, at, sums);
        self.next.tile(at, sums);
    }
}

simd! {
    fn dequantize(
        rows: &[RowScale], offset: i32, columns: &ColumnScales, at: Place, sums: &mut [f32],
    ) {
        let (scales, column_sums) = (&columns.scales[at.column..], &columns.sums[at.column..]);
        let vectors = at.columns / LANES * LANES;
        for (r, row) in rows.iter().enumerate() {
            let zero = row.zero - offset;
            let number = |sum: f32, scale: f32, column_sum: i32| {
                let sum = (sum.to_bits() as i32).wrapping_sub(zero.wrapping_mul(column_sum));
                row.scale * scale * sum as f32
            };
            let sums = &mut sums[r * at.stride..][..at.columns];
            for start in (0..vectors).step_by(LANES) {
                let part = start..start + LANES;
                let (scales, column_sums) = (&scales[part.clone()], &column_sums[part.clone()]);
                let sums = &mut sums[part];
                for i in 0..LANES {
                    sums[i] = number(sums[i], scales[i], column_sums[i]);
                }
            }
            for i in vectors..at.columns {
                sums[i] = number(sums[i], scales[i], column_sums[i]);
            }
        }
    }
}
