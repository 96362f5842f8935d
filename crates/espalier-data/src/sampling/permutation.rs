//! A random order of 0..n that is computed index by index, without memory for n numbers.

use rand::RngCore;

/// Each round moves an index to a random place with probability 1/2, so that 64 rounds leave none
/// in its place except by chance.
const ROUNDS: usize = 64;

/// A permutation of 0..n: the swap-or-not shuffle (Hoang, Morris, Rogaway: An enciphering scheme
/// based on a card shuffle, 2012).
///
/// Every round pairs each index x with k - x (mod n) and swaps the two or not, by a bit that
/// depends only on the pair. That is a permutation for any n, unlike a cipher on a power of two.
///
/// # Examples
/// ```
/// use espalier_data::sampling::{Permutation, generator};
///
/// let permutation = Permutation::new(5, &mut generator(7, "example"));
/// let mut order: Vec<usize> = (0..5).map(|place| permutation.at(place)).collect();
/// order.sort();
/// assert_eq!(order, [0, 1, 2, 3, 4]);
/// ```
#[derive(Clone, Debug)]
pub struct Permutation {
    n: u64,
    rounds: Vec<Round>,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    /// k: the two indices of a pair add up to it modulo n.
    sum: u64,
    /// Makes the bits of this round different from those of others.
    key: u64,
}

impl Permutation {
    /// The 32-bit words that [`new`](Self::new) takes from its generator.
    pub const WORDS: u128 = 4 * ROUNDS as u128;

    /// A permutation of 0..n, drawn from `rng`.
    pub fn new(n: usize, rng: &mut impl RngCore) -> Self {
        let n = n as u64;
        // The upper half of the product is below n. An exact draw would need retries, and WORDS
        // would not be constant.
        let round = |_| Round {
            sum: ((rng.next_u64() as u128 * n as u128) >> 64) as u64,
            key: rng.next_u64(),
        };
        Self { n, rounds: (0..ROUNDS).map(round).collect() }
    }

    /// The index at a place of the order.
    ///
    /// # Panics
    /// If `place` is not below n.
    pub fn at(&self, place: usize) -> usize {
        assert!((place as u64) < self.n, "Permutation: place {place} of {}", self.n);
        let index = self.rounds.iter().fold(place as u64, |x, round| {
            let partner = if round.sum >= x { round.sum - x } else { self.n - (x - round.sum) };
            if mix(x.max(partner) ^ round.key) & 1 == 1 { partner } else { x }
        });
        index as usize
    }
}

/// The finalizer of SplitMix64: each bit of the result depends on all bits of x.
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::sampling::generator;

    #[test]
    fn it_visits_every_index_once_whatever_n() {
        let mut rng = generator(1, "test");
        for n in (1..70).chain([255, 256, 257, 1000, 4095, 4097]) {
            let permutation = Permutation::new(n, &mut rng);
            let seen: BTreeSet<usize> = (0..n).map(|place| permutation.at(place)).collect();
            assert!(seen.len() == n && seen.last() == Some(&(n - 1)), "{n}");
        }
    }

    #[test]
    fn all_orders_of_four_are_about_as_frequent() {
        let mut rng = generator(2, "test");
        let mut counts: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        for _ in 0..24_000 {
            let permutation = Permutation::new(4, &mut rng);
            *counts.entry((0..4).map(|place| permutation.at(place)).collect()).or_default() += 1;
        }
        // 1000 of each expected, standard deviation 31.
        assert!(
            counts.len() == 24 && counts.values().all(|&count| count.abs_diff(1000) < 155),
            "{counts:?}"
        );
    }

    #[test]
    fn neighbours_are_separated_in_a_corpus_of_hundreds_of_millions() {
        let n = 300_000_000;
        let permutation = Permutation::new(n, &mut generator(3, "test"));
        let indices: Vec<usize> = (n - 10_000..n).map(|place| permutation.at(place)).collect();
        // Two random places are n / 3 apart on average; the mean of 10,000 has a standard
        // deviation of n / 424.
        let distance: usize =
            indices.windows(2).map(|pair| pair[0].abs_diff(pair[1])).sum::<usize>()
                / (indices.len() - 1);
        assert!(distance.abs_diff(n / 3) < n / 80, "{distance}");
        assert!(indices.iter().all(|&index| index < n));
        assert_eq!(indices.iter().collect::<BTreeSet<_>>().len(), indices.len());
    }
}
