//! A bias of the scores by how far apart two tokens are, learnt for buckets of distances (T5, arXiv
//! 1910.10683).
//!
//! MPNet adds bias[bucket(j - i), head] to the score of query i and key j, with the same
//! [`BUCKETS`, heads] in all its layers. In a sequence of l tokens there are 2l - 1 distances. A
//! head's bias is spread out over them once, [2l - 1]: the row of query i is then l neighbours of
//! these numbers, from l - 1 - i on, and so it is on the way back.

/// Buckets of distances, the second half for keys after their query.
pub const BUCKETS: usize = 32;
/// Distances below this have a bucket each.
const EXACT: usize = 8;

/// The bucket of a key seen from a query, by how many tokens the key comes after it.
///
/// Distances up to 7 have a bucket each; from 8 on, there are two buckets for each doubling, and
/// the last holds all from 91 on.
pub fn bucket(distance: isize) -> usize {
    // The k-th bucket of two to a doubling begins at 8 * 2^(k/2): the largest k with 2^k <= (d /
    // 8)^2, in whole numbers.
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

/// Spreads out the bias [BUCKETS, heads] of one head, if there is any, over the distances in a
/// sequence.
pub(super) fn spread(
    bias: &[f32],
    heads: usize,
    head: usize,
    length: usize,
    by_distance: &mut [f32],
) {
    for (to, distance) in by_distance.iter_mut().zip(distances(length)) {
        *to = bias[bucket(distance) * heads + head];
    }
}

/// Adds to the scores `[l]` of a query their bias, if there is any.
#[inline(always)]
pub(super) fn add(by_distance: &[f32], query: usize, scores: &mut [f32]) {
    if !by_distance.is_empty() {
        let first = scores.len() - 1 - query;
        for (score, bias) in scores.iter_mut().zip(&by_distance[first..]) {
            *score += bias;
        }
    }
}

/// Adds the gradient at the scores `[l]` of a query to that at the bias, if it is asked for.
#[inline(always)]
pub(super) fn accumulate(d_scores: &[f32], query: usize, d_by_distance: &mut [f32]) {
    if !d_by_distance.is_empty() {
        let first = d_scores.len() - 1 - query;
        for (sum, d) in d_by_distance[first..].iter_mut().zip(d_scores) {
            *sum += d;
        }
    }
}

/// The way back of [`spread`]: `d_bias` [BUCKETS] of the head.
pub(super) fn gather(d_by_distance: &[f32], length: usize, d_bias: &mut [f32]) {
    d_bias.fill(0.0);
    for (d, distance) in d_by_distance.iter().zip(distances(length)) {
        d_bias[bucket(distance)] += d;
    }
}
