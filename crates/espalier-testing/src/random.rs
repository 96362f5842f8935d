//! Random input.

use espalier_kernels::Element;

/// Random numbers from a seed (SplitMix64, as in Steele et al., "Fast splittable pseudorandom
/// number generators").
pub struct Random(u64);

impl Random {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number, uniform in [-1, 1).
    pub fn number(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// `n` numbers, uniform in [-1, 1).
    pub fn vec(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.number()).collect()
    }

    /// `n` numbers, uniform in [-size, size).
    pub fn spread(&mut self, n: usize, size: f32) -> Vec<f32> {
        self.vec(n).iter().map(|v| v * size).collect()
    }

    /// `n` whole numbers below `limit`.
    pub fn below(&mut self, n: usize, limit: usize) -> Vec<u32> {
        (0..n).map(|_| (self.bits() % limit as u64) as u32).collect()
    }
}

/// The nearest values of another element type.
pub fn stored<E: Element>(x: &[f32]) -> Vec<E> {
    x.iter().map(|&v| E::from_f32(v)).collect()
}
