//! Asks the processor, and for AMX the operating system, what they offer.

use super::Processor;

#[cfg(target_arch = "x86_64")]
pub(super) fn detect() -> Processor {
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
pub(super) fn detect() -> Processor {
    Processor {
        neon: true,
        dotprod: std::arch::is_aarch64_feature_detected!("dotprod"),
        ..Processor::default()
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn detect() -> Processor {
    Processor::default()
}

/// Detection of AMX: the processor must have it, the system must save its registers, and on Linux
/// the process must ask for permission.
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
            asm!("xgetbv", in("ecx") 0, out("eax") state, out("edx") _,
                options(nomem, nostack, preserves_flags))
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
            asm!("syscall", inlateout("rax") ARCH_PRCTL => result, in("rdi") REQUEST_PERMISSION,
                in("rsi") TILE_DATA, lateout("rcx") _, lateout("r11") _, options(nostack));
        }
        result == 0
    }

    #[cfg(not(target_os = "linux"))]
    fn granted() -> bool {
        false
    }
}
