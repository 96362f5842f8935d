//! Bytes against the scheme that `gemm/quantize.rs` documents, recomputed in f64.

use crate::lines::{lines, shapes};
use crate::product;
use espalier_kernels::gemm::{Kernel, Matrix, Packed};
use espalier_kernels::{Bf16, Precision};
use espalier_testing::compare::bits;
use espalier_testing::random::{Random, stored};
use proptest::prelude::*;
use std::ops::RangeInclusive;

/// A line of numbers after quantisation.
struct Quantized {
    /// Distance between two numbers that bytes can express.
    step: f64,
    /// Each number in steps, as an integer.
    values: Vec<f64>,
    /// 1 for each number so close to the middle of two levels that f32 may choose the other one;
    /// otherwise 0.
    doubts: Vec<f64>,
}

impl Quantized {
    /// s (u - z), u in 0..=255, such that the smallest number, the largest and zero are exact.
    fn activations(row: &[f32]) -> Self {
        let extreme =
            |pick: fn(f64, f64) -> f64| row.iter().fold(0.0, |extreme, &x| pick(extreme, x.into()));
        let (lowest, highest) = (extreme(f64::min), extreme(f64::max));
        Self::of(row, (highest - lowest) / 255.0, lowest, 0.0..=255.0)
    }

    /// s q, q in -127..=127, such that the positive values of two neighbours sum to at most 127,
    /// and the negative ones to at least -127.
    fn weights(column: &[f32]) -> Self {
        let above = |sign: f64| {
            column
                .chunks(2)
                .map(move |pair| pair.iter().map(|&w| (sign * f64::from(w)).max(0.0)).sum())
        };
        let largest = above(1.0).chain(above(-1.0)).fold(0.0, f64::max);
        Self::of(column, largest / 127.0, 0.0, -127.0..=127.0)
    }

    /// `lowest`: the number at level zero, except for rounding; `levels`: the range of a byte.
    ///
    /// A level of at most 255 is in f32 a product with an inverse (four roundings of 2^-24) and a
    /// sum (a half unit of the last place below 256, 2^-17, and once more for the product): off by
    /// at most 255 * 4 * 2^-24 + 2 * 2^-17 < 1e-4.
    fn of(numbers: &[f32], step: f64, lowest: f64, levels: RangeInclusive<f64>) -> Self {
        let steps = |x: f64| if step > 0.0 { x / step } else { 0.0 };
        let zero = steps(-lowest).round();
        let level = |x: &f32| steps(f64::from(*x)) + zero;
        let value = |x| level(x).round().clamp(*levels.start(), *levels.end()) - zero;
        let doubt = |x| f64::from((level(x) - level(x).floor() - 0.5).abs() < 1e-4);
        Self {
            step,
            values: numbers.iter().map(value).collect(),
            doubts: numbers.iter().map(doubt).collect(),
        }
    }
}

/// The product of a row and a column, and how far from it a product of bytes may be: the effect of
/// doubtful levels on the sum, and at most seven roundings of 2^-24: the step of the row (two) and
/// of the column (one), the sum of products of bytes as f32 (one) and their product (two), plus one
/// for terms of second order.
fn model(row: &Quantized, column: &Quantized) -> (f64, f64) {
    let (mut sum, mut doubt) = (0.0, 0.0);
    for p in 0..row.values.len() {
        let (x, w) = (row.values[p], column.values[p]);
        let (dx, dw) = (row.doubts[p], column.doubts[p]);
        sum += x * w;
        doubt += dx * w.abs() + x.abs() * dw + dx * dw;
    }
    let unit = row.step * column.step;
    (unit * sum, unit * (doubt + (sum.abs() + doubt) * 7.0 / (1u64 << 24) as f64))
}

/// How far a sum of products moves when each number moves by half a step:
/// (x + s/2)(w + t/2) - x w.
fn half_steps(row: (&[f32], f64), column: (&[f32], f64)) -> f64 {
    let (s, t) = (0.5 * row.1, 0.5 * column.1);
    row.0
        .iter()
        .zip(column.0)
        .map(|(x, w)| f64::from(x.abs()) * t + s * f64::from(w.abs()) + s * t)
        .sum()
}

/// Checks x W^T, x [m, k], W [n, k]; all kernels agree to the bit, because their sums are exact.
fn check([m, n, k]: [usize; 3], x: &[f32], w: &[f32]) {
    let by = |kernel| {
        let packed = Packed::with_kernel(kernel, Precision::Int8, Matrix::new(w, n, k).t());
        product(Matrix::new(x, m, k), &packed)
    };
    let got = by(Kernel::Portable);
    for &kernel in Kernel::available(Precision::Int8) {
        assert_eq!(bits(&by(kernel)), bits(&got), "{kernel:?} {m}x{n}x{k}");
    }
    let rows: Vec<_> = x.chunks(k).map(Quantized::activations).collect();
    let columns: Vec<_> = w.chunks(k).map(Quantized::weights).collect();
    for (i, got) in got.chunks(n).enumerate() {
        for (j, &got) in got.iter().enumerate() {
            let (want, bound) = model(&rows[i], &columns[j]);
            let error = (f64::from(got) - want).abs();
            assert!(error <= bound, "{m}x{n}x{k} at ({i}, {j}): {got} is not {want} +- {bound}");

            let (row, column) = (&x[i * k..][..k], &w[j * k..][..k]);
            let exact: f64 =
                row.iter().zip(column).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
            let steps = half_steps((row, rows[i].step), (column, columns[j].step));
            // The error of the levels, as above, is 1e-4 of a step.
            let error = (f64::from(got) - exact).abs();
            assert!(
                error <= steps * 1.001 + bound,
                "{m}x{n}x{k} at ({i}, {j}): {got} for {exact} +- {steps}"
            );
        }
    }
}

fn check_lines([m, n, k]: [usize; 3], seed: u64) {
    let mut random = Random::new(seed);
    check([m, n, k], &lines(m, k, &mut random), &lines(n, k, &mut random));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn match_the_documented_scheme(shape in shapes(), seed: u64) {
        check_lines(shape, seed);
    }

    /// Weights that are the identity are exact in bytes, and show the quantised activations;
    /// activations that are the identity are exact too, and show the quantised weights.
    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn levels_are_the_nearest(count in 1usize..20, length in 1usize..80, seed: u64) {
        let numbers = lines(count, length, &mut Random::new(seed));
        let mut identity = vec![0.0; length * length];
        identity.iter_mut().step_by(length + 1).for_each(|one| *one = 1.0);
        let rows = Matrix::new(&numbers, count, length);
        let identity = Matrix::new(&identity, length, length);
        let pack = |weights: Matrix| Packed::new(Precision::Int8, weights.t());
        let activations = product(rows, &pack(identity)); // [count, length]
        let weights = product(identity, &pack(rows)); // [length, count]
        for (i, line) in numbers.chunks(length).enumerate() {
            let nearest =
                |got: f32, x: f32, step: f64| (f64::from(got) - f64::from(x)).abs() <= 0.501 * step;
            let (row, column) = (Quantized::activations(line), Quantized::weights(line));
            for (p, &x) in line.iter().enumerate() {
                let (activation, weight) = (activations[i * length + p], weights[p * count + i]);
                prop_assert!(nearest(activation, x, row.step), "activation {x}: {activation}");
                prop_assert!(nearest(weight, x, column.step), "weight {x}: {weight}");
                prop_assert!(x != 0.0 || (activation == 0.0 && weight == 0.0), "zero is exact");
            }
        }
    }
}

#[test]
fn small_products_of_bytes() {
    check_lines([5, 9, 3], 1);
}

/// u = 255, and q = +-64 everywhere, or +-127 next to a zero or the other sign: the largest
/// possible pairs of products.
#[test]
#[cfg_attr(miri, ignore = "slow")]
fn the_largest_bytes_do_not_overflow() {
    let (n, k) = (17, 5000);
    let (x, mut w) = (vec![1.0; 3 * k], vec![1.0; n * k]);
    w[..4 * k].fill(-1.0);
    w[4 * k..8 * k].iter_mut().step_by(2).for_each(|w| *w = -1.0);
    w[8 * k..12 * k].iter_mut().step_by(2).for_each(|w| *w = 0.0);
    check([3, n, k], &x, &w);
    check([3, n, k], &x.iter().map(|x| -x).collect::<Vec<_>>(), &w); // u = 0, z = 255
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn rows_and_weights_of_zeros_give_zeros() {
    let (n, k) = (19, 7);
    let mut random = Random::new(4);
    let (mut x, mut w) = (random.vec(3 * k), random.vec(n * k));
    x[k..2 * k].fill(0.0);
    w[5 * k..6 * k].fill(0.0);
    for &kernel in Kernel::available(Precision::Int8) {
        let packed = Packed::with_kernel(kernel, Precision::Int8, Matrix::new(&w, n, k).t());
        let got = product(Matrix::new(&x, 3, k), &packed);
        for (i, got) in got.iter().enumerate() {
            assert_eq!(*got == 0.0, i / n == 1 || i % n == 5, "{kernel:?} element {i}: {got}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn bf16_activations_are_quantised_like_f32_ones() {
    let (m, n, k) = (33, 50, 70);
    let mut random = Random::new(5);
    let (x, w) = (stored::<Bf16>(&lines(m, k, &mut random)), lines(n, k, &mut random));
    let packed = Packed::new(Precision::Int8, Matrix::new(&w, n, k).t());
    let widened: Vec<f32> = x.iter().map(|x| x.to_f32()).collect();
    assert_eq!(
        bits(&product(Matrix::new(&x, m, k), &packed)),
        bits(&product(Matrix::new(&widened, m, k), &packed))
    );
}

#[test]
#[should_panic(expected = "bytes are made of weights")]
fn refuse_weights_that_are_not_transposed() {
    Packed::new(Precision::Int8, Matrix::new(&[0.0; 6], 2, 3));
}

#[test]
#[should_panic(expected = "rows of activations are contiguous")]
fn refuse_transposed_activations() {
    let packed = Packed::new(Precision::Int8, Matrix::new(&[0.0; 6], 3, 2).t());
    product(Matrix::new(&[0.0f32; 6], 2, 3).t(), &packed);
}
