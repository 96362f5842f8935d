//! `gemm` against a triple loop in f64, for every kernel of f32 and bf16 that the machine can run.

use espalier_kernels::gemm::{Kernel, Matrix, MatrixMut, Start, Update, gemm, gemm_with};
use espalier_kernels::{Bf16, Precision};
use espalier_testing::compare::on_threads;
use espalier_testing::random::Random;
use proptest::prelude::*;

/// [`Start`] without the bias.
#[derive(Clone, Copy, Debug)]
enum Begin {
    Zero,
    Accumulate,
    Bias,
}

/// An operand: its elements, and how they are stored.
#[derive(Clone, Debug)]
struct Operand {
    data: Vec<f32>,
    rows: usize,
    cols: usize,
    gap: usize,
    transposed: bool,
}

impl Operand {
    /// Random elements; there are `gap` other elements between stored rows.
    fn random(rows: usize, cols: usize, gap: usize, transposed: bool, seed: u64) -> Self {
        let (stored_rows, stored_cols) = if transposed { (cols, rows) } else { (rows, cols) };
        let data = Random::new(seed).vec(stored_rows * (stored_cols + gap));
        Self { data, rows, cols, gap, transposed }
    }

    fn matrix(&self) -> Matrix<'_> {
        if self.transposed {
            Matrix::strided(&self.data, self.cols, self.rows, self.rows + self.gap).t()
        } else {
            Matrix::strided(&self.data, self.rows, self.cols, self.cols + self.gap)
        }
    }

    /// Element (i, j), computed without `Matrix`.
    fn at(&self, i: usize, j: usize) -> f64 {
        let index = if self.transposed {
            j * (self.rows + self.gap) + i
        } else {
            i * (self.cols + self.gap) + j
        };
        self.data[index].into()
    }
}

/// Runs one product and checks each element of C, and that the gaps between rows of C do not
/// change.
fn check(
    precision: Precision,
    kernel: Kernel,
    alpha: f32,
    a: &Operand,
    b: &Operand,
    begin: Begin,
    gap: usize,
) {
    const UNTOUCHED: f32 = 123.0;
    let (m, n, k) = (a.rows, b.cols, a.cols);
    let bias = Random::new(5).vec(n);
    let mut before = Random::new(6).vec(m * (n + gap));
    if n + gap > 0 {
        before.chunks_mut(n + gap).for_each(|row| row[n..].fill(UNTOUCHED));
    }
    let start = match begin {
        Begin::Zero => Start::Zero,
        Begin::Accumulate => Start::Accumulate,
        Begin::Bias => Start::Bias(&bias),
    };
    let mut c = before.clone();
    gemm_with(
        kernel,
        precision,
        a.matrix(),
        b.matrix(),
        Update { alpha, start },
        MatrixMut::strided(&mut c, m, n, n + gap),
    );
    // The kernel multiplies operands that are rounded to the precision.
    let rounded = |x: f64| {
        if precision == Precision::Bf16 { Bf16::from_f32(x as f32).to_f32().into() } else { x }
    };
    for i in 0..m {
        for j in 0..n {
            let start: f64 = match begin {
                Begin::Zero => 0.0,
                Begin::Accumulate => before[i * (n + gap) + j].into(),
                Begin::Bias => bias[j].into(),
            };
            let products =
                (0..k).map(|p| f64::from(alpha) * rounded(a.at(i, p)) * rounded(b.at(p, j)));
            let (sum, size) =
                products.fold((start, start.abs()), |(sum, size), x| (sum + x, size + x.abs()));
            // Higham, Accuracy and Stability of Numerical Algorithms, section 3.1: each of the k
            // products is part of at most k + 3 roundings, whatever the order of the sum.
            let bound = (k + 3) as f64 * f64::from(f32::EPSILON) * size;
            let got = f64::from(c[i * (n + gap) + j]);
            assert!(
                (got - sum).abs() <= bound,
                "{precision} {kernel:?} {m}x{n}x{k} at ({i}, {j}): {got}, not {sum} +- {bound}"
            );
        }
        assert!(
            c[i * (n + gap) + n..(i + 1) * (n + gap)].iter().all(|&x| x == UNTOUCHED),
            "row {i}: gap overwritten"
        );
    }
}

fn check_all_kernels(alpha: f32, a: &Operand, b: &Operand, begin: Begin, gap: usize) {
    for (precision, kernel) in kernels() {
        check(precision, kernel, alpha, a, b, begin, gap);
    }
}

/// Small enough for Miri.
#[test]
fn every_edge_of_small_products() {
    for (m, n, k) in [(1, 1, 1), (4, 8, 5), (5, 3, 17), (3, 17, 2), (2, 5, 0), (0, 3, 4), (3, 0, 4)]
    {
        for (transposed_a, transposed_b) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            let a = Operand::random(m, k, 1, transposed_a, 1);
            let b = Operand::random(k, n, 2, transposed_b, 2);
            for begin in [Begin::Zero, Begin::Accumulate, Begin::Bias] {
                check_all_kernels(-1.5, &a, &b, begin, 3);
            }
        }
    }
}

/// Worked by hand: [1 2; 3 4] [5 6; 7 8] = [19 22; 43 50].
#[test]
fn two_by_two() {
    let (a, b, mut c) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [f32::NAN; 4]);
    gemm(Matrix::new(&a, 2, 2), Matrix::new(&b, 2, 2), Start::Zero, MatrixMut::new(&mut c, 2, 2));
    assert_eq!(c, [19.0, 22.0, 43.0, 50.0]);
    let bias = [0.5, -0.5];
    gemm(
        Matrix::new(&a, 2, 2),
        Matrix::new(&b, 2, 2).t(),
        Update { alpha: 2.0, start: Start::Bias(&bias) },
        MatrixMut::new(&mut c, 2, 2),
    );
    assert_eq!(c, [34.5, 45.5, 78.5, 105.5]); // [1 2; 3 4] [5 7; 6 8] = [17 23; 39 53]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 300 }))]

    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn equals_the_triple_loop(
        (m, n, k) in prop_oneof![
            (0usize..70, 0usize..110, 0usize..70),
            (1usize..20, 1usize..60, 2000usize..2300), // more than one piece of k
            (1usize..4, 380usize..900, 1usize..20), // more than one block of columns
        ],
        (transposed_a, transposed_b) in any::<(bool, bool)>(),
        gaps in (0usize..5, 0usize..5, 0usize..5),
        alpha in prop_oneof![Just(1.0f32), Just(0.0), -2.0f32..2.0],
        begin in prop_oneof![Just(Begin::Zero), Just(Begin::Accumulate), Just(Begin::Bias)],
        seed: u64,
    ) {
        let a = Operand::random(m, k, gaps.0, transposed_a, seed);
        let b = Operand::random(k, n, gaps.1, transposed_b, seed ^ 1);
        check_all_kernels(alpha, &a, &b, begin, gaps.2);
    }
}

/// Those of f32 and bf16. Miri needs ten seconds for one emulated tile instruction, which
/// `low_precision` spends once.
fn kernels() -> impl Iterator<Item = (Precision, Kernel)> {
    let of =
        |precision| Kernel::available(precision).iter().map(move |&kernel| (precision, kernel));
    of(Precision::F32)
        .chain(of(Precision::Bf16))
        .filter(|&(_, kernel)| !cfg!(miri) || kernel == Kernel::Portable)
}

/// A product large enough to be cut into blocks, in which no dimension is a multiple of a tile's.
const LARGE: [usize; 3] = [203, 409, 397];

fn product(precision: Precision, kernel: Kernel, a: Matrix, b: Matrix) -> Vec<f32> {
    let (m, n) = (a.rows(), b.cols());
    let mut c = vec![1.0; m * n];
    let update = Update { alpha: 0.7, start: Start::Accumulate };
    gemm_with(kernel, precision, a, b, update, MatrixMut::new(&mut c, m, n));
    c
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn large_products_are_right() {
    let [m, n, k] = LARGE;
    for transposed in [false, true] {
        let (a, b) =
            (Operand::random(m, k, 0, transposed, 1), Operand::random(k, n, 0, transposed, 2));
        check_all_kernels(1.0, &a, &b, Begin::Bias, 0);
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn bits_do_not_depend_on_the_number_of_threads() {
    let [m, n, k] = LARGE;
    let (a, b) = (Operand::random(m, k, 0, true, 1), Operand::random(k, n, 0, false, 2));
    for (precision, kernel) in kernels() {
        let one = on_threads(1, || product(precision, kernel, a.matrix(), b.matrix()));
        for threads in [2, 3, 8] {
            let many = on_threads(threads, || product(precision, kernel, a.matrix(), b.matrix()));
            assert_eq!(one, many, "{precision} {kernel:?} {threads} threads");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn bits_of_a_row_do_not_depend_on_other_rows() {
    let [m, n, k] = LARGE;
    let (a, b) = (Operand::random(m, k, 0, false, 1), Operand::random(k, n, 0, true, 2));
    for (precision, kernel) in kernels() {
        let whole = product(precision, kernel, a.matrix(), b.matrix());
        for rows in [0..1, 7..8, 30..47, 200..203] {
            let some = Matrix::new(&a.data[rows.start * k..rows.end * k], rows.len(), k);
            let part = product(precision, kernel, some, b.matrix());
            assert_eq!(
                part,
                whole[rows.start * n..rows.end * n],
                "{precision} {kernel:?} {rows:?}"
            );
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn kernels_with_fused_multiply_add_agree_bit_by_bit() {
    let [m, n, k] = LARGE;
    let (a, b) = (Operand::random(m, k, 0, false, 1), Operand::random(k, n, 0, false, 2));
    let fused = &Kernel::available(Precision::F32)[1..];
    let products: Vec<_> = fused
        .iter()
        .map(|&kernel| product(Precision::F32, kernel, a.matrix(), b.matrix()))
        .collect();
    assert!(products.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
#[should_panic(expected = "inner dimension")]
fn refuses_operands_that_do_not_fit() {
    let (a, mut c) = ([0.0; 6], [0.0; 4]);
    gemm(Matrix::new(&a, 2, 3), Matrix::new(&a, 2, 3), Start::Zero, MatrixMut::new(&mut c, 2, 2));
}

#[test]
#[should_panic(expected = "differ in shape")]
fn refuses_a_result_of_another_shape() {
    let (a, mut c) = ([0.0; 6], [0.0; 6]);
    gemm(Matrix::new(&a, 2, 3), Matrix::new(&a, 3, 2), Start::Zero, MatrixMut::new(&mut c, 2, 3));
}

#[test]
#[should_panic(expected = "bias")]
fn refuses_a_bias_of_another_length() {
    let (a, mut c) = ([0.0; 6], [0.0; 4]);
    gemm(
        Matrix::new(&a, 2, 3),
        Matrix::new(&a, 3, 2),
        Start::Bias(&[0.0]),
        MatrixMut::new(&mut c, 2, 2),
    );
}

#[test]
#[should_panic(expected = "beyond the data")]
fn refuses_rows_beyond_the_data() {
    Matrix::strided(&[0.0; 9], 3, 2, 4);
}

#[test]
#[should_panic(expected = "rows overlap")]
fn refuses_overlapping_rows_to_write() {
    MatrixMut::strided(&mut [0.0; 9], 3, 2, 1);
}

#[test]
#[should_panic(expected = "larger than the memory")]
fn refuses_sizes_that_overflow() {
    MatrixMut::strided(&mut [0.0; 9], usize::MAX, 2, usize::MAX);
}
