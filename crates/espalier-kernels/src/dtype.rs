//! Number types: what products are computed in ([`Precision`]), what activations are stored in
//! ([`Element`]), and bfloat16 ([`Bf16`]).

use std::fmt;

/// The number type of the operands of matrix products. Sums are always kept in 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// IEEE single precision: the reference.
    F32,
    /// bfloat16 operands, f32 sums.
    Bf16,
    /// Weights of 8 bits with a scale per output, activations of 8 bits with a scale and a zero
    /// point per row, sums in i32. For inference.
    Int8,
}

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 3] = [Self::F32, Self::Bf16, Self::Int8];

    /// Operands in a lane of 32 bits: how many steps along the inner dimension one instruction
    /// takes per lane.
    pub(crate) const fn group(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 => 2,
            Self::Int8 => 4,
        }
    }

    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A number type of stored activations, which is also the type that matrix products multiply in.
pub trait Element: Copy + Default + Send + Sync + fmt::Debug + 'static {
    /// The precision whose packed weights these activations are multiplied by without conversion.
    const PRECISION: Precision;

    /// The nearest value of this type.
    fn from_f32(x: f32) -> Self;

    /// The value as f32, exactly.
    fn to_f32(self) -> f32;

    /// The nearest bf16.
    fn to_bf16(self) -> Bf16;
}

impl Element for f32 {
    const PRECISION: Precision = Precision::F32;

    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn to_bf16(self) -> Bf16 {
        Bf16::from_f32(self)
    }
}

impl Element for Bf16 {
    const PRECISION: Precision = Precision::Bf16;

    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        Bf16::from_f32(x)
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        Bf16::to_f32(self)
    }

    #[inline(always)]
    fn to_bf16(self) -> Bf16 {
        self
    }
}

/// A bfloat16 number, the upper half of an f32: sign, 8 bits of exponent, 7 bits of fraction.
///
/// ```
/// use espalier_kernels::Bf16;
///
/// let x = Bf16::from_f32(0.1);
/// assert_eq!(x.to_f32(), 0.100_097_656_25);
/// assert_eq!(Bf16::from_bits(x.to_bits()), x);
/// ```
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
