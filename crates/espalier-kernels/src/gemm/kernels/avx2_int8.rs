//! Bytes on AVX2: 4 x 16. Unsigned by signed bytes, added in pairs, would overflow 16 bits: so 128 is taken from activations.

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

/// A word of activations, less the kernel's offset.
#[derive(Clone, Copy)]
struct Activations {
    signed: __m256i,
    size: __m256i,
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat(word: u32) -> Activations {
    let signed = _mm256_set1_epi32((word ^ 0x8080_8080) as i32);
    Activations { signed, size: _mm256_abs_epi8(signed) }
}

/// Sizes of activations by weights with the activations' signs. Two such products are at most 2 x 128 x 127, which 16 bits hold.
#[inline]
#[target_feature(enable = "avx2")]
fn step(sum: Vector, a: Activations, b: Vector) -> Vector {
    let pairs = _mm256_maddubs_epi16(a.size, _mm256_sign_epi8(b, a.signed));
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store(to: *mut f32, sum: Vector) {
    // SAFETY: the caller promises 8 writable numbers.
    unsafe { _mm256_storeu_si256(to.cast(), sum) }
}

vector_kernel!(features: "avx2", rows: 4, vectors: 2, lanes: 8, offset: 128);
