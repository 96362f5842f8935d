//! GELU(x) = x Phi(x), Phi the normal distribution function (arXiv 1606.08415, the exact form by
//! erf that BERT uses).
//!
//! The forward pass and most of the backward pass are fused into the linear maps around GELU
//! ([`crate::linear::Output`]), which inline the scalar functions below. Where a LayerNorm follows
//! GELU instead of a linear map, the backward pass is [`gelu_backward`].

use crate::math::exp;
use crate::simd::{madd, simd};
use rayon::prelude::*;
use std::f32::consts::{FRAC_1_SQRT_2, PI};

/// Elements per task.
const BLOCK: usize = 4 * 1024;

/// Backward pass of GELU: dy becomes dy GELU'(x), the gradient at x instead of GELU(x).
///
/// ```
/// use espalier_kernels::gelu::gelu_backward;
///
/// let mut d = [2.0, 1.0, 1.0];
/// gelu_backward(&[0.0, 9.0, -9.0], &mut d);
/// let want = [1.0, 1.0, 0.0]; // GELU'(0) = 1/2; far from zero GELU(x) is x or 0
/// assert!(d.iter().zip(want).all(|(d, want)| (d - want).abs() < 1e-6));
/// ```
///
/// # Panics
/// If the lengths differ.
pub fn gelu_backward(x: &[f32], dy: &mut [f32]) {
    assert_eq!(x.len(), dy.len(), "gelu_backward: lengths differ");
    dy.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(dy, x)| backward(x, dy));
}

simd! {
    fn backward(x: &[f32], dy: &mut [f32]) {
        for (dy, &x) in dy.iter_mut().zip(x) {
            *dy *= gelu_derivative::<FMA>(x);
        }
    }
}

/// GELU(x).
#[inline(always)]
pub(crate) fn gelu<const FMA: bool>(x: f32) -> f32 {
    0.5 * x * (1.0 + erf::<FMA>(x * FRAC_1_SQRT_2))
}

/// GELU'(x) = Phi(x) + x phi(x), phi the normal density.
#[inline(always)]
pub(crate) fn gelu_derivative<const FMA: bool>(x: f32) -> f32 {
    let density = 1.0 / (2.0 * PI).sqrt();
    let distribution = 0.5 * (1.0 + erf::<FMA>(x * FRAC_1_SQRT_2));
    distribution + x * density * exp::<FMA>(-0.5 * x * x)
}

/// erf(x) to about 1e-7 absolute: x P(x^2) / Q(x^2) on |x| <= 4, beyond which erf is 1 in f32
/// (minimax coefficients as in Eigen).
#[inline(always)]
fn erf<const FMA: bool>(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let s = x * x;
    let p = -2.726_142_3e-10;
    let p = madd::<FMA>(p, s, 2.770_681_4e-8);
    let p = madd::<FMA>(p, s, -2.101_024e-6);
    let p = madd::<FMA>(p, s, -5.692_506_5e-5);
    let p = madd::<FMA>(p, s, -7.349_906e-4);
    let p = madd::<FMA>(p, s, -2.954_6e-3);
    let p = madd::<FMA>(p, s, -1.609_603_3e-2);
    let q = -1.456_607_2e-5;
    let q = madd::<FMA>(q, s, -2.133_740_5e-4);
    let q = madd::<FMA>(q, s, -1.682_827e-3);
    let q = madd::<FMA>(q, s, -7.373_329e-3);
    let q = madd::<FMA>(q, s, -1.426_474e-2);
    x * p / q
}

#[cfg(test)]
mod tests {
    use super::*;

    /// erf by its Taylor series in f64, which converges everywhere and is exact enough for |x| <=
    /// 4.
    fn erf_series(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / n as f64;
            sum += term / (2 * n + 1) as f64;
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn erf_matches_its_series() {
        for i in -400..=400 {
            let x = i as f32 * 0.01;
            let error = |got: f32| (got as f64 - erf_series(x as f64)).abs();
            assert!(error(erf::<true>(x)) < 5e-7 && error(erf::<false>(x)) < 5e-7, "erf({x})");
        }
        assert!((erf::<true>(30.0) - 1.0).abs() < 2e-7 && (erf::<true>(-30.0) + 1.0).abs() < 2e-7);
    }
}
