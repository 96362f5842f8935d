//! Epochs over a corpus, each in a new random order.

use rand_chacha::ChaCha8Rng;

use super::{Permutation, Position};

/// An endless sequence of indices of a corpus: every epoch visits each once, in a new order.
///
/// The order of an epoch depends only on the generator and the number of the epoch. Memory does not
/// grow with the corpus.
#[derive(Clone, Debug)]
pub struct Shuffled {
    n: usize,
    position: Position,
    order: Permutation,
    rng: ChaCha8Rng,
}

impl Shuffled {
    /// Draws from the indices 0..n. `rng` must be new, as from [`generator`](super::generator).
    ///
    /// # Panics
    /// If n is zero.
    pub fn new(n: usize, rng: ChaCha8Rng) -> Self {
        assert!(n > 0, "Shuffled: nothing to draw from");
        Self { n, position: Position::default(), order: order(n, 0, &rng), rng }
    }

    /// A new sequence over 0..n with the same generator, from its beginning.
    ///
    /// # Panics
    /// If n is zero.
    pub fn over(&self, n: usize) -> Self {
        Self::new(n, self.rng.clone())
    }

    /// The next `count` indices, at most n; no index is twice in one batch. The rest of an epoch
    /// that is too short for a batch is left out.
    pub fn batch(&mut self, count: usize) -> Vec<usize> {
        let count = count.min(self.n);
        if self.position.next.saturating_add(count as u64) > self.n as u64 {
            self.seek(Position { epoch: self.position.epoch.wrapping_add(1), next: 0 });
        }
        let first = self.position.next as usize;
        self.position.next += count as u64;
        (first..first + count).map(|place| self.order.at(place)).collect()
    }

    /// How far the sequence has been drawn.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Continues from `position`, that of a sampler with the same n and generator.
    pub fn seek(&mut self, position: Position) {
        if position.epoch != self.position.epoch {
            self.order = order(self.n, position.epoch, &self.rng);
        }
        self.position = position;
    }
}

/// The order of an epoch.
fn order(n: usize, epoch: u64, rng: &ChaCha8Rng) -> Permutation {
    let mut rng = rng.clone();
    rng.set_word_pos(epoch as u128 * Permutation::WORDS);
    Permutation::new(n, &mut rng)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::sampling::generator;

    proptest! {
        #[test]
        fn an_epoch_visits_every_index_once(n in 1usize..200, batch in 1usize..20, seed: u64) {
            let mut shuffled = Shuffled::new(n, generator(seed, "test"));
            let batches = n / batch.min(n);
            for epoch in 0..3 {
                let seen: Vec<usize> = (0..batches).flat_map(|_| shuffled.batch(batch)).collect();
                prop_assert_eq!(shuffled.position(), Position { epoch, next: seen.len() as u64 });
                // All except the rest that is too short for a batch.
                prop_assert_eq!(seen.len(), batches * batch.min(n));
                let valid = seen.iter().copied().filter(|&index| index < n);
                let distinct: BTreeSet<usize> = valid.collect();
                prop_assert_eq!(distinct.len(), seen.len());
            }
        }

        #[test]
        fn no_index_is_twice_in_a_batch(n in 1usize..50, batch in 1usize..99, seed: u64) {
            let mut shuffled = Shuffled::new(n, generator(seed, "test"));
            for _ in 0..10 {
                let mut picked = shuffled.batch(batch);
                prop_assert_eq!(picked.len(), batch.min(n));
                picked.sort_unstable();
                picked.dedup();
                prop_assert_eq!(picked.len(), batch.min(n));
            }
        }

        #[test]
        fn after_seek_it_continues_as_if_never_interrupted(
            n in 1usize..200,
            before in 0usize..40,
            batch in 1usize..30,
            seed: u64,
        ) {
            let mut uninterrupted = Shuffled::new(n, generator(seed, "test"));
            (0..before).for_each(|_| drop(uninterrupted.batch(batch)));
            let stored = serde_json::to_string(&uninterrupted.position()).unwrap();
            let mut resumed = Shuffled::new(n, generator(seed, "test"));
            resumed.seek(serde_json::from_str(&stored).unwrap());
            for count in [batch, 1, 7, batch, 500] {
                prop_assert_eq!(resumed.batch(count), uninterrupted.batch(count));
            }
            prop_assert_eq!(resumed.position(), uninterrupted.position());
        }
    }

    #[test]
    fn epochs_differ() {
        let mut shuffled = Shuffled::new(100, generator(1, "test"));
        assert_ne!(shuffled.batch(100), shuffled.batch(100));
        assert_eq!(shuffled.position(), Position { epoch: 1, next: 100 });
    }

    #[test]
    fn a_position_beyond_the_corpus_begins_the_next_epoch() {
        let mut shuffled = Shuffled::new(3, generator(1, "test"));
        shuffled.seek(Position { epoch: u64::MAX, next: u64::MAX });
        assert_eq!(shuffled.batch(3).len(), 3);
        assert_eq!(shuffled.position(), Position { epoch: 0, next: 3 });
    }
}
