//! The number types that activations are kept in.

use crate::bf16::Bf16;
use crate::precision::Precision;

/// A number type of stored activations, which is also the type that matrix products multiply in.
pub trait Element: Copy + Default + Send + Sync + std::fmt::Debug + 'static {
    /// The precision whose packed weights these activations meet without conversion.
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
