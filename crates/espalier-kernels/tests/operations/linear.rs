//! Every output of a linear map, with and without bias and updates, by every kernel of every
//! precision.

use crate::oracle;
use crate::support::*;
use espalier_kernels::gemm::{Kernel, Matrix, MatrixMut, Packed, Start};
use espalier_kernels::linear::{
    Accumulate, AddResidual, Gelu, GeluBackward, LowRank, Output, Store, Up, linear,
};
use espalier_kernels::{Bf16, Precision};
use proptest::prelude::*;
use std::ops::Range;

const SCALE: f32 = 1.75;

/// A low-rank update and its factors; bfloat16 can represent the second one exactly.
#[derive(Debug)]
struct Update {
    rows: Range<usize>,
    columns: Range<usize>,
    down: Vec<f32>,    // [rows, r]
    up: Vec<f32>,      // [r, columns]
    halves: Vec<Bf16>, // up in bf16
}

impl Update {
    /// An update of a random block.
    fn random(rows: usize, columns: usize, random: &mut Random) -> Self {
        let mut between = |limit: usize| {
            let borders = random.below(2, limit + 1);
            *borders.iter().min().unwrap() as usize..*borders.iter().max().unwrap() as usize
        };
        let (rows, columns) = (between(rows), between(columns));
        let rank = 1 + random.below(1, 9)[0] as usize;
        // Without columns there are no factors that would show the rank.
        let rank = if columns.is_empty() { 0 } else { rank };
        let up = random.vec(rank * columns.len());
        let (halves, up) = (stored(&up), rounded::<Bf16>(&up));
        Self { down: random.vec(rows.len() * rank), up, halves, rows, columns }
    }

    fn as_low_rank(&self) -> LowRank<'_> {
        let up = if self.rows.len().is_multiple_of(2) {
            Up::F32(&self.up)
        } else {
            Up::Bf16(&self.halves)
        };
        LowRank {
            rows: self.rows.clone(),
            columns: self.columns.clone(),
            scale: SCALE,
            down: &self.down,
            up,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: usize,
    inputs: usize,
    outputs: usize,
    bias: bool,
    updates: usize,
}

#[derive(Debug)]
struct Case<E> {
    shape: Shape,
    x: Vec<E>,              // [T, in]
    weight: Vec<f32>,       // [out, in]
    bias: Option<Vec<f32>>, // [out]
    updates: Vec<Update>,
    /// The residual, or the input of GELU.
    other: Vec<E>, // [T, out]
    /// The output before something is added to it.
    start: Vec<f32>, // [T, out]
}

impl<E: Stored> Case<E> {
    fn random(shape: Shape, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let Shape { rows, inputs, outputs, .. } = shape;
        Self {
            x: stored(&random.vec(rows * inputs)),
            weight: rounded::<E>(&random.vec(outputs * inputs)),
            bias: shape.bias.then(|| random.vec(outputs)),
            updates: (0..shape.updates)
                .map(|_| Update::random(rows, outputs, &mut random))
                .collect(),
            other: stored(&random.spread(rows * outputs, 3.0)),
            start: random.vec(rows * outputs),
            shape,
        }
    }

    fn transposed_weight(&self) -> Matrix<'_> {
        Matrix::new(&self.weight, self.shape.outputs, self.shape.inputs).t()
    }

    /// x W^T: in f64, or for bytes, whose rounding is tested elsewhere, the plain product.
    fn product(&self, precision: Precision) -> Vec<f64> {
        let Shape { rows, inputs, outputs, .. } = self.shape;
        if precision != Precision::Int8 {
            return oracle::linear(&wide(&self.x), &wide(&self.weight), &vec![0.0; outputs]);
        }
        let mut product = vec![f32::NAN; rows * outputs];
        let c = MatrixMut::new(&mut product, rows, outputs);
        Packed::new(precision, self.transposed_weight()).gemm(
            Matrix::new(&self.x, rows, inputs),
            Start::Zero,
            c,
        );
        wide(&product)
    }

    /// y = x W^T, bias and updates.
    fn oracle(&self, precision: Precision) -> Vec<f64> {
        let (mut y, outputs) = (self.product(precision), self.shape.outputs);
        if let Some(bias) = &self.bias {
            y.chunks_mut(outputs)
                .for_each(|row| row.iter_mut().zip(bias).for_each(|(y, &b)| *y += f64::from(b)));
        }
        for Update { rows, columns, down, up, .. } in &self.updates {
            let down: Vec<f64> = down.iter().map(|&x| f64::from(SCALE) * f64::from(x)).collect();
            oracle::add_low_rank(
                &mut y,
                outputs,
                (rows.clone(), columns.clone()),
                &down,
                &wide(up),
            );
        }
        y
    }

    fn run<'a>(&self, weight: &Packed, output: impl Output<'a>) {
        let updates: Vec<_> = self.updates.iter().map(Update::as_low_rank).collect();
        linear(&self.x, weight, self.bias.as_deref(), &updates, output);
    }

    fn check(&self, precision: Precision) {
        let y = self.oracle(precision);
        let with =
            |other: Vec<f64>| other.iter().zip(&y).map(|(other, y)| other + y).collect::<Vec<_>>();
        let (added, residual) = (with(wide(&self.start)), with(wide(&self.other)));
        let slope = |x: f64| gradient(&[x], |x| oracle::gelu(x)[0])[0];
        let through: Vec<f64> =
            wide(&self.other).iter().zip(&y).map(|(&x, y)| slope(x) * y).collect();
        let activated = oracle::gelu(&y);

        for kernel in kernels(precision) {
            let name = |output: &str| format!("{output} of {precision} by {kernel:?}");
            let weight = Packed::with_kernel(kernel, precision, self.transposed_weight());
            // NaN shows what is not written.
            let nan = || vec![E::from_f32(f32::NAN); y.len()];

            let mut out = nan();
            self.run(&weight, Store(&mut out));
            assert_close(&name("Store"), &out, &y);

            let mut sum = self.start.clone();
            self.run(&weight, Accumulate(&mut sum));
            assert_close(&name("Accumulate"), &sum, &added);

            let mut sum = vec![f32::NAN; y.len()];
            self.run(&weight, AddResidual { residual: &self.other, out: &mut sum });
            assert_close(&name("AddResidual"), &sum, &residual);

            let (mut kept, mut out) = (nan(), nan());
            self.run(&weight, Gelu { y: Some(&mut kept), out: &mut out });
            assert_close(&name("the input that Gelu keeps"), &kept, &y);
            assert_close(&name("Gelu"), &out, &activated);
            let mut alone = nan();
            self.run(&weight, Gelu { y: None, out: &mut alone });
            assert_eq!(bits(&alone), bits(&out), "{}, nothing kept", name("Gelu"));

            let mut out = nan();
            self.run(&weight, GeluBackward { x: &self.other, out: &mut out });
            assert_close(&name("GeluBackward"), &out, &through);
        }
    }
}

/// Miri needs ten seconds for one emulated tile instruction, which `low_precision` spends once.
fn kernels(precision: Precision) -> impl Iterator<Item = Kernel> {
    Kernel::available(precision)
        .iter()
        .copied()
        .filter(|&kernel| !cfg!(miri) || kernel == Kernel::Portable)
}

fn check_all(shape: Shape, seed: u64) {
    let (single, half) = (Case::<f32>::random(shape, seed), Case::<Bf16>::random(shape, seed));
    single.check(Precision::F32);
    single.check(Precision::Int8);
    half.check(Precision::Bf16);
    half.check(Precision::Int8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Tiles are up to 32 rows high and 48 columns wide.
    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn every_output_matches_the_oracle(
        rows in 0usize..40, inputs in 1usize..70, outputs in 1usize..110,
        bias: bool, updates in 0usize..4, seed: u64,
    ) {
        check_all(Shape { rows, inputs, outputs, bias, updates }, seed);
    }
}

#[test]
fn linear_small() {
    check_all(Shape { rows: 5, inputs: 3, outputs: 9, bias: true, updates: 2 }, 1);
}

/// Updates of no columns, of no rows, of all, and one on top of another.
#[test]
fn updates_of_any_block() {
    let shape = Shape { rows: 3, inputs: 2, outputs: 20, bias: false, updates: 0 };
    let mut random = Random::new(2);
    let mut update = |rows: Range<usize>, columns: Range<usize>, rank: usize| {
        let up = random.vec(rank * columns.len());
        let (halves, up) = (stored(&up), rounded::<Bf16>(&up));
        Update { down: random.vec(rows.len() * rank), up, halves, rows, columns }
    };
    let updates = vec![
        update(0..3, 20..20, 0),
        update(2..2, 0..20, 2),
        update(0..3, 0..20, 5),
        update(1..2, 15..17, 1),
    ];
    Case::<f32> { updates, ..Case::random(shape, 3) }.check(Precision::F32);
}

/// A map of no inputs is its bias.
#[test]
fn no_inputs() {
    let bias = [0.5, -1.5, 2.0];
    for precision in Precision::ALL {
        for kernel in kernels(precision) {
            let weight = Packed::with_kernel(kernel, precision, Matrix::<f32>::new(&[], 3, 0).t());
            let mut out = [f32::NAN; 6];
            linear(&[0.0f32; 0], &weight, Some(&bias), &[], Store(&mut out));
            assert_eq!(out, [0.5, -1.5, 2.0, 0.5, -1.5, 2.0], "{precision} {kernel:?}");
        }
    }
}

/// Large enough for several tasks, with an update that ends inside a tile.
#[test]
#[cfg_attr(miri, ignore = "slow")]
fn does_not_depend_on_threads_or_other_rows() {
    fn check<E: Stored>(precision: Precision) {
        let shape = Shape { rows: 131, inputs: 190, outputs: 210, bias: true, updates: 0 };
        let mut random = Random::new(5);
        let (down, up) = (random.vec(shape.rows * 3), random.vec(3 * 101)); // [T, 3], [3, 101]
        let case = Case::<E>::random(shape, 6);
        let weight = Packed::new(precision, case.transposed_weight());
        let run = |rows: Range<usize>| {
            let update = LowRank {
                rows: 0..rows.len(),
                columns: 7..108,
                scale: SCALE,
                down: &down[rows.start * 3..rows.end * 3],
                up: Up::F32(&up),
            };
            let mut out = vec![E::default(); rows.len() * shape.outputs];
            let x = &case.x[rows.start * shape.inputs..rows.end * shape.inputs];
            linear(x, &weight, case.bias.as_deref(), &[update], Gelu { y: None, out: &mut out });
            out.iter().map(|v| v.to_f32()).collect::<Vec<_>>()
        };
        assert_independent_of_threads(|| vec![run(0..shape.rows)]);
        let one_by_one: Vec<_> = (0..shape.rows).flat_map(|row| run(row..row + 1)).collect();
        assert_eq!(bits(&one_by_one), bits(&run(0..shape.rows)), "{precision}");
    }
    check::<f32>(Precision::F32);
    check::<f32>(Precision::Int8);
    check::<Bf16>(Precision::Bf16);
    check::<Bf16>(Precision::Int8);
}

/// An update of both rows and both columns, of rank 1.
const UPDATE: LowRank =
    LowRank { rows: 0..2, columns: 0..2, scale: 1.0, down: &[0.0; 2], up: Up::F32(&[0.0; 2]) };

/// A map of two inputs to two outputs, on `x` numbers, with four outputs.
fn try_linear(x: usize, bias: Option<&[f32]>, updates: &[LowRank]) {
    let weight = Packed::new(Precision::F32, Matrix::new(&[1.0; 4], 2, 2));
    linear(&vec![0.0; x], &weight, bias, updates, Store(&mut [0.0; 4]));
}

#[test]
#[should_panic(expected = "Matrix::new")]
fn refuses_an_input_of_another_width() {
    try_linear(6, None, &[]);
}

#[test]
#[should_panic(expected = "bias is not as long as a row")]
fn refuses_a_bias_of_another_length() {
    try_linear(4, Some(&[0.0]), &[]);
}

#[test]
#[should_panic(expected = "outside of the result")]
fn refuses_an_update_beyond_the_rows() {
    try_linear(4, None, &[LowRank { rows: 1..3, ..UPDATE }]);
}

#[test]
#[should_panic(expected = "outside of the result")]
fn refuses_an_update_beyond_the_columns() {
    try_linear(4, None, &[LowRank { columns: 1..3, ..UPDATE }]);
}

#[test]
#[should_panic(expected = "factors do not fit")]
fn refuses_an_update_of_two_ranks() {
    try_linear(4, None, &[LowRank { up: Up::F32(&[0.0; 4]), ..UPDATE }]);
}

#[test]
#[should_panic(expected = "shapes do not fit")]
fn refuses_a_residual_of_another_shape() {
    let weight = Packed::new(Precision::F32, Matrix::new(&[1.0; 4], 2, 2));
    linear(&[0.0; 4], &weight, None, &[], AddResidual { residual: &[0.0; 2], out: &mut [0.0; 4] });
}
