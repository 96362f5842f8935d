//! What matrix products multiply in.

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

    /// Operands in a 32-bit word: how many steps along the inner dimension one instruction takes
    /// per lane.
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
