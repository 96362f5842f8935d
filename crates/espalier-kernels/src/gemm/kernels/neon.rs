//! f32 on NEON: 8 x 12, that is 24 sums, 3 vectors of B and a broadcast of A in 32 registers.

use super::vectors::vector_kernel;
use std::arch::aarch64::*;

type Vector = float32x4_t;

#[inline]
#[target_feature(enable = "neon")]
fn zero() -> Vector {
    vdupq_n_f32(0.0)
}

#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(from: *const u32) -> Vector {
    // SAFETY: the caller promises 4 readable words.
    unsafe { vld1q_f32(from.cast()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn splat(word: u32) -> Vector {
    vdupq_n_f32(f32::from_bits(word))
}

#[inline]
#[target_feature(enable = "neon")]
fn step(sum: Vector, a: Vector, b: Vector) -> Vector {
    vfmaq_f32(sum, a, b)
}

#[inline]
#[target_feature(enable = "neon")]
unsafe fn store(to: *mut f32, sum: Vector) {
    // SAFETY: the caller promises 4 writable numbers.
    unsafe { vst1q_f32(to, sum) }
}

vector_kernel!(features: "neon", rows: 8, vectors: 3, lanes: 4, offset: 0);
