//! What every precision and kernel promises bit for bit: an element of a product depends only on
//! its row and its column.

use crate::lines::{lines, shapes};
use crate::{kernels, product};
use espalier_kernels::gemm::{Matrix, MatrixMut, Packed, Start, Update};
use espalier_kernels::{Bf16, Element};
use espalier_testing::compare::{bits, on_threads};
use espalier_testing::random::{Random, stored};
use proptest::prelude::*;

/// What an element of C starts from.
type Before<'a> = &'a dyn Fn(usize, usize) -> f32;

/// A batch of n rows against n batches of one row, rows with gaps against dense ones, all columns
/// against one column.
fn check<E: Element>([m, n, k]: [usize; 3], seed: u64) {
    const GAP: usize = 3;
    let mut random = Random::new(seed);
    let x = stored::<E>(&lines(m, k, &mut random)); // [m, k]
    let w = lines(n, k, &mut random); // [n, k]
    let gap = [E::from_f32(f32::NAN); GAP];
    let with_gaps: Vec<E> = x.chunks(k).flat_map(|row| row.iter().copied().chain(gap)).collect();
    let column = random.below(1, n)[0] as usize;
    for (precision, kernel) in kernels() {
        let packed = Packed::with_kernel(kernel, precision, Matrix::new(&w, n, k).t());
        let batch = product(Matrix::new(&x, m, k), &packed);
        let one_by_one: Vec<_> =
            x.chunks(k).flat_map(|row| product(Matrix::new(row, 1, k), &packed)).collect();
        assert_eq!(
            bits(&one_by_one),
            bits(&batch),
            "{precision} {kernel:?} {m}x{n}x{k}: a batch and its rows"
        );
        let strided = product(Matrix::strided(&with_gaps, m, k, k + GAP), &packed);
        assert_eq!(
            bits(&strided),
            bits(&batch),
            "{precision} {kernel:?} {m}x{n}x{k}: rows with gaps"
        );
        let alone =
            Packed::with_kernel(kernel, precision, Matrix::new(&w[column * k..][..k], 1, k).t());
        let alone = product(Matrix::new(&x, m, k), &alone);
        let of_batch: Vec<f32> = batch[column..].iter().step_by(n).copied().collect();
        assert_eq!(
            bits(&alone),
            bits(&of_batch),
            "{precision} {kernel:?} {m}x{n}x{k}: column {column} alone"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn other_rows_and_columns_do_not_matter(shape in shapes(), seed: u64) {
        check::<f32>(shape, seed);
        check::<Bf16>(shape, seed);
    }

    /// Other values of another shape in the same memory.
    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn packing_again_is_packing_anew(
        [m, n, k] in shapes(), [_, other_n, other_k] in shapes(), seed: u64,
    ) {
        let mut random = Random::new(seed);
        let (x, w) = (random.vec(m * k), lines(n, k, &mut random));
        let other = lines(other_n, other_k, &mut random);
        for (precision, kernel) in kernels() {
            let pack = |w, n, k| Packed::with_kernel(kernel, precision, Matrix::new(w, n, k).t());
            let (mut again, anew) = (pack(&other, other_n, other_k), pack(&w, n, k));
            again.pack(Matrix::new(&w, n, k).t());
            let shape = |packed: &Packed| (packed.rows(), packed.columns(), packed.bytes());
            prop_assert_eq!(shape(&again), shape(&anew));
            let [again, anew] =
                [again, anew].map(|packed| bits(&product(Matrix::new(&x, m, k), &packed)));
            prop_assert!(again == anew, "{} {:?}", precision, kernel);
        }
    }

    /// C = start + alpha A B is two roundings on top of the sums.
    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn starts_and_factors_come_after_the_sums(
        [m, n, k] in shapes(), alpha in -2.0f32..2.0, gap in 0usize..4, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let (x, w) = (random.vec(m * k), random.vec(n * k));
        let (bias, held) = (random.vec(n), random.vec(m * (n + gap)));
        for (precision, kernel) in kernels() {
            let packed = Packed::with_kernel(kernel, precision, Matrix::new(&w, n, k).t());
            let sums = product(Matrix::new(&x, m, k), &packed);
            let starts: [(Start, Before); 3] = [
                (Start::Zero, &|_, _| 0.0),
                (Start::Accumulate, &|i, j| held[i * (n + gap) + j]),
                (Start::Bias(&bias), &|_, j| bias[j]),
            ];
            for (start, of) in starts {
                let mut c = held.clone();
                let update = Update { alpha, start };
                let out = MatrixMut::strided(&mut c, m, n, n + gap);
                packed.gemm(Matrix::new(&x, m, k), update, out);
                for (i, row) in c.chunks(n + gap).enumerate() {
                    let want = |j: usize| of(i, j) + alpha * sums[i * n + j];
                    let want: Vec<f32> = (0..n).map(want).collect();
                    prop_assert!(row[..n] == want[..], "{} {:?} {:?}", precision, kernel, start);
                    prop_assert_eq!(&row[n..], &held[i * (n + gap) + n..][..gap], "the gap");
                }
            }
        }
    }
}

/// A product that is cut into several blocks.
#[test]
#[cfg_attr(miri, ignore = "slow")]
fn the_number_of_threads_does_not_matter() {
    let [m, n, k] = [203, 209, 197];
    let mut random = Random::new(3);
    let (x, w) = (random.vec(m * k), random.vec(n * k));
    for (precision, kernel) in kernels() {
        let run = || {
            let packed = Packed::with_kernel(kernel, precision, Matrix::new(&w, n, k).t());
            bits(&product(Matrix::new(&x, m, k), &packed))
        };
        let one = on_threads(1, run);
        for threads in [2, 3, 8] {
            assert!(
                on_threads(threads, run) == one,
                "{precision} {kernel:?}: {threads} threads differ from one"
            );
        }
    }
}
