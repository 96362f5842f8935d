//! f32 and bf16 against sums in f64.

use crate::lines::{lines, shapes};
use crate::product;
use espalier_kernels::gemm::{Kernel, Matrix, Packed};
use espalier_kernels::{Bf16, Precision};
use espalier_testing::compare::bits;
use espalier_testing::random::{Random, stored};
use proptest::prelude::*;

/// Largest relative error of rounding to bfloat16, which has eight significant bits.
const BF16_ROUNDING: f64 = 1.0 / 256.0;

fn as_bf16(x: f32) -> f32 {
    Bf16::from_f32(x).to_f32()
}

/// Checks x W^T, x [m, k], W [n, k], by every kernel of a precision.
///
/// A product of two bf16 is exact in f32; with a fused multiply-add so is one of two f32, otherwise
/// it is rounded. Then k - 1 additions (the first, to zero, is exact), each of which rounds, so
/// that whatever their order each product takes part in at most k roundings of 2^-24, and the sum
/// is wrong by at most 1.01 k 2^-24 of the sum of the products' absolute values (Higham, Accuracy
/// and Stability of Numerical Algorithms, lemma 3.1 and section 3.1).
///
/// Compared with the numbers before rounding, each product has an additional relative error of
/// (1 + 2^-8)^2 - 1.
fn check(precision: Precision, [m, n, k]: [usize; 3], x: &[f32], w: &[f32]) {
    let (rounded, rounding): (fn(f32) -> f32, f64) = match precision {
        Precision::F32 => (|x| x, 0.0),
        _ => (as_bf16, (1.0 + BF16_ROUNDING).powi(2) - 1.0),
    };
    let sums = 1.01 * k as f64 / (1u64 << 24) as f64;
    for &kernel in Kernel::available(precision) {
        let packed = Packed::with_kernel(kernel, precision, Matrix::new(w, n, k).t());
        assert_eq!((packed.precision(), packed.rows(), packed.columns()), (precision, k, n));
        let got = product(Matrix::new(x, m, k), &packed);
        for (row, got) in x.chunks(k).zip(got.chunks(n)) {
            for (column, &got) in w.chunks(k).zip(got) {
                let terms = || row.iter().zip(column);
                let multiply = |(x, w): (f32, f32)| f64::from(x) * f64::from(w);
                let want: f64 = terms().map(|(&x, &w)| multiply((rounded(x), rounded(w)))).sum();
                let size: f64 =
                    terms().map(|(&x, &w)| multiply((rounded(x), rounded(w))).abs()).sum();
                let error = (f64::from(got) - want).abs();
                assert!(
                    error <= sums * size,
                    "{precision} {kernel:?} {m}x{n}x{k}: {got} is not {want}"
                );

                let exact: f64 = terms().map(|(&x, &w)| multiply((x, w))).sum();
                let exact_size: f64 = terms().map(|(&x, &w)| multiply((x, w)).abs()).sum();
                let error = (f64::from(got) - exact).abs();
                assert!(
                    error <= sums * size + rounding * exact_size,
                    "{precision} {kernel:?}: {got} for {exact}"
                );
            }
        }
    }
}

fn check_both([m, n, k]: [usize; 3], seed: u64) {
    let mut random = Random::new(seed);
    let (x, w) = (lines(m, k, &mut random), lines(n, k, &mut random));
    check(Precision::F32, [m, n, k], &x, &w);
    check(Precision::Bf16, [m, n, k], &x, &w);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn stay_within_the_rounding_of_sums_and_operands(shape in shapes(), seed: u64) {
        check_both(shape, seed);
    }
}

/// A part of a tile, and the smallest product that uses all four AMX tiles of a result, which takes
/// Miri a minute.
#[test]
fn small_products_of_floats() {
    check_both([5, 9, 3], 1);
    check_both([17, 17, 1], 2);
}

/// An inner dimension that is a multiple of every kernel's, so that bf16 activations are read in
/// place, and one that is not, so that they are copied: both as if f32 were rounded first.
#[test]
#[cfg_attr(miri, ignore = "slow")]
fn activations_are_rounded_as_they_are_stored() {
    for k in [64, 51] {
        let mut random = Random::new(2);
        let (x, w) = (lines(37, k, &mut random), lines(50, k, &mut random));
        let stored = stored::<Bf16>(&x);
        for &kernel in Kernel::available(Precision::Bf16) {
            let packed = Packed::with_kernel(kernel, Precision::Bf16, Matrix::new(&w, 50, k).t());
            let [of_f32, of_bf16] = [
                product(Matrix::new(&x, 37, k), &packed),
                product(Matrix::new(&stored, 37, k), &packed),
            ];
            assert_eq!(bits(&of_f32), bits(&of_bf16), "{kernel:?} k {k}");
        }
        let widened: Vec<f32> = stored.iter().map(|x| x.to_f32()).collect();
        let packed = Packed::new(Precision::F32, Matrix::new(&w, 50, k).t());
        let [of_f32, of_bf16] = [
            product(Matrix::new(&widened, 37, k), &packed),
            product(Matrix::new(&stored, 37, k), &packed),
        ];
        assert_eq!(bits(&of_f32), bits(&of_bf16), "f32, k {k}");
    }
}

/// Each of W and W^T can be packed, from dense rows or rows with gaps.
#[test]
#[cfg_attr(miri, ignore = "slow")]
fn weights_of_any_layout_are_packed_the_same() {
    let (n, k, gap) = (53, 39, 4);
    let mut random = Random::new(3);
    let (x, w) = (random.vec(5 * k), random.vec(n * k)); // [5, k], [n, k]
    let columns = (0..k).flat_map(|p| w[p..].iter().step_by(k));
    let transposed: Vec<f32> = columns.copied().collect(); // [k, n]
    let with_gaps = |rows: &[f32], length: usize| -> Vec<f32> {
        rows.chunks(length).flat_map(|row| row.iter().copied().chain([f32::NAN; 4])).collect()
    };
    let (w_gaps, transposed_gaps) = (with_gaps(&w, k), with_gaps(&transposed, n));
    for precision in [Precision::F32, Precision::Bf16] {
        for &kernel in Kernel::available(precision) {
            let products = [
                Matrix::new(&w, n, k).t(),
                Matrix::new(&transposed, k, n),
                Matrix::strided(&w_gaps, n, k, k + gap).t(),
                Matrix::strided(&transposed_gaps, k, n, n + gap),
            ]
            .map(|b| {
                bits(&product(Matrix::new(&x, 5, k), &Packed::with_kernel(kernel, precision, b)))
            });
            assert!(
                products.iter().all(|product| *product == products[0]),
                "{precision} {kernel:?}"
            );
        }
    }
}
