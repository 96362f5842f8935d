//! GELU as part of a product, here with the weight 1, which changes nothing. The separate backward
//! must give the same.

use crate::oracle;
use crate::support::*;
use espalier_kernels::gelu::gelu_backward;
use espalier_kernels::gemm::{Matrix, Packed};
use espalier_kernels::linear::{Gelu, GeluBackward, linear};
use espalier_kernels::{Bf16, Element};
use proptest::prelude::*;

fn one<E: Element>() -> Packed {
    Packed::new(E::PRECISION, Matrix::new(&[1.0], 1, 1))
}

fn forward<E: Stored>(x: &[E]) -> Vec<E> {
    let mut y = vec![E::from_f32(f32::NAN); x.len()];
    linear(x, &one::<E>(), None, &[], Gelu { y: None, out: &mut y });
    y
}

fn backward<E: Stored>(x: &[E], dy: &[E]) -> Vec<E> {
    let mut dx = vec![E::from_f32(f32::NAN); dy.len()];
    linear(dy, &one::<E>(), None, &[], GeluBackward { x, out: &mut dx });
    dx
}

fn check<E: Stored>(n: usize, seed: u64) {
    let mut random = Random::new(seed);
    let (x, dy) = (rounded::<E>(&random.spread(n, 6.0)), rounded::<E>(&random.vec(n))); // [n]
    assert_close("y", &forward(&stored::<E>(&x)), &oracle::gelu(&wide(&x)));
    let want = gradient(&wide(&x), |x| oracle::dot(&oracle::gelu(x), &wide(&dy)));
    assert_close("dx", &backward(&stored::<E>(&x), &stored::<E>(&dy)), &want);
}

proptest! {
    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn matches_the_oracle(n in 0usize..70, seed: u64) {
        check::<f32>(n, seed);
        check::<Bf16>(n, seed);
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn the_separate_backward_is_that_of_a_product(n in 0usize..70, seed: u64) {
        let mut random = Random::new(seed);
        let (x, mut dy) = (random.spread(n, 6.0), random.vec(n)); // [n]
        let want = backward(&x, &dy);
        gelu_backward(&x, &mut dy);
        prop_assert_eq!(dy, want);
    }
}

/// 401 points of -8..8. Left of -5 GELU is a difference of numbers near one: an absolute error of x
/// times the rounding of 1.
#[test]
#[cfg_attr(miri, ignore = "reads a file")]
fn matches_pytorch() {
    let x = tensor_f32("gelu.x");
    for (x, (y, want)) in x.iter().zip(forward::<f32>(&x).iter().zip(tensor("gelu.y"))) {
        assert!(
            (*y as f64 - want).abs() < 1e-6 * (1.0 + want.abs()),
            "gelu({x}) is {y}, not {want}"
        );
    }
    let slopes = backward(&x, &vec![1.0; x.len()]);
    for (x, (slope, want)) in x.iter().zip(slopes.iter().zip(tensor("gelu.derivative"))) {
        assert!((*slope as f64 - want).abs() < 2e-6, "gelu'({x}) is {slope}, not {want}");
    }
}
