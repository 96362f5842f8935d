//! The forward pass.

use super::head::{Head, Left, ROWS, product};
use super::softmax::softmax;
use super::{AttentionInput, QUERIES, relative_bias};
use crate::buffers::with_slices;
use crate::dtype::Element;
use crate::parallel::{DisjointBlocks, for_each};
use crate::simd::simd;

/// out = softmax(Q K^T / sqrt(d) + B) V for every head of every sequence, `out` [T, H]. `log_sum`
/// [T, heads] receives the log-sum-exp of each row of scores, which the backward pass needs.
///
/// ```
/// use espalier_kernels::attention::{AttentionInput, attention};
///
/// // One sequence of two tokens, one head of width 1: q, k, v of each token.
/// let qkv = [0.0, 1.0, 10.0, 0.0, 1.0, 20.0];
/// let input =
///     AttentionInput { qkv: &qkv, offsets: &[0, 2], heads: 1, width: 1, relative_bias: &[] };
/// let (mut out, mut log_sum) = ([0.0f32; 2], [0.0; 2]);
/// attention(input, &mut out, &mut log_sum);
/// // All scores are zero, so each token gets the mean of the values.
/// assert!(out.iter().all(|o| (o - 15.0).abs() < 1e-5));
/// assert!(log_sum.iter().all(|l| (l - 2f32.ln()).abs() < 1e-6));
/// ```
///
/// # Panics
/// If the shapes do not fit each other.
pub fn attention<E: Element>(input: AttentionInput<E>, out: &mut [E], log_sum: &mut [f32]) {
    input.check(out, log_sum);
    let out = DisjointBlocks::new(out, input.width);
    let log_sum = DisjointBlocks::new(log_sum, input.heads);
    for_each(input.tasks(), usize::MAX, &|index| {
        let task = input.task(index);
        let Head { padded_length, padded_width, .. } = task;
        let all = padded_length * padded_width;
        let sizes = [
            all,
            all,
            all,
            all,
            QUERIES * padded_length,
            QUERIES * padded_width,
            task.distances(input.relative_bias),
        ];
        with_slices(sizes, |scratch| head(input, task, scratch, &out, &log_sum));
    });
}

simd! {
    fn head<E: Element>(
        input: AttentionInput<E>,
        task: Head,
        scratch: [&mut [f32]; 7],
        out: &DisjointBlocks<E>,
        log_sum: &DisjointBlocks<f32>,
    ) {
        // [l', d'] x 2, [d', l'], [l', d'], [QUERIES, l'], [QUERIES, d'], [2l] or empty
        let [q, k, k_t, v, scores, mixed, by_distance] = scratch;
        let Head { first, length, head, width, padded_length, padded_width } = task;
        let AttentionInput { qkv, heads, width: layer_width, relative_bias: bias, .. } = input;
        relative_bias::by_distance(bias, heads, head, length, by_distance);
        task.gather(qkv, layer_width, 0, task.scale(), q);
        task.gather(qkv, layer_width, 1, 1.0, k);
        task.transpose(k, k_t);
        task.gather(qkv, layer_width, 2, 1.0, v);

        for block in (0..length).step_by(QUERIES) {
            let rows = QUERIES.min(length - block);
            let padded_rows = rows.next_multiple_of(ROWS);
            let at = block * padded_width;
            let queries = Left { data: &q[at..], row_stride: padded_width, column_stride: 1 };
            // S = Q K^T
            product::<FMA>((padded_rows, width, padded_length), queries, k_t, scores, false);
            for (r, row) in scores.chunks_exact_mut(padded_length).take(rows).enumerate() {
                let row = &mut row[..length];
                relative_bias::add_to_scores(by_distance, block + r, row);
                // SAFETY: only this task writes this head's column of this sequence's rows.
                let log_sum = unsafe { log_sum.row(first + block + r, head, 1) };
                log_sum[0] = softmax::<FMA>(row);
            }
            let weights = Left { data: scores, row_stride: padded_length, column_stride: 1 };
            // O = P V
            product::<FMA>((padded_rows, length, padded_width), weights, v, mixed, false);
            for (r, row) in mixed.chunks_exact(padded_width).take(rows).enumerate() {
                // SAFETY: only this task writes this head's columns of this sequence's rows.
                let out = unsafe { out.row(first + block + r, head * width, width) };
                for (out, &x) in out.iter_mut().zip(row) {
                    *out = E::from_f32(x);
                }
            }
        }
    }
}
