//! How matrix products are computed: in which precision, and whether the thread pool is there.

use crate::error::{EncoderError, Result};
use espalier_kernels::{Precision, pool_is_alive, processor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The precision of matrix products, as configurations and command lines name it.
///
/// ```
/// use espalier_encoder::{Compute, Precision};
///
/// let compute: Compute = "bf16".parse()?;
/// assert_eq!(compute.precision(), Precision::Bf16);
/// # Ok::<(), String>(())
/// ```
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

    /// Its name in configurations and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// The precision on this machine.
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

/// Checks that the thread pool is alive. It is not in a process that was forked after the pool had
/// started: a fork copies no threads, and work given to them would never finish.
///
/// # Errors
/// [`EncoderError::Forked`].
pub fn check_threads() -> Result<()> {
    if pool_is_alive() { Ok(()) } else { Err(EncoderError::Forked) }
}
