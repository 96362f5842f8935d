//! Bytes on AVX-512 (AVX512_VNNI): 8 x 48. One instruction adds four products of an unsigned and a
//! signed byte per lane.

use super::vectors::vector_kernel;
use std::arch::x86_64::*;

type Vector = __m512i;

#[inline]
#[target_feature(enable = "avx512f")]
fn zero() -> Vector {
    _mm512_setzero_si512()
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(from: *const u32) -> Vector {
    // SAFETY: the caller promises 16 readable words.
    unsafe { _mm512_loadu_si512(from.cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn splat(word: u32) -> Vector {
    _mm512_set1_epi32(word as i32)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn step(sum: Vector, a: Vector, b: Vector) -> Vector {
    _mm512_dpbusd_epi32(sum, a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store(to: *mut f32, sum: Vector) {
    // SAFETY: the caller promises 16 writable numbers.
    unsafe { _mm512_storeu_si512(to.cast(), sum) }
}

vector_kernel!(features: "avx512f,avx512vnni", rows: 8, vectors: 3, lanes: 16, offset: 0);
