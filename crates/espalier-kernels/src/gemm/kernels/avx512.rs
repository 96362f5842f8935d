//! f32 on AVX-512: 8 x 48, that is 24 sums, 3 vectors of B and a broadcast of A in 32 registers.

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
    _mm512_set1_ps(f32::from_bits(word))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn step(sum: Vector, a: Vector, b: Vector) -> Vector {
    _mm512_fmadd_ps(a, b, sum)
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store(to: *mut f32, sum: Vector) {
    // SAFETY: the caller promises 16 writable numbers.
    unsafe { _mm512_storeu_ps(to, sum) }
}

vector_kernel!(features: "avx512f", rows: 8, vectors: 3, lanes: 16, offset: 0);
