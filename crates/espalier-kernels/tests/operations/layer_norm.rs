use crate::oracle;
use crate::support::*;
use espalier_kernels::Bf16;
use espalier_kernels::layer_norm::*;
use proptest::prelude::*;

const EPS: f32 = 1e-5;

/// The output and the statistics.
fn forward<E: Stored>(x: &[f32], weight: &[f32], bias: &[f32]) -> (Vec<E>, Vec<RowStats>) {
    let mut out = vec![E::from_f32(f32::NAN); x.len()]; // [T, H]
    let mut stats = vec![RowStats::default(); x.len() / weight.len()];
    layer_norm(x, LayerNorm { weight, bias, eps: EPS }, &mut out, &mut stats);
    (out, stats)
}

/// The gradient, and its copy in the element type.
fn backward<E: Stored>(
    x: &[f32],
    stats: &[RowStats],
    weight: &[f32],
    dy: &[f32],
) -> (Vec<f32>, Vec<E>) {
    let (mut dx, mut copy) = (dy.to_vec(), vec![E::from_f32(f32::NAN); dy.len()]);
    layer_norm_backward(SavedLayerNorm { input: x, stats }, weight, &mut dx, &mut copy);
    (dx, copy)
}

/// Gradients of weight and bias, added to `start`.
fn parameter_gradients(
    x: &[f32],
    stats: &[RowStats],
    dy: &[f32],
    start: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let (mut d_weight, mut d_bias) = (start.to_vec(), start.to_vec());
    let saved = SavedLayerNorm { input: x, stats };
    layer_norm_parameter_gradients(saved, dy, &mut d_weight, &mut d_bias);
    (d_weight, d_bias)
}

fn check<E: Stored>(tokens: usize, width: usize, seed: u64) {
    let mut random = Random::new(seed);
    let (x, dy) = (random.spread(tokens * width, 3.0), random.vec(tokens * width)); // [T, H]
    let (weight, bias, start) = (random.vec(width), random.vec(width), random.vec(width)); // [H]
    let (xw, w, b, eps) = (wide(&x), wide(&weight), wide(&bias), EPS as f64);

    let (out, stats) = forward::<E>(&x, &weight, &bias);
    assert_close("out", &out, &oracle::layer_norm(&xw, &w, &b, eps));

    let loss = |x: &[f64], w: &[f64], b: &[f64]| {
        oracle::dot(&oracle::layer_norm(x, w, b, eps), &wide(&dy))
    };
    let (dx, copy) = backward::<E>(&x, &stats, &weight, &dy);
    assert_close("dx", &dx, &gradient(&xw, |x| loss(x, &w, &b)));
    assert_eq!(bits(&copy), bits(&stored::<E>(&dx)), "the copy");
    let (d_weight, d_bias) = parameter_gradients(&x, &stats, &dy, &start);
    assert_close("d_weight", &d_weight, &plus(&start, &gradient(&w, |w| loss(&xw, w, &b))));
    assert_close("d_bias", &d_bias, &plus(&start, &gradient(&b, |b| loss(&xw, &w, b))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Eight values or more: a single one has variance zero, and a few close ones amplify rounding
    /// without bound.
    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn matches_the_oracle(tokens in 0usize..20, width in 8usize..40, seed: u64) {
        check::<f32>(tokens, width, seed);
        check::<Bf16>(tokens, width, seed);
    }
}

/// Beyond one task's rows (16) and columns (64).
#[test]
#[cfg_attr(miri, ignore = "slow")]
fn matches_the_oracle_beyond_one_task() {
    check::<f32>(33, 70, 2);
    check::<Bf16>(33, 70, 2);
}

#[test]
fn layer_norm_small() {
    check::<f32>(2, 9, 4);
    check::<Bf16>(1, 17, 5);
}

#[test]
fn one_column_normalises_to_the_bias() {
    let (out, _) = forward::<f32>(&[3.0, -4.5], &[3.0], &[0.25]);
    assert_eq!(out, [0.25, 0.25]);
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn does_not_depend_on_threads_or_neighbours() {
    let mut random = Random::new(3);
    let (tokens, width) = (40, 130);
    let (x, dy) = (random.vec(tokens * width), random.vec(tokens * width));
    let (weight, bias) = (random.vec(width), random.vec(width));
    assert_independent_of_threads(|| {
        let (out, stats) = forward(&x, &weight, &bias);
        let (dx, copy) = backward(&x, &stats, &weight, &dy);
        let (d_weight, d_bias) = parameter_gradients(&x, &stats, &dy, &bias);
        vec![out, dx, copy, d_weight, d_bias]
    });
    let (out, stats) = forward::<f32>(&x, &weight, &bias);
    let (dx, _) = backward::<f32>(&x, &stats, &weight, &dy);
    for (row, &of_batch) in stats.iter().enumerate() {
        let one = row * width..(row + 1) * width;
        let (alone, stats) = forward::<f32>(&x[one.clone()], &weight, &bias);
        assert_eq!((bits(&alone), stats[0]), (bits(&out[one.clone()]), of_batch));
        let (alone, _) = backward::<f32>(&x[one.clone()], &stats, &weight, &dy[one.clone()]);
        assert_eq!(bits(&alone), bits(&dx[one]));
    }
}

#[test]
#[should_panic(expected = "shapes do not fit")]
fn refuses_a_bias_of_another_width() {
    let norm = LayerNorm { weight: &[1.0; 4], bias: &[0.0; 3], eps: EPS };
    layer_norm(&[0.0; 8], norm, &mut [0.0f32; 8], &mut [RowStats::default(); 2]);
}

#[test]
#[should_panic(expected = "shapes do not fit")]
fn refuses_a_copy_of_another_length() {
    let saved = SavedLayerNorm { input: &[0.0; 8], stats: &[RowStats::default(); 2] };
    layer_norm_backward(saved, &[1.0; 4], &mut [0.0; 8], &mut [0.0f32; 7]);
}
