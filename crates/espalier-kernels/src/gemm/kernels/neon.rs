//! f32 and bytes on NEON: 8 x 12, that is 24 sums, 3 vectors of B and a broadcast of A in 32
//! registers.

use super::vectors::vector_kernel;
use std::arch::aarch64::*;

vector_kernel! {
    /// Fused multiply-add.
    static F32;
    features: "neon", rows: 8, vectors: 3, lanes: 4, offset: 0;
    type Vector = float32x4_t;
    zero = vdupq_n_f32(0.0);
    load(from) = vld1q_f32(from.cast());
    broadcast(lane) = vdupq_n_f32(f32::from_bits(lane));
    step(sum, a, b) = vfmaq_f32(sum, a, b);
    store(to, sum) = vst1q_f32(to, sum);
}

vector_kernel! {
    /// One instruction, SDOT, adds four products per lane. It multiplies signed bytes, and A's are
    /// unsigned: flipping the top bit subtracts 128 from each, as `offset` says.
    static INT8;
    features: "neon,dotprod", rows: 8, vectors: 3, lanes: 4, offset: 128;
    type Vector = int32x4_t;
    zero = vdupq_n_s32(0);
    load(from) = vld1q_s32(from.cast());
    broadcast(lane) = vdupq_n_s32((lane ^ 0x8080_8080) as i32);
    step(sum, a, b) = {
        let mut sum = sum;
        // There is no stable intrinsic yet.
        // SAFETY: one arithmetic instruction on registers, which the dot-product extension has.
        unsafe {
            std::arch::asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b",
                inout(vreg) sum, in(vreg) a, in(vreg) b,
                options(pure, nomem, nostack, preserves_flags));
        }
        sum
    };
    store(to, sum) = vst1q_s32(to.cast(), sum);
}
