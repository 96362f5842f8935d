//! Random choice among a few sources.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::Position;

/// The 32-bit words that a draw takes from the generator.
const WORDS: u128 = 2;

/// Draws sources in proportion to their weights.
#[derive(Clone, Debug)]
pub struct Weighted {
    cumulative: Vec<f64>,
    drawn: u64,
    rng: ChaCha8Rng,
}

impl Weighted {
    /// One weight per source, each at least 0 and finite. `rng` must be new, as from
    /// [`generator`](super::generator).
    ///
    /// # Panics
    /// If there is no source.
    pub fn new(weights: impl IntoIterator<Item = f64>, rng: ChaCha8Rng) -> Self {
        let cumulate = |total: &mut f64, weight: f64| {
            *total += weight;
            Some(*total)
        };
        let cumulative: Vec<f64> = weights.into_iter().scan(0.0, cumulate).collect();
        assert!(!cumulative.is_empty(), "Weighted: nothing to draw from");
        Self { cumulative, drawn: 0, rng }
    }

    /// The index of the next source.
    pub fn draw(&mut self) -> usize {
        self.drawn = self.drawn.wrapping_add(1);
        let last = self.cumulative.len() - 1;
        let point = self.rng.random::<f64>() * self.cumulative[last];
        self.cumulative.partition_point(|&end| end <= point).min(last)
    }

    /// How many were drawn.
    pub fn position(&self) -> Position {
        Position { epoch: 0, next: self.drawn }
    }

    /// Continues from `position`, that of a sampler with the same weights and generator.
    pub fn seek(&mut self, position: Position) {
        self.drawn = position.next;
        self.rng.set_word_pos(position.next as u128 * WORDS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::generator;

    #[test]
    fn sources_are_drawn_in_proportion_to_their_weights() {
        // 4 standard deviations of 11,000 draws are 121.
        let mut weighted = Weighted::new([10.0, 0.0, 1.0], generator(7, "test"));
        let mut counts = [0usize; 3];
        (0..11_000).for_each(|_| counts[weighted.draw()] += 1);
        assert!(counts[0].abs_diff(10_000) < 121 && counts[1] == 0, "{counts:?}");
    }

    #[test]
    fn after_seek_it_continues_as_if_never_interrupted() {
        for before in [0, 1, 7, 8, 33] {
            let mut uninterrupted = Weighted::new([1.0; 50], generator(3, "test"));
            (0..before).for_each(|_| _ = uninterrupted.draw());
            let mut resumed = Weighted::new([1.0; 50], generator(3, "test"));
            resumed.seek(uninterrupted.position());
            let draws =
                |sampler: &mut Weighted| (0..40).map(|_| sampler.draw()).collect::<Vec<_>>();
            assert_eq!(draws(&mut resumed), draws(&mut uninterrupted));
            assert_eq!(resumed.position(), Position { epoch: 0, next: before + 40 });
        }
    }
}
