//! Backward of linear maps against finite differences of forward.

use crate::oracle;
use crate::support::*;
use espalier_kernels::Bf16;
use espalier_kernels::gemm::{Matrix, Packed};
use espalier_kernels::linear::{GeluBackward, Store, linear, linear_parameter_gradients};
use proptest::prelude::*;

fn check<E: Stored>(rows: usize, inputs: usize, outputs: usize, seed: u64) {
    let mut random = Random::new(seed);
    let x = stored::<E>(&random.vec(rows * inputs)); // [T, in]
    let dy = stored::<E>(&random.vec(rows * outputs)); // [T, out]
    let weight = rounded::<E>(&random.vec(outputs * inputs)); // [out, in]
    let bias = random.vec(outputs);
    let (xw, ww, bw, dyw) = (wide(&x), wide(&weight), wide(&bias), wide(&dy));
    let loss = |x: &[f64], w: &[f64], b: &[f64]| oracle::dot(&oracle::linear(x, w, b), &dyw);

    let back = Packed::new(E::PRECISION, Matrix::new(&weight, outputs, inputs));
    let mut dx = vec![E::from_f32(f32::NAN); rows * inputs];
    linear(&dy, &back, None, &[], Store(&mut dx));
    assert_close("dx", &dx, &gradient(&xw, |x| loss(x, &ww, &bw)));

    // The same where x is GELU(h).
    let hidden = stored::<E>(&random.spread(rows * inputs, 3.0));
    let mut d_hidden = vec![E::from_f32(f32::NAN); rows * inputs];
    linear(&dy, &back, None, &[], GeluBackward { x: &hidden, out: &mut d_hidden });
    assert_close("dh", &d_hidden, &gradient(&wide(&hidden), |h| loss(&oracle::gelu(h), &ww, &bw)));

    let (start_w, start_b) = (random.vec(outputs * inputs), random.vec(outputs));
    let (mut dw, mut db) = (start_w.clone(), start_b.clone());
    linear_parameter_gradients(&x, &dy, &mut dw, &mut db);
    assert_close("dW", &dw, &plus(&start_w, &gradient(&ww, |w| loss(&xw, w, &bw))));
    assert_close("db", &db, &plus(&start_b, &gradient(&bw, |b| loss(&xw, &ww, b))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn match_finite_differences(
        rows in 0usize..12, inputs in 1usize..20, outputs in 1usize..20, seed: u64,
    ) {
        check::<f32>(rows, inputs, outputs, seed);
        check::<Bf16>(rows, inputs, outputs, seed);
    }
}

#[test]
fn linear_gradients_small() {
    check::<f32>(2, 3, 4, 1);
    check::<Bf16>(3, 2, 5, 1);
}

/// More outputs than one task sums of the bias gradient (64).
#[test]
#[cfg_attr(miri, ignore = "slow")]
fn match_finite_differences_beyond_one_task() {
    check::<f32>(5, 3, 150, 2);
    check::<Bf16>(5, 3, 150, 2);
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn do_not_depend_on_threads() {
    let mut random = Random::new(3);
    let (rows, inputs, outputs) = (130, 170, 200);
    let (x, dy) = (random.vec(rows * inputs), random.vec(rows * outputs));
    let (weight, bias) = (random.vec(outputs * inputs), random.vec(outputs));
    assert_independent_of_threads(|| {
        let (mut dw, mut db) = (weight.clone(), bias.clone());
        linear_parameter_gradients(&x, &dy, &mut dw, &mut db);
        let (mut half_dw, mut half_db) = (weight.clone(), bias.clone());
        linear_parameter_gradients(&stored::<Bf16>(&x), &stored(&dy), &mut half_dw, &mut half_db);
        vec![dw, db, half_dw, half_db]
    });
}
