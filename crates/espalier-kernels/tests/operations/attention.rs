use crate::oracle;
use crate::support::*;
use espalier_kernels::attention::*;
use proptest::prelude::*;

struct Run {
    out: Vec<f32>,     // [T, H]
    log_sum: Vec<f32>, // [T, heads]
    d_qkv: Vec<f32>,   // [T, 3H]
}

fn run(qkv: &[f32], d_out: &[f32], shape: AttentionShape) -> Run {
    // NaN shows what is not written.
    let mut out = vec![f32::NAN; d_out.len()];
    let mut log_sum = vec![f32::NAN; shape.tokens() * shape.heads];
    let mut d_qkv = vec![f32::NAN; qkv.len()];
    attention(qkv, shape, &mut out, &mut log_sum);
    attention_backward(AttentionForward { qkv, log_sum: &log_sum }, shape, d_out, &mut d_qkv);
    Run { out, log_sum, d_qkv }
}

fn check(lengths: &[usize], heads: usize, head_width: usize, seed: u64) {
    let mut random = Random(seed);
    let (offsets, width) = (offsets(lengths), heads * head_width);
    let shape = AttentionShape { offsets: &offsets, heads, width };
    assert_eq!((shape.tokens(), shape.head_width()), (offsets[lengths.len()], head_width));
    let (qkv, d_out) = (random.spread(shape.tokens() * 3 * width, 2.0), random.vec(shape.tokens() * width));

    let got = run(&qkv, &d_out, shape);
    let forward = |qkv: &[f64]| oracle::attention(qkv, &offsets, heads, width);
    let (out, log_sum) = forward(&wide(&qkv));
    assert_close("out", &got.out, &out);
    assert_close("log_sum", &got.log_sum, &log_sum);
    assert_close("d_qkv", &got.d_qkv, &gradient(&wide(&qkv), |qkv| oracle::dot(&forward(qkv).0, &wide(&d_out))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn matches_the_oracle(
        lengths in prop::collection::vec(0usize..9, 1..4), heads in 1usize..4, head_width in 1usize..8, seed: u64,
    ) {
        check(&lengths, heads, head_width, seed);
    }
}

/// Head widths that are not multiples of the vector, sequences around one vector of keys (16) and one block of queries (32).
#[test]
fn matches_the_oracle_at_odd_sizes() {
    check(&[17], 2, 5, 1);
    check(&[33, 1, 0], 1, 20, 2);
    check(&[16, 15], 1, 16, 3);
    check(&[0, 0], 3, 4, 4);
}

/// One head of one small sequence and an empty one: small enough for an interpreter that looks for undefined behaviour.
#[test]
fn attention_small() {
    let lengths = [3, 0, 2];
    on_threads(2, || check(&lengths, 2, 2, 5));
}

/// The longest texts of BERT, with tens of head widths; the gradient at a few elements, since each difference costs two passes.
#[test]
fn matches_the_oracle_on_long_sequences() {
    let mut random = Random(6);
    for (lengths, heads, head_width) in [(vec![511], 2, 20), (vec![512, 1, 37], 1, 32)] {
        let (offsets, width) = (offsets(&lengths), heads * head_width);
        let shape = AttentionShape { offsets: &offsets, heads, width };
        let (qkv, d_out) = (random.spread(shape.tokens() * 3 * width, 2.0), random.vec(shape.tokens() * width));
        let got = run(&qkv, &d_out, shape);
        let forward = |qkv: &[f64]| oracle::attention(qkv, &offsets, heads, width);
        let (out, log_sum) = forward(&wide(&qkv));
        assert_close("out", &got.out, &out);
        assert_close("log_sum", &got.log_sum, &log_sum);

        let some: Vec<usize> = random.below(12, qkv.len()).iter().map(|&i| i as usize).collect();
        let at = |values: &[f64]| {
            let mut moved = wide(&qkv);
            some.iter().zip(values).for_each(|(&i, &value)| moved[i] = value);
            oracle::dot(&forward(&moved).0, &wide(&d_out))
        };
        let want = gradient(&some.iter().map(|&i| qkv[i] as f64).collect::<Vec<_>>(), at);
        assert_close("d_qkv", &some.iter().map(|&i| got.d_qkv[i]).collect::<Vec<_>>(), &want);
    }
}

/// Scores of +-10,000: the largest takes all, nothing overflows.
#[test]
fn large_scores_do_not_overflow() {
    let qkv = [100.0, 100.0, 7.0, 100.0, -100.0, 3.0]; // two tokens, H = 1
    let got = run(&qkv, &[1.0, 1.0], AttentionShape { offsets: &[0, 2], heads: 1, width: 1 });
    assert_close("out", &got.out, &[7.0, 7.0]);
    assert_close("log_sum", &got.log_sum, &[10_000.0, 10_000.0]);
    assert_close("d_qkv", &got.d_qkv, &[0.0, 0.0, 2.0, 0.0, 0.0, 0.0]);
}

#[test]
fn does_not_depend_on_threads_or_neighbours() {
    let mut random = Random(7);
    let lengths = [5, 0, 70, 1, 33, 16, 8];
    let (offsets, heads, width) = (offsets(&lengths), 3, 60);
    let shape = AttentionShape { offsets: &offsets, heads, width };
    let (qkv, d_out) = (random.vec(shape.tokens() * 3 * width), random.vec(shape.tokens() * width));
    assert_independent_of_threads(|| {
        let Run { out, log_sum, d_qkv } = run(&qkv, &d_out, shape);
        vec![out, log_sum, d_qkv]
    });

    let batch = run(&qkv, &d_out, shape);
    for (bounds, length) in offsets.windows(2).zip(lengths) {
        let rows = |width: usize| bounds[0] * width..bounds[1] * width;
        let shape = AttentionShape { offsets: &[0, length], heads, width };
        let alone = run(&qkv[rows(3 * width)], &d_out[rows(width)], shape);
        assert_eq!(bits(&alone.out), bits(&batch.out[rows(width)]));
        assert_eq!(bits(&alone.log_sum), bits(&batch.log_sum[rows(heads)]));
        assert_eq!(bits(&alone.d_qkv), bits(&batch.d_qkv[rows(3 * width)]));
    }
}

#[test]
#[should_panic(expected = "offsets decrease")]
fn refuses_offsets_that_decrease() {
    let shape = AttentionShape { offsets: &[0, 2, 1], heads: 1, width: 1 };
    attention(&[0.0; 3], shape, &mut [0.0], &mut [0.0]);
}
