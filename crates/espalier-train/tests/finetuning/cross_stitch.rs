//! Fine-tuning on two frozen, cross-stitched encoders.

use crate::tasks::{
    accuracy, adapter_bits, config, config_of_steps, names, opinions, trained,
    with_zeros_in_first_layer,
};
use espalier_encoder::{Adapter, Backbone, EncoderError, Precision};
use espalier_testing::adapters::random_lora;
use espalier_testing::compare::{bits, on_threads};
use espalier_testing::fixtures::tiny_bert;
use espalier_testing::random::Random;
use espalier_train::TrainError;
use espalier_train::finetune::{FrozenEncoder, predict};
use espalier_train::network::{SecondEncoder, Stitches};
use tempfile::TempDir;

/// The tiny BERT, and a second encoder with slightly different weights.
fn encoders(own: f32, other: f32) -> (Backbone, SecondEncoder) {
    let (first, mut random) = (tiny_bert(), Random::new(3));
    let backbone = first.with_weights(
        first.weights().iter().map(|weight| weight + 0.02 * random.number()).collect(),
    );
    let stitches = Stitches::new(first.encoder.layers(), own, other);
    (first, SecondEncoder { backbone, stitches })
}

/// NER uses the first encoder and classification the second. With stitches that do not mix, the
/// result is the same, bit for bit, as on that encoder alone.
#[test]
fn without_mixing_the_adapter_is_the_same_as_on_one_encoder() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (first, mut second) = encoders(1.0, 0.0);
        let first = first.with_precision(precision);
        second.backbone = second.backbone.with_precision(precision);
        let both = FrozenEncoder::new(&first, Some(&second));
        for (task, alone) in [(names(), &first), (opinions(), &second.backbone)] {
            let (adapter, losses) = trained(both, None, &task, &config_of_steps(10));
            let (expected, expected_losses) = trained(alone, None, &task, &config_of_steps(10));
            assert_eq!(losses, expected_losses);
            assert_eq!(adapter_bits(&adapter), adapter_bits(&expected));
            assert_eq!(
                predict(both, &adapter, &task).unwrap(),
                predict(alone, &expected, &task).unwrap()
            );
        }
    }
}

#[test]
fn tasks_are_learned_through_stitches() {
    let (first, second) = encoders(0.7, 0.4);
    let both = FrozenEncoder::new(&first, Some(&second));
    for task in [names(), opinions()] {
        let (adapter, losses) = trained(both, None, &task, &config());
        assert!(losses[119] < 0.2 * losses[0], "from {} to {}", losses[0], losses[119]);
        let accuracy = accuracy(both, &adapter, &task);
        assert!(accuracy > 0.95, "{accuracy}");
        let (_, without) = trained(&first, None, &task, &config_of_steps(1));
        assert_ne!(losses[0], without[0], "the other encoder has an effect");
    }
}

#[test]
fn caching_the_trunk_of_both_encoders_changes_nothing() {
    let (first, second) = encoders(0.7, 0.4);
    let both = FrozenEncoder::new(&first, Some(&second));
    let cached = random_lora(&first, 1, 7);
    let (uncached, zeros) = with_zeros_in_first_layer(&first.encoder.config, &cached);
    for task in [opinions(), names()] {
        let (from_cache, losses) = trained(both, Some(&cached), &task, &config_of_steps(10));
        let (from_text, same_losses) = trained(both, Some(&uncached), &task, &config_of_steps(10));
        assert_eq!(losses, same_losses);
        assert_eq!(bits(&from_text.lora.values[zeros..]), bits(&from_cache.lora.values));
        assert_eq!(from_text.head, from_cache.head);
        assert_eq!(
            predict(both, &from_text, &task).unwrap(),
            predict(both, &from_cache, &task).unwrap()
        );
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (first, second) = encoders(0.7, 0.4);
    let with_threads = |threads| {
        let both = FrozenEncoder::new(&first, Some(&second));
        let of_task = |task| adapter_bits(&trained(both, None, &task, &config_of_steps(5)).0);
        on_threads(threads, || [opinions(), names()].map(of_task))
    };
    let one = with_threads(1);
    assert!(with_threads(2) == one && with_threads(3) == one);
}

/// The adapter would run on either encoder alone, but with other results.
#[test]
fn an_adapter_of_both_encoders_is_refused_on_one_and_the_reverse() {
    let (first, second) = encoders(0.7, 0.4);
    let both = FrozenEncoder::new(&first, Some(&second));
    for task in [opinions(), names()] {
        let (adapter, _) = trained(both, None, &task, &config_of_steps(3));
        assert_eq!(adapter.card.family, task.family());
        let directory = TempDir::new().unwrap();
        adapter.save(directory.path()).unwrap();
        assert_eq!(both.open_adapter(directory.path()).unwrap(), adapter);
        for alone in [&first, &second.backbone] {
            let refused = Adapter::open(directory.path(), alone);
            assert!(matches!(refused, Err(EncoderError::WrongBackbone { .. })), "{refused:?}");
        }
        let (adapter, _) = trained(&first, None, &task, &config_of_steps(1));
        adapter.save(directory.path()).unwrap();
        let refused = both.open_adapter(directory.path());
        assert!(
            matches!(refused, Err(TrainError::Encoder(EncoderError::WrongBackbone { .. }))),
            "{refused:?}"
        );
    }
}
