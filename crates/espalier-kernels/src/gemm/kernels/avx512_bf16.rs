//! bf16 on AVX-512 (AVX512_BF16): 8 x 48. One instruction adds two products per lane, without
//! rounding in between.

use super::vectors::vector_kernel;
use std::arch::x86_64::*;

type Vector = __m512;

#[inline]
#[target_feature(enable = "avx512f")]
fn zero() -> Vector {
    _mm512_setzero_ps()
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(from: *const u32) -> Vector {
    // SAFETY: the caller promises 16 readable words.
    unsafe { _mm512_loadu_ps(from.cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn splat(word: u32) -> Vector {
    _mm512_castsi512_ps(_mm512_set1_epi32(word as i32))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn step(sum: Vector, a: Vector, b: Vector) -> Vector {
    // SAFETY: both are 64 bytes for which all bits are valid.
    let (a, b) = unsafe {
        (std::mem::transmute::<__m512, __m512bh>(a), std::mem::transmute::<__m512, __m512bh>(b))
    };
    _mm512_dpbf16_ps(sum, a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store(to: *mut f32, sum: Vector) {
    // SAFETY: the caller promises 16 writable numbers.
    unsafe { _mm512_storeu_ps(to, sum) }
}

vector_kernel!(features: "avx512f,avx512bf16", rows: 8, vectors: 3, lanes: 16, offset: 0);
