//! Bytes on AVX2: 6 x 8, widened to 16 bits because products of bytes added in pairs would overflow there.

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

/// Even and odd bytes of each word apart, each in 16 bits: two multiply-and-adds make the word's four products.
#[inline]
#[target_feature(enable = "avx2")]
fn step(sum: Vector, a: Vector, b: Vector) -> Vector {
    let low = _mm256_set1_epi16(0xff);
    let (a_even, a_odd) = (_mm256_and_si256(a, low), _mm256_srli_epi16(a, 8)); // unsigned
    let (b_even, b_odd) = (_mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8), _mm256_srai_epi16(b, 8)); // signed
    let products = _mm256_add_epi32(_mm256_madd_epi16(a_even, b_even), _mm256_madd_epi16(a_odd, b_odd));
    _mm256_add_epi32(sum, products)
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store(to: *mut f32, sum: Vector) {
    // SAFETY: the caller promises 8 writable numbers.
    unsafe { _mm256_storeu_si256(to.cast(), sum) }
}

vector_kernel!(features: "avx2", rows: 6, vectors: 1, lanes: 8, offset: 0);
