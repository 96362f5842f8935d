//! Seeded random sampling that can be resumed: a sampler restored from a [`Position`] continues
//! exactly as if never interrupted.
//!
//! # Examples
//! ```
//! use espalier_data::sampling::{Shuffled, Weighted, generator};
//!
//! // Epochs over ten examples, in batches of four. Eight of each epoch make full batches.
//! let mut order = Shuffled::new(10, generator(7, "examples"));
//! let first = order.batch(4);
//! assert_eq!(first.len(), 4);
//!
//! let mut restored = Shuffled::new(10, generator(7, "examples"));
//! restored.seek(order.position());
//! assert_eq!(restored.batch(4), order.batch(4));
//!
//! // Sources 0 and 2, the second three times as often as the first.
//! let mut sources = Weighted::new([1.0, 0.0, 3.0], generator(7, "sources"));
//! assert_ne!(sources.draw(), 1);
//! ```

mod permutation;
mod shuffled;
mod weighted;

pub use permutation::Permutation;
pub use shuffled::Shuffled;
pub use weighted::Weighted;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How far a sampler has drawn: all that a checkpoint must keep of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Epochs finished; always 0 for [`Weighted`], which has none.
    pub epoch: u64,
    /// Number of draws in this epoch.
    pub next: u64,
}

/// A random generator for one purpose of a run (a corpus, an initialization). The generators of one
/// seed are independent streams.
pub fn generator(seed: u64, purpose: &str) -> ChaCha8Rng {
    // The FNV-1a hash of the purpose picks the stream.
    let stream = purpose.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn purposes_give_different_streams_of_one_seed() {
        let draw = |seed, purpose| generator(seed, purpose).random::<u64>();
        assert_eq!(draw(3, "a"), draw(3, "a"));
        assert_ne!(draw(3, "a"), draw(3, "b"));
        assert_ne!(draw(3, "a"), draw(4, "a"));
    }
}
