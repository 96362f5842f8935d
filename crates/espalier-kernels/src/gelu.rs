//! GELU(x) = x Phi(x), Phi the normal distribution function (arXiv 1606.08415, the exact form by erf that BERT uses).
//!
//! Both directions are parts of the linear maps around them ([`crate::linear::Output`]), which inline what is here.

use crate::math::{erf, exp};
use std::f32::consts::{FRAC_1_SQRT_2, PI};

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
