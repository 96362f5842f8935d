//! Comparing results: bit for bit, within a tolerance, on another number of threads.

use espalier_kernels::Element;
use std::fmt::Display;

/// Bit patterns. Unlike `==` they tell 0 from -0, and a NaN is equal to itself.
pub fn bits<E: Element>(values: &[E]) -> Vec<u32> {
    values.iter().map(|value| value.to_f32().to_bits()).collect()
}

/// Fails unless `found` is within 1e-4 of `recorded`, relative to the largest value of that tensor.
///
/// Some gradients are zero in theory and recorded as zero: those of the biases of keys. In single
/// precision they are sums of terms below 1 that cancel to about 1e-8, for which 1e-6 is allowed.
pub fn assert_close(what: &str, found: &[f32], recorded: &[f32]) {
    assert_eq!(found.len(), recorded.len(), "{what}: number of values");
    let largest = recorded.iter().fold(0f32, |max, value| max.max(value.abs()));
    let tolerance = if largest == 0.0 { 1e-6 } else { 1e-4 * largest };
    for (i, (a, b)) in found.iter().zip(recorded).enumerate() {
        assert!(
            (a - b).abs() <= tolerance,
            "{what}[{i}] is {a}, recorded is {b}, which may differ by {tolerance}"
        );
    }
}

/// The cosine of the angle between two vectors.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The error of something that must fail, after checking that its message contains all of `parts`.
pub fn expect_error<T, E: Display>(result: Result<T, E>, parts: &[&str]) -> E {
    let error =
        result.err().unwrap_or_else(|| panic!("accepted, but should be refused with {parts:?}"));
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "the message lacks {part:?}: {message}");
    }
    error
}

/// Runs `f` on a thread pool of this size.
pub fn on_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("a thread pool").install(f)
}
