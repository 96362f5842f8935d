use crate::oracle;
use crate::support::*;
use espalier_kernels::gemm::{Matrix, MatrixMut, Start};
use espalier_kernels::linear::{Linear, linear_parameter_gradients};
use espalier_kernels::lora::{LoraPair, LoraPairMut};
use proptest::prelude::*;

fn check_linear(rows: usize, inputs: usize, outputs: usize, seed: u64) {
    let mut random = Random(seed);
    let (x, dy) = (random.vec(rows * inputs), random.vec(rows * outputs)); // [T, in], [T, out]
    let (weight, bias) = (random.vec(outputs * inputs), random.vec(outputs)); // [out, in], [out]
    let (xw, ww, bw, dyw) = (wide(&x), wide(&weight), wide(&bias), wide(&dy));
    let linear = Linear { weight: &weight, bias: &bias };
    assert_eq!((linear.inputs(), linear.outputs()), (inputs, outputs));

    let mut y = vec![f32::NAN; rows * outputs];
    linear.forward(&x, &mut y);
    assert_close("y", &y, &oracle::linear(&xw, &ww, &bw));

    let loss = |x: &[f64], w: &[f64], b: &[f64]| oracle::dot(&oracle::linear(x, w, b), &dyw);
    let want_dx = gradient(&xw, |x| loss(x, &ww, &bw));
    let mut dx = vec![f32::NAN; rows * inputs];
    linear.input_gradient(&dy, Start::Zero, &mut dx);
    assert_close("dx", &dx, &want_dx);
    let start = random.vec(rows * inputs);
    let mut dx = start.clone();
    linear.input_gradient(&dy, Start::Accumulate, &mut dx);
    assert_close("dx, added", &dx, &plus(&start, &want_dx));

    let (start_w, start_b) = (random.vec(outputs * inputs), random.vec(outputs));
    let (mut dw, mut db) = (start_w.clone(), start_b.clone());
    linear_parameter_gradients(&x, &dy, &mut dw, &mut db);
    assert_close("dW", &dw, &plus(&start_w, &gradient(&ww, |w| loss(&xw, w, &bw))));
    assert_close("db", &db, &plus(&start_b, &gradient(&bw, |b| loss(&xw, &ww, b))));
}

/// The pair's output and gradient are `outputs` columns from `left` on of a matrix `outer` columns wide.
fn check_lora(rows: usize, inputs: usize, outputs: usize, rank: usize, (left, right): (usize, usize), seed: u64) {
    let mut random = Random(seed);
    let outer = left + outputs + right;
    let x = random.vec(rows * inputs); // [T, in]
    let (y_start, dy_outer) = (random.vec(rows * outer), random.vec(rows * outer)); // [T, outer]
    let (a, b) = (random.vec(rank * inputs), random.vec(outputs * rank)); // [r, in], [out, r]
    let pair = LoraPair { a: &a, b: &b, rank, scale: 1.75 };
    let block = |full: &[f64]| -> Vec<f64> {
        full.chunks(outer).flat_map(|row| row[left..left + outputs].to_vec()).collect() // [T, out]
    };

    let (xw, aw, bw, dyw) = (wide(&x), wide(&a), wide(&b), block(&wide(&dy_outer)));
    let adapt = |x: &[f64], a: &[f64], b: &[f64]| oracle::lora(x, a, b, rank, 1.75);
    let mut want = wide(&y_start);
    for (row, added) in want.chunks_mut(outer).zip(adapt(&xw, &aw, &bw).chunks(outputs)) {
        for (y, added) in row[left..].iter_mut().zip(added) {
            *y += added;
        }
    }
    let (mut y, mut down) = (y_start.clone(), vec![f32::NAN; rows * rank]);
    pair.forward(&x, MatrixMut::strided(&mut y[left..], rows, outputs, outer), &mut down);
    assert_close("y", &y, &want); // the other columns too: untouched

    let loss = |x: &[f64], a: &[f64], b: &[f64]| oracle::dot(&adapt(x, a, b), &dyw);
    let (start_a, start_b, start_x) = (random.vec(a.len()), random.vec(b.len()), random.vec(x.len()));
    let (mut da, mut db, mut dx) = (start_a.clone(), start_b.clone(), start_x.clone());
    let dy = Matrix::strided(&dy_outer[left..], rows, outputs, outer);
    let mut d_down = vec![f32::NAN; rows * rank];
    pair.backward(&x, dy, &down, &mut d_down, Some(LoraPairMut { a: &mut da, b: &mut db }), Some(&mut dx));
    assert_close("dA", &da, &plus(&start_a, &gradient(&aw, |a| loss(&xw, a, &bw))));
    assert_close("dB", &db, &plus(&start_b, &gradient(&bw, |b| loss(&xw, &aw, b))));
    assert_close("dx", &dx, &plus(&start_x, &gradient(&xw, |x| loss(x, &aw, &bw))));

    let mut only_dx = start_x;
    pair.backward(&x, dy, &down, &mut d_down, None, Some(&mut only_dx));
    assert_eq!(bits(&only_dx), bits(&dx), "dx of a frozen pair");
    let (mut only_da, mut only_db) = (start_a, start_b);
    pair.backward(&x, dy, &down, &mut d_down, Some(LoraPairMut { a: &mut only_da, b: &mut only_db }), None);
    assert_eq!((bits(&only_da), bits(&only_db)), (bits(&da), bits(&db)), "gradients without dx");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn linear_matches_the_oracle(rows in 0usize..12, inputs in 1usize..20, outputs in 1usize..20, seed: u64) {
        check_linear(rows, inputs, outputs, seed);
    }

    #[test]
    fn lora_matches_the_oracle(
        rows in 1usize..12, inputs in 1usize..20, outputs in 1usize..20, rank in 1usize..9,
        around in (0usize..20, 0usize..20), seed: u64,
    ) {
        check_lora(rows, inputs, outputs, rank, around, seed);
    }
}

/// More outputs than one task sums of the bias gradient (64).
#[test]
fn linear_matches_the_oracle_beyond_one_task() {
    check_linear(5, 3, 150, 1);
}

#[test]
fn does_not_depend_on_threads() {
    let mut random = Random(2);
    let (rows, inputs, outputs) = (130, 70, 200);
    let (x, dy) = (random.vec(rows * inputs), random.vec(rows * outputs));
    let (weight, bias) = (random.vec(outputs * inputs), random.vec(outputs));
    let linear = Linear { weight: &weight, bias: &bias };
    assert_independent_of_threads(|| {
        let (mut y, mut dx) = (vec![0.0; rows * outputs], vec![0.0; rows * inputs]);
        let (mut dw, mut db) = (weight.clone(), bias.clone());
        linear.forward(&x, &mut y);
        linear.input_gradient(&dy, Start::Zero, &mut dx);
        linear_parameter_gradients(&x, &dy, &mut dw, &mut db);
        vec![y, dx, dw, db]
    });
}

#[test]
#[should_panic]
fn refuses_an_input_of_another_width() {
    Linear { weight: &[1.0; 6], bias: &[0.0; 2] }.forward(&[0.0; 8], &mut [0.0; 4]);
}
