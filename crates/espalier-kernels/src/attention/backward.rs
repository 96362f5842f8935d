//! The backward pass.

use super::head::{Head, Left, ROWS, product};
use super::softmax::{recompute_softmax, softmax_backward};
use super::{AttentionInput, BUCKETS, QUERIES, relative_bias};
use crate::buffers::{with_f32, with_zeros};
use crate::dtype::Element;
use crate::parallel::DisjointBlocks;
use crate::simd::simd;
use rayon::prelude::*;

/// Where the backward pass writes its gradients.
#[derive(Debug)]
pub struct AttentionGradients<'a, E> {
    /// Gradient at queries, keys and values, [T, 3H], which is overwritten.
    pub qkv: &'a mut [E],
    /// The gradient at the relative position bias, [[`BUCKETS`], heads], is added to this; empty
    /// where there is none or it is frozen.
    pub relative_bias: &'a mut [f32],
}

/// Backward pass of [`attention`](super::attention()): the gradients at its input, from `d_out` [T,
/// H] and the `log_sum` [T, heads] of the forward pass.
///
/// ```text
/// dV = P^T dO,  dP = dO V^T,  dS = P * (dP - rowsum(P * dP)),
/// dQ = dS K / sqrt(d),  dK = dS^T Q / sqrt(d),  dB = dS
/// ```
///
/// ```
/// use espalier_kernels::attention::{
///     AttentionGradients, AttentionInput, attention, attention_backward,
/// };
///
/// // One token attends to itself alone, so its output is v, and only v gets a gradient.
/// let input = AttentionInput {
///     qkv: &[3.0f32, -2.0, 7.0],
///     offsets: &[0, 1],
///     heads: 1,
///     width: 1,
///     relative_bias: &[],
/// };
/// let (mut out, mut log_sum) = ([0.0], [0.0]);
/// attention(input, &mut out, &mut log_sum);
///
/// let mut d_qkv = [0.0; 3];
/// let gradients = AttentionGradients { qkv: &mut d_qkv, relative_bias: &mut [] };
/// attention_backward(input, &log_sum, &[0.5], gradients);
/// assert!(d_qkv[0].abs() < 1e-6 && d_qkv[1].abs() < 1e-6 && (d_qkv[2] - 0.5).abs() < 1e-6);
/// ```
///
/// # Panics
/// If the shapes do not fit each other.
pub fn attention_backward<E: Element>(
    input: AttentionInput<E>,
    log_sum: &[f32],
    d_out: &[E],
    gradients: AttentionGradients<E>,
) {
    input.check(d_out, log_sum);
    let AttentionGradients { qkv: d_qkv, relative_bias: d_bias } = gradients;
    assert!(
        d_qkv.len() == input.qkv.len() && [0, input.relative_bias.len()].contains(&d_bias.len()),
        "attention_backward: shapes do not fit"
    );
    let d_qkv = DisjointBlocks::new(d_qkv, 3 * input.width);
    let bias_trained = !d_bias.is_empty();
    // What each task adds to the gradient of the bias, [tasks, BUCKETS]: summed at the end in the
    // order of the tasks, so that the result does not depend on threads.
    let mut run = |parts: &mut [f32]| {
        let rows = DisjointBlocks::new(parts, BUCKETS);
        (0..input.tasks()).into_par_iter().for_each(|index| {
            let task = input.task(index);
            let Head { length, padded_length, padded_width, .. } = task;
            let (all, scores) = (padded_length * padded_width, QUERIES * padded_length);
            let biases = task.distances(input.relative_bias);
            let d_biases = if bias_trained { 2 * length } else { 0 };
            let sizes = [
                all,
                all,
                all,
                all,
                all,
                all,
                all,
                all,
                scores,
                scores,
                QUERIES * padded_width,
                biases,
                d_biases,
            ];
            // SAFETY: only this task writes this row.
            let part = if bias_trained { unsafe { rows.row(index, 0, BUCKETS) } } else { &mut [] };
            with_zeros(sizes, |scratch| head(input, task, log_sum, d_out, scratch, &d_qkv, part));
        });
        for (task, part) in parts.chunks_exact(BUCKETS).enumerate() {
            for (bucket, d) in part.iter().enumerate() {
                d_bias[bucket * input.heads + task % input.heads] += d;
            }
        }
    };
    if bias_trained { with_f32(input.tasks() * BUCKETS, run) } else { run(&mut []) }
}

simd! {
    fn head<E: Element>(
        input: AttentionInput<E>,
        task: Head,
        log_sum: &[f32],
        d_out: &[E],
        scratch: [&mut [f32]; 13],
        d_qkv: &DisjointBlocks<E>,
        d_bias: &mut [f32],
    ) {
        // [l', d'] x 6, [d', l'] x 2, [QUERIES, l'] x 2, [QUERIES, d'], [2l] or empty x 2
        let [q, k, v, d_o, d_k, d_v, k_t, v_t, p, d_s, d_q, by_distance, d_by_distance] = scratch;
        let Head { first, length, head, width, padded_length, padded_width } = task;
        let AttentionInput { qkv, heads, width: layer_width, relative_bias: bias, .. } = input;
        task.gather(qkv, layer_width, 0, task.scale(), q);
        task.gather(qkv, layer_width, 1, 1.0, k);
        task.gather(qkv, layer_width, 2, 1.0, v);
        task.transpose(k, k_t);
        task.transpose(v, v_t);
        relative_bias::by_distance(bias, heads, head, length, by_distance);
        for (token, row) in d_o.chunks_exact_mut(padded_width).take(length).enumerate() {
            let d_out = &d_out[(first + token) * layer_width + head * width..][..width];
            for (to, g) in row.iter_mut().zip(d_out) {
                *to = g.to_f32();
            }
        }

        for block in (0..length).step_by(QUERIES) {
            let rows = QUERIES.min(length - block);
            let at = block * padded_width;
            let padded_rows = rows.next_multiple_of(ROWS);
            let queries = Left { data: &q[at..], row_stride: padded_width, column_stride: 1 };
            let gradients = Left { data: &d_o[at..], row_stride: padded_width, column_stride: 1 };
            // S = Q K^T, dP = dO V^T
            product::<FMA>((padded_rows, width, padded_length), queries, k_t, p, false);
            product::<FMA>((padded_rows, width, padded_length), gradients, v_t, d_s, false);
            for r in 0..rows {
                let log_sum = log_sum[(first + block + r) * heads + head];
                let scores = r * padded_length..r * padded_length + length;
                let (p, d_s) = (&mut p[scores.clone()], &mut d_s[scores]);
                relative_bias::add_to_scores(by_distance, block + r, p);
                recompute_softmax::<FMA>(p, log_sum);
                softmax_backward(p, d_s);
                relative_bias::accumulate(d_s, block + r, d_by_distance);
            }
            let p_t = Left { data: p, row_stride: 1, column_stride: padded_length };
            let d_s_t = Left { data: d_s, row_stride: 1, column_stride: padded_length };
            // dV += P^T dO, dK += dS^T Q
            product::<FMA>((padded_length, rows, padded_width), p_t, &d_o[at..], d_v, true);
            product::<FMA>((padded_length, rows, padded_width), d_s_t, &q[at..], d_k, true);
            let d_scores = Left { data: d_s, row_stride: padded_length, column_stride: 1 };
            // dQ = dS K
            product::<FMA>((padded_rows, length, padded_width), d_scores, k, d_q, false);
            for (r, row) in d_q.chunks_exact(padded_width).take(rows).enumerate() {
                // SAFETY: only this task writes this head's query columns of this sequence's rows.
                let to = unsafe { d_qkv.row(first + block + r, head * width, width) };
                for (to, &g) in to.iter_mut().zip(row) {
                    *to = E::from_f32(g * task.scale());
                }
            }
        }
        relative_bias::sum_buckets(d_by_distance, length, d_bias);
        for (part, gradient) in [(1, d_k), (2, d_v)] {
            for (token, row) in gradient.chunks_exact(padded_width).take(length).enumerate() {
                let column = part * layer_width + head * width;
                // SAFETY: only this task writes this head's key and value columns of this
                // sequence's rows.
                let to = unsafe { d_qkv.row(first + token, column, width) };
                for (to, &g) in to.iter_mut().zip(row) {
                    *to = E::from_f32(g);
                }
            }
        }
    }
}
