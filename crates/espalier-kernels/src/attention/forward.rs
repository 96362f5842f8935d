//! The forward pass.

use super::head::{Head, Left, ROWS, product};
use super::softmax::softmax;
use super::{AttentionShape, QUERIES, relative_bias};
use crate::buffers::with_slices;
use crate::dtype::Element;
use crate::parallel::{DisjointBlocks, for_each};
use crate::simd::simd;

/// out = softmax(Q K^T / sqrt(d) + B) V for every head of every sequence.
///
/// `qkv` [T, 3H] holds queries, keys and values side by side; `bias` [[`BUCKETS`](super::BUCKETS),
/// heads] is what B is made of, or empty for none; `out` [T, H]; `log_sum` [T, heads] receives the
/// log-sum-exp of each row of scores.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn attention<E: Element>(
    qkv: &[E],
    bias: &[f32],
    shape: AttentionShape,
    out: &mut [E],
    log_sum: &mut [f32],
) {
    shape.check(qkv, bias, out, log_sum);
    let out = DisjointBlocks::new(out, shape.width);
    let log_sum = DisjointBlocks::new(log_sum, shape.heads);
    for_each(shape.tasks(), usize::MAX, &|index| {
        let task = shape.task(index);
        let Head { padded_length, padded_width, .. } = task;
        let all = padded_length * padded_width;
        let sizes = [
            all,
            all,
            all,
            all,
            QUERIES * padded_length,
            QUERIES * padded_width,
            task.distances(bias),
        ];
        with_slices(sizes, |scratch| head(qkv, bias, shape, task, scratch, &out, &log_sum));
    });
}

simd! {
    fn head<E: Element>(
        qkv: &[E],
        bias: &[f32],
        shape: AttentionShape,
        task: Head,
        scratch: [&mut [f32]; 7],
        out: &DisjointBlocks<E>,
        log_sum: &DisjointBlocks<f32>,
    ) {
        // [l', d'] x 2, [d', l'], [l', d'], [QUERIES, l'], [QUERIES, d'], [2l] or nothing
        let [q, k, k_t, v, scores, mixed, by_distance] = scratch;
        let Head { first, length, head, width, padded_length, padded_width } = task;
        let layer_width = shape.width;
        relative_bias::by_distance(bias, shape.heads, head, length, by_distance);
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
