//! f32 and bytes on AVX2: 6 x 16, that is 12 sums, 2 vectors of B and a broadcast of A in 16
//! registers.

use super::vectors::vector_kernel;
use std::arch::x86_64::*;

vector_kernel! {
    /// Fused multiply-add.
    static F32;
    features: "avx2,fma", rows: 6, vectors: 2, lanes: 8, offset: 0;
    type Vector = __m256;
    zero = _mm256_setzero_ps();
    load(from) = _mm256_loadu_ps(from.cast());
    broadcast(lane) = _mm256_set1_ps(f32::from_bits(lane));
    step(sum, a, b) = _mm256_fmadd_ps(a, b, sum);
    store(to, sum) = _mm256_storeu_ps(to, sum);
}

vector_kernel! {
    /// Four products of an unsigned and a signed byte per lane: added in pairs to 16 bits, and
    /// these to 32. Pairs fit into 16 bits because weights are quantised so that they do
    /// (quantize.rs).
    static INT8;
    features: "avx2", rows: 6, vectors: 2, lanes: 8, offset: 0;
    type Vector = __m256i;
    zero = _mm256_setzero_si256();
    load(from) = _mm256_loadu_si256(from.cast());
    broadcast(lane) = _mm256_set1_epi32(lane as i32);
    step(sum, a, b) = {
        let pairs = _mm256_maddubs_epi16(a, b);
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    };
    store(to, sum) = _mm256_storeu_si256(to.cast(), sum);
}
