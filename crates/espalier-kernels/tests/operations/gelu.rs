use crate::fixture::{tensor, tensor_f32};
use crate::oracle;
use crate::support::*;
use espalier_kernels::gelu::{gelu, gelu_backward};
use proptest::prelude::*;

fn forward(x: &[f32]) -> Vec<f32> {
    let mut y = vec![f32::NAN; x.len()];
    gelu(x, &mut y);
    y
}

fn backward(x: &[f32], dy: &[f32]) -> Vec<f32> {
    let mut dx = dy.to_vec();
    gelu_backward(x, &mut dx);
    dx
}

proptest! {
    #[test]
    fn matches_the_oracle(n in 0usize..70, seed: u64) {
        let mut random = Random(seed);
        let (x, dy) = (random.spread(n, 6.0), random.vec(n)); // [n]
        assert_close("y", &forward(&x), &oracle::gelu(&wide(&x)));
        let want = gradient(&wide(&x), |x| oracle::dot(&oracle::gelu(x), &wide(&dy)));
        assert_close("dx", &backward(&x, &dy), &want);
    }
}

/// 401 points of -8..8. Left of -5 GELU is a difference of numbers near one: an absolute error of x times the rounding of 1.
#[test]
fn matches_pytorch() {
    let x = tensor_f32("gelu.x");
    for (x, (y, want)) in x.iter().zip(forward(&x).iter().zip(tensor("gelu.y"))) {
        assert!((*y as f64 - want).abs() < 1e-6 * (1.0 + want.abs()), "gelu({x}) is {y}, not {want}");
    }
    let slopes = backward(&x, &vec![1.0; x.len()]);
    for (x, (slope, want)) in x.iter().zip(slopes.iter().zip(tensor("gelu.derivative"))) {
        assert!((*slope as f64 - want).abs() < 2e-6, "gelu'({x}) is {slope}, not {want}");
    }
}

/// Lengths beyond one task's block, with a remainder.
#[test]
fn does_not_depend_on_threads_or_neighbours() {
    let mut random = Random(1);
    let n = 2 * 16 * 1024 + 5;
    let (x, dy) = (random.spread(n, 4.0), random.vec(n));
    assert_independent_of_threads(|| vec![forward(&x), backward(&x, &dy)]);
    let (y, dx) = (forward(&x), backward(&x, &dy));
    for at in [0, 7, 16 * 1024 - 1, 16 * 1024, n - 6] {
        let part = at..at + 6;
        assert_eq!(bits(&y[part.clone()]), bits(&forward(&x[part.clone()])));
        assert_eq!(bits(&dx[part.clone()]), bits(&backward(&x[part.clone()], &dy[part])));
    }
}

#[test]
#[should_panic(expected = "differ in length")]
fn refuses_lengths_that_differ() {
    gelu(&[1.0, 2.0], &mut [0.0]);
}
