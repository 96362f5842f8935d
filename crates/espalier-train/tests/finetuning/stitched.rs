//! Fine-tuning on two frozen columns that are stitched to each other.

use crate::tasks::{config, names, opinions};
use espalier_data::Examples;
use espalier_encoder::lora::SiteSpec;
use espalier_encoder::{Adapter, Backbone, EncoderError, Lora, Module, Precision};
use espalier_testing::adapters::random_lora;
use espalier_testing::compare::{bits, on_threads};
use espalier_testing::fixtures::tiny_bert;
use espalier_testing::random::Random;
use espalier_train::finetune::{FinetuneConfig, FrozenEncoder, Predictions, predict};
use espalier_train::network::{SecondEncoder, Stitches};
use espalier_train::{Finetuner, TrainError};
use tempfile::TempDir;

/// The tiny BERT, and beside it one whose weights are a little off.
fn columns(own: f32, other: f32) -> (Backbone, SecondEncoder) {
    let (first, mut random) = (tiny_bert(), Random::new(3));
    let backbone = first.with_weights(
        first.weights().iter().map(|weight| weight + 0.02 * random.number()).collect(),
    );
    let stitches = Stitches::new(first.encoder.layers(), own, other);
    (first, SecondEncoder { backbone, stitches })
}

fn trained<'a>(
    encoder: impl Into<FrozenEncoder<'a>>,
    init: Option<&Lora>,
    task: &Examples,
    steps: usize,
) -> (Adapter, Vec<f64>) {
    let (config, mut losses) = (FinetuneConfig { steps, ..config() }, Vec::new());
    let adapter = Finetuner::new(encoder)
        .init(init)
        .config(config.clone())
        .train(task, |step| losses.push(step.loss))
        .unwrap();
    (adapter, losses)
}

fn numbers(adapter: &Adapter) -> [Vec<u32>; 2] {
    [bits(&adapter.lora.values), bits(&adapter.head.as_ref().unwrap().values)]
}

/// NER reads the first column and classification the second, and stitches that mix nothing change
/// nothing, to the bit.
#[test]
fn without_exchange_an_adapter_learns_what_it_learns_on_its_column_alone() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (first, mut second) = columns(1.0, 0.0);
        let first = first.with_precision(precision);
        second.backbone = second.backbone.with_precision(precision);
        let both = FrozenEncoder::new(&first, Some(&second));
        for (task, alone) in [(names(), &first), (opinions(), &second.backbone)] {
            let ((adapter, losses), (expected, expected_losses)) =
                (trained(both, None, &task, 10), trained(alone, None, &task, 10));
            assert_eq!(losses, expected_losses);
            assert_eq!(numbers(&adapter), numbers(&expected));
            assert_eq!(
                predict(both, &adapter, &task).unwrap(),
                predict(alone, &expected, &task).unwrap()
            );
        }
    }
}

#[test]
fn tasks_are_learned_through_stitches() {
    let (first, second) = columns(0.7, 0.4);
    let both = FrozenEncoder::new(&first, Some(&second));
    for task in [names(), opinions()] {
        let (adapter, losses) = trained(both, None, &task, 120);
        assert!(losses[119] < 0.2 * losses[0], "from {} to {}", losses[0], losses[119]);
        let right = match (predict(both, &adapter, &task).unwrap(), &task) {
            (Predictions::Labels(labels), Examples::Classification(texts)) => {
                labels.iter().zip(texts).filter(|(label, text)| **label == text.label).count()
            }
            (Predictions::Entities(found), Examples::Ner(texts)) => {
                found.iter().zip(texts).filter(|(found, text)| **found == text.entities).count()
            }
            (predictions, _) => panic!("predictions of the other kind: {predictions:?}"),
        };
        assert!(right as f64 > 0.95 * task.len() as f64, "{right}");
        let without = trained(&first, None, &task, 1).1;
        assert_ne!(losses[0], without[0], "the other column counts");
    }
}

/// A pair of zeros in the first layer does nothing and receives no gradient, but it leaves no trunk
/// to cache.
#[test]
fn the_cached_trunk_of_both_columns_changes_nothing() {
    let (first, second) = columns(0.7, 0.4);
    let both = FrozenEncoder::new(&first, Some(&second));
    let cached = random_lora(&first, 1, 7);
    let zero =
        SiteSpec { layer: 0, module: Module::Query, rank: 1, alpha: 1.0, rank_stabilized: false };
    let specs = std::iter::once(zero).chain(cached.sites.iter().map(|site| site.spec));
    let mut whole = Lora::zeros(&first.encoder.config, specs.collect());
    let zeros = whole.values.len() - cached.values.len();
    whole.values[zeros..].copy_from_slice(&cached.values);
    for task in [opinions(), names()] {
        let (from_cache, losses) = trained(both, Some(&cached), &task, 10);
        let (from_text, same_losses) = trained(both, Some(&whole), &task, 10);
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
    let (first, second) = columns(0.7, 0.4);
    let with_threads = |threads| {
        let both = FrozenEncoder::new(&first, Some(&second));
        let scores = |task| numbers(&trained(both, None, &task, 5).0);
        on_threads(threads, || [opinions(), names()].map(scores))
    };
    let one = with_threads(1);
    assert!(with_threads(2) == one && with_threads(3) == one);
}

/// It would run on either column alone, and answer something else.
#[test]
fn an_adapter_of_both_columns_is_of_no_use_to_one() {
    let (first, second) = columns(0.7, 0.4);
    let both = FrozenEncoder::new(&first, Some(&second));
    for task in [opinions(), names()] {
        let (adapter, _) = trained(both, None, &task, 3);
        assert_eq!(adapter.card.family, task.family());
        let directory = TempDir::new().unwrap();
        adapter.save(directory.path()).unwrap();
        assert_eq!(both.open_adapter(directory.path()).unwrap(), adapter);
        for alone in [&first, &second.backbone] {
            let refused = Adapter::open(directory.path(), alone);
            assert!(matches!(refused, Err(EncoderError::WrongBackbone { .. })), "{refused:?}");
        }
        trained(&first, None, &task, 1).0.save(directory.path()).unwrap();
        let refused = both.open_adapter(directory.path());
        assert!(
            matches!(refused, Err(TrainError::Encoder(EncoderError::WrongBackbone { .. }))),
            "{refused:?}"
        );
    }
}
