//! exp and ln(1 + x), written so that loops over them vectorise: no branches, no library calls. FMA
//! is that of [`crate::simd::madd`].

use crate::simd::madd;

/// exp(x) to about 2 ulp; arguments are clamped to the range in which the result is a normal
/// number.
///
/// Range reduction x = n ln 2 + r with |r| <= ln 2 / 2, a degree-5 polynomial for e^r, and 2^n by
/// exponent bits (Cephes, `expf`).
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves that integer in the low mantissa
    // bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = madd::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = madd::<FMA>(n, 2.121_944_4e-4, madd::<FMA>(n, -0.693_359_4, x));
    let p = 1.987_569_1e-4;
    let p = madd::<FMA>(p, r, 1.398_199_9e-3);
    let p = madd::<FMA>(p, r, 8.333_452e-3);
    let p = madd::<FMA>(p, r, 4.166_579_6e-2);
    let p = madd::<FMA>(p, r, 1.666_666_5e-1);
    let p = madd::<FMA>(p, r, 0.5);
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    (madd::<FMA>(p * r, r, r) + 1.0) * power
}

/// ln(1 + x) to about 2 ulp for x in 0..=1: 2 artanh(z), z = x / (2 + x) <= 1/3, by its series
/// 2 (z + z^3 / 3 + z^5 / 5 + ...), of which the first term left out is below 1e-8 of the sum.
#[inline(always)]
pub(crate) fn ln_1p(x: f32) -> f32 {
    let z = x / (2.0 + x);
    let s = z * z;
    let p = 1.0 / 15.0;
    let p = p * s + 1.0 / 13.0;
    let p = p * s + 1.0 / 11.0;
    let p = p * s + 1.0 / 9.0;
    let p = p * s + 1.0 / 7.0;
    let p = p * s + 1.0 / 5.0;
    let p = p * s + 1.0 / 3.0;
    2.0 * (p * s * z + z)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_1p_matches_f64_on_the_unit_interval() {
        for i in 0..=10_000 {
            // Both evenly and down to the smallest normal number.
            for x in [i as f32 * 1e-4, (-87.0 * i as f32 * 1e-4).exp()] {
                let want = (x as f64).ln_1p();
                assert!((ln_1p(x) as f64 - want).abs() <= 3e-7 * want, "ln_1p({x})");
            }
        }
    }

    #[test]
    fn exp_matches_f64_over_its_range() {
        for i in -8700..=8800 {
            let x = i as f32 * 0.01;
            let want = (x as f64).exp();
            let relative = |got: f32| ((got as f64 - want) / want).abs();
            assert!(
                relative(exp::<true>(x)) < 4e-7 && relative(exp::<false>(x)) < 4e-7,
                "exp({x})"
            );
        }
        assert!(exp::<true>(-1e9) < 2e-38 && exp::<true>(1e9).is_finite());
    }
}
