//! Seeded order of examples. Samplers go on from a [`Position`] exactly as they would have gone on.

mod permutation;
mod shuffled;
mod weighted;

pub use permutation::Permutation;
pub use shuffled::Shuffled;
pub use weighted::Weighted;

use rand::{Rng, SeedableRng};
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

/// Numbers from [-1, 1), as initialisers want them.
pub fn uniform(rng: &mut ChaCha8Rng) -> impl FnMut() -> f32 {
    || rng.random::<f32>() * 2.0 - 1.0
}

/// Numbers as BERT's weights begin: normal with a standard deviation of 0.02, none beyond two of
/// those.
pub fn normal(rng: &mut ChaCha8Rng) -> impl FnMut() -> f32 {
    const DEVIATION: f64 = 0.02;
    move || {
        loop {
            // Box and Muller's transform (Annals of Mathematical Statistics 29, 1958); 1 - u is
            // never zero.
            let (u, v): (f64, f64) = rng.random();
            let z = (-2.0 * (1.0 - u).ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos();
            if z.abs() <= 2.0 {
                return (DEVIATION * z) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_give_different_streams_of_one_seed() {
        let draw = |seed, purpose| generator(seed, purpose).random::<u64>();
        assert_eq!(draw(3, "a"), draw(3, "a"));
        assert_ne!(draw(3, "a"), draw(3, "b"));
        assert_ne!(draw(3, "a"), draw(4, "a"));
    }

    #[test]
    fn weights_begin_as_those_of_bert() {
        let mut rng = generator(1, "test");
        let drawn: Vec<f32> = std::iter::repeat_with(normal(&mut rng)).take(20_000).collect();
        assert!(drawn.iter().all(|x| x.abs() <= 0.04));
        let mean = drawn.iter().sum::<f32>() / 20_000.0;
        let deviation = (drawn.iter().map(|x| x * x).sum::<f32>() / 20_000.0).sqrt();
        // Cut at two standard deviations, the normal distribution has 0.8796 of its own; four
        // standard errors are 2 %.
        assert!(
            mean.abs() < 6e-4 && (deviation / (0.02 * 0.8796) - 1.0).abs() < 0.02,
            "{mean} {deviation}"
        );
    }
}
