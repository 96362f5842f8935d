//! The same operations, slow, obvious and in f64.

use std::ops::Range;

pub fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum(); // to 2e-17
    }
    // 2/sqrt(pi) e^(-x^2) sum of 2^n x^(2n+1) / (2n+1)!!: all terms of one sign, so nothing
    // cancels.
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / (2 * n + 1) as f64;
        sum += term;
    }
    sum * (-x * x).exp() * 2.0 / std::f64::consts::PI.sqrt()
}

pub fn gelu(x: &[f64]) -> Vec<f64> {
    x.iter().map(|&x| 0.5 * x * (1.0 + erf(x / 2f64.sqrt()))).collect()
}

/// x [T, H], weight and bias [H] -> [T, H].
pub fn layer_norm(x: &[f64], weight: &[f64], bias: &[f64], eps: f64) -> Vec<f64> {
    let width = weight.len();
    let mut out = Vec::new();
    for row in x.chunks(width) {
        let mean = row.iter().sum::<f64>() / width as f64;
        let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
        out.extend(
            (0..width).map(|c| (row[c] - mean) / (variance + eps).sqrt() * weight[c] + bias[c]),
        );
    }
    out
}

/// x [T, in], weight [out, in], bias [out] -> [T, out].
pub fn linear(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let inputs = weight.len() / bias.len();
    let mut y = Vec::new();
    for row in x.chunks(inputs) {
        y.extend(weight.chunks(inputs).zip(bias).map(|(w, b)| dot(row, w) + b));
    }
    y
}

/// x [T, in], a [r, in], b [out, r] -> scale x a^T b^T, [T, out].
pub fn lora(x: &[f64], a: &[f64], b: &[f64], rank: usize, scale: f64) -> Vec<f64> {
    let down = linear(x, a, &vec![0.0; rank]); // [T, r]
    linear(&down, b, &vec![0.0; b.len() / rank]).iter().map(|y| scale * y).collect()
}

/// Adds down [rows, r] up [r, columns] to a block of y [T, `width`].
pub fn add_low_rank(
    y: &mut [f64],
    width: usize,
    (rows, columns): (Range<usize>, Range<usize>),
    down: &[f64],
    up: &[f64],
) {
    for (i, row) in rows.clone().enumerate() {
        for (j, column) in columns.clone().enumerate() {
            let rank = down.len() / rows.len();
            y[row * width + column] +=
                (0..rank).map(|r| down[i * rank + r] * up[r * columns.len() + j]).sum::<f64>();
        }
    }
}

/// The bucket of the distance from a query to a key, by the formula of T5's authors, for 32 buckets
/// and distances up to 128.
fn bucket(query: usize, key: usize) -> usize {
    let distance = query.abs_diff(key);
    let far = 8.0 + (distance as f64 / 8.0).ln() / 16f64.ln() * 8.0;
    let near = if distance < 8 { distance } else { (far + 1e-9).min(15.0) as usize };
    if key > query { 16 + near } else { near }
}

/// qkv [T, 3H], bias [32, heads] or nothing -> out [T, H] and the log-sum-exp of the scores, [T,
/// heads].
pub fn attention(
    qkv: &[f64],
    bias: &[f64],
    offsets: &[usize],
    heads: usize,
    width: usize,
) -> (Vec<f64>, Vec<f64>) {
    let d = width / heads;
    let tokens = offsets[offsets.len() - 1];
    let (mut out, mut log_sum) = (vec![0.0; tokens * width], vec![0.0; tokens * heads]);
    for bounds in offsets.windows(2) {
        for head in 0..heads {
            // Part 0 is the query, 1 the key, 2 the value: [d].
            let part = |part: usize, token: usize| {
                &qkv[token * 3 * width + part * width + head * d..][..d]
            };
            for i in bounds[0]..bounds[1] {
                let keys = bounds[0]..bounds[1];
                let bias = |j| bias.get(bucket(i, j) * heads + head).unwrap_or(&0.0);
                let weight = |j| (dot(part(0, i), part(1, j)) / (d as f64).sqrt() + bias(j)).exp();
                let weights: Vec<f64> = keys.clone().map(weight).collect(); // [l]
                let sum: f64 = weights.iter().sum();
                log_sum[i * heads + head] = sum.ln();
                for (j, weight) in keys.zip(weights) {
                    for c in 0..d {
                        out[i * width + head * d + c] += weight / sum * part(2, j)[c];
                    }
                }
            }
        }
    }
    (out, log_sum)
}

/// words [vocabulary, H], positions [longest, H], token_type [H] or nothing -> [T, H].
pub fn embed(
    width: usize,
    words: &[f64],
    positions: &[f64],
    token_type: &[f64],
    ids: &[u32],
    at: &[u32],
) -> Vec<f64> {
    let mut out = Vec::new();
    for (&id, &at) in ids.iter().zip(at) {
        let (id, at) = (id as usize, at as usize);
        let kind = |c| token_type.get(c).copied().unwrap_or(0.0);
        out.extend((0..width).map(|c| words[id * width + c] + positions[at * width + c] + kind(c)));
    }
    out
}

/// x [T, H] -> the mean row of each sequence, [n, H].
pub fn mean_pool(x: &[f64], offsets: &[usize], width: usize) -> Vec<f64> {
    let mut out = vec![0.0; (offsets.len() - 1) * width];
    for (s, bounds) in offsets.windows(2).enumerate() {
        for t in bounds[0]..bounds[1] {
            for c in 0..width {
                out[s * width + c] += x[t * width + c] / (bounds[1] - bounds[0]) as f64;
            }
        }
    }
    out
}

/// x [T, H] -> the first row of each sequence, [n, H].
pub fn cls_pool(x: &[f64], offsets: &[usize], width: usize) -> Vec<f64> {
    let mut out = vec![0.0; (offsets.len() - 1) * width];
    for (s, bounds) in offsets.windows(2).enumerate().filter(|(_, bounds)| bounds[0] < bounds[1]) {
        out[s * width..][..width].copy_from_slice(&x[bounds[0] * width..][..width]);
    }
    out
}

/// Each row of x [n, H], divided by its length; a zero row stays zero.
pub fn l2_normalize(x: &[f64], width: usize) -> Vec<f64> {
    x.chunks(width)
        .flat_map(|row| row.iter().map(|v| v / dot(row, row).sqrt().max(1e-12)))
        .collect()
}

/// scores [n, C] -> mean of ln(sum of exp(scores)) - score of the target, over the rows that have
/// one.
pub fn cross_entropy(scores: &[f64], targets: &[Option<u32>], classes: usize) -> f64 {
    let rows = scores
        .chunks(classes)
        .zip(targets)
        .filter_map(|(row, target)| Some((row, (*target)? as usize)));
    let losses: Vec<f64> = rows
        .map(|(row, target)| row.iter().map(|s| s.exp()).sum::<f64>().ln() - row[target])
        .collect();
    losses.iter().sum::<f64>() / losses.len().max(1) as f64
}

/// Mean of -ln sigmoid(s) where the target is true, of -ln (1 - sigmoid(s)) where it is false.
pub fn binary_cross_entropy(scores: &[f64], targets: &[bool]) -> f64 {
    let loss =
        |(s, &target): (&f64, &bool)| if target { (-s).exp().ln_1p() } else { s.exp().ln_1p() };
    scores.iter().zip(targets).map(loss).sum::<f64>() / scores.len().max(1) as f64
}

pub fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}
