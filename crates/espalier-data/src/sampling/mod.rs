//! Seeded order of examples. Samplers go on from a [`Position`] exactly as they would have gone on.

mod permutation;
mod shuffled;
mod weighted;

pub use permutation::Permutation;
pub use shuffled::Shuffled;
pub use weighted::Weighted;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How far a sampler is: all that a checkpoint must keep of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Epochs finished; always 0 for [`Weighted`], which has none.
    pub epoch: u64,
    /// What was drawn of this epoch.
    pub next: u64,
}

/// The generator of a run's purpose (a corpus, an initialisation): independent streams of one seed.
pub fn generator(seed: u64, purpose: &str) -> ChaCha8Rng {
    // FNV-1a of the purpose picks the stream.
    let stream = purpose.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn purposes_give_different_streams_of_one_seed() {
        let draw = |seed, purpose| generator(seed, purpose).random::<u64>();
        assert_eq!(draw(3, "a"), draw(3, "a"));
        assert_ne!(draw(3, "a"), draw(3, "b"));
        assert_ne!(draw(3, "a"), draw(4, "a"));
    }
}
