//! Comparison, finite differences, tensors that PyTorch made.

use espalier_kernels::{Bf16, Element};
pub use espalier_testing::compare::{bits, on_threads};
use espalier_testing::fixtures::fixture;
pub use espalier_testing::random::{Random, stored};
use espalier_testing::tensors;

/// How far an f32 result may be from the f64 one, relative to the largest value of the tensor.
///
/// One f32 rounding is 6e-8; the sums here have up to some hundred terms, and `exp` and `erf` are
/// good to 2e-7: together about 1e-6. Elements near zero are differences of large terms and have
/// the rounding of those, so the largest value is the measure. A wrong or missing term shows as
/// 1e-2 and more.
const TOLERANCE: f64 = 1e-5;

/// An element type with the relative error of storing a number, in addition to [`TOLERANCE`].
///
/// Arithmetic is f32 whatever the type, and the oracle gets operands as they were stored, so Bf16
/// adds only one rounding of each result: 2^-8, half the distance of numbers with eight significant
/// bits.
pub trait Stored: Element {
    const ROUNDING: f64;
}

impl Stored for f32 {
    const ROUNDING: f64 = 0.0;
}

impl Stored for Bf16 {
    const ROUNDING: f64 = 1.0 / 256.0;
}

pub fn assert_close<E: Stored>(what: &str, got: &[E], want: &[f64]) {
    assert_close_within(TOLERANCE, what, got, want);
}

pub fn assert_close_within<E: Stored>(tolerance: f64, what: &str, got: &[E], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    // Inputs are about 1: a tensor that is all below 0.1 is small because its terms cancelled.
    let largest = want.iter().fold(0.1f64, |largest, w| largest.max(w.abs()));
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let got = f64::from(got.to_f32());
        let (error, bound) = ((got - want).abs(), tolerance * largest + E::ROUNDING * want.abs());
        assert!(
            error <= bound,
            "{what}[{i}]: {got} is not {want} (error {error:.1e}, at most {bound:.1e})"
        );
    }
}

/// The gradient of `f` at `x` by central differences: exact to about 1e-9 in f64.
pub fn gradient(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let mut moved = x.to_vec();
    (0..x.len())
        .map(|i| {
            let mut at = |x_i: f64| {
                moved[i] = x_i;
                f(&moved)
            };
            let difference = at(x[i] + STEP) - at(x[i] - STEP);
            moved[i] = x[i];
            difference / (2.0 * STEP)
        })
        .collect()
}

pub fn wide<E: Element>(x: &[E]) -> Vec<f64> {
    x.iter().map(|v| f64::from(v.to_f32())).collect()
}

/// The numbers as `E` stores them, in f32: weights whose packing in E's precision loses nothing.
pub fn rounded<E: Element>(x: &[f32]) -> Vec<f32> {
    stored::<E>(x).iter().map(|v| v.to_f32()).collect()
}

/// The expected value of an accumulated gradient: what was there plus the gradient.
pub fn plus(start: &[f32], gradient: &[f64]) -> Vec<f64> {
    start.iter().zip(gradient).map(|(&s, g)| s as f64 + g).collect()
}

/// Offsets of sequences of these lengths.
pub fn offsets(lengths: &[usize]) -> Vec<usize> {
    let mut offsets = vec![0];
    for length in lengths {
        offsets.push(offsets[offsets.len() - 1] + length);
    }
    offsets
}

/// Runs `f` on pools of one, two and three threads and asserts that its results agree bit for bit.
pub fn assert_independent_of_threads(f: impl Fn() -> Vec<Vec<f32>> + Sync) {
    let [one, two, three] = [1, 2, 3]
        .map(|threads| on_threads(threads, || f().iter().map(|v| bits(v)).collect::<Vec<_>>()));
    assert!(one == two, "two threads differ from one");
    assert!(one == three, "three threads differ from one");
}

/// A tensor of fixtures/parity.safetensors, which scripts/make_parity_fixtures.py wrote; f32 ones
/// are widened.
pub fn tensor(name: &str) -> Vec<f64> {
    tensors::read(&fixture("parity.safetensors"))[name].f64s()
}

pub fn tensor_f32(name: &str) -> Vec<f32> {
    tensor(name).iter().map(|&v| v as f32).collect()
}
