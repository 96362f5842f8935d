//! f32 on AVX2 with FMA: 6 x 16, that is 12 sums, 2 vectors of B and a broadcast of A in 16
//! registers.

use super::vectors::vector_kernel;
use std::arch::x86_64::*;

type Vector = __m256;

#[inline]
#[target_feature(enable = "avx2")]
fn zero() -> Vector {
    _mm256_setzero_ps()
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(from: *const u32) -> Vector {
    // SAFETY: the caller promises 8 readable words.
    unsafe { _mm256_loadu_ps(from.cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat(word: u32) -> Vector {
    _mm256_set1_ps(f32::from_bits(word))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn step(sum: Vector, a: Vector, b: Vector) -> Vector {
    _mm256_fmadd_ps(a, b, sum)
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store(to: *mut f32, sum: Vector) {
    // SAFETY: the caller promises 8 writable numbers.
    unsafe { _mm256_storeu_ps(to, sum) }
}

vector_kernel!(features: "avx2,fma", rows: 6, vectors: 2, lanes: 8, offset: 0);
