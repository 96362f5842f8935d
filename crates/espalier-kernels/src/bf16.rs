//! bfloat16: the upper half of an f32.

use crate::simd::simd;

/// A bfloat16 number: sign, 8 bits of exponent, 7 bits of fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(u16);

impl Bf16 {
    /// The nearest bfloat16, ties to even; NaN stays NaN.
    #[inline(always)]
    pub fn from_f32(x: f32) -> Self {
        let bits = x.to_bits();
        // Adding just under half of the last place kept, and that place itself, rounds half to
        // even. A NaN could overflow into an infinity that way, hence the quiet bit.
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let nan = (bits >> 16) | 0x40;
        Self(if x.is_nan() { nan as u16 } else { rounded as u16 })
    }

    /// The same number as f32, exactly.
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    /// Its sixteen bits.
    #[inline(always)]
    pub fn to_bits(self) -> u16 {
        self.0
    }

    /// The number with these bits.
    #[inline(always)]
    pub fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
}

simd! {
    /// Rounds each element.
    pub fn round_to_bf16(x: &[f32], out: &mut [Bf16]) {
        assert_eq!(x.len(), out.len(), "round_to_bf16: lengths differ");
        for (out, &x) in out.iter_mut().zip(x) {
            *out = Bf16::from_f32(x);
        }
    }
}

simd! {
    /// Rounds each element, in place.
    pub fn round_through_bf16(x: &mut [f32]) {
        for x in x {
            *x = Bf16::from_f32(*x).to_f32();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_nearest_even() {
        // 1 + 2^-8 lies half way between 1 and 1 + 2^-7; 1 + 3 * 2^-8 half way between 1 + 2^-7 and
        // 1 + 2^-6.
        let cases =
            [(1.0, 1.0), (1.003_906_3, 1.0), (1.003_906_4, 1.007_812_5), (1.011_718_8, 1.015_625)];
        for (x, want) in cases {
            assert_eq!(Bf16::from_f32(x).to_f32(), want, "{x}");
            assert_eq!(Bf16::from_f32(-x).to_f32(), -want, "-{x}");
        }
        assert_eq!(Bf16::from_f32(f32::MAX).to_f32(), f32::INFINITY);
        assert_eq!(Bf16::from_f32(f32::NEG_INFINITY).to_f32(), f32::NEG_INFINITY);
        assert!(
            Bf16::from_f32(f32::NAN).to_f32().is_nan()
                && Bf16::from_f32(f32::from_bits(0x7f80_0001)).to_f32().is_nan()
        );
    }

    #[test]
    fn every_bf16_survives_the_way_through_f32() {
        for bits in 0..=u16::MAX {
            let x = Bf16::from_bits(bits);
            assert!(x.to_f32().is_nan() || Bf16::from_f32(x.to_f32()) == x, "{bits:#06x}");
        }
    }
}
