//! GELU(x) = x Phi(x), Phi the normal distribution function (arXiv 1606.08415, the exact form by erf that BERT uses).

use crate::math::{erf, exp};
use crate::simd::simd;
use rayon::prelude::*;
use std::f32::consts::{FRAC_1_SQRT_2, PI};

/// Elements a task takes at a time: enough to hide the cost of handing it out.
const BLOCK: usize = 16 * 1024;

/// y = GELU(x), elementwise.
///
/// # Panics
/// If the lengths differ.
pub fn gelu(x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "gelu: input and output differ in length");
    y.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(y, x)| gelu_block(x, y));
}

/// Turns the gradient at the output into the gradient at the input, in place: dy *= GELU'(x).
///
/// GELU'(x) = Phi(x) + x phi(x), phi the normal density.
///
/// # Panics
/// If the lengths differ.
pub fn gelu_backward(x: &[f32], dy: &mut [f32]) {
    assert_eq!(x.len(), dy.len(), "gelu_backward: input and gradient differ in length");
    dy.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(dy, x)| gelu_backward_block(x, dy));
}

simd! {
    fn gelu_block(x: &[f32], y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = 0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2));
        }
    }
}

simd! {
    fn gelu_backward_block(x: &[f32], dy: &mut [f32]) {
        let density = 1.0 / (2.0 * PI).sqrt();
        for (dy, &x) in dy.iter_mut().zip(x) {
            let distribution = 0.5 * (1.0 + erf(x * FRAC_1_SQRT_2));
            *dy *= distribution + x * density * exp(-0.5 * x * x);
        }
    }
}
