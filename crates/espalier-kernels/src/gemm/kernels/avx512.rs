//! f32, bf16 and bytes on AVX-512: 8 x 48, that is 24 sums, 3 vectors of B and a broadcast of A in
//! 32 registers.

use super::vectors::vector_kernel;
use std::arch::x86_64::*;

vector_kernel! {
    /// Fused multiply-add.
    static F32;
    features: "avx512f", rows: 8, vectors: 3, lanes: 16, offset: 0;
    type Vector = __m512;
    zero = _mm512_setzero_ps();
    load(from) = _mm512_loadu_ps(from.cast());
    broadcast(lane) = _mm512_set1_ps(f32::from_bits(lane));
    step(sum, a, b) = _mm512_fmadd_ps(a, b, sum);
    store(to, sum) = _mm512_storeu_ps(to, sum);
}

vector_kernel! {
    /// One instruction adds two products per lane, without rounding in between (AVX512_BF16).
    static BF16;
    features: "avx512f,avx512bf16", rows: 8, vectors: 3, lanes: 16, offset: 0;
    type Vector = __m512;
    zero = _mm512_setzero_ps();
    load(from) = _mm512_loadu_ps(from.cast());
    broadcast(lane) = _mm512_castsi512_ps(_mm512_set1_epi32(lane as i32));
    step(sum, a, b) = {
        // SAFETY: both types are 64 bytes for which all bits are valid.
        let (a, b) = unsafe {
            (std::mem::transmute::<__m512, __m512bh>(a), std::mem::transmute::<__m512, __m512bh>(b))
        };
        _mm512_dpbf16_ps(sum, a, b)
    };
    store(to, sum) = _mm512_storeu_ps(to, sum);
}

vector_kernel! {
    /// One instruction adds four products of an unsigned and a signed byte per lane (AVX512_VNNI).
    static INT8;
    features: "avx512f,avx512vnni", rows: 8, vectors: 3, lanes: 16, offset: 0;
    type Vector = __m512i;
    zero = _mm512_setzero_si512();
    load(from) = _mm512_loadu_si512(from.cast());
    broadcast(lane) = _mm512_set1_epi32(lane as i32);
    step(sum, a, b) = _mm512_dpbusd_epi32(sum, a, b);
    store(to, sum) = _mm512_storeu_si512(to.cast(), sum);
}
