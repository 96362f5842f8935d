//! The micro-kernels, one file per instruction set and precision.

mod portable;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod vectors;

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_int8;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dot;

use super::kernel::{Kernel, MicroKernel};
use crate::precision::Precision;
use crate::processor::processor;

/// The kernels of a precision that this machine can run, the fastest last.
pub(super) fn available(precision: Precision) -> Vec<Kernel> {
    let cpu = processor();
    let has = |kernel: Kernel| match (kernel, precision) {
        (Kernel::Portable, _) => true,
        #[cfg(target_arch = "x86_64")]
        (Kernel::Avx2, Precision::F32 | Precision::Int8) => cpu.avx2,
        #[cfg(target_arch = "x86_64")]
        (Kernel::Avx512, Precision::F32) => cpu.avx512,
        #[cfg(target_arch = "x86_64")]
        (Kernel::Avx512, Precision::Bf16) => cpu.avx512_bf16,
        #[cfg(target_arch = "x86_64")]
        (Kernel::Avx512, Precision::Int8) => cpu.avx512_vnni,
        #[cfg(target_arch = "x86_64")]
        (Kernel::Amx, Precision::Bf16) => cpu.amx_bf16 && amx::works(precision),
        #[cfg(target_arch = "x86_64")]
        (Kernel::Amx, Precision::Int8) => cpu.amx_int8 && amx::works(precision),
        #[cfg(target_arch = "x86_64")]
        (Kernel::AmxEmulated, Precision::Bf16 | Precision::Int8) => true,
        #[cfg(target_arch = "aarch64")]
        (Kernel::Neon, Precision::F32) => true,
        #[cfg(target_arch = "aarch64")]
        (Kernel::Neon, Precision::Int8) => cpu.dotprod,
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        _ => false,
    };
    let _ = &cpu; // on other architectures there is nothing to ask it
    ALL.iter().copied().filter(|&kernel| has(kernel)).collect()
}

/// From the slowest to the fastest.
#[cfg(target_arch = "x86_64")]
const ALL: &[Kernel] =
    &[Kernel::AmxEmulated, Kernel::Portable, Kernel::Avx2, Kernel::Avx512, Kernel::Amx];
/// From the slowest to the fastest.
#[cfg(target_arch = "aarch64")]
const ALL: &[Kernel] = &[Kernel::Portable, Kernel::Neon];
/// From the slowest to the fastest.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ALL: &[Kernel] = &[Kernel::Portable];

/// The code of a kernel that [`available`] listed.
pub(super) fn code(kernel: Kernel, precision: Precision) -> &'static MicroKernel {
    match (kernel, precision) {
        #[cfg(target_arch = "x86_64")]
        (Kernel::Avx2, Precision::F32) => &avx2::KERNEL,
        #[cfg(target_arch = "x86_64")]
        (Kernel::Avx2, Precision::Int8) => &avx2_int8::KERNEL,
        #[cfg(target_arch = "x86_64")]
        (Kernel::Avx512, Precision::F32) => &avx512::KERNEL,
        #[cfg(target_arch = "x86_64")]
        (Kernel::Avx512, Precision::Bf16) => &avx512_bf16::KERNEL,
        #[cfg(target_arch = "x86_64")]
        (Kernel::Avx512, Precision::Int8) => &avx512_vnni::KERNEL,
        #[cfg(target_arch = "x86_64")]
        (Kernel::Amx, _) => amx::hardware(precision),
        #[cfg(target_arch = "x86_64")]
        (Kernel::AmxEmulated, _) => amx::emulated(precision),
        #[cfg(target_arch = "aarch64")]
        (Kernel::Neon, Precision::F32) => &neon::KERNEL,
        #[cfg(target_arch = "aarch64")]
        (Kernel::Neon, _) => &neon_dot::KERNEL,
        (_, precision) => portable::kernel(precision),
    }
}
