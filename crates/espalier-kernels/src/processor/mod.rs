//! What the running processor offers, and how much of it is used.
//!
//! Two environment variables, [`INSTRUCTIONS`] and [`AUTO_PRECISION`], restrict what is used, so
//! that one machine can run the tests as an older one would. They only choose among what is correct
//! on this machine, and are read once.

mod detect;

use crate::dtype::Precision;
use std::sync::OnceLock;

/// Environment variable: use no more than this level of instructions, one of [`LEVELS`].
pub const INSTRUCTIONS: &str = "ESPALIER_INSTRUCTIONS";
/// Environment variable: what the precision `auto` means, `f32` or `bf16`, even where the other one
/// is faster.
pub const AUTO_PRECISION: &str = "ESPALIER_AUTO_PRECISION";

/// Levels of instructions, from what every processor has to what few have. A level that the
/// processor lacks is the same as the level below it.
pub const LEVELS: [&str; 5] = ["portable", "avx2", "avx512", "avx512-bf16", "amx"];

/// The instruction sets that the kernels know, and whether the processor has them and the operating
/// system lets us use them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Processor {
    /// AVX2 with fused multiply-add (x86-64).
    pub avx2: bool,
    /// AVX-512 F, BW, DQ and VL (x86-64).
    pub avx512: bool,
    /// AVX-512 with products of bf16 (x86-64).
    pub avx512_bf16: bool,
    /// AVX-512 with products of bytes (x86-64).
    pub avx512_vnni: bool,
    /// Tile products of bf16 (x86-64).
    pub amx_bf16: bool,
    /// Tile products of bytes (x86-64).
    pub amx_int8: bool,
    /// Advanced SIMD (aarch64).
    pub neon: bool,
    /// NEON's products of bytes (aarch64).
    pub dotprod: bool,
    /// Whether `auto` computes products in bf16: whether they are faster than those of f32 (Intel's
    /// AVX512_BF16 without AMX is not), unless [`AUTO_PRECISION`] decides.
    pub fast_bf16: bool,
}

/// Asks the processor and the environment once; later calls return the cached answer. Environment
/// variables that [`check_environment`] refuses are ignored.
///
/// ```
/// let cpu = espalier_kernels::processor();
/// assert!(!cpu.avx512 || cpu.avx2, "AVX-512 includes AVX2");
/// ```
pub fn processor() -> Processor {
    static FOUND: OnceLock<Processor> = OnceLock::new();
    *FOUND.get_or_init(|| detect::detect().limited(limits().unwrap_or_default()))
}

/// Checks the environment variables [`INSTRUCTIONS`] and [`AUTO_PRECISION`]. Either may be absent
/// or empty.
///
/// # Errors
/// What is wrong with a value, and what values there are.
pub fn check_environment() -> Result<(), String> {
    limits().map(drop)
}

/// What the environment asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Limits {
    /// The highest of [`LEVELS`] to use, by its index.
    level: Option<usize>,
    /// What `auto` means.
    auto: Option<Precision>,
}

fn limits() -> Result<Limits, String> {
    let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    parse(value(INSTRUCTIONS).as_deref(), value(AUTO_PRECISION).as_deref())
}

fn parse(instructions: Option<&str>, auto: Option<&str>) -> Result<Limits, String> {
    let level = instructions.map(|name| {
        let level = LEVELS.iter().position(|level| *level == name);
        level
            .ok_or_else(|| format!("{INSTRUCTIONS} is {name:?}; give one of {}", LEVELS.join(", ")))
    });
    let auto = auto.map(|name| match name {
        "f32" => Ok(Precision::F32),
        "bf16" => Ok(Precision::Bf16),
        _ => Err(format!("{AUTO_PRECISION} is {name:?}; give f32 or bf16")),
    });
    Ok(Limits { level: level.transpose()?, auto: auto.transpose()? })
}

impl Processor {
    fn limited(self, limits: Limits) -> Self {
        let level = limits.level.unwrap_or(LEVELS.len());
        let allowed = Self {
            avx2: self.avx2 && level >= 1,
            avx512: self.avx512 && level >= 2,
            avx512_bf16: self.avx512_bf16 && level >= 3,
            avx512_vnni: self.avx512_vnni && level >= 3,
            amx_bf16: self.amx_bf16 && level >= 4,
            amx_int8: self.amx_int8 && level >= 4,
            // Every aarch64 has it.
            neon: self.neon,
            dotprod: self.dotprod && level >= 1,
            fast_bf16: false,
        };
        let fast = self.fast_bf16 && (allowed.avx512_bf16 || allowed.amx_bf16);
        Self { fast_bf16: limits.auto.map_or(fast, |auto| auto == Precision::Bf16), ..allowed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Processor = Processor {
        avx2: true,
        avx512: true,
        avx512_bf16: true,
        avx512_vnni: true,
        amx_bf16: true,
        amx_int8: true,
        neon: false,
        dotprod: false,
        fast_bf16: true,
    };

    fn limited(instructions: &str, auto: Option<&str>) -> Processor {
        ALL.limited(parse(Some(instructions), auto).unwrap())
    }

    #[test]
    fn each_level_takes_away_what_is_above_it() {
        assert_eq!(ALL.limited(Limits::default()), ALL);
        assert_eq!(limited("amx", None), ALL);
        let avx512_bf16 = Processor { amx_bf16: false, amx_int8: false, ..ALL };
        assert_eq!(limited("avx512-bf16", None), avx512_bf16);
        let avx512 =
            Processor { avx512_bf16: false, avx512_vnni: false, fast_bf16: false, ..avx512_bf16 };
        assert_eq!(limited("avx512", None), avx512);
        assert_eq!(limited("avx2", None), Processor { avx512: false, ..avx512 });
        assert_eq!(limited("portable", None), Processor::default());
    }

    #[test]
    fn the_environment_decides_what_auto_means() {
        assert!(limited("portable", Some("bf16")).fast_bf16);
        assert_eq!(limited("amx", Some("f32")), Processor { fast_bf16: false, ..ALL });
    }

    #[test]
    fn unknown_values_are_refused_by_name() {
        let error = parse(Some("avx3"), None).unwrap_err();
        assert!(
            error.contains("ESPALIER_INSTRUCTIONS is \"avx3\"") && error.contains("portable, avx2"),
            "{error}"
        );
        let error = parse(None, Some("int8")).unwrap_err();
        assert!(error.contains("ESPALIER_AUTO_PRECISION is \"int8\""), "{error}");
    }
}
