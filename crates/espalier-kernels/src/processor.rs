//! What the running processor offers, and what of it is used.
//!
//! Two environment variables stand in for processors that are not at hand, so that one machine can
//! run the tests as another would: [`INSTRUCTIONS`] and [`AUTO_PRECISION`]. They only ever choose
//! among what is correct on this machine, and are read once.

use crate::precision::Precision;
use std::sync::OnceLock;

/// Environment variable: use no more than this level of instructions, one of [`LEVELS`].
pub const INSTRUCTIONS: &str = "ESPALIER_INSTRUCTIONS";
/// Environment variable: what the precision `auto` means, `f32` or `bf16`, whatever is faster here.
pub const AUTO_PRECISION: &str = "ESPALIER_AUTO_PRECISION";

/// Levels of instructions, from what every processor has to what few have. One that the processor
/// lacks allows no more than the level below it.
pub const LEVELS: [&str; 5] = ["portable", "avx2", "avx512", "avx512-bf16", "amx"];

/// The instruction sets that the kernels know, and whether the processor and the operating system
/// let us use them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// Asks the processor and the environment once; later calls read the cached answer. Where the
/// environment asks for what [`check_environment`] refuses, it asks in vain.
pub fn processor() -> Processor {
    static FOUND: OnceLock<Processor> = OnceLock::new();
    *FOUND.get_or_init(|| detect().limited(limits().unwrap_or_default()))
}

/// Checks [`INSTRUCTIONS`] and [`AUTO_PRECISION`], of which each may be absent or empty.
///
/// # Errors
/// What is wrong with a value, and what it may be.
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
            // Part of every aarch64: nothing to do without.
            neon: self.neon,
            dotprod: self.dotprod && level >= 1,
            fast_bf16: false,
        };
        let fast = self.fast_bf16 && (allowed.avx512_bf16 || allowed.amx_bf16);
        Self { fast_bf16: limits.auto.map_or(fast, |auto| auto == Precision::Bf16), ..allowed }
    }
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Processor {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    let avx512_bf16 = avx512 && is_x86_feature_detected!("avx512bf16");
    let (amx_bf16, amx_int8) = amx::available();
    Processor {
        avx2,
        avx512,
        avx512_bf16,
        avx512_vnni: avx512 && is_x86_feature_detected!("avx512vnni"),
        amx_bf16,
        amx_int8,
        fast_bf16: amx_bf16 || (avx512_bf16 && !intel()),
        ..Processor::default()
    }
}

#[cfg(target_arch = "x86_64")]
fn intel() -> bool {
    let vendor = std::arch::x86_64::__cpuid(0);
    [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == *b"GenuineIntel"
}

#[cfg(target_arch = "aarch64")]
fn detect() -> Processor {
    Processor {
        neon: true,
        dotprod: std::arch::is_aarch64_feature_detected!("dotprod"),
        ..Processor::default()
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detect() -> Processor {
    Processor::default()
}

/// Detection of AMX: the processor must have it, the system must save its registers, and Linux
/// wants to be asked.
#[cfg(target_arch = "x86_64")]
mod amx {
    use std::arch::asm;
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    /// Whether tile products of bf16 and of bytes can be used.
    pub(super) fn available() -> (bool, bool) {
        if cfg!(miri) || __cpuid(0).eax < 7 || !saved_by_the_system() {
            return (false, false);
        }
        let features = __cpuid_count(7, 0).edx;
        let has = |bit: u32| features & (1 << bit) != 0;
        let (bf16, tiles, int8) = (has(22), has(24), has(25));
        if tiles && (bf16 || int8) && granted() { (bf16, int8) } else { (false, false) }
    }

    /// Whether the system saves tile configuration and data when it switches threads (XCR0, bits 17
    /// and 18).
    fn saved_by_the_system() -> bool {
        const OSXSAVE: u32 = 1 << 27;
        if __cpuid(1).ecx & OSXSAVE == 0 {
            return false;
        }
        let state: u32;
        // SAFETY: XGETBV of register 0 is allowed where OSXSAVE is set.
        unsafe {
            asm!("xgetbv", in("ecx") 0, out("eax") state, out("edx") _, options(nomem, nostack, preserves_flags))
        };
        state & (3 << 17) == 3 << 17
    }

    /// Asks Linux for the tile registers, which are large and hence given on request (arch_prctl,
    /// ARCH_REQ_XCOMP_PERM).
    #[cfg(target_os = "linux")]
    fn granted() -> bool {
        const ARCH_PRCTL: i64 = 158;
        const REQUEST_PERMISSION: i64 = 0x1023;
        const TILE_DATA: i64 = 18;
        let result: i64;
        // SAFETY: this system call reads no memory of ours; it clobbers rcx and r11 as every system
        // call does.
        unsafe {
            asm!("syscall", inlateout("rax") ARCH_PRCTL => result, in("rdi") REQUEST_PERMISSION, in("rsi") TILE_DATA,
                lateout("rcx") _, lateout("r11") _, options(nostack));
        }
        result == 0
    }

    #[cfg(not(target_os = "linux"))]
    fn granted() -> bool {
        false
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
