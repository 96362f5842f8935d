//! The same seed gives the same weights, for any number of threads.

use crate::corpora::{Corpora, trained};
use espalier_encoder::Compute;
use espalier_testing::compare::{bits, on_threads};
use espalier_train::Prefinetuned;
use espalier_train::strategy::Strategy;

/// The bits of theta, of the second encoder and the stitches, and of all adapters.
fn fingerprint(result: &Prefinetuned) -> Vec<Vec<u32>> {
    let adapters = result.adapters.values().map(|lora| bits(&lora.values));
    let second = result
        .second
        .iter()
        .flat_map(|it| [bits(it.backbone.weights()), bits(&it.stitches.values)]);
    std::iter::once(bits(result.backbone.weights())).chain(second).chain(adapters).collect()
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_others() {
    let corpora = Corpora::easy();
    for strategy in Strategy::ALL.into_iter().filter(|strategy| strategy.trains_encoder) {
        let with_seed = |seed| {
            let mut config = corpora.config(strategy);
            config.seed = seed;
            fingerprint(&trained(&config))
        };
        let first = with_seed(1);
        assert!(with_seed(1) == first, "{strategy}: a second run differs");
        let other = with_seed(2);
        assert!(
            first.iter().zip(&other).all(|(first, other)| first != other),
            "{strategy}: the seed changes nothing"
        );
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let corpora = Corpora::long();
    for (strategy, precision) in [
        (Strategy::TPL, Compute::F32),
        (Strategy::CROSS_STITCH, Compute::F32),
        (Strategy::CROSS_STITCH, Compute::Bf16),
    ] {
        let mut config = corpora.config(strategy);
        (config.ner.batch, config.tc.batch, config.train.precision) = (16, 16, precision);
        let with_threads = |threads| fingerprint(&on_threads(threads, || trained(&config)));
        let one = with_threads(1);
        assert!(with_threads(2) == one && with_threads(3) == one, "{strategy} in {precision}");
    }
}
