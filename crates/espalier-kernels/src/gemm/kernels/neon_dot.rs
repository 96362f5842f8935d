//! Bytes on NEON with the dot-product instructions: 8 x 12, four products per lane and instruction.
//!
//! SDOT multiplies signed bytes, and A's are unsigned: turning the top bit subtracts 128 from each,
//! and `MicroKernel::offset` says so.

use super::vectors::vector_kernel;
use std::arch::aarch64::*;
use std::arch::asm;

type Vector = int32x4_t;

#[inline]
#[target_feature(enable = "neon")]
fn zero() -> Vector {
    vdupq_n_s32(0)
}

#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(from: *const u32) -> Vector {
    // SAFETY: the caller promises 4 readable words.
    unsafe { vld1q_s32(from.cast()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn splat(word: u32) -> Vector {
    vdupq_n_s32((word ^ 0x8080_8080) as i32)
}

/// SDOT has no stable intrinsic yet.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn step(mut sum: Vector, a: Vector, b: Vector) -> Vector {
    // SAFETY: one arithmetic instruction on registers, which the dot-product extension provides.
    unsafe {
        asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) sum, in(vreg) a, in(vreg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

#[inline]
#[target_feature(enable = "neon")]
unsafe fn store(to: *mut f32, sum: Vector) {
    // SAFETY: the caller promises 4 writable numbers.
    unsafe { vst1q_s32(to.cast(), sum) }
}

vector_kernel!(features: "neon,dotprod", rows: 8, vectors: 3, lanes: 4, offset: 128);
