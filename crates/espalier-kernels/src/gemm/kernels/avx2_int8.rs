//! Bytes on AVX2: 6 x 16. Unsigned by signed bytes, added in pairs, fit into 16 bits because
//! weights are quantised so that they do (quantize.rs).

use super::vectors::vector_kernel;
use std::arch::x86_64::*;

/// Eight sums.
type Vector = __m256i;

#[inline]
#[target_feature(enable = "avx2")]
fn zero() -> Vector {
    _mm256_setzero_si256()
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(from: *const u32) -> Vector {
    // SAFETY: the caller promises 8 readable words.
    unsafe { _mm256_loadu_si256(from.cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat(word: u32) -> Vector {
    _mm256_set1_epi32(word as i32)
}

/// Four products in each lane: in pairs to 16 bits, and these to 32.
#[inline]
#[target_feature(enable = "avx2")]
fn step(sum: Vector, a: Vector, b: Vector) -> Vector {
    let pairs = _mm256_maddubs_epi16(a, b);
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store(to: *mut f32, sum: Vector) {
    // SAFETY: the caller promises 8 writable numbers.
    unsafe { _mm256_storeu_si256(to.cast(), sum) }
}

vector_kernel!(features: "avx2", rows: 6, vectors: 2, lanes: 8, offset: 0);
