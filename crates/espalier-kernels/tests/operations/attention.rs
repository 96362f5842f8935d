use crate::oracle;
use crate::support::*;
use espalier_kernels::Bf16;
use espalier_kernels::attention::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

struct Run<E> {
    out: Vec<E>,       // [T, H]
    log_sum: Vec<f32>, // [T, heads]
    d_qkv: Vec<E>,     // [T, 3H]
    d_bias: Vec<f32>,  // [BUCKETS, heads] or nothing; added to ones
}

fn run<E: Stored>(input: AttentionInput<E>, d_out: &[E]) -> Run<E> {
    // NaN shows what is not written.
    let nan = |n| vec![E::from_f32(f32::NAN); n];
    let (mut out, mut d_qkv) = (nan(d_out.len()), nan(input.qkv.len()));
    let mut log_sum = vec![f32::NAN; input.tokens() * input.heads];
    let mut d_bias = vec![1.0; input.relative_bias.len()];
    attention(input, &mut out, &mut log_sum);
    let gradients = AttentionGradients { qkv: &mut d_qkv, relative_bias: &mut d_bias };
    attention_backward(input, &log_sum, d_out, gradients);
    Run { out, log_sum, d_qkv, d_bias }
}

fn check<E: Stored>(lengths: &[usize], heads: usize, head_width: usize, seed: u64) {
    check_at::<E>(lengths, heads, head_width, seed, |_, elements| (0..elements).collect());
}

/// The gradient at a few elements only, since each difference costs two passes.
fn check_long<E: Stored>(lengths: &[usize], heads: usize, head_width: usize, seed: u64) {
    let some = |random: &mut Random, elements| {
        let chosen: BTreeSet<usize> =
            random.below(12, elements).iter().map(|&i| i as usize).collect();
        chosen.into_iter().collect()
    };
    check_at::<E>(lengths, heads, head_width, seed, some);
}

/// Checks the gradient at the elements that `choose` selects of a number of elements.
fn check_at<E: Stored>(
    lengths: &[usize],
    heads: usize,
    head_width: usize,
    seed: u64,
    choose: impl Fn(&mut Random, usize) -> Vec<usize>,
) {
    for buckets in [0, BUCKETS] {
        check_with::<E>(lengths, heads, head_width, buckets, seed, &choose);
    }
}

/// With a bias by relative position of so many buckets; 0 means without one.
fn check_with<E: Stored>(
    lengths: &[usize],
    heads: usize,
    head_width: usize,
    buckets: usize,
    seed: u64,
    choose: impl Fn(&mut Random, usize) -> Vec<usize>,
) {
    let mut random = Random::new(seed);
    let (offsets, width) = (offsets(lengths), heads * head_width);
    let tokens = offsets[lengths.len()];
    let qkv = stored::<E>(&random.spread(tokens * 3 * width, 2.0));
    let d_out = stored::<E>(&random.vec(tokens * width));
    let bias = random.vec(buckets * heads);
    let input = AttentionInput { qkv: &qkv, offsets: &offsets, heads, width, relative_bias: &bias };
    assert_eq!((input.tokens(), input.head_width()), (tokens, head_width));

    let got = run(input, &d_out);
    let forward = |qkv: &[f64], bias: &[f64]| oracle::attention(qkv, bias, &offsets, heads, width);
    let (out, log_sum) = forward(&wide(&qkv), &wide(&bias));
    assert_close("out", &got.out, &out);
    assert_close("log_sum", &got.log_sum, &log_sum);

    let chosen = choose(&mut random, qkv.len());
    let pick = |from: &[E]| chosen.iter().map(|&i| from[i]).collect::<Vec<_>>();
    let loss = |values: &[f64]| {
        let mut moved = wide(&qkv);
        chosen.iter().zip(values).for_each(|(&i, &value)| moved[i] = value);
        oracle::dot(&forward(&moved, &wide(&bias)).0, &wide(&d_out))
    };
    assert_close("d_qkv", &pick(&got.d_qkv), &gradient(&wide(&pick(&qkv)), loss));

    if buckets > 0 {
        let chosen = choose(&mut random, bias.len());
        let pick = |from: &[f32]| chosen.iter().map(|&i| from[i]).collect::<Vec<_>>();
        let loss = |values: &[f64]| {
            let mut moved = wide(&bias);
            chosen.iter().zip(values).for_each(|(&i, &value)| moved[i] = value);
            oracle::dot(&forward(&wide(&qkv), &moved).0, &wide(&d_out))
        };
        let expected = plus(&vec![1.0; chosen.len()], &gradient(&wide(&pick(&bias)), loss));
        assert_close("d_bias", &pick(&got.d_bias), &expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn matches_the_oracle(
        lengths in prop::collection::vec(0usize..9, 1..4),
        heads in 1usize..4, head_width in 1usize..8, seed: u64,
    ) {
        check::<f32>(&lengths, heads, head_width, seed);
        check::<Bf16>(&lengths, heads, head_width, seed);
    }
}

/// One token, which attends to itself; no token; head widths that are not multiples of the vector;
/// sequences around one vector of keys (16) and one block of queries (32).
#[test]
#[cfg_attr(miri, ignore = "slow")]
fn matches_the_oracle_at_odd_sizes() {
    let cases: [(&[usize], usize, usize); 8] = [
        (&[1], 1, 1),
        (&[1], 2, 7),
        (&[17], 2, 5),
        (&[33, 1, 0], 1, 20),
        (&[16, 15], 1, 16),
        (&[2, 31], 1, 33),
        (&[0, 0], 3, 4),
        (&[], 3, 4),
    ];
    for (seed, (lengths, heads, head_width)) in (1..).zip(cases) {
        check::<f32>(lengths, heads, head_width, seed);
        check::<Bf16>(lengths, heads, head_width, seed);
    }
}

/// One head of one small sequence and an empty one: small enough for an interpreter that looks for
/// undefined behaviour.
#[test]
fn attention_small() {
    let lengths = [3, 0, 2];
    on_threads(2, || check::<f32>(&lengths, 2, 2, 5));
    on_threads(2, || check::<Bf16>(&lengths[1..], 2, 3, 6));
}

/// The longest texts of BERT, with tens of head widths.
#[test]
#[cfg_attr(miri, ignore = "slow")]
fn matches_the_oracle_on_long_sequences() {
    check_long::<f32>(&[511], 2, 20, 6);
    check_long::<Bf16>(&[511], 2, 20, 6);
    check_long::<f32>(&[512, 1, 37], 1, 32, 7);
    check_long::<Bf16>(&[1, 512], 1, 32, 8);
}

/// Scores of +-10,000: the largest takes all, nothing overflows.
#[test]
fn large_scores_do_not_overflow() {
    let qkv = [100.0f32, 100.0, 7.0, 100.0, -100.0, 3.0]; // two tokens, H = 1
    let input =
        AttentionInput { qkv: &qkv, offsets: &[0, 2], heads: 1, width: 1, relative_bias: &[] };
    let got = run(input, &[1.0, 1.0]);
    assert_close("out", &got.out, &[7.0, 7.0]);
    assert_close("log_sum", &got.log_sum, &[10_000.0, 10_000.0]);
    assert_close("d_qkv", &got.d_qkv, &[0.0, 0.0, 2.0, 0.0, 0.0, 0.0]);
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn does_not_depend_on_threads_or_neighbours() {
    let mut random = Random::new(7);
    let lengths = [5, 0, 70, 1, 33, 16, 8];
    let (offsets, heads, width) = (offsets(&lengths), 3, 60);
    let tokens = offsets[lengths.len()];
    let (qkv, d_out) = (random.vec(tokens * 3 * width), random.vec(tokens * width));
    let bias = random.vec(BUCKETS * heads);
    let input = AttentionInput { qkv: &qkv, offsets: &offsets, heads, width, relative_bias: &bias };
    assert_independent_of_threads(|| {
        let Run { out, log_sum, d_qkv, d_bias } = run(input, &d_out);
        vec![out, log_sum, d_qkv, d_bias]
    });

    let batch = run(input, &d_out);
    for (bounds, length) in offsets.windows(2).zip(lengths) {
        let rows = |width: usize| bounds[0] * width..bounds[1] * width;
        let one = AttentionInput { qkv: &qkv[rows(3 * width)], offsets: &[0, length], ..input };
        let alone = run(one, &d_out[rows(width)]);
        assert_eq!(bits(&alone.out), bits(&batch.out[rows(width)]));
        assert_eq!(bits(&alone.log_sum), bits(&batch.log_sum[rows(heads)]));
        assert_eq!(bits(&alone.d_qkv), bits(&batch.d_qkv[rows(3 * width)]));
    }
}

#[test]
#[should_panic(expected = "offsets decrease")]
fn refuses_offsets_that_decrease() {
    let (qkv, offsets) = (&[0.0f32; 3], &[0, 2, 1]);
    let input = AttentionInput { qkv, offsets, heads: 1, width: 1, relative_bias: &[] };
    attention(input, &mut [0.0], &mut [0.0]);
}

/// A gradient that is not asked for is not computed; the others are the same.
#[test]
fn a_frozen_bias_changes_no_other_gradient() {
    let mut random = Random::new(9);
    let (qkv, bias, d_out) = (random.vec(5 * 18), random.vec(BUCKETS * 2), random.vec(5 * 6));
    let input =
        AttentionInput { qkv: &qkv, offsets: &[0, 5], heads: 2, width: 6, relative_bias: &bias };
    let trained = run(input, &d_out);
    let mut d_qkv = vec![0.0; 5 * 18];
    let gradients = AttentionGradients { qkv: &mut d_qkv, relative_bias: &mut [] };
    attention_backward(input, &trained.log_sum, &d_out, gradients);
    assert_eq!(bits(&d_qkv), bits(&trained.d_qkv));
}

#[test]
#[should_panic(expected = "shapes do not fit")]
fn refuses_a_bias_of_another_number_of_heads() {
    let (qkv, relative_bias) = (&[0.0f32; 3], &[0.0; 2 * BUCKETS]);
    let input = AttentionInput { qkv, offsets: &[0, 1], heads: 1, width: 1, relative_bias };
    attention(input, &mut [0.0], &mut [0.0]);
}

/// The first distance of each bucket, as relative_position_bucket of transformers' MPNet gives it.
#[test]
fn buckets_begin_where_those_of_mpnet_begin() {
    let first = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91];
    for (near, &start) in first.iter().enumerate() {
        let end = first.get(near + 1).copied().unwrap_or(1000);
        for distance in start..end {
            assert_eq!(bucket(-distance), near);
            if distance > 0 {
                assert_eq!(bucket(distance), BUCKETS / 2 + near);
            }
        }
    }
    assert_eq!((bucket(isize::MIN), bucket(isize::MAX)), (15, 31));
}
