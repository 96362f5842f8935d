use crate::oracle;
use crate::support::*;
use espalier_kernels::layer_norm::*;
use proptest::prelude::*;

const EPS: f32 = 1e-5;

/// The output, the normalised sum, the statistics.
fn add_forward(residual: &[f32], branch: &[f32], weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>, Vec<RowStats>) {
    let mut sum = branch.to_vec(); // [T, H]
    let mut out = vec![f32::NAN; sum.len()];
    let mut stats = vec![RowStats::default(); sum.len() / weight.len()];
    add_layer_norm(residual, &mut sum, Norm { weight, bias, eps: EPS }, &mut out, &mut stats);
    (out, sum, stats)
}

fn backward(sum: &[f32], stats: &[RowStats], weight: &[f32], dy: &[f32]) -> Vec<f32> {
    let mut dx = dy.to_vec();
    layer_norm_backward(sum, stats, weight, &mut dx);
    dx
}

/// Gradients of weight and bias, added to `start`.
fn parameter_gradients(sum: &[f32], stats: &[RowStats], dy: &[f32], start: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (mut d_weight, mut d_bias) = (start.to_vec(), start.to_vec());
    layer_norm_parameter_gradients(sum, stats, dy, &mut d_weight, &mut d_bias);
    (d_weight, d_bias)
}

fn check(tokens: usize, width: usize, seed: u64) {
    let mut random = Random(seed);
    let n = tokens * width;
    let (residual, branch, dy) = (random.spread(n, 3.0), random.spread(n, 3.0), random.vec(n)); // [T, H]
    let (weight, bias, start) = (random.vec(width), random.vec(width), random.vec(width)); // [H]
    let (w, b, eps) = (wide(&weight), wide(&bias), EPS as f64);

    let (out, sum, stats) = add_forward(&residual, &branch, &weight, &bias);
    let want_sum: Vec<f64> = residual.iter().zip(&branch).map(|(&r, &s)| r as f64 + s as f64).collect();
    assert_close("sum", &sum, &want_sum);
    // From here on the sum as it was rounded is the input.
    let x = wide(&sum);
    assert_close("out", &out, &oracle::layer_norm(&x, &w, &b, eps));

    let mut alone = vec![f32::NAN; n];
    let mut alone_stats = vec![RowStats::default(); tokens];
    layer_norm(&sum, Norm { weight: &weight, bias: &bias, eps: EPS }, &mut alone, &mut alone_stats);
    assert_eq!((bits(&alone), &alone_stats), (bits(&out), &stats), "with and without the addition");

    let loss = |x: &[f64], w: &[f64], b: &[f64]| oracle::dot(&oracle::layer_norm(x, w, b, eps), &wide(&dy));
    assert_close("dx", &backward(&sum, &stats, &weight, &dy), &gradient(&x, |x| loss(x, &w, &b)));
    let (d_weight, d_bias) = parameter_gradients(&sum, &stats, &dy, &start);
    assert_close("d_weight", &d_weight, &plus(&start, &gradient(&w, |w| loss(&x, w, &b))));
    assert_close("d_bias", &d_bias, &plus(&start, &gradient(&b, |b| loss(&x, &w, b))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Two values or more: one value has variance zero and nothing to say. Two close ones amplify rounding without bound.
    #[test]
    fn matches_the_oracle(tokens in 0usize..20, width in 8usize..40, seed: u64) {
        check(tokens, width, seed);
    }
}

/// Beyond one task's rows (16) and columns (64).
#[test]
fn matches_the_oracle_beyond_one_task() {
    check(33, 70, 2);
}

#[test]
fn one_column_normalises_to_the_bias() {
    let (out, ..) = add_forward(&[1.0, -5.0], &[2.0, 0.5], &[3.0], &[0.25]);
    assert_eq!(out, [0.25, 0.25]);
}

#[test]
fn does_not_depend_on_threads_or_neighbours() {
    let mut random = Random(3);
    let (tokens, width) = (40, 130);
    let (residual, branch) = (random.vec(tokens * width), random.vec(tokens * width));
    let dy = random.vec(tokens * width);
    let (weight, bias) = (random.vec(width), random.vec(width));
    assert_independent_of_threads(|| {
        let (out, sum, stats) = add_forward(&residual, &branch, &weight, &bias);
        let (d_weight, d_bias) = parameter_gradients(&sum, &stats, &dy, &bias);
        vec![out, backward(&sum, &stats, &weight, &dy), sum, d_weight, d_bias]
    });
    let (out, sum, stats) = add_forward(&residual, &branch, &weight, &bias);
    let dx = backward(&sum, &stats, &weight, &dy);
    for row in 0..tokens {
        let one = row * width..(row + 1) * width;
        let (alone, sum, stats) = add_forward(&residual[one.clone()], &branch[one.clone()], &weight, &bias);
        assert_eq!(bits(&alone), bits(&out[one.clone()]));
        assert_eq!(bits(&backward(&sum, &stats, &weight, &dy[one.clone()])), bits(&dx[one]));
    }
    assert_eq!(stats.len(), tokens);
}

#[test]
#[should_panic(expected = "shapes do not fit")]
fn refuses_a_bias_of_another_width() {
    let norm = Norm { weight: &[1.0; 4], bias: &[0.0; 3], eps: EPS };
    layer_norm(&[0.0; 8], norm, &mut [0.0; 8], &mut [RowStats::default(); 2]);
}
