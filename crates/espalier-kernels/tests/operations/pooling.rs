use crate::oracle;
use crate::support::*;
use espalier_kernels::pooling::*;
use proptest::prelude::*;

type Pool = fn(&[f32], &[usize], usize, &mut [f32]);
type PoolOracle = fn(&[f64], &[usize], usize) -> Vec<f64>;

fn check(
    forward: Pool,
    backward: Pool,
    oracle: PoolOracle,
    lengths: &[usize],
    width: usize,
    seed: u64,
) {
    let mut random = Random::new(seed);
    let offsets = offsets(lengths);
    let (tokens, sequences) = (offsets[lengths.len()], lengths.len());
    let (x, d_out) = (random.vec(tokens * width), random.vec(sequences * width)); // [T, H], [n, H]

    let mut out = vec![f32::NAN; sequences * width];
    forward(&x, &offsets, width, &mut out);
    assert_close("out", &out, &oracle(&wide(&x), &offsets, width));

    let mut dx = vec![f32::NAN; tokens * width];
    backward(&d_out, &offsets, width, &mut dx);
    let want = gradient(&wide(&x), |x| oracle::dot(&oracle(x, &offsets, width), &wide(&d_out)));
    assert_close("dx", &dx, &want);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn mean_pool_matches_the_oracle(
        lengths in prop::collection::vec(0usize..7, 1..6), width in 1usize..20, seed: u64,
    ) {
        check(mean_pool, mean_pool_backward, oracle::mean_pool, &lengths, width, seed);
    }

    #[test]
    fn cls_pool_matches_the_oracle(
        lengths in prop::collection::vec(0usize..7, 1..6), width in 1usize..20, seed: u64,
    ) {
        check(cls_pool, cls_pool_backward, oracle::cls_pool, &lengths, width, seed);
    }

    #[test]
    fn l2_normalize_matches_the_oracle(rows in 0usize..6, width in 2usize..40, seed: u64) {
        let mut random = Random::new(seed);
        let (x, d) = (random.spread(rows * width, 5.0), random.vec(rows * width)); // [n, H]
        let (mut unit, mut norms) = (x.clone(), vec![f32::NAN; rows]);
        l2_normalize(&mut unit, width, &mut norms);
        assert_close("unit", &unit, &oracle::l2_normalize(&wide(&x), width));
        let length = |row: &[f64]| oracle::dot(row, row).sqrt();
        let lengths: Vec<f64> = wide(&x).chunks(width).map(length).collect();
        assert_close("norms", &norms, &lengths);

        let mut dx = d.clone();
        l2_normalize_backward(&unit, &norms, width, &mut dx);
        let want = gradient(&wide(&x), |x| oracle::dot(&oracle::l2_normalize(x, width), &wide(&d)));
        assert_close("dx", &dx, &want);
    }
}

#[test]
fn a_zero_vector_stays_zero() {
    let (mut x, mut norms) = ([0.0f32; 5], [0.0f32]);
    l2_normalize(&mut x, 5, &mut norms);
    assert_eq!((x, norms), ([0.0; 5], [1e-12])); // PyTorch's smallest norm
}

#[test]
#[should_panic(expected = "shapes do not fit")]
fn refuses_an_output_of_another_length() {
    mean_pool(&[0.0; 8], &[0, 1, 2], 4, &mut [0.0; 4]);
}
