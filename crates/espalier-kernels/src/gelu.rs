//! GELU(x) = x Phi(x), Phi the normal distribution function (arXiv 1606.08415, the exact form by
//! erf that BERT uses).
//!
//! Both directions are parts of the linear maps around them ([`crate::linear::Output`]), which
//! inline what is here. Where a LayerNorm follows instead of a linear map, the way back is
//! [`gelu_backward`].

use crate::math::{erf, exp};
use crate::simd::simd;
use rayon::prelude::*;
use std::f32::consts::{FRAC_1_SQRT_2, PI};

/// Elements a task takes at a time.
const BLOCK: usize = 4 * 1024;

/// GELU(x).
#[inline(always)]
pub(crate) fn gelu<const FMA: bool>(x: f32) -> f32 {
    0.5 * x * (1.0 + erf::<FMA>(x * FRAC_1_SQRT_2))
}

/// GELU'(x) = Phi(x) + x phi(x), phi the normal density.
#[inline(always)]
pub(crate) fn gelu_slope<const FMA: bool>(x: f32) -> f32 {
    let density = 1.0 / (2.0 * PI).sqrt();
    let distribution = 0.5 * (1.0 + erf::<FMA>(x * FRAC_1_SQRT_2));
    distribution + x * density * exp::<FMA>(-0.5 * x * x)
}

/// dy becomes dy GELU'(x): from the gradient at GELU(x) to that at x.
///
/// # Panics
/// If the lengths differ.
pub fn gelu_backward(x: &[f32], dy: &mut [f32]) {
    assert_eq!(x.len(), dy.len(), "gelu_backward: lengths differ");
    dy.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(dy, x)| slopes(x, dy));
}

simd! {
    fn slopes(x: &[f32], dy: &mut [f32]) {
        for (dy, &x) in dy.iter_mut().zip(x) {
            *dy *= gelu_slope::<FMA>(x);
        }
    }
}
