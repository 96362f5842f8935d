//! Relative position bias: a bias of the scores by the distance of two tokens, learnt for buckets
//! of distances (T5, arXiv 1910.10683).
//!
//! MPNet adds bias[bucket(j - i), head] to the score of query i and key j, with the same
//! [`BUCKETS`, heads] in all its layers. In a sequence of l tokens there are 2l - 1 distances. The
//! forward pass first looks up a head's bias for each of them, [2l - 1]: the row of query i is then
//! l neighbours of these numbers, from l - 1 - i on. The backward pass sums gradients in the same
//! layout and adds up the buckets last.

/// Number of buckets of distances, the second half for keys after their query.
pub const BUCKETS: usize = 32;
/// Distances below this have a bucket each.
const EXACT: usize = 8;

/// The bucket of a key seen from a query, by how many tokens the key comes after it.
///
/// Distances up to 7 have a bucket each; from 8 on, there are two buckets for each doubling, and
/// the last holds all from 91 on (`relative_position_bucket` in Hugging Face's MPNet).
///
/// ```
/// use espalier_kernels::attention::{BUCKETS, bucket};
///
/// assert_eq!([0, -1, -7, -8, -1000].map(bucket), [0, 1, 7, 8, 15]);
/// assert_eq!(bucket(1), BUCKETS / 2 + 1);
/// ```
pub fn bucket(distance: isize) -> usize {
    // From 8 on, bucket k begins at 8 * 2^(k/2): the largest k with 2^k <= (d / 8)^2, in integers.
    let far = distance.unsigned_abs().min(128);
    let near = match far < EXACT {
        true => far,
        false => (EXACT + (far * far / (EXACT * EXACT)).ilog2() as usize).min(BUCKETS / 2 - 1),
    };
    if distance > 0 { BUCKETS / 2 + near } else { near }
}

/// All distances from one token to another in a sequence of `length`.
fn distances(length: usize) -> impl Iterator<Item = isize> {
    1 - length as isize..length as isize
}

/// Looks up the bias [BUCKETS, heads] of one head, if there is any, for all distances in a
/// sequence.
pub(super) fn by_distance(bias: &[f32], heads: usize, head: usize, length: usize, out: &mut [f32]) {
    for (to, distance) in out.iter_mut().zip(distances(length)) {
        *to = bias[bucket(distance) * heads + head];
    }
}

/// Adds the bias, if there is any, to the scores `[l]` of a query.
#[inline(always)]
pub(super) fn add_to_scores(by_distance: &[f32], query: usize, scores: &mut [f32]) {
    if !by_distance.is_empty() {
        let first = scores.len() - 1 - query;
        for (score, bias) in scores.iter_mut().zip(&by_distance[first..]) {
            *score += bias;
        }
    }
}

/// Backward pass of [`add_to_scores`], where the bias is trained: adds the gradient at the scores
/// `[l]` of a query.
#[inline(always)]
pub(super) fn accumulate(d_scores: &[f32], query: usize, d_by_distance: &mut [f32]) {
    if !d_by_distance.is_empty() {
        let first = d_scores.len() - 1 - query;
        for (sum, d) in d_by_distance[first..].iter_mut().zip(d_scores) {
            *sum += d;
        }
    }
}

/// Backward pass of [`by_distance`]: `d_bias` [BUCKETS] of the head.
pub(super) fn sum_buckets(d_by_distance: &[f32], length: usize, d_bias: &mut [f32]) {
    d_bias.fill(0.0);
    for (d, distance) in d_by_distance.iter().zip(distances(length)) {
        d_bias[bucket(distance)] += d;
    }
}
