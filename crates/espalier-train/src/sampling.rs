//! Seeded order of examples.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The generator of a run's purpose (a corpus, an initialisation): independent streams of one seed.
pub fn generator(seed: u64, purpose: &str) -> ChaCha8Rng {
    // FNV-1a of the purpose picks the stream.
    let stream = purpose
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Numbers from [-1, 1), as initialisers want them.
pub fn uniform(rng: &mut ChaCha8Rng) -> impl FnMut() -> f32 {
    || rng.random::<f32>() * 2.0 - 1.0
}

/// Indices of a corpus without end: every epoch visits each once, in a new order.
#[derive(Debug)]
pub struct Shuffled {
    order: Vec<usize>,
    next: usize,
    rng: ChaCha8Rng,
}

impl Shuffled {
    /// Indices 0..n.
    ///
    /// # Panics
    /// If n is zero.
    pub fn new(n: usize, rng: ChaCha8Rng) -> Self {
        assert!(n > 0, "Shuffled: nothing to draw from");
        Self { order: (0..n).collect(), next: n, rng }
    }

    /// The next `count` indices, at most n: no index comes twice in one batch.
    pub fn batch(&mut self, count: usize) -> Vec<usize> {
        let count = count.min(self.order.len());
        if self.next + count > self.order.len() {
            // The rest of an epoch too short for a batch waits for the next one.
            self.order.shuffle(&mut self.rng);
            self.next = 0;
        }
        self.next += count;
        self.order[self.next - count..self.next].to_vec()
    }
}

/// Draws sources in proportion to size^exponent.
#[derive(Debug)]
pub struct Weighted {
    cumulative: Vec<f64>,
    rng: ChaCha8Rng,
}

impl Weighted {
    /// One weight per source: its size to the power of `exponent`.
    pub fn new(sizes: impl IntoIterator<Item = usize>, exponent: f64, rng: ChaCha8Rng) -> Self {
        let mut total = 0.0;
        let cumulative = sizes
            .into_iter()
            .map(|size| {
                total += (size as f64).powf(exponent);
                total
            })
            .collect();
        Self { cumulative, rng }
    }

    /// The next source.
    pub fn draw(&mut self) -> usize {
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let point = self.rng.random::<f64>() * total;
        self.cumulative.partition_point(|&end| end <= point).min(self.cumulative.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_every_index_once() {
        let mut shuffled = Shuffled::new(10, generator(1, "test"));
        for _ in 0..3 {
            let mut seen: Vec<usize> = (0..2).flat_map(|_| shuffled.batch(5)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<_>>());
        }
        assert_eq!(shuffled.batch(99).len(), 10);
    }

    #[test]
    fn sources_come_in_proportion_to_the_root_of_their_size() {
        // Sizes 100 and 1: roots 10 and 1, so the first is drawn in 10 of 11 cases; 4 standard deviations of 11,000 draws are 121.
        let mut weighted = Weighted::new([100, 1], 0.5, generator(7, "test"));
        let first = (0..11_000).filter(|_| weighted.draw() == 0).count();
        assert!(first.abs_diff(10_000) < 121, "{first}");
    }

    #[test]
    fn purposes_give_different_streams_of_one_seed() {
        let draw = |seed, purpose| generator(seed, purpose).random::<u64>();
        assert_eq!(draw(3, "a"), draw(3, "a"));
        assert_ne!(draw(3, "a"), draw(3, "b"));
        assert_ne!(draw(3, "a"), draw(4, "a"));
    }
}
