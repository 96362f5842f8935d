//! The choice of precision as users make it.

use espalier_kernels::{Precision, processor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What matrix products are computed in, as settings and command lines say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compute {
    /// bf16 where the processor multiplies it faster than f32, else f32.
    #[default]
    Auto,
    /// f32, the reference.
    F32,
    /// bf16 operands, f32 sums.
    Bf16,
    /// 8-bit operands: inference only.
    Int8,
}

impl Compute {
    const ALL: [Compute; 4] = [Self::Auto, Self::F32, Self::Bf16, Self::Int8];

    /// Its name in settings and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// What it means on this machine.
    pub fn precision(self) -> Precision {
        match self {
            Self::Auto if processor().fast_bf16 => Precision::Bf16,
            Self::Auto | Self::F32 => Precision::F32,
            Self::Bf16 => Precision::Bf16,
            Self::Int8 => Precision::Int8,
        }
    }
}

impl fmt::Display for Compute {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Compute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|compute| compute.name() == text);
        found.ok_or_else(|| "give auto, f32, bf16 or int8".into())
    }
}
